"""A quantity of an optional operation with switches: a sum of results of plain convolutions, each with a recipe.

What `Recipe` is to a layer's quantity, a `Compound` is to one of these: how it is computed, as data that a mistake can
change.  It gives all terms other operands (x for u), a term another recipe, leaves one out, or adds a step at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.mistake import Mistake
from conformance.mistakes.recipe import Floats, Recipe, recipe
from conformance.oracle.operations import terms
from conformance.problem import Geometry, Operands, Problem
from conformance.problem.operations import FURTHER, shape_of

__all__ = ["Change", "Compound", "Made", "Step", "Terms", "begun", "result", "rounded", "same", "switched"]

Array = NDArray[Any]

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


Made = Recipe | Compound


def begun(g: Geometry, o: Operands, quantity: str) -> Made:
    """How any quantity is rightly computed."""
    if quantity in FURTHER:
        return Compound(g=g, quantity=quantity, operands=o)
    return recipe(g, o, quantity)


def switched(start: Made | None, m: Mistake) -> Made | None:
    """The recipe with one more switch; None where the two do not go together."""
    try:
        return None if start is None or m.switch is None else m.switch(start)
    except (ValueError, IndexError):
        return None


def result(made: Made | None) -> Array | None:
    """What it gives; None where it gives nothing."""
    try:
        with np.errstate(all="ignore"):
            return None if made is None else made.result()
    except (ValueError, IndexError):
        return None


def rounded(made: Made | None, problem: Problem) -> Array | None:
    """The same in the dtype of a problem."""
    found = result(made)
    return found if found is None or problem.dtype == "f64" else problem.format.rounded(found)


def same(a: Array | None, b: Array | None) -> bool:
    """Are both there, and alike bit for bit (any NaN is as any other)?"""
    return a is not None and b is not None and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
