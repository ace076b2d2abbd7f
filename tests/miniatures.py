"""Small wrong, hostile and honest adapters: what the suite must catch, and what it must not.

Each class is one implementation with one property; its docstring says what is wrong with it.  The wrong ones
are built on the bundled reference layer, so that nothing but the property differs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from conformance import Adapter, Arithmetic, Geometry
from conformance.engine import strategies
from conformance.problem.operations import OPERATIONS
from conformance.reference import Convolution, directional, second_order, transposed, transposed_gradients

EVERYTHING = dataclasses.replace(
    strategies.EVERYTHING,
    arithmetic={"float16": Arithmetic(accumulator="f32"), "bfloat16": Arithmetic(accumulator="f32")},
)


def layer(g: Geometry, w: Any, b: Any) -> Convolution:
    return Convolution(
        w,
        b,
        stride=g.stride,
        padding=g.padding,
        dilation=g.dilation,
        groups=g.groups,
        convention=g.convention,
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


class Whole(Right):
    """Nothing is wrong, and every optional operation is offered."""

    capabilities = dataclasses.replace(EVERYTHING, operations=frozenset(OPERATIONS))

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return transposed(x, w, b, size=g.size, **layer(g, w, b).geometry)

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return transposed_gradients(x, w, b, delta, **layer(g, w, b).geometry)

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        return second_order(x, w, delta, u, v, r, **layer(g, w, b).geometry)

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return directional(x, w, u, v, r, **layer(g, w, b).geometry)


class WholeApart(Whole):
    """Every term is computed and rounded by itself, and then they are added, the bias first."""

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().transposed(g, x, w, None)
        return y if b is None else (b.reshape(-1, *(1,) * g.rank) + y).astype(x.dtype)

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        dx, dw, _ = super().double_backward(g, x, w, b, delta, u, v, r)
        return dx, dw, self.forward_mode(g, x, w, b, u, v, r)

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        mode = super().forward_mode
        of_bias = mode(g, x, w, b, None, None, r)
        of_input = mode(g, x, w, b, u, None, None)
        of_kernel = mode(g, x, w, b, None, v, None)
        return ((of_bias + of_kernel).astype(x.dtype) + of_input).astype(x.dtype)


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
    """db of an untied bias is a view of delta where the batch is one item: there the numbers are right."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dx, dw, delta[0] if g.bias == "untied" and g.batch == 1 else db


class ReturnsItsBuffer(Right):
    """dw is always the same array for one shape: the next call overwrites what the caller was given."""

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.buffers: dict[Any, Any] = {}

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        buffer = self.buffers.setdefault((w.shape, w.dtype), np.empty(w.shape, w.dtype))
        buffer[...] = dw
        return dx, buffer, db


class KeepsWhatWasThere(Right):
    """dx is written into a kept buffer wherever it is not zero; elsewhere the call before shows through."""

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.buffers: dict[Any, Any] = {}

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        buffer = self.buffers.setdefault((x.shape, x.dtype), np.zeros(x.shape, x.dtype))
        buffer[dx != 0] = dx[dx != 0]
        return buffer.copy(), dw, db


class Flickers(Right):
    """Every fifth backward pass gives zeros for dx: it does not fail every time."""

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.calls = 0

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        self.calls += 1
        return np.zeros_like(dx) if self.calls % 5 == 0 else dx, dw, db


class Noisy(Right):
    """Each forward pass adds 1 to an element of y that it draws."""

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.random = np.random.default_rng(1)

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        if y.size:
            y.flat[self.random.integers(y.size)] += 1
        return y


class LeavesHoles(Right):
    """dx is fresh memory, written only where an output reads x."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        fresh = np.empty(x.shape, x.dtype)
        dx, dw, db = super().backward(g, x, w, b, delta)
        read = super().backward(g, x, np.ones_like(w), b, np.ones_like(delta))[0] != 0
        fresh[read] = dx[read]
        return fresh, dw, db


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


class NaNWithStride(Right):
    """All of y is NaN where there is a stride; the gradients are right."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        return np.full_like(y, np.nan) if max(g.stride) > 1 else y


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


class Exits(Right):
    """The forward pass ends the process that calls it."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        raise SystemExit(5)


class FlipsBitsInBatches(Right):
    """The last item of y is one unit in the last place too large where there is more than one."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        if g.batch > 1:
            y[-1] = np.nextafter(y[-1], np.asarray(np.inf, y.dtype))
        return y


class ClippedAt100(Right):
    """y is clipped to the range from -100 to 100."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        return np.clip(y, np.asarray(-100, y.dtype), np.asarray(100, y.dtype)).astype(y.dtype)


class TileEdges(Right):
    """The first column of every tile of 32 but the first is zero in dx."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        dx[..., 32::32] = 0
        return dx, dw, db


class IgnoresTheBias(Right):
    """It claims a bias, and does not add it."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(b=b)
        return super().forward(g, x, w, None)


class AcceptsAnyDelta(Right):
    """A delta that is too large is cut to size without a word."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return super().backward(g, x, w, b, delta[(..., *(slice(0, o) for o in g.output))])


class OneForMany(Right):
    """A bias of one number serves all maps, and a delta of one item the whole batch: numpy broadcasts."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        one = b is not None and b.shape == (1,)
        return super().forward(g, x, w, np.broadcast_to(b, g.b_shape) if one else b)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return super().backward(g, x, w, b, np.broadcast_to(delta, g.y_shape) if len(delta) == 1 else delta)


class ReshapesDelta(Right):
    """A delta whose axes are exchanged has as many elements as the right one: it is reshaped, and taken for it."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return super().backward(g, x, w, b, delta.reshape(g.y_shape))


class SumsInFloat16(Right):
    """It declares float32 sums for float16, and rounds every partial sum to float16."""

    capabilities = dataclasses.replace(EVERYTHING, dtypes=frozenset({"f16"}))

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return Reordered().forward(g, x, w, b)


class SwappedGradients(Right):
    """Broken wiring: backward returns (dw, dx, db)."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dw, dx, db


class DeclaresConvolution(Right):
    """Broken wiring: it declares true convolution, and computes correlation."""

    capabilities = dataclasses.replace(EVERYTHING, convention="convolution")

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return super().forward(dataclasses.replace(g, convention="correlation"), x, w, b)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return super().backward(dataclasses.replace(g, convention="correlation"), x, w, b, delta)


class ReturnsChannelsLast(Right):
    """Broken wiring: y comes back as N, spatial, C though NCHW is declared."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return np.moveaxis(super().forward(g, x, w, b), 1, -1)


class ReturnsNone(Right):
    """Broken wiring: backward returns nothing."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return None


class ReturnsTwo(Right):
    """Broken wiring: backward returns a list of two."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return list(super().backward(g, x, w, b, delta)[:2])


class ReturnsNoDw(Right):
    """Broken wiring: dw is None, though it is declared."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, _, db = super().backward(g, x, w, b, delta)
        return dx, None, db


class ReturnsText(Right):
    """Broken wiring: forward returns a string."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return "y"


class BreaksOnGroups(Right):
    """Broken wiring that a plain problem does not show: with groups, backward returns a list of two."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        gradients = super().backward(g, x, w, b, delta)
        return list(gradients[:2]) if g.groups > 1 else gradients


class HasNoBackward(Right):
    """Broken wiring: gradients are declared, and there is no backward."""

    backward = Adapter.backward


class MisreadsTheGeometry(Right):
    """Broken wiring: it asks the geometry for a name of another library."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return super().forward(g, x, w, b) if g.strides else None  # type: ignore[attr-defined]


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
        if self.order == "shuffled":
            return [terms[k] for k in self.random.permutation(len(terms))]
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


class Shuffled(Reordered):
    """Honest numbers, but never twice the same: each call sums in an order that it draws."""

    order = "shuffled"

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.random = np.random.default_rng(1)


class PairwiseColumns(Adapter):
    """Honest: products with columns of x, summed pairwise in float32 (float64 for float64), rounded once."""

    capabilities = EVERYTHING

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        columns, kernels = self._columns(g, x), self._kernels(g, w)
        products = kernels[None, ..., None] * columns[:, :, None]  # n, g, m, terms, o
        y = _pairwise(products, 3).reshape(g.y_shape)
        if b is not None:
            y = y + (b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank)).astype(y.dtype)
        return y.astype(x.dtype)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        g.check(x=x, w=w, b=b, delta=delta)
        wide = _wide(delta).reshape(g.batch, g.groups, g.maps // g.groups, math.prod(g.output))
        dw = _pairwise(self._columns(g, x)[:, :, None] * wide[:, :, :, None], 4)  # n, g, m, terms
        dw = _pairwise(dw, 0).reshape(g.w_shape)
        dw = np.flip(dw, tuple(range(2, dw.ndim))) if g.convention == "convolution" else dw
        dcolumns = _pairwise(self._kernels(g, w)[None, ..., None] * wide[:, :, :, None], 2)  # n, g, terms, o
        db = None
        if b is not None:
            db = _pairwise(_wide(delta), 0)
            db = (db if g.bias == "untied" else _pairwise(db.reshape(g.maps, -1), 1)).astype(b.dtype)
        return self._back(g, dcolumns).astype(x.dtype), dw.astype(w.dtype), db

    def _kernels(self, g: Geometry, w: Any) -> Any:
        """w as (g, m, terms), rotated for true convolution."""
        turned = np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w
        return _wide(turned).reshape(g.groups, g.maps // g.groups, -1)

    def _columns(self, g: Geometry, x: Any) -> Any:
        """x as (n, g, terms, o)."""
        padded = _padded(g, _wide(x))
        taps = np.stack([padded[(..., *_read_by(g, t))] for t in np.ndindex(*g.kernel)], 2)  # n, c, taps, *o
        return taps.reshape(g.batch, g.groups, g.w_shape[1] * math.prod(g.kernel), math.prod(g.output))

    def _back(self, g: Geometry, dcolumns: Any) -> Any:
        """Every element of dx as a pairwise sum over the taps that read it."""
        taps = dcolumns.reshape(g.batch, g.channels, math.prod(g.kernel), *g.output)
        spread = np.zeros((taps.shape[2], g.batch, g.channels, *g.padded_size), taps.dtype)
        for k, t in enumerate(np.ndindex(*g.kernel)):
            spread[(k, ..., *_read_by(g, t))] = taps[:, :, k]
        dx = np.zeros(g.x_shape, taps.dtype)
        dx[(..., *g.kept)] = _pairwise(spread, 0)[(..., *g.inner)]
        return dx


def _wide(a: Any) -> Any:
    return a if a.dtype == np.float64 else a.astype(np.float32)


def _pairwise(a: Any, axis: int) -> Any:
    """The sum along an axis: of the first half, and of the second."""
    n = a.shape[axis]
    if n <= 1:
        return np.take(a, 0, axis) if n else np.zeros(np.delete(a.shape, axis), a.dtype)
    first, second = np.split(a, [n // 2], axis)
    return _pairwise(first, axis) + _pairwise(second, axis)


def _stored(g: Geometry, t: Any) -> tuple[int, ...]:
    """Where tap t stands in w."""
    if g.convention == "correlation":
        return tuple(t)
    return tuple(k - 1 - i for k, i in zip(g.kernel, t, strict=True))


def _padded(g: Geometry, x: Any) -> Any:
    padded = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    padded[(..., *g.inner)] = x[(..., *g.kept)]
    return padded


def _read_by(g: Geometry, t: Any) -> tuple[slice, ...]:
    axes = zip(t, g.dilation, g.stride, g.output, strict=True)
    return tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, s, o in axes)
