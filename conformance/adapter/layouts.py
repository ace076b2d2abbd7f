"""Axis orders: the suite's N, C, spatial (x, y, delta, dx) and O, I, spatial (w, dw), and those that adapters declare."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.protocol import Capabilities

__all__ = ["axis_of_items", "from_adapter", "to_adapter"]

Array = NDArray[Any]
_LIKE = {
    "x": "x",
    "w": "w",
    "y": "x",
    "delta": "x",
    "dx": "x",
    "dw": "w",
    "u": "x",
    "v": "w",
    "ddelta": "x",
    "dy": "x",
}


def to_adapter(able: Capabilities, name: str, a: Array) -> Array:
    """An operand with its axes in the declared order: a view."""
    order = _order(able, name, a.ndim)
    return a if order is None else a.transpose(order)


def from_adapter(able: Capabilities, name: str, a: Array) -> Array:
    """A result with its axes in the suite's order: a view; as it is, if it has not the axes of one."""
    order = _order(able, name, a.ndim)
    return a if order is None or len(order) != a.ndim else a.transpose(np.argsort(order))


def axis_of_items(able: Capabilities, name: str, ndim: int) -> int:
    """Where an adapter has the suite's first axis: batch items of x, maps of w and b."""
    order = _order(able, name, ndim)
    return 0 if order is None else order.index(0)


def _order(able: Capabilities, name: str, ndim: int) -> tuple[int, ...] | None:
    """For each axis of the adapter's array, the axis of ours; None where layouts do not apply."""
    like = _LIKE.get(name.rpartition(".")[2])  # a quantity of an operation: the name of the result
    if like is None:
        return None
    return _axes(able.x_layout, "NC", ndim) if like == "x" else _axes(able.w_layout, "OI", ndim)


@functools.cache
def _axes(mine: str, letters: str, ndim: int) -> tuple[int, ...]:
    spatial = tuple(range(2, ndim))
    order: list[int] = []
    for letter in mine:
        if letter in letters:
            order.append(letters.index(letter))
        elif not set(spatial) & set(order):
            order.extend(spatial)
    return tuple(order)
