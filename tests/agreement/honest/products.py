"""Which products a layer sums: one list of triples, read three times.

Every multiplication of a forward pass meets one element of x, one of w and one of y.  The list of these triples *is* the
layer: grouped by y they are the products x w of the output, grouped by x the products delta w of dx, grouped by w the
products x delta of dw.  No gradient is derived.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance import Geometry

__all__ = ["terms", "windows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACTORS = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("x", "delta")}


def terms(g: Geometry, quantity: str, **operands: Any) -> tuple[Floats, Floats]:
    """(a, b), each (most products of an element, elements): column e holds the factors of what element e sums.

    Shorter columns end in zeros.  A bias is one more term, b times 1; the terms of db are delta times 1.
    """
    table = _tables(g)
    if quantity == "db":
        a = _at(operands["delta"], table["db"])
        return a, np.ones_like(a)
    first, second = FACTORS[quantity]
    rows = table[quantity]
    a, b = _at(operands[first], rows[first]), _at(operands[second], rows[second])
    if quantity != "y" or g.bias == "none":
        return a, b
    bias = np.asarray(operands["b"], np.float64).reshape(1, g.maps, -1)
    spread = np.broadcast_to(bias, (g.batch, g.maps, math.prod(g.output))).reshape(1, -1)
    return np.concatenate([a, spread]), np.concatenate([b, np.ones_like(spread)])


@functools.lru_cache(maxsize=256)
def windows(g: Geometry) -> Ints:
    """(C, taps, N, positions): the flat index in x of what each tap reads at each position; -1 in the padding."""
    flat, inside = np.zeros((1,) * 2 * g.rank, np.int64), np.ones((1,) * 2 * g.rank, bool)
    for axis, (size, (low, _)) in enumerate(zip(g.size, g.padding, strict=True)):
        t = _along(np.arange(g.kernel[axis]), axis, 2 * g.rank)
        o = _along(np.arange(g.output[axis]), g.rank + axis, 2 * g.rank)
        i = o * g.stride[axis] + t * g.dilation[axis] - low
        flat, inside = flat * size + i, inside & (i >= 0) & (i < size)
    place = np.where(inside, flat, -1).reshape(1, math.prod(g.kernel), 1, math.prod(g.output))
    maps = _along(np.arange(g.channels), 0, 4) + _along(np.arange(g.batch), 2, 4) * g.channels
    return np.where(place < 0, -1, place + maps * math.prod(g.size))


@functools.lru_cache(maxsize=256)
def _tables(g: Geometry) -> dict[str, Any]:
    """For y, dx and dw, per operand: its flat index of every term; for db, delta's.  -1 where there is no term."""
    x, w, y = _triples(g)
    found: dict[str, Any] = {}
    for quantity, target, size in (("y", y, g.y_shape), ("dx", x, g.x_shape), ("dw", w, g.w_shape)):
        rows = _grouped(target, math.prod(size))
        indices = {"x": x, "w": w, "delta": y}
        found[quantity] = {name: np.append(indices[name], -1)[rows] for name in FACTORS[quantity]}
    if g.b_shape is not None:
        position = (
            np.arange(math.prod(g.output)) if g.bias == "untied" else np.zeros(math.prod(g.output), int)
        )
        map_ = np.arange(g.maps)[:, None] * math.prod(g.b_shape[1:]) + position
        found["db"] = _grouped(np.broadcast_to(map_, (g.batch, *map_.shape)).ravel(), math.prod(g.b_shape))
    return found


def _triples(g: Geometry) -> tuple[Ints, Ints, Ints]:
    """Flat indices (in x, in w, in y) of every product, ordered by map, channel, tap, item and position."""
    taps, positions = math.prod(g.kernel), math.prod(g.output)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    x = windows(g).reshape(g.groups, 1, channels, taps, g.batch, positions)
    m = _along(np.arange(g.maps).reshape(g.groups, maps), 0, 6)
    t = _along(np.arange(taps)[:: -1 if g.convention == "convolution" else 1], 3, 6)
    w = (m * channels + _along(np.arange(channels), 2, 6)) * taps + t
    y = (_along(np.arange(g.batch), 4, 6) * g.maps + m) * positions + _along(np.arange(positions), 5, 6)
    shape = (g.groups, maps, channels, taps, g.batch, positions)
    x, w, y = (np.broadcast_to(a, shape).ravel() for a in (x, w, y))
    inside = x >= 0
    return x[inside], w[inside], y[inside]


def _grouped(target: Ints, size: int) -> Ints:
    """(most of a kind, size): column e lists the places where `target` is e, in order, and then -1."""
    order = np.argsort(target, kind="stable")
    counts = np.bincount(target, minlength=size)
    starts = np.cumsum(counts) - counts
    rows = np.full((max(1, counts.max(initial=0)), size), -1)
    rows[np.arange(target.size) - starts[target[order]], target[order]] = order
    return rows


def _at(a: Any, index: Ints) -> Floats:
    """Elements of `a` by flat index; -1 is zero."""
    return np.append(np.asarray(a, np.float64).ravel(), 0.0)[index]


def _along(a: Ints, axis: int, rank: int) -> Ints:
    """`a` broadcast from `axis` on."""
    return a.reshape(*(1,) * axis, *a.shape, *(1,) * (rank - axis - a.ndim))
