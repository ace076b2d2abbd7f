"""First derivation: the index sums of the specification, as plain loops over exact integers.

Obviously right and slow.  One multiplication of a convolution joins an output position (n, m, o), a tap (c, t) and the
input position (n, c, i) with i = o*s + t*d - p_lo; every sum of the specification runs over these multiplications:

    y[n,m,o]  = b[m] + sum  w'[m,c,t] * x[n,c,i]
    dx[n,c,i] = sum         w'[m,c,t] * delta[n,m,o]
    dw'[m,c,t] = sum        x[n,c,i]  * delta[n,m,o]
    db[m]     = sum delta[n,m,o]

w' = w for correlation; for convolution w' is w with every spatial axis reversed.  What lies outside x is zero, so a
multiplication that would read there is left out.  Source: the seed's equations for z, delta and dC/dw.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.problem import Geometry, Operands, Results

__all__ = ["compute", "products"]

Index = tuple[int, ...]


def products(g: Geometry) -> Iterator[tuple[Index, Index, Index]]:
    """The multiplications, as indices into (x, w, y)."""
    channels, maps = g.channels // g.groups, g.maps // g.groups
    axes = range(g.rank)
    for n, m in itertools.product(range(g.batch), range(g.maps)):
        for o in itertools.product(*map(range, g.output)):
            for c, *t in itertools.product(range(channels), *map(range, g.kernel)):
                i = [o[a] * g.stride[a] + t[a] * g.dilation[a] - g.padding[a][0] for a in axes]
                if all(0 <= i[a] < g.size[a] for a in axes):
                    stored = [g.kernel[a] - 1 - t[a] for a in axes] if g.convention == "convolution" else t
                    yield (n, m // maps * channels + c, *i), (m, c, *stored), (n, m, *o)


def compute(g: Geometry, operands: Operands) -> Results:
    """y, dx, dw and db as arrays of Python integers (dtype object): no sum can overflow or round."""
    x, w, delta = (_integers(a) for a in (operands.x, operands.w, operands.delta))
    y, dx, dw = np.zeros_like(delta), np.zeros_like(x), np.zeros_like(w)
    for at_x, at_w, at_y in products(g):
        y[at_y] += w[at_w] * x[at_x]
        dx[at_x] += w[at_w] * delta[at_y]
        dw[at_w] += x[at_x] * delta[at_y]
    if operands.b is None:
        return Results(y=y, dx=dx, dw=dw)
    b = _integers(operands.b)
    db = np.zeros_like(b)
    for at_y in np.ndindex(*y.shape):
        at_b = at_y[1:] if g.bias == "untied" else at_y[1:2]
        y[at_y] += b[at_b]
        db[at_b] += delta[at_y]
    return Results(y=y, dx=dx, dw=dw, db=db)


def _integers(a: Any) -> Any:
    exact = np.empty(a.shape, dtype=object)
    for at in np.ndindex(*a.shape):
        exact[at] = int(a[at])
    return exact
