"""What several families are made of: switches, parts of arrays, axes exchanged."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch, ending, recipe, relation, relations
from conformance.problem import Geometry, Operands

__all__ = [
    "ALL",
    "FIRST",
    "LAST",
    "TURNED",
    "divided",
    "everywhere",
    "kept",
    "only",
    "placed",
    "swapped",
    "times",
    "transposed",
    "weighted_input",
]

ALL, FIRST, LAST = slice(None), slice(0, 1), slice(-1, None)


# ---- switches ----
TURNED = relations(lambda r, made, axis: r[:, ::-1])
"""The kernel read backwards along every axis."""


def placed(**changes: Callable[[Geometry, int], int]) -> Switch:
    """Another `stride`, `dilation` or `begin` (the padding in front) along each axis; what was moved before stays moved."""

    def switch(r: Recipe) -> Recipe:
        axes = range(r.g.rank)
        moved = {**r.moved, **{name: tuple(of(r.g, axis) for axis in axes) for name, of in changes.items()}}
        made = (
            relation(r.g, axis, **{name: values[axis] for name, values in moved.items()}) for axis in axes
        )
        return r.replace(moved=moved, axes=tuple(made))

    return switch


def only(when: Callable[[Geometry], bool], switch: Switch) -> Switch:
    """The switch, but for some geometries alone."""
    return lambda r: switch(r) if when(r.g) else r


def times(factor: Callable[[Geometry], float]) -> Switch:
    """The result multiplied by a factor."""
    return ending(lambda out, r: out * factor(r.g))


def divided(count: Callable[[Geometry], int]) -> Switch:
    """The result divided by a number of things (by 1 if there are none)."""
    return ending(lambda out, r: out / max(count(r.g), 1))


# ---- arrays ----
def kept(values: Floats, *where: slice | EllipsisType) -> Floats:
    """One part of an array; zeros elsewhere."""
    part = np.zeros_like(values)
    part[where] = values[where]
    return part


def everywhere(part: Floats, shape: tuple[int, ...]) -> Floats:
    """A part repeated to a whole."""
    whole: Floats = np.broadcast_to(part, shape)
    return whole


def swapped(values: tuple[int, ...], axis: int) -> int:
    """An axis' value, those of the last two axes exchanged."""
    n = len(values)
    return values[(2 * n - 3) - axis] if n > 1 and axis >= n - 2 else values[axis]


def transposed(a: Floats) -> Floats:
    """The last two spatial axes exchanged, where they are equally long."""
    return a.swapaxes(-1, -2) if a.ndim > 3 and a.shape[-1] == a.shape[-2] else a


def weighted_input(r: Recipe) -> Floats:
    """y, of the operands as they are."""
    given = Operands(x=r.x, w=r.w, b=None, delta=r.delta)
    y = recipe(r.g, given, "y").replace(bias=np.zeros(1)).result()
    return y if r.g.bias == "none" else y + r.bias
