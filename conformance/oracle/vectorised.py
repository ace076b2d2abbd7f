"""What runs use: the same four sums through matrix products (BLAS) in float64, and the number of summands of each.

Exact where it matters: if all operands lie on a lattice and S, the sum of the products' magnitudes, is at most 2^53 of
its units, no partial sum rounds in any order (numerics.md), so these float64 results *are* the integers of the
definition.  tests/agreement binds them to the three other derivations bit for bit.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem import Geometry, Operands, Results

__all__ = ["Layer", "counts"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Layer:
    """One convolution over float64 copies of its operands; each result is computed when it is asked for, once.

    number: what it computes in instead of float64: ``object``, for Python numbers of any precision.
    """

    def __init__(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, *, number: Any = np.float64) -> None:
        self.g, self._positions = g, math.prod(g.output)
        self._rows = g.batch * self._positions
        self.b = None if b is None else b.astype(number)
        w = w.astype(number)
        self._turned_axes = tuple(range(2, w.ndim)) if g.convention == "convolution" else ()
        self._x = x.astype(number)
        self._w = np.flip(w, self._turned_axes).reshape(g.groups, g.maps // g.groups, -1)  # (G, M/G, C/G K)
        rows = delta.astype(number).reshape(g.batch, g.groups, g.maps // g.groups, self._positions)
        self._delta = rows.transpose(1, 0, 3, 2).reshape(
            g.groups, self._rows, g.maps // g.groups
        )  # (G, N O, M/G)

    @classmethod
    def of(cls, g: Geometry, operands: Operands) -> Layer:
        return cls(g, operands.x, operands.w, operands.b, operands.delta)

    def magnitudes(self) -> Layer:
        """The layer of the operands' absolute values: its results are S, element by element."""
        same = object.__new__(Layer)
        same.g, same._turned_axes, same._rows, same._positions = (
            self.g,
            self._turned_axes,
            self._rows,
            self._positions,
        )
        same._x, same._w, same._delta = np.abs(self._x), np.abs(self._w), np.abs(self._delta)
        same.b = None if self.b is None else np.abs(self.b)
        return same

    @functools.cached_property
    def _windows(self) -> Floats:
        """What each output position reads: (G, N O, C/G K)."""
        g = self.g
        padded = _padded(g, self._x)
        step = padded.strides[2:]
        taps = tuple(s * d for s, d in zip(step, g.dilation, strict=True))
        hops = tuple(s * k for s, k in zip(step, g.stride, strict=True))
        per_group = (padded.strides[1] * (g.channels // g.groups), padded.strides[0])
        windows = np.lib.stride_tricks.as_strided(
            padded,
            (g.groups, g.batch, *g.output, g.channels // g.groups, *g.kernel),
            (*per_group, *hops, padded.strides[1], *taps),
        )
        return windows.reshape(g.groups, self._rows, math.prod(g.w_shape[1:]))

    @functools.cached_property
    def y(self) -> Floats:
        """(N, M, *O)."""
        g = self.g
        rows: Floats = self._windows @ self._w.swapaxes(1, 2)  # (G, N O, M/G)
        y = (
            rows.reshape(g.groups, g.batch, self._positions, g.maps // g.groups)
            .transpose(1, 0, 3, 2)
            .reshape(g.y_shape)
        )
        if self.b is None:
            return y
        biased: Floats = y + (self.b if g.bias == "untied" else self.b.reshape(-1, *(1,) * g.rank))
        return biased

    @functools.cached_property
    def dx(self) -> Floats:
        """(N, C, *I): each window's gradient added where the window had read."""
        g = self.g
        shape = (g.groups, g.batch, *g.output, g.channels // g.groups, *g.kernel)
        windows = (self._delta @ self._w).reshape(shape)
        windows = np.moveaxis(windows, (1, 0, 2 + g.rank), (0, 1, 2))  # (N, G, C/G, *O, *K)
        padded = np.zeros((g.batch, g.groups, g.channels // g.groups, *g.padded_size), windows.dtype)
        for t in itertools.product(*map(range, g.kernel)):
            padded[(..., *_read_by(g, t))] += windows[(..., *t)]
        return _unpadded(g, padded.reshape(g.batch, g.channels, *g.padded_size))

    @functools.cached_property
    def dw(self) -> Floats:
        """(M, C/G, *K)."""
        dw: Floats = np.flip(
            (self._delta.swapaxes(1, 2) @ self._windows).reshape(self.g.w_shape), self._turned_axes
        )
        return dw

    @functools.cached_property
    def db(self) -> Floats | None:
        """(M,) tied, (M, *O) untied; None without a bias."""
        g = self.g
        if g.bias == "none":
            return None
        rows = self._delta.reshape(g.groups, g.batch, self._positions, g.maps // g.groups)
        per_position: Floats = rows.sum(axis=1).swapaxes(1, 2).reshape(g.maps, self._positions)
        return per_position.reshape(g.maps, *g.output) if g.bias == "untied" else per_position.sum(axis=1)

    def results(self) -> Results:
        return Results(y=self.y, dx=self.dx, dw=self.dw, db=self.db)


@functools.lru_cache(maxsize=512)
def counts(g: Geometry) -> dict[str, Ints]:
    """n, the number of products that each element of y, dx, dw, db sums; padding is not counted, the bias is (in y).

    n is the convolution of ones with ones, which is a product over the axes: read-only broadcast arrays.
    """
    forward, backward, kernel = [], [], []
    for axis in range(g.rank):
        o, t = np.ogrid[: g.output[axis], : g.kernel[axis]]
        i = o * g.stride[axis] + t * g.dilation[axis] - g.padding[axis][0]
        inside = (i >= 0) & (i < g.size[axis])
        forward.append(inside.sum(axis=1))
        kernel.append(inside.sum(axis=0)[:: -1 if g.convention == "convolution" else 1])
        backward.append(np.bincount(i[inside], minlength=g.size[axis]))
    positions = 1 if g.bias == "untied" else math.prod(g.output)
    n = {
        "y": _outer(forward, g.channels // g.groups, g.y_shape) + (g.bias != "none"),
        "dx": _outer(backward, g.maps // g.groups, g.x_shape),
        "dw": _outer(kernel, g.batch, g.w_shape),
    }
    return n if g.b_shape is None else {**n, "db": np.broadcast_to(np.int64(g.batch * positions), g.b_shape)}


def _outer(per_axis: list[Ints], factor: int, shape: tuple[int, ...]) -> Ints:
    return np.broadcast_to(functools.reduce(np.multiply.outer, per_axis) * factor, shape)


def _padded(g: Geometry, x: Floats) -> Floats:
    out = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    out[(..., *g.inner)] = x[(..., *g.kept)]
    return out


def _unpadded(g: Geometry, padded: Floats) -> Floats:
    out = np.zeros(g.x_shape, padded.dtype)
    out[(..., *g.kept)] = padded[(..., *g.inner)]
    return out


def _read_by(g: Geometry, t: tuple[int, ...]) -> tuple[Any, ...]:
    """The padded positions that tap t reads, over all output positions."""
    axes = zip(t, g.dilation, g.stride, g.output, strict=True)
    return tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, s, o in axes)
