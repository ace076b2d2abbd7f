"""Implementations that transform: how far a whole map may be off, and how large what they meet on the way may grow.

A transform mixes the elements of a map before it multiplies, so its rounding is bounded by norms of whole maps, not by
the products of one element; and a map that is finite in the end may overflow on the way.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import bounds, winograd

if TYPE_CHECKING:
    from conformance.oracle.expectation import Expected

__all__ = ["bound", "may_overflow"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LONGEST = 20
"""Points of a Winograd transform beyond which nothing is promised of it."""


def bound(expected: Expected) -> Floats:
    """The error that the declared transform may add (broadcasts to the result)."""
    whole, (step, _) = expected.whole, _on_the_way(expected)
    if expected.arithmetic.algorithm == "fft":
        norms, summed = _paired(expected, _norm)
        points = math.prod(bounds.extents(whole.g))
        lost = 16 * points * (3 * math.log2(points) + summed) * _scale(expected) * step
        u = _all_roundings(expected)
        return bounds.fft(expected.exact, norms, whole.g, summed=summed, dtype=whole.dtype, u=u) + lost
    if not _tiled(expected):
        return np.zeros(1)
    if _unbounded(expected):
        return np.full(1, np.inf)
    amplified, roundings = _winograd(expected)
    lost = roundings * roundings * winograd.underflows(_transforms(expected)) * _scale(expected) * step
    through = bounds.winograd(
        expected.exact, amplified, roundings, dtype=whole.dtype, arithmetic=expected.arithmetic
    )
    return through + lost


def may_overflow(expected: Expected) -> Mask:
    """Where the transform may exceed the largest number on its way: an operand transformed, a product, or their sum."""
    limit = _on_the_way(expected)[1]
    alone = max(expected.whole.largest[name] for name in ("x", "w", "delta"))
    if expected.arithmetic.algorithm == "fft":
        points = math.prod(bounds.extents(expected.whole.g))
        return np.asarray((_paired(expected, _norm)[0] * points**2 > limit) | (alone * points > limit))
    if not _tiled(expected) or _unbounded(expected):
        return np.full(1, _tiled(expected))
    spread = winograd.underflows(_transforms(expected))
    return np.asarray((_winograd(expected)[0] * spread > limit) | (alone * spread > limit))


def _all_roundings(expected: Expected) -> float:
    """One unit roundoff for all that is rounded in a Fourier transform: operands, sums, and what is stored between."""
    a, u = expected.arithmetic, expected.whole.dtype.u
    sums = a.unit("accumulator", u) * (4 if a.truncates else 1)
    return max(u, sums) + a.unit("inputs", 0.0) + a.unit("partial_sums", 0.0)


def _on_the_way(expected: Expected) -> tuple[float, float]:
    """(error of an underflow, overflow threshold) of the formats before the result."""
    a = expected.arithmetic
    way = dataclasses.replace(a, accumulator=a.accumulator or expected.whole.dtype.code)
    return way.range((0.0, math.inf))


def _tiled(expected: Expected) -> bool:
    """Does the geometry allow Winograd's tiles?  Others are summed directly."""
    g = expected.whole.g
    return set(g.stride) == {1} and set(g.dilation) == {1}


def _unbounded(expected: Expected) -> bool:
    """Tiles so long that their transforms amplify everything."""
    return (expected.arithmetic.tile or 1) + max(expected.whole.g.kernel) - 1 > LONGEST


def _transforms(expected: Expected) -> list[winograd.Transform]:
    return [winograd.transform(expected.arithmetic.tile or 1, k) for k in expected.whole.g.kernel]


def _winograd(expected: Expected) -> tuple[Floats, int]:
    """(what the products may sum to on their way, how often each is rounded)."""
    g, m, transforms = expected.whole.g, expected.arithmetic.tile or 1, _transforms(expected)
    roundings = sum(f.roundings for f in transforms) + 1
    if expected.quantity == "dw":
        tiles = math.prod(-(-o // m) + 1 for o in g.output)
        pairs, summed = _paired(expected, _max)
        return pairs * (tiles * winograd.gradient_amplified(transforms)), roundings + tiles * summed
    w = np.abs(expected.whole.operands.w.astype(np.float64))
    turned = np.flip(w, tuple(range(2, w.ndim)))  # dx slides the kernel rotated, and so does true convolution
    kernels = np.maximum(winograd.amplified(w, transforms), winograd.amplified(turned, transforms))
    pairs, summed = _paired(expected, _max, w=kernels)
    return pairs, roundings + summed


def _scale(expected: Expected) -> float:
    """What an underflow may be multiplied by: no operand, and no product of two, is larger."""
    largest = expected.whole.largest
    return math.prod(1 + largest[name] for name in ("x", "w", "delta"))


def _paired(expected: Expected, measure: Any, w: Floats | None = None) -> tuple[Floats, int]:
    """Sum of |a| |b| over the pairs of maps that a result sums, spatial axes kept as 1; and their number."""
    g, o = expected.whole.g, expected.whole.operands
    x, kernel, delta = (measure(a.astype(np.float64), g.rank) for a in (o.x, o.w, o.delta))
    x = x.reshape(g.batch, g.groups, g.channels // g.groups)
    kernel = (kernel if w is None else w).reshape(g.groups, g.maps // g.groups, g.channels // g.groups)
    delta = delta.reshape(g.batch, g.groups, g.maps // g.groups)
    pairs: dict[str, tuple[Any, tuple[int, int], int]] = {
        "y": (("ngc,gmc->ngm", x, kernel), (g.batch, g.maps), g.channels // g.groups),
        "dx": (("ngm,gmc->ngc", delta, kernel), (g.batch, g.channels), g.maps // g.groups),
        "dw": (("ngc,ngm->gmc", x, delta), (g.maps, g.channels // g.groups), g.batch),
    }
    product, shape, summed = pairs[expected.quantity]
    return np.einsum(*product).reshape(*shape, *(1,) * g.rank), summed


def _norm(a: Floats, rank: int) -> Floats:
    norms: Floats = np.sqrt((a**2).sum(axis=tuple(range(a.ndim - rank, a.ndim))))
    return norms


def _max(a: Floats, rank: int) -> Floats:
    largest: Floats = np.abs(a).max(axis=tuple(range(a.ndim - rank, a.ndim)), initial=0)
    return largest
