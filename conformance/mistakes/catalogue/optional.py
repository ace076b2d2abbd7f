"""What mistakes of the optional operations are made of: their results are sums of terms, each with a recipe of its own.

A mistake changes the recipe of a term (the stride not stuffed), leaves a term out, or gives terms other operands (x for u).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mistakes.compound import Change, Compound, Step, begun
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.recipe import Floats, Switch, computing
from conformance.problem import Geometry, Operands

__all__ = ["first", "given", "made", "then", "without"]


def made(
    name: str,
    sentence: str,
    *,
    hint: str,
    change: Change = dict,
    operands: Callable[[Operands], Operands] = lambda o: o,
    end: Step = lambda out, g, o: out,
) -> Mistake:
    """A mistake of the quantity that its name begins with.

    change: of the recipes of the terms; operands: other operands for all of them; end: what is done to the sum.
    """

    def switch(c: Compound) -> Compound:
        return c.replace(operands=operands(c.operands), changes=(*c.changes, change), finish=(*c.finish, end))

    return Mistake(
        name=name,
        sentence=sentence,
        hint=hint,
        quantities=(name.partition("-")[0],),
        compute=computing(switch, start=begun),
        switch=switch,
    )


def first(switch: Switch) -> Change:
    """A switch in the recipe of the first term."""
    return lambda parts: {k: switch(part) if k == 0 else part for k, part in parts.items()}


def then(step: Callable[[Floats, Geometry], Floats]) -> Step:
    """One more step at the end that needs the geometry alone."""
    return lambda out, g, o: step(out, g)


def without(number: int) -> Change:
    """A term left out, if there are so many."""
    return lambda parts: {k: part for k, part in parts.items() if k != number}


def given(**names: str) -> Callable[[Operands], Operands]:
    """Other operands: ``given(u="x")`` is x where u belongs; a direction that is None is zero."""

    def change(o: Operands) -> Operands:
        changes: dict[str, Any] = {}
        for name, other in names.items():
            a = getattr(o, other)
            changes[name] = np.zeros_like(getattr(o, name)) if a is None else a
        return o.replace(**changes)

    return change
