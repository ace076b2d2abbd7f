"""Winograd's convolution, nested over the axes, in the arithmetic of the dtype: every matrix is applied term by term.

F(m, k) multiplies two polynomials modulo prod (z - a_i), one factor a point a_i, and infinity.  With
M_i = prod_{j != i} (z - a_j) and N_i = M_i(a_i):

    A^T[j, i] = a_i^j        G[i, q] = a_i^q / N_i        B^T[i, :] = coefficients of M_i

and for infinity the last powers, and the coefficients of prod (z - a_j).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from conformance import Arithmetic, Geometry
from conformance.problem import dtype_of

from .adapters import ByProducts, Gradients
from .formats import cast
from .sums import in_order, of_products

__all__ = ["POINTS", "Winograd", "matrices"]

Matrix = tuple[tuple[Fraction, ...], ...]

POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))


class Winograd(ByProducts):
    """F(tile, k) on every axis where stride and dilation are 1 and the points suffice; other geometries directly.

    kept: the format of all transforms and sums (None: the dtype).  stored: the format in which transforms and sums of
    products are stored, if that is another.  points: the finite ones, in the order in which they are taken.
    """

    def __init__(
        self,
        name: str,
        says: str,
        classes: Mapping[str, Arithmetic],
        *,
        tile: int,
        kept: str | None = None,
        stored: str | None = None,
        points: tuple[Fraction, ...] = POINTS,
    ) -> None:
        super().__init__(name, says, of_products(in_order, kept=kept), classes)
        self.tile, self.kept, self.stored, self.points = tile, kept, stored, points
        self.focus = dataclasses.replace(self.capabilities, stride=False, dilation=False)

    def matrices(self, kernel: tuple[int, ...]) -> list[tuple[Matrix, Matrix, Matrix]]:
        """(A, G, B^T) of every axis."""
        return [matrices(self.tile, k, self.points) for k in kernel]

    def transforms(self, g: Geometry) -> bool:
        """Is a geometry computed by transforms?"""
        plain = set(g.stride) == set(g.dilation) == {1}
        return plain and max(g.kernel) + self.tile - 2 <= len(self.points)

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        if not self.transforms(g):
            return super().forward(g, x, w, b)
        g.check(x=x, w=w, b=b)
        code = dtype_of(x.dtype).code
        kept = self.kept or code
        kernels = _by_group(g, _turned(g, cast(w, kept)))
        y = self._correlated(_padded(g, cast(x, kept)), kernels, g.output)
        if b is not None:
            y = y + cast(b, kept).reshape(b.shape if b.ndim > 1 else (-1, *(1,) * g.rank))
        return cast(y, code)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        if not self.transforms(g):
            return super().backward(g, x, w, b, delta)
        g.check(x=x, w=w, b=b, delta=delta)
        db = None if b is None else self._sums(g, "db", x.dtype, delta=delta)
        return self._inputs(g, w, delta), self._weights(g, x, delta), db

    def _inputs(self, g: Geometry, w: Any, delta: Any) -> Any:
        """dx: the full correlation of delta with the kernels rotated, maps and channels swapped."""
        code = dtype_of(w.dtype).code
        kept = self.kept or code
        edges = [(k - 1, k - 1) for k in g.kernel]
        kernels = np.flip(_by_group(g, _turned(g, cast(w, kept))), tuple(range(3, 3 + g.rank))).swapaxes(1, 2)
        full = self._correlated(np.pad(cast(delta, kept), ((0, 0), (0, 0), *edges)), kernels, g.padded_size)
        dx = np.zeros(g.x_shape, w.dtype)
        dx[(..., *g.kept)] = cast(full, code)[(..., *g.inner)]
        return dx

    def _correlated(self, x: Any, kernels: Any, size: tuple[int, ...]) -> Any:
        """y (N, M, *size) of x (N, C, *padded) and kernels (G, M/G, C/G, *K)."""
        rank, axes = len(size), self.matrices(kernels.shape[3:])
        v = _mixed(
            [b for _, _, b in axes], _tiles(x, size, self.tile, [len(b) for _, _, b in axes]), 2 + rank
        )
        u = _mixed([g for _, g, _ in axes], kernels, 3)
        groups = len(kernels)
        v = v.reshape(len(x), groups, 1, x.shape[1] // groups, *v.shape[2:])  # n, g, 1, c, tiles, t
        u = u.reshape(*u.shape[:3], *(1,) * rank, *u.shape[3:])  # g, m, c, 1, t
        products = np.moveaxis(self._stored(v) * self._stored(u), 3, 0)  # c, n, g, m, tiles, t
        total = self._stored(in_order(products))
        total = total.reshape(len(x), groups * kernels.shape[1], *total.shape[3:])
        y = _mixed([transposed(a) for a, _, _ in axes], total, 2 + rank)
        return _untiled(y, rank)[(..., *(slice(n) for n in size))]

    def _weights(self, g: Geometry, x: Any, delta: Any) -> Any:
        """dw = G^T [ (B^T x) (.) (A delta) ], summed over tiles and items before the last transform."""
        code = dtype_of(x.dtype).code
        kept, rank, axes = self.kept or code, g.rank, self.matrices(g.kernel)
        v = _tiles(_padded(g, cast(x, kept)), g.output, self.tile, [len(b) for _, _, b in axes])
        e = _tiles(cast(delta, kept), g.output, self.tile, [self.tile] * rank)
        v = _mixed([b for _, _, b in axes], v, 2 + rank)
        e = _mixed([a for a, _, _ in axes], e, 2 + rank)
        tiles = math.prod(v.shape[2 : 2 + rank])
        v = v.reshape(len(x), g.groups, 1, g.channels // g.groups, tiles, *v.shape[2 + rank :])
        e = e.reshape(len(x), g.groups, g.maps // g.groups, 1, tiles, *e.shape[2 + rank :])
        products = np.moveaxis(self._stored(v) * self._stored(e), 4, 1)  # n, tiles, g, m, c, t
        products = products.reshape(len(x) * tiles, *products.shape[2:])
        total = in_order(products) if len(products) else np.zeros(products.shape[1:], products.dtype)
        dw = _mixed([transposed(u) for _, u, _ in axes], self._stored(total), 3).reshape(g.w_shape)
        return np.ascontiguousarray(_turned(g, cast(dw, code)))

    def _stored(self, a: Any) -> Any:
        """Through the format in which it is stored, and back."""
        return a if self.stored is None else cast(cast(a, self.stored), dtype_of(a.dtype).code)


# ---- matrices ----


@functools.lru_cache(maxsize=64)
def matrices(m: int, k: int, points: tuple[Fraction, ...] = POINTS) -> tuple[Matrix, Matrix, Matrix]:
    """A (t, m), G (t, k), B^T (t, t), t = m + k - 1, of the first t - 1 points and infinity."""
    points = points[: m + k - 2]
    a, g, b = [], [], []
    for i, p in enumerate(points):
        others = points[:i] + points[i + 1 :]
        scale = math.prod((p - q for q in others), start=Fraction(1))
        a.append([p**j for j in range(m)])
        g.append([p**j / scale for j in range(k)])
        b.append([*_product(others), Fraction(0)])
    a.append([Fraction(j == m - 1) for j in range(m)])
    g.append([Fraction(j == k - 1) for j in range(k)])
    b.append(_product(points))
    return _rows(a), _rows(g), _rows(b)


def _rows(matrix: list[list[Fraction]]) -> Matrix:
    return tuple(map(tuple, matrix))


def transposed(matrix: Matrix) -> Matrix:
    """Rows for columns."""
    return tuple(zip(*matrix, strict=True))


def _product(points: tuple[Fraction, ...]) -> list[Fraction]:
    """Coefficients of prod (z - a), the lowest power first."""
    coefficients = [Fraction(1)]
    for a in points:
        shifted, scaled = [Fraction(0), *coefficients], [*(-a * c for c in coefficients), Fraction(0)]
        coefficients = [s + t for s, t in zip(shifted, scaled, strict=True)]
    return coefficients


def _mixed(per_axis: list[Matrix], v: Any, first: int) -> Any:
    """Each axis from `first` on multiplied by its matrix, term by term, in v's own arithmetic."""
    for axis, matrix in enumerate(per_axis, first):
        columns = np.moveaxis(v, axis, 0)
        v = np.moveaxis(np.stack([_row(row, columns) for row in matrix]), 0, axis)
    return v


def _row(row: tuple[Fraction, ...], v: Any) -> Any:
    """sum_j row[j] v[j]."""
    total = np.zeros_like(v[0])
    for c, column in zip(row, v, strict=True):
        if c:
            total = total + _constant(c, v.dtype) * column
    return total


@functools.cache
def _constant(c: Fraction, dtype: Any) -> Any:
    """A matrix's element, rounded to a dtype."""
    return cast(float(c), dtype_of(dtype).code)[()]


# ---- tiles ----


def _tiles(a: Any, size: tuple[int, ...], tile: int, lengths: list[int]) -> Any:
    """(N, C, *tiles, *lengths): pieces that start every `tile` elements, until `size` is covered; zeros behind the end."""
    counts = [-(-n // tile) for n in size]
    needed = [(count - 1) * tile + t for count, t in zip(counts, lengths, strict=True)]
    ends = [(0, max(0, n - have)) for n, have in zip(needed, a.shape[2:], strict=True)]
    a = np.pad(a, ((0, 0), (0, 0), *ends))
    axes = tuple(range(2, a.ndim))
    pieces = np.lib.stride_tricks.sliding_window_view(a, lengths, axes)
    every = [slice(0, (count - 1) * tile + 1, tile) for count in counts]
    return pieces[(slice(None), slice(None), *every)]


def _untiled(y: Any, rank: int) -> Any:
    """(N, M, *tiles, *m) to (N, M, *(tiles m))."""
    order = [0, 1, *(axis for k in range(rank) for axis in (2 + k, 2 + rank + k))]
    sizes = (n * m for n, m in zip(y.shape[2 : 2 + rank], y.shape[2 + rank :], strict=True))
    return y.transpose(order).reshape(*y.shape[:2], *sizes)


def _padded(g: Geometry, x: Any) -> Any:
    padded = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    padded[(..., *g.inner)] = x[(..., *g.kept)]
    return padded


def _turned(g: Geometry, w: Any) -> Any:
    return np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w


def _by_group(g: Geometry, w: Any) -> Any:
    """(G, M/G, C/G, *K)."""
    return w.reshape(g.groups, g.maps // g.groups, *w.shape[1:])
