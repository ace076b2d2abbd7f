"""im2col and col2im around BLAS: what most libraries do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from conformance import Arithmetic, Geometry
from conformance.problem import dtype_of

from .adapters import Gradients, Honest
from .formats import cast
from .products import windows

__all__ = ["Gemm"]


class Gemm(Honest):
    """Matrix products of windows, kernels and errors in float32 (float64 for float64), padding multiplied like the rest.

    narrow: are results of each matrix product stored in the dtype, before a bias or another item's or tap's is added?
    """

    def __init__(
        self, name: str, says: str, classes: Mapping[str, Arithmetic], *, narrow: bool = False
    ) -> None:
        super().__init__(name, says, classes)
        self.narrow = narrow

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        y = _kernels(g, w) @ _columns(g, x)  # (G, M/G, N O)
        y = self._stored(y, x.dtype).reshape(g.maps, g.batch, math.prod(g.output)).swapaxes(0, 1)
        if b is not None:
            y = y + self._stored(_wide(b), x.dtype).reshape(g.maps, -1)
        return cast(y, dtype_of(x.dtype).code).reshape(g.y_shape)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        g.check(x=x, w=w, b=b, delta=delta)
        code = dtype_of(x.dtype).code
        dx = cast(
            self._back(g, x, self._stored(_kernels(g, w).swapaxes(1, 2) @ _errors(g, delta), x.dtype)), code
        )
        dw = cast(self._weights(g, x, delta), code).reshape(g.w_shape)
        if g.convention == "convolution":
            dw = np.flip(dw, tuple(range(2, dw.ndim)))
        db = None if b is None else cast(self._bias(g, delta), code).reshape(g.b_shape)
        return dx, np.ascontiguousarray(dw), db

    def _stored(self, a: Any, dtype: Any) -> Any:
        """A result of BLAS as it is kept."""
        return cast(a, dtype_of(dtype).code) if self.narrow else a

    def _back(self, g: Geometry, x: Any, dcolumns: Any) -> Any:
        """col2im: windows overlap, and what they hand back is added up in the format in which it is stored."""
        into = windows(g)
        dx = np.zeros(
            math.prod(g.x_shape) + 1, dcolumns.dtype
        )  # the last one takes what falls into the padding
        rows = dcolumns.reshape(g.channels, math.prod(g.kernel), g.batch, math.prod(g.output))
        for tap in range(into.shape[1]):
            dx[into[:, tap]] = dx[into[:, tap]] + rows[:, tap]
        return dx[:-1].reshape(g.x_shape)

    def _weights(self, g: Geometry, x: Any, delta: Any) -> Any:
        """Every item's products by BLAS, and the items one after the other."""
        errors, columns = (
            a.reshape(*a.shape[:2], g.batch, math.prod(g.output)) for a in (_errors(g, delta), _columns(g, x))
        )
        dw = self._stored(np.zeros((g.groups, g.maps // g.groups, columns.shape[1]), errors.dtype), x.dtype)
        for n in range(g.batch):
            dw = dw + self._stored(errors[:, :, n] @ columns[:, :, n].swapaxes(1, 2), x.dtype)
        return dw

    def _bias(self, g: Geometry, delta: Any) -> Any:
        wide = _wide(delta).reshape(g.batch, g.maps, math.prod(g.output))
        items = self._stored(wide if g.bias == "untied" else wide.sum(axis=2, keepdims=True), delta.dtype)
        db = np.zeros_like(items, shape=items.shape[1:])
        for item in items:
            db = db + item
        return db


def _wide(a: Any) -> Any:
    return a.astype(np.float64 if a.dtype == np.float64 else np.float32)


def _kernels(g: Geometry, w: Any) -> Any:
    """(G, M/G, C/G taps), rotated for true convolution."""
    turned = np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w
    return _wide(turned).reshape(g.groups, g.maps // g.groups, -1)


def _columns(g: Geometry, x: Any) -> Any:
    """(G, C/G taps, N O)."""
    columns = np.append(_wide(x).ravel(), _wide(x).dtype.type(0))[windows(g)]
    return columns.reshape(g.groups, math.prod(g.w_shape[1:]), g.batch * math.prod(g.output))


def _errors(g: Geometry, delta: Any) -> Any:
    """(G, M/G, N O)."""
    rows = _wide(delta).reshape(g.batch, g.groups, g.maps // g.groups, math.prod(g.output))
    return rows.transpose(1, 2, 0, 3).reshape(g.groups, g.maps // g.groups, g.batch * math.prod(g.output))
