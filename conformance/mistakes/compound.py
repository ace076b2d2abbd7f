"""A quantity of an optional operation with switches: a sum of results of plain convolutions, each with a recipe.

What `Recipe` is to a layer's quantity, a `Compound` is to one of these: how it is computed, as data that a mistake can change:
other operands for all terms (x for u), another recipe of a term, a term left out, one more step at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, recipe
from conformance.oracle.operations import terms
from conformance.problem import Geometry, Operands
from conformance.problem.operations import FURTHER, shape_of

__all__ = ["Change", "Compound", "Step", "Terms", "begun"]

Terms = Mapping[int, Recipe]
"""By number; one that is left out keeps its number free."""
Change = Callable[[Terms], Terms]
Step = Callable[[Floats, Geometry, Operands], Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class Compound:
    """How one quantity is computed: of which operands, what is done to its terms and then to their sum, in order."""

    g: Geometry
    quantity: str
    operands: Operands
    changes: tuple[Change, ...] = ()
    finish: tuple[Step, ...] = ()

    def replace(self, **changes: Any) -> Compound:
        return dataclasses.replace(self, **changes)

    def result(self) -> Floats:
        """The quantity, in float64."""
        plain = enumerate(terms(self.g, self.operands, self.quantity))
        parts: Terms = {number: recipe(g, o, q) for number, (q, g, o) in plain}
        for change in self.changes:
            parts = change(parts)
        out = sum((part.result() for part in parts.values()), np.zeros(shape_of(self.g, self.quantity) or ()))
        for step in self.finish:
            out = step(out, self.g, self.operands)
        return out


def begun(g: Geometry, o: Operands, quantity: str) -> Recipe | Compound:
    """How any quantity is rightly computed."""
    if quantity in FURTHER:
        return Compound(g=g, quantity=quantity, operands=o)
    return recipe(g, o, quantity)
