"""The transposed convolution, and derivatives of derivatives: all of them convolutions that are already there.

conv(x, w) is linear in x and in w, so whatever is differentiated is one of three sums: `forward`, `backward_delta` or
`gradient_w` (without a bias below).  Shapes and keywords as in `convolution`.

The *transposed* convolution takes what has the shape of y to what has the shape of x, whose spatial `size` must be given:
several sizes have the same y, as the stride may leave a remainder (in frameworks: the output padding).

    y  = backward_delta(x, w) + b        dx = forward(delta, w)        dw = gradient_w(delta, x)        db = sum of delta

The backward pass may be differentiated once more.  With directions u, v, r of x, w, b, the derivatives of
<dx, u> + <dw, v> + <db, r> are, since <dx, u> = <forward(u, w), delta> and <dw, v> = <forward(x, v), delta>,

    by x: backward_delta(delta, v)      by w: gradient_w(u, delta)      by delta: forward(u, w) + forward(x, v) + r

and the last one is also *forward mode*: how y moves when x, w and b move along u, v, r (the product rule).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.reference.convolution import (
    Array,
    Ints,
    backward_delta,
    forward,
    gradient_b,
    gradient_w,
)

__all__ = ["directional", "second_order", "transposed", "transposed_gradients"]


def transposed(x: Array, w: Array, b: Array | None = None, *, size: Ints, **geometry: Any) -> Array:
    """y (N, C, *size) of x (N, M, *O): every input hands its value to all of its window, times the kernel; b is (C,)."""
    y = backward_delta(x, w, size=size, **geometry)
    if b is None:
        return y
    if b.shape != y.shape[1:2]:
        raise ValueError(f"b has shape {b.shape}, but y has {y.shape[1]} channels")
    return _added(y, b.reshape(-1, *[1] * (y.ndim - 2)))


def transposed_gradients(
    x: Array, w: Array, b: Array | None, delta: Array, **geometry: Any
) -> tuple[Array, Array, Array | None]:
    """(dx, dw, db) of `transposed`: delta (N, C, *size) plays the part of an input, x that of an error."""
    dx = forward(delta, w, **geometry)
    dw = gradient_w(delta, x, kernel=w.shape[2:], **geometry)
    return dx, dw, None if b is None else gradient_b(delta)


def second_order(
    x: Array, w: Array, delta: Array, u: Array | None, v: Array | None, r: Array | None, **geometry: Any
) -> tuple[Array, Array, Array]:
    """The derivatives of <dx, u> + <dw, v> + <db, r> by x, w and delta; a direction that is None is zero."""
    by_x = np.zeros_like(x) if v is None else backward_delta(delta, v, size=x.shape[2:], **geometry)
    by_w = np.zeros_like(w) if u is None else gradient_w(u, delta, kernel=w.shape[2:], **geometry)
    return by_x, by_w, directional(x, w, u, v, r, **geometry)


def directional(
    x: Array, w: Array, u: Array | None, v: Array | None, r: Array | None, **geometry: Any
) -> Array:
    """dy = forward(u, w) + forward(x, v) + r; a direction that is None is zero."""
    along_w = forward(x, np.zeros_like(w) if v is None else v, r, **geometry)
    return along_w if u is None else _added(forward(u, w, **geometry), along_w)


def _added(a: Array, b: Array) -> Array:
    """The sum, rounded once more to the dtype of both."""
    total: Array = a + b
    return total.astype(a.dtype, copy=False)
