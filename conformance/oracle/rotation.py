"""Third derivation: the seed's own route, with scipy.signal and ROT180, one pair of maps at a time.

    y     = convolve(x, w, 'valid') + b
    delta of the layer before = convolve(delta, rot180(w), 'full')
    dC/dw = convolve(rot180(x), delta, 'valid')
    dC/db = delta summed

written for true convolution, as in the seed; correlation is the same with w rotated before and dw rotated after.  What
the seed leaves out is put back into it by padding and zero-stuffing: padding p pads x; dilation d stuffs the kernel with
d - 1 zeros; stride s keeps every s-th output, so delta is stuffed with s - 1 zeros (the answer to reader 12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from conformance.problem import Geometry, Operands, Results

__all__ = ["compute", "rot180", "stuff"]

Array = NDArray[Any]


def rot180(a: Array) -> Array:
    """ROT180: every axis reversed."""
    return a[(slice(None, None, -1),) * a.ndim]


def stuff(a: Array, steps: tuple[int, ...]) -> Array:
    """step - 1 zeros between neighbours, along the last len(steps) axes."""
    lead = a.ndim - len(steps)
    shape = (*a.shape[:lead], *((n - 1) * s + 1 for n, s in zip(a.shape[lead:], steps, strict=True)))
    out = np.zeros(shape, dtype=a.dtype)
    out[(..., *_every(steps))] = a
    return out


def compute(g: Geometry, operands: Operands) -> Results:
    """y, dx, dw and db as int64 arrays, of operands that hold integers."""
    x, w, delta = (np.asarray(a).astype(np.int64) for a in (operands.x, operands.w, operands.delta))
    turn: Callable[[Array], Array] = (lambda a: a) if g.convention == "convolution" else rot180
    padded, stuffed = _pad(g, x), _stuffed_delta(g, delta)
    y, dw = np.zeros(g.y_shape, np.int64), np.zeros(g.w_shape, np.int64)
    dx = np.zeros(padded.shape, np.int64)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for n in range(g.batch):
        for m in range(g.maps):
            for k in range(channels):
                c = m // maps * channels + k
                kernel = stuff(turn(w[m, k]), g.dilation)
                y[n, m] += _convolve(padded[n, c], kernel, "valid")[_every(g.stride)]
                dx[n, c] += _convolve(stuffed[n, m], rot180(kernel), "full")
                dw[m, k] += turn(_convolve(rot180(padded[n, c]), stuffed[n, m], "valid")[_every(g.dilation)])
    dx = _unpad(g, dx)
    if operands.b is None:
        return Results(y=y, dx=dx, dw=dw)
    b = np.asarray(operands.b).astype(np.int64)
    y += b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank)
    db = delta.sum(axis=0) if g.bias == "untied" else delta.sum(axis=(0, *range(2, delta.ndim)))
    return Results(y=y, dx=dx, dw=dw, db=db)


def _convolve(a: Array, v: Array, mode: Literal["valid", "full"]) -> Array:
    """True convolution of int64 arrays, exact; `v` is never larger than `a` in 'valid' mode."""
    return np.asarray(signal.convolve(a, v, mode=mode, method="direct"))


def _every(steps: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(slice(None, None, s) for s in steps)


def _pad(g: Geometry, x: Array) -> Array:
    """x with its explicit zeros; negative padding crops."""
    crops: Iterable[Any] = (
        slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in zip(g.size, g.padding, strict=True)
    )
    return np.pad(x[(..., *crops)], ((0, 0), (0, 0), *((max(lo, 0), max(hi, 0)) for lo, hi in g.padding)))


def _unpad(g: Geometry, dx: Array) -> Array:
    """The inverse of `_pad` for a gradient: padding is cut off, what was cropped gets zero."""
    cuts: Iterable[Any] = (
        slice(max(lo, 0), n - max(hi, 0)) for n, (lo, hi) in zip(dx.shape[2:], g.padding, strict=True)
    )
    return np.pad(dx[(..., *cuts)], ((0, 0), (0, 0), *((max(-lo, 0), max(-hi, 0)) for lo, hi in g.padding)))


def _stuffed_delta(g: Geometry, delta: Array) -> Array:
    """delta with s - 1 zeros between neighbours, and zeros for the windows that the stride's remainder cut off."""
    return np.pad(stuff(delta, g.stride), ((0, 0), (0, 0), *((0, r) for r in g.remainder)))
