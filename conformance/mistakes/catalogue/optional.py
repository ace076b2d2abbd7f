"""What mistakes of the optional operations are made of: their results are sums of terms, each with a recipe of its own.

A mistake changes the recipe of a term (the stride not stuffed), leaves a term out, or gives terms other operands (x for u).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mistakes.mistake import Mistake
from conformance.mistakes.recipe import Floats, Recipe, Switch, recipe
from conformance.oracle.operations import terms
from conformance.problem import Geometry, Operands, dtype_of
from conformance.problem.operations import shape_of

__all__ = ["Terms", "first", "given", "made", "then", "without"]

Terms = list[Recipe]
Change = Callable[[Terms], Terms]


def made(
    name: str,
    sentence: str,
    *,
    hint: str,
    change: Change = lambda parts: parts,
    operands: Callable[[Operands], Operands] = lambda o: o,
    end: Callable[[Floats, Geometry, Operands], Any] = lambda out, g, o: out,
) -> Mistake:
    """A mistake of the quantity that its name begins with.

    change: of the recipes of the terms; operands: other operands for all of them; end: what is done to the sum.
    """
    quantity = name.partition("-")[0]

    def compute(g: Geometry, o: Operands, q: str) -> Any:
        dtype = dtype_of(o.x.dtype)
        parts = change([recipe(h, p, plain) for plain, h, p in terms(g, operands(o), q)])
        out = end(sum((part.result() for part in parts), _zeros(g, q)), g, o)
        return dtype.rounded(out).astype(dtype.numpy)

    return Mistake(name=name, sentence=sentence, hint=hint, quantities=(quantity,), compute=compute)


def first(switch: Switch) -> Change:
    """A switch in the recipe of the first term."""
    return lambda parts: [switch(parts[0]), *parts[1:]]


def then(step: Callable[[Floats, Geometry], Floats]) -> Callable[[Floats, Geometry, Operands], Floats]:
    """One more step at the end that needs the geometry alone."""
    return lambda out, g, o: step(out, g)


def without(number: int) -> Change:
    """A term left out, if there are so many."""
    return lambda parts: [part for k, part in enumerate(parts) if k != number]


def given(**names: str) -> Callable[[Operands], Operands]:
    """Other operands: ``given(u="x")`` is x where u belongs; a direction that is None is zero."""

    def change(o: Operands) -> Operands:
        changes: dict[str, Any] = {}
        for name, other in names.items():
            a = getattr(o, other)
            changes[name] = np.zeros_like(getattr(o, name)) if a is None else a
        return o.replace(**changes)

    return change


def _zeros(g: Geometry, quantity: str) -> Any:
    return np.zeros(shape_of(g, quantity) or ())
