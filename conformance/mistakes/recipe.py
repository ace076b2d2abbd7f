"""One convolution with switches: how a quantity is computed, as data that a mistake can change.

All four results are sums over one relation: output o, tap t and input i belong together along an axis where
i = o s + t d - p, and map m reads channel c through channel k of its kernel.  With that relation R as an array of zeros and
ones an axis,

    y[n,m,o]  = sum R[o,t,i] w[m,k,t] x[n,c,i] + b        dx[n,c,i] = sum R[o,t,i] w[m,k,t] delta[n,m,o]
    dw[m,k,t] = sum R[o,t,i] x[n,c,i] delta[n,m,o]        db[m]     = sum delta[n,m,o]

A `Recipe` holds what enters one of these sums.  A mistake is a switch, a function from recipe to recipe: another relation
(stride ignored), other operands (y for delta), another ending (the mean for the sum).  Switches follow one another, so
mistakes combine; and because the sums stay sums, what was computed can be written out term by term.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.mistake import Compute, Mistake
from conformance.problem import Geometry, Operands, dtype_of

__all__ = ["Recipe", "Switch", "computing", "each", "ending", "operands", "recipe", "relation", "relations"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """How one quantity is computed; everything in float64.

    axes: R of each spatial axis, (O, K, I).  moved: stride, dilation or begin, an entry an axis, where R was made with
    others than the geometry's.  channels: (M, C/G, C): which channel of x the k-th one of a map's kernel
    meets.  items: (N, N): which item of x goes with which of y and delta.  bias: what is added to y, broadcast to it.
    finish: what is done to the result, in order.
    """

    g: Geometry
    quantity: str
    x: Floats
    w: Floats
    delta: Floats
    bias: Floats
    axes: tuple[Floats, ...]
    channels: Floats
    items: Floats
    finish: tuple[Callable[[Floats], Floats], ...] = ()
    moved: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def replace(self, **changes: Any) -> Recipe:
        return dataclasses.replace(self, **changes)

    def then(self, *steps: Callable[[Floats], Floats]) -> Recipe:
        """With more steps at the end."""
        return self.replace(finish=(*self.finish, *steps))

    def along(self, change: Callable[[Floats, int], Floats]) -> Recipe:
        """With another relation: `change(R, axis)` of every axis."""
        return self.replace(axes=tuple(change(r, axis) for axis, r in enumerate(self.axes)))

    def result(self) -> Floats:
        """The quantity, in float64."""
        out = _summed(self)
        for step in self.finish:
            out = step(out)
        return out


Switch = Callable[[Recipe], Recipe]


def relation(g: Geometry, axis: int, **changes: int) -> Floats:
    """R of an axis, (O, K, I); `stride`, `dilation` or `begin` (the padding in front) may be others than the geometry's."""
    s = changes.get("stride", g.stride[axis])
    d = changes.get("dilation", g.dilation[axis])
    begin = changes.get("begin", g.padding[axis][0])
    o, t, i = np.ogrid[: g.output[axis], : g.kernel[axis], : g.size[axis]]
    tap = g.kernel[axis] - 1 - t if g.convention == "convolution" else t
    return np.asarray(o * s + tap * d - begin == i, np.float64)


def recipe(g: Geometry, operands: Operands, quantity: str) -> Recipe:
    """The right one."""
    seen = {name: a.astype(np.float64) for name, a in operands.items()}
    b = seen.get("b", np.zeros(1))
    return Recipe(
        g=g,
        quantity=quantity,
        x=seen["x"],
        w=seen["w"],
        delta=seen["delta"],
        bias=b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank),
        axes=tuple(relation(g, axis) for axis in range(g.rank)),
        channels=_channels(g),
        items=np.eye(g.batch),
    )


def computing(*switches: Callable[[Any], Any], start: Callable[..., Any] = recipe) -> Compute:
    """A layer that computes with these switches: its result is rounded once to the dtype.

    start: (g, operands, quantity) -> what is switched.
    """

    def compute(g: Geometry, operands: Operands, quantity: str) -> Any:
        dtype = dtype_of(operands.x.dtype)
        made = start(g, operands, quantity)
        for switch in switches:
            made = switch(made)
        return dtype.rounded(made.result()).astype(dtype.numpy)

    return compute


# ---- switches of which many mistakes are made ----
def each(quantities: str, name: str, sentence: str, *, hint: str, switch: Switch) -> Iterator[Mistake]:
    """The same mistake in each of several quantities, as in ``each("dx dw", "stride-ignored", ...)``."""
    for q in quantities.split():
        yield Mistake(
            name=f"{q}-{name}",
            sentence=sentence.replace("{q}", q),
            hint=hint.replace("{q}", q),
            quantities=(q,),
            compute=computing(switch),
            switch=switch,
        )


def operands(**changes: Callable[[Recipe], Floats]) -> Switch:
    """Other operands: ``operands(delta=lambda r: ...)``."""
    return lambda r: r.replace(**{name: change(r) for name, change in changes.items()})


def relations(change: Callable[[Floats, Recipe, int], Floats]) -> Switch:
    """Another relation along each axis."""
    return lambda r: r.along(lambda old, axis: change(old, r, axis))


def ending(step: Callable[[Floats, Recipe], Floats]) -> Switch:
    """One more step at the end."""
    return lambda r: r.then(lambda out: step(out, r))


# ---- the sums ----
_READS = {"y": ("x", "w"), "dx": ("w", "delta"), "dw": ("x", "delta"), "db": ("delta",)}


def _summed(r: Recipe) -> Floats:
    """The sum, NaN where it reads NaN or infinity: the zeros of relations are no products, and zero times NaN is NaN."""
    total, read = _SUMS[r.quantity], _READS[r.quantity]
    special = {name: ~np.isfinite(getattr(r, name)) for name in read}
    if not any(mask.any() for mask in special.values()):
        return total(r)
    clean = {name: np.where(mask, 0.0, getattr(r, name)) for name, mask in special.items()}
    counted = r.replace(bias=np.zeros(1), **{name: np.ones(mask.shape) for name, mask in special.items()})
    met = sum(total(counted.replace(**{name: mask.astype(np.float64)})) for name, mask in special.items())
    return np.where(met, np.nan, total(r.replace(**clean)))


def _channels(g: Geometry) -> Floats:
    m, k, c = np.ogrid[: g.maps, : g.channels // g.groups, : g.channels]
    first = m // (g.maps // g.groups) * (g.channels // g.groups)
    return np.asarray(first + k == c, np.float64)


def _y(r: Recipe) -> Floats:
    y = _windows(r) @ _kernels(r).reshape(r.g.maps, -1).T  # (N O, M)
    y = np.moveaxis(y.reshape(r.g.batch, *r.g.output, r.g.maps), -1, 1)
    return y if r.g.bias == "none" else y + r.bias


def _dx(r: Recipe) -> Floats:
    """Each window's gradient, added where the window had read."""
    windows = _rows(r.delta) @ _kernels(r).reshape(r.g.maps, -1)  # (N O, C K)
    dx = windows.reshape(r.g.batch, *r.g.output, r.g.channels, *r.g.kernel)
    dx = np.moveaxis(dx, 1 + r.g.rank, 1)  # (N, C, *O, *K)
    for axis in reversed(range(r.g.rank)):
        dx = np.tensordot(
            dx, r.axes[axis], axes=((2 + axis, -1), (0, 1))
        )  # the last O and K become the I behind them
        dx = np.moveaxis(dx, -1, 2 + axis)
    summed: Floats = np.tensordot(r.items, dx, axes=(1, 0))
    return summed


def _dw(r: Recipe) -> Floats:
    full = (_rows(r.delta).T @ _windows(r)).reshape(r.g.maps, r.g.channels, *r.g.kernel)
    dw: Floats = np.einsum("mkc,mc...->mk...", r.channels, full)
    return dw


def _db(r: Recipe) -> Floats:
    summed: Floats = r.delta.sum(axis=0 if r.g.bias == "untied" else (0, *range(2, r.delta.ndim)))
    return summed


def _windows(r: Recipe) -> Floats:
    """What each output reads: (N O, C K)."""
    seen = np.tensordot(r.items.T, r.x, axes=(1, 0))
    for axis in range(r.g.rank):  # the I in front becomes an O and a K at the end
        seen = np.tensordot(seen, r.axes[axis], axes=(2, 2))
    outputs = tuple(range(2, 2 + 2 * r.g.rank, 2))
    taps = tuple(range(3, 3 + 2 * r.g.rank, 2))
    read = r.g.channels * math.prod(r.g.kernel)
    return seen.transpose(0, *outputs, 1, *taps).reshape(r.g.batch * math.prod(r.g.output), read)


def _kernels(r: Recipe) -> Floats:
    """(M, C, *K): the kernels spread over all channels of x."""
    full: Floats = np.einsum("mk...,mkc->mc...", r.w, r.channels)
    return full


def _rows(delta: Floats) -> Floats:
    """(N O, M)."""
    return np.moveaxis(delta, 1, -1).reshape(delta.size // delta.shape[1], delta.shape[1])


_SUMS = {"y": _y, "dx": _dx, "dw": _dw, "db": _db}
