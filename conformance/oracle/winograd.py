"""Winograd's fast convolution F(m, k): its matrices, and how much rounding they may amplify.

m outputs of a correlation with k taps cost m + k - 1 multiplications:

    y = A^T [ (G w) (.) (B^T x) ],      dw = G^T [ (B^T x) (.) (A delta) ]

from polynomials that are multiplied by their values at points (Toom and Cook; Winograd 1980; Lavin and Gray 2016).  With
V_n the matrix of powers 0 .. n-1 of the points, the last one infinity: A = V_m, G = V_k, B^T = V_{m+k-1}^{-T}.  Libraries
scale rows of G, B^T and A differently; the products of magnitudes below do not depend on it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["Transform", "amplified", "gradient_amplified", "transform", "underflows"]

Floats = NDArray[np.float64]

POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2), 4, -4, Fraction(1, 4), Fraction(-1, 4))
"""The customary ones, in the order in which they are taken; further ones follow from `_point`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transform:
    """F(m, k) in magnitudes: |A^T| (m, t), |G| (t, k), |B^T| (t, t), with t = m + k - 1.

    roundings: of one product on its way through all three, forward or transposed, their constants included.
    """

    a: Floats
    g: Floats
    b: Floats
    roundings: int

    @functools.cached_property
    def forward(self) -> Floats:
        """(m, k): what a result may take of each tap, in units of the largest magnitude of its inputs."""
        magnitudes: Floats = self.a @ (self.b.sum(axis=1)[:, None] * self.g)
        return magnitudes

    @functools.cached_property
    def backward(self) -> Floats:
        """(k,): what each tap's gradient may take of a tile, in units of the largest |x| |delta|."""
        magnitudes: Floats = self.g.T @ (self.b.sum(axis=1) * self.a.sum(axis=0))
        return magnitudes


@functools.lru_cache(maxsize=128)
def transform(m: int, k: int) -> Transform:
    """F(m, k) of the customary points."""
    t = m + k - 1
    points = [_point(i) for i in range(t - 1)]
    values = [_powers(p, t) for p in points] + [[Fraction(i == t - 1) for i in range(t)]]
    inverse = _inverted(values)
    g, b = _vandermonde(points, k), [list(column) for column in zip(*inverse, strict=True)]
    a = [list(column) for column in zip(*_vandermonde(points, m), strict=True)]
    widest = sum(max(_widest(matrix), _widest(list(zip(*matrix, strict=True)))) for matrix in (a, g, b))
    return Transform(a=_magnitudes(a), g=_magnitudes(g), b=_magnitudes(b), roundings=widest + 3)


def _widest(matrix: Sequence[Sequence[Fraction]]) -> int:
    """The most terms that one row sums."""
    return max(sum(v != 0 for v in row) for row in matrix)


def underflows(transforms: Sequence[Transform]) -> float:
    """How often the error of one underflow may count in a result, operands being at most 1."""
    return float(
        np.prod(
            [
                np.prod([max(1.0, m.sum(axis=1).max(), m.sum(axis=0).max()) for m in (f.a, f.g, f.b)])
                for f in transforms
            ]
        )
    )


def amplified(w: Floats, transforms: Sequence[Transform]) -> Floats:
    """(M, C): the largest sum of magnitudes that a tile makes of a kernel |w| (M, C, *K), inputs being at most 1."""
    out = w
    for f in reversed(transforms):
        out = np.moveaxis(out @ f.forward.T, -1, 2)
    largest: Floats = out.reshape(*w.shape[:2], -1).max(axis=2)
    return largest


def gradient_amplified(transforms: Sequence[Transform]) -> float:
    """The same for a weight's gradient: of one tile, x and delta being at most 1."""
    return float(np.prod([f.backward.max() for f in transforms]))


def _point(i: int) -> Fraction:
    """The i-th finite point."""
    if i < len(POINTS):
        return Fraction(POINTS[i])
    return Fraction((i // 2) * (-1) ** i)


def _powers(p: Fraction, count: int) -> list[Fraction]:
    return [p**i for i in range(count)]


def _vandermonde(points: list[Fraction], n: int) -> list[list[Fraction]]:
    """(t, n): powers 0 .. n-1 of each point; infinity's only power is the last."""
    return [_powers(p, n) for p in points] + [[Fraction(i == n - 1) for i in range(n)]]


def _inverted(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss-Jordan, exactly."""
    n = len(matrix)
    rows = [[*row, *(Fraction(i == j) for j in range(n))] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = next(i for i in range(column, n) if rows[i][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = rows[column][column]
        rows[column] = [v / scale for v in rows[column]]
        for i in range(n):
            if i != column and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [v - factor * p for v, p in zip(rows[i], rows[column], strict=True)]
    return [row[n:] for row in rows]


def _magnitudes(matrix: list[list[Fraction]]) -> Floats:
    return np.array([[float(abs(v)) for v in row] for row in matrix])
