"""A convolutional layer and its gradients: a dense layer whose neurons share their weights.

What one output reads of the input is its *window*.  Write the windows as the columns of a matrix, the kernels
and the errors as rows; each group g has its own three:

    windows[g, (c,t), (n,o)] = x~[n, c, o*s + t*d - p_lo]   x~ is x with zeros outside
    kernels[g, m, (c,t)]     = w'[m, c, t]                  w' is w for correlation, ROT180(w) for convolution
    errors[g, m, (n,o)]      = delta[n, m, o]

Then backpropagation is that of the multilayer perceptron (@ is the matrix product, T the transpose):

    y        = kernels @ windows + b     forward           z = w a + b
    dwindows = kernels^T @ errors        backward_delta    the error goes back along the weights it came by
    dw'      = errors @ windows^T        gradient_w        dC/dw = delta a
    db       = errors @ 1                gradient_b        dC/db = delta

Sharing shows in two places.  Windows overlap: dx adds up what all of them hand back to the same input.  And
one kernel serves every window: the products for dw and db sum over all of them.

Shapes: x (N, C, *I), w (M, C/G, *K), b (M,) tied or (M, *O) untied, y and delta (N, M, *O), each gradient as
its operand; any number of spatial axes, and N may be 0.  `stride` s and `dilation` d have one number per
spatial axis, `padding` has a pair (p_lo, p_hi); negative padding crops.

Numbers: plain sums of products, kept in float64 for float64 and in float32 for float32, float16 and bfloat16,
and rounded once to the dtype of the operands.  Padding is multiplied as any input is: 0 times an infinite
weight is NaN.  Overflow and NaN warn as always in NumPy (np.errstate).  Memory: `windows` holds an input once
for every window that reads it, up to K copies of x; that buys one large matrix product instead of many small
ones.

Source ("seed" below): G. Gwardys, "Convolutional Neural Networks backpropagation: from intuition to
derivation".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Convolution", "backward_delta", "forward", "gradient_b", "gradient_w", "output_size", "rot180"]

Array = NDArray[Any]
Ints = Sequence[int]
Pads = Sequence[tuple[int, int]]


def forward(
    x: Array, w: Array, b: Array | None = None, *,
    stride: Ints, padding: Pads, dilation: Ints, groups: int = 1, convention: str = "correlation",
) -> Array:  # fmt: skip
    """y[n,m,o] = b[m] + sum_{c in g(m)} sum_t w'[m,c,t] x~[n, c, o*s + t*d - p_lo].

    Seed: z^{l+1} = w^{l+1} * sigma(z^l) + b^{l+1}.  One map, convolution: y = convolve2d(x, w, 'valid') + b.
    """
    out = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    (batch, channels), (maps, in_group, *kernel) = x.shape[:2], w.shape
    if channels != in_group * groups:
        raise ValueError(f"x has {channels} channels, but w reads {in_group} in each of {groups} groups")
    wide = _accumulator(x, w, b)
    kernels = _by_group(_oriented(w, convention), groups, wide)
    windows = _windows(_pad(x, padding, wide), kernel, out, stride, dilation)
    y = kernels @ windows.reshape(groups, in_group * math.prod(kernel), -1)
    y = y.reshape(maps, batch, *out)
    if b is not None:
        y += _column(b, maps, out)
    return y.swapaxes(0, 1).astype(x.dtype, order="C", copy=False)


def backward_delta(
    delta: Array, w: Array, *, size: Ints,
    stride: Ints, padding: Pads, dilation: Ints, groups: int = 1, convention: str = "correlation",
) -> Array:  # fmt: skip
    """dx[n,c,i] = sum_{m : c in g(m)} sum_{t,o : o*s+t*d-p_lo = i} w'[m,c,t] delta[n,m,o], i in `size`.

    Each output hands its error back to all of its window; an input in no window gets 0.
    Seed: delta^l = delta^{l+1} * ROT180(w^{l+1}) sigma'(z^l), where sigma' belongs to the layer before.
    One map, convolution, s = d = 1, p = 0: dx = convolve2d(delta, rot180(w), 'full').
    """
    out = output_size(size, w.shape[2:], stride, padding, dilation)
    maps, in_group, *kernel = w.shape
    _check_delta(delta, (*delta.shape[:1], maps, *out))
    wide = _accumulator(delta, w)
    kernels = _by_group(_oriented(w, convention), groups, wide)
    dwindows = kernels.swapaxes(1, 2) @ _by_group(delta.swapaxes(0, 1), groups, wide)

    dx = np.zeros((len(delta), in_group * groups, *size), delta.dtype)
    dpadded = _pad(dx, padding, wide)
    windows = _windows(dpadded, kernel, out, stride, dilation)
    dwindows = dwindows.reshape(windows.shape)
    # Windows overlap in memory, but what one tap of them all reads is disjoint: += is safe tap by tap.
    for tap in itertools.product([slice(None)], *map(range, kernel)):
        windows[tap] += dwindows[tap]
    kept, place = _overlap(size, padding)
    dx[kept] = dpadded[place]
    return dx


def gradient_w(
    x: Array, delta: Array, *, kernel: Ints,
    stride: Ints, padding: Pads, dilation: Ints, groups: int = 1, convention: str = "correlation",
) -> Array:  # fmt: skip
    """dw'[m,c,t] = sum_n sum_o delta[n,m,o] x~[n, c, o*s + t*d - p_lo], and dw from dw' as w from w'.

    Seed: dC/dw^l = delta^l * sigma(ROT180(z^{l-1})).
    One map, convolution, s = d = 1, p = 0: dw = convolve2d(rot180(x), delta, 'valid').
    """
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    batch, channels = x.shape[:2]
    _check_delta(delta, (batch, *delta.shape[1:2], *out))
    _check_groups(groups, channels, "channels")
    wide = _accumulator(x, delta)
    errors = _by_group(delta.swapaxes(0, 1), groups, wide)
    windows = _windows(_pad(x, padding, wide), kernel, out, stride, dilation)
    dw = errors @ windows.reshape(groups, channels // groups * math.prod(kernel), -1).swapaxes(1, 2)
    dw = dw.reshape(delta.shape[1], channels // groups, *kernel)
    return _oriented(dw, convention).astype(x.dtype, order="C", copy=False)


def gradient_b(delta: Array, *, untied: bool = False) -> Array:
    """db[m] = sum_n sum_o delta[n,m,o]; untied, db[m,o] = sum_n delta[n,m,o].

    Seed, where every neuron has a bias of its own: dC/db^l = delta^l, which a batch sums over its items.
    """
    if delta.ndim < 3:
        raise ValueError(f"delta needs axes (N, M, *O), but has shape {delta.shape}")
    axes = (0,) if untied else (0, *range(2, delta.ndim))
    db: Array = delta.astype(_accumulator(delta), order="C", copy=False).sum(axis=axes)
    return db.astype(delta.dtype, copy=False)


class Convolution:
    """A layer: holds w, b, the geometry (keywords as of `forward`), and its last input (itself, not a copy).

    >>> layer = Convolution(np.array([[[1.0, 2.0]]]), stride=(1,), padding=((0, 0),), dilation=(1,))
    >>> layer.forward(np.array([[[3.0, 4.0, 5.0]]]))
    array([[[11., 14.]]])
    >>> dx, dw, db = layer.backward(np.array([[[1.0, 10.0]]]))
    >>> dx, dw
    (array([[[ 1., 12., 20.]]]), array([[[43., 54.]]]))
    """

    def __init__(self, w: Array, b: Array | None = None, **geometry: Any) -> None:
        self.w, self.b, self.geometry = w, b, geometry
        self.x: Array | None = None

    def forward(self, x: Array) -> Array:
        """y, before any activation."""
        self.x = x
        return forward(x, self.w, self.b, **self.geometry)

    def backward(self, delta: Array) -> tuple[Array, Array, Array | None]:
        """(dx, dw, db) at the last input; db is None without a bias."""
        if self.x is None:
            raise ValueError("backward was called before forward: there is no input to take gradients at")
        dx = backward_delta(delta, self.w, size=self.x.shape[2:], **self.geometry)
        dw = gradient_w(self.x, delta, kernel=self.w.shape[2:], **self.geometry)
        db = None if self.b is None else gradient_b(delta, untied=self.b.ndim > 1)
        return dx, dw, db


def output_size(size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> tuple[int, ...]:
    """O = floor((I + p_lo + p_hi - d (K - 1) - 1) / s) + 1 on every axis."""
    if not 0 < len(size) == len(kernel) == len(stride) == len(padding) == len(dilation):
        raise ValueError(
            f"each spatial axis needs one entry everywhere: size {tuple(size)}, kernel {tuple(kernel)}, "
            f"stride {tuple(stride)}, padding {tuple(padding)}, dilation {tuple(dilation)}"
        )
    if min(*stride, *dilation) < 1:
        raise ValueError(f"stride {tuple(stride)} and dilation {tuple(dilation)} must be at least 1")
    out = []
    for i, k, s, (lo, hi), d in zip(size, kernel, stride, padding, dilation, strict=True):
        spare, uncropped = i + lo + hi - d * (k - 1) - 1, i + min(lo, 0) + min(hi, 0)
        if k < 1 or spare < 0 or uncropped < 1:
            raise ValueError(f"kernel {k} with dilation {d} does not fit an input of {i} padded {lo}:{hi}")
        out.append(spare // s + 1)
    return tuple(out)


def rot180(w: Array) -> Array:
    """ROT180: every spatial axis reversed, and no other."""
    return w[(slice(None), slice(None), *[slice(None, None, -1)] * (w.ndim - 2))]


def _oriented(w: Array, convention: str) -> Array:
    """w' of w, and dw of dw': ROT180 is its own inverse."""
    if convention not in ("correlation", "convolution"):
        raise ValueError(f"convention must be correlation or convolution, got {convention!r}")
    return rot180(w) if convention == "convolution" else w


def _pad(x: Array, padding: Pads, wide: np.dtype[Any]) -> Array:
    """x~, the padding as zeros around x, in the accumulator's dtype."""
    kept, place = _overlap(x.shape[2:], padding)
    size = (i + lo + hi for i, (lo, hi) in zip(x.shape[2:], padding, strict=True))
    padded = np.zeros((*x.shape[:2], *size), wide)
    padded[place] = x[kept]
    return padded


def _overlap(size: Ints, padding: Pads) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The part of x that negative padding leaves, and its place in x~, which is p_lo further."""
    kept = [slice(max(0, -lo), i + min(0, hi)) for i, (lo, hi) in zip(size, padding, strict=True)]
    place = [slice(part.start + lo, part.stop + lo) for part, (lo, _) in zip(kept, padding, strict=True)]
    return (..., *kept), (..., *place)


def _windows(padded: Array, kernel: Ints, out: Ints, stride: Ints, dilation: Ints) -> Array:
    """windows[c, t, n, o] = padded[n, c, o*s + t*d], a view: overlapping windows share memory."""
    item, channel, *step = padded.strides
    shape = (padded.shape[1], *kernel, padded.shape[0], *out)
    per_tap = (d * q for d, q in zip(dilation, step, strict=True))
    per_output = (s * q for s, q in zip(stride, step, strict=True))
    return np.ndarray(shape, padded.dtype, padded, strides=(channel, *per_tap, item, *per_output))


def _by_group(rows: Array, groups: int, wide: np.dtype[Any]) -> Array:
    """Rows of maps (M, ...) as one matrix a group (G, M/G, ...), in the accumulator's dtype."""
    _check_groups(groups, len(rows), "maps")
    return rows.reshape(groups, len(rows) // groups, -1).astype(wide, order="C", copy=False)


def _column(b: Array, maps: int, out: Ints) -> Array:
    """b as it is added to y (M, N, *O)."""
    if b.shape not in ((maps,), (maps, *out)):
        raise ValueError(f"b has shape {b.shape}, but y needs {(maps,)} or, untied, {(maps, *out)}")
    return b.reshape(maps, 1, *(b.shape[1:] or [1] * len(out)))


def _accumulator(*operands: Array | None) -> np.dtype[Any]:
    """The dtype in which sums are kept: that of the operands, and at least float32."""
    dtypes = {a.dtype for a in operands if a is not None}
    if len(dtypes) > 1:
        raise ValueError(f"operands must have one dtype, got {' and '.join(sorted(map(str, dtypes)))}")
    return np.promote_types(dtypes.pop(), np.float32)


def _check_groups(groups: int, count: int, of: str) -> None:
    if groups < 1 or count % groups:
        raise ValueError(f"groups={groups} does not divide {count} {of}")


def _check_delta(delta: Array, shape: Ints) -> None:
    if delta.shape != shape:
        raise ValueError(f"delta has shape {delta.shape}, but y has {shape}")
