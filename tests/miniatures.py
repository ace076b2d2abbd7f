"""Small wrong, hostile and honest adapters: what the suite must catch, and what it must not.

Each class is one implementation with one property; its docstring says what is wrong with it.  All are built on the
bundled reference layer, so that nothing but the property differs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry
from conformance.reference import Convolution

EVERYTHING = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset({"none", "tied", "untied"}),
    convention="both",
    empty_batch=True,
    arithmetic={"float16": Arithmetic(accumulator="f32"), "bfloat16": Arithmetic(accumulator="f32")},
)


def layer(g: Geometry, w: Any, b: Any) -> Convolution:
    return Convolution(
        w, b, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=g.groups, convention=g.convention
    )


class Right(Adapter):
    """Nothing is wrong."""

    capabilities = EVERYTHING

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return layer(g, w, b).forward(x)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        right = layer(g, w, b)
        right.forward(x)
        return right.backward(delta)


class AlwaysZero(Right):
    """Everything is zero."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return np.zeros(g.y_shape, x.dtype)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return np.zeros_like(x), np.zeros_like(w), None if b is None else np.zeros_like(b)


class SlightlyOff(Right):
    """One element of dw is 0.05 % too large."""

    capabilities = dataclasses.replace(EVERYTHING, dtypes=frozenset({"f64"}))

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        dw.flat[-1] *= 1.0005
        return dx, dw, db


class CornerDropped(Right):
    """One corner of dx is zero."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        if dx.size:
            dx[(-1, -1, *[-1] * g.rank)] = 0
        return dx, dw, db


class KernelUnrotated(Right):
    """The kernel is not rotated on the way back."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        _, dw, db = super().backward(g, x, w, b, delta)
        turned = np.flip(w, tuple(range(2, w.ndim)))
        return super().backward(g, x, turned, b, delta)[0], dw, db


class BatchMean(Right):
    """Gradients of parameters are the mean over the batch."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        n = max(g.batch, 1)
        return dx, (dw / n).astype(dw.dtype), None if db is None else (db / n).astype(db.dtype)


class WritesItsInput(Right):
    """The forward pass writes into x."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        if x.size and x.flags.writeable:
            x.flat[0] = 0
        return y


class Accumulates(Right):
    """The second backward of one shape adds to the first."""

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.dw: dict[Any, Any] = {}

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        key = (w.shape, w.dtype)
        self.dw[key] = self.dw[key] + dw if key in self.dw else dw
        return dx, self.dw[key].copy(), db


class ReturnsView(Right):
    """Where the kernel is 1, dx is a view of delta's memory."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        if dx.shape == delta.shape and delta.flags.writeable:
            delta[...] = dx
            dx = delta[...]
        return dx, dw, db


class ReturnsItsInput(Right):
    """y is a view of x where x holds what y should."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        return x[:, :, ...] if x.shape == y.shape and np.array_equal(x, y) else y


class WrongDtype(Right):
    """Everything comes back as float64."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return super().forward(g, x, w, b).astype(np.float64)


class WrongShape(Right):
    """y has ceil for floor: one position too many where the stride leaves a remainder."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        more = tuple(int(r > 0) for r in g.remainder)
        return np.pad(y, ((0, 0), (0, 0), *((0, m) for m in more)))


class NaNInOne(Right):
    """One element of y is NaN."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        if y.size:
            y.flat[y.size // 2] = np.nan
        return y


class Raises(Right):
    """The backward pass raises."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        raise RuntimeError("no gradient for you")


class LiesAboutStride(Right):
    """It claims strides, and ignores them in dx."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        if max(g.stride) > 1 and dx.size:
            dense = dataclasses.replace(g, stride=(1,))
            wide = np.zeros(dense.y_shape, delta.dtype)
            wide[(..., *(slice(0, o) for o in g.output))] = delta
            dx = super().backward(dense, x, w, None, wide)[0]
        return dx, dw, db


class RaisesOnDilation(Right):
    """It claims dilation, and raises on it."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        if max(g.dilation) > 1:
            raise NotImplementedError("dilation is for later")
        return super().forward(g, x, w, b)


class Reordered(Adapter):
    """Honest: sums the taps one by one, in an order of its own, in the dtype of the operands."""

    order = "forward"
    capabilities = dataclasses.replace(EVERYTHING, arithmetic=Arithmetic())

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        padded, y = _padded(g, x), np.zeros(g.y_shape, x.dtype)
        for t, m, c, k in self._terms(g):
            y[:, m] += w[(m, k, *_stored(g, t))] * padded[(slice(None), c, *_read_by(g, t))]
        if b is not None:
            y += b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank)
        return y

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        g.check(x=x, w=w, b=b, delta=delta)
        padded, dw = _padded(g, x), np.zeros_like(w, order="C", subok=False)
        dpadded = np.zeros_like(padded)
        for t, m, c, k in self._terms(g):
            seen = (slice(None), c, *_read_by(g, t))
            dpadded[seen] += w[(m, k, *_stored(g, t))] * delta[:, m]
            for n in range(g.batch):
                dw[(m, k, *_stored(g, t))] += self._sum(padded[seen][n] * delta[n, m])
        dx = np.zeros(g.x_shape, x.dtype)
        dx[(..., *g.kept)] = dpadded[(..., *g.inner)]
        if b is None:
            return dx, dw, None
        db = np.zeros(b.shape, b.dtype)
        for n in range(g.batch):
            db += delta[n] if g.bias == "untied" else np.array([self._sum(d) for d in delta[n]], b.dtype)
        return dx, dw, db

    def _terms(self, g: Geometry) -> list[Any]:
        maps, channels = g.maps // g.groups, g.channels // g.groups
        terms = [
            (t, m, m // maps * channels + k, k)
            for t in np.ndindex(*g.kernel)
            for m in range(g.maps)
            for k in range(channels)
        ]
        return terms if self.order == "forward" else terms[::-1]

    def _sum(self, products: Any) -> Any:
        """The products of one item, one after the other."""
        total = products.dtype.type(0)
        for p in products.ravel() if self.order == "forward" else products.ravel()[::-1]:
            total = total + p
        return total


class ReorderedBackwards(Reordered):
    """Honest: the same from the other end."""

    order = "backward"


def _stored(g: Geometry, t: Any) -> tuple[int, ...]:
    return tuple(k - 1 - i for k, i in zip(g.kernel, t, strict=True)) if g.convention == "convolution" else tuple(t)


def _padded(g: Geometry, x: Any) -> Any:
    padded = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    padded[(..., *g.inner)] = x[(..., *g.kept)]
    return padded


def _read_by(g: Geometry, t: Any) -> tuple[slice, ...]:
    axes = zip(t, g.dilation, g.stride, g.output, strict=True)
    return tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, s, o in axes)
