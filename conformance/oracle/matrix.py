"""Second derivation: the convolution as a matrix, its gradients as the transpose.

Along one axis, tap t of the kernel reads x through a matrix R_t of zeros and ones, (O, I), with R_t[o, i] = 1 where
i = o*s + t*d - p_lo.  Over several axes the matrix is a Kronecker product, and

    y = A x            A = sum_t  w'[:, :, t] (x) R_t1 (x) R_t2 ...         hence   dx = A^T delta
    y = B w'           B's column (m, c, t) is R_t x[n, c] in the rows of m  hence   dw' = B^T delta

No index arithmetic of a gradient is written anywhere: that is what makes this derivation independent of the first.
Integers (int64), small problems: A has (M O) x (C I) entries.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem import Geometry, Operands, Results

__all__ = ["compute"]

Ints = NDArray[np.int64]


def compute(g: Geometry, operands: Operands) -> Results:
    """y, dx, dw and db as int64 arrays, of int64 operands (or floats that hold integers)."""
    x, w, delta = (np.asarray(a).astype(np.int64) for a in (operands.x, operands.w, operands.delta))
    spatial = tuple(range(2, w.ndim))
    turned = np.flip(w, spatial) if g.convention == "convolution" else w
    a, b = _matrix_of_w(g, turned), _matrix_of_x(g, x)
    rows = delta.reshape(g.batch, math.prod(g.y_shape[1:]))
    y = (b @ turned.ravel()).reshape(g.y_shape)
    if not np.array_equal(y, (x.reshape(g.batch, math.prod(g.x_shape[1:])) @ a.T).reshape(g.y_shape)):
        raise AssertionError("A x differs from B w: the two matrices are not of one convolution")
    dx = (rows @ a).reshape(g.x_shape)
    dw = (b.T @ delta.ravel()).reshape(g.w_shape)
    dw = np.flip(dw, spatial) if g.convention == "convolution" else dw
    if operands.b is None:
        return Results(y=y, dx=dx, dw=dw)
    ones = np.ones((g.batch, 1), dtype=np.int64)  # y += J b, so db = J^T delta
    spread = np.ones((1 if g.bias == "untied" else math.prod(g.output), 1), dtype=np.int64)
    bias = np.asarray(operands.b).astype(np.int64).reshape(g.maps, -1)
    y = y + (ones[:, :, None, None] * bias * spread.T).reshape(y.shape)
    db = (ones.T @ rows).reshape(g.maps, -1, len(spread)) @ spread
    return Results(y=y, dx=dx, dw=dw, db=db.reshape(g.b_shape))


def _reader(g: Geometry, axis: int, t: int) -> Ints:
    """R_t along one axis."""
    o, i = np.ogrid[: g.output[axis], : g.size[axis]]
    reads: Ints = (i == o * g.stride[axis] + t * g.dilation[axis] - g.padding[axis][0]).astype(np.int64)
    return reads


def _readers(g: Geometry) -> list[tuple[tuple[Any, ...], Any]]:
    """(t, R_t1 (x) R_t2 ...) for every tap."""
    taps = itertools.product(*map(range, g.kernel))
    return [(t, functools.reduce(np.kron, [_reader(g, axis, k) for axis, k in enumerate(t)])) for t in taps]


def _matrix_of_w(g: Geometry, w: Ints) -> Ints:
    """A, (M O, C I): block diagonal over groups."""
    dense = np.zeros((g.maps, g.channels, *g.kernel), dtype=np.int64)
    for group in np.split(np.arange(g.maps), g.groups):
        first = group[0] // len(group) * w.shape[1]
        dense[group, first : first + w.shape[1]] = w[group]
    terms: Any = (np.kron(dense[..., *t], reader) for t, reader in _readers(g))
    return np.asarray(sum(terms))


def _matrix_of_x(g: Geometry, x: Ints) -> Ints:
    """B, (N M O, M C/G K)."""
    positions = math.prod(g.output)
    b = np.zeros((g.batch, g.maps, positions, *g.w_shape), dtype=np.int64)
    for t, reader in _readers(g):
        seen = (
            x.reshape(g.batch, g.groups, g.channels // g.groups, reader.shape[1]) @ reader.T
        )  # (N, G, C/G, O)
        for m in range(g.maps):
            b[(slice(None), m, slice(None), m, slice(None), *t)] = seen[:, m * g.groups // g.maps].swapaxes(
                1, 2
            )
    return b.reshape(g.batch * g.maps * positions, math.prod(g.w_shape))
