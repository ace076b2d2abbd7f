"""Pooling: one number for a window of each channel.

*Mean* pooling is a convolution that learns nothing: each channel is a group of its own (depthwise), every weight is
1 / (the window's entries), and the stride is the window's size.  Back, each input gets its share of the error by the same
formula as ever.

*Max* pooling is a layer of its own: which input it passes on depends on the inputs, and the whole error goes back to that
one.  Of several greatest the first in C order gets it (a row above before one below), as in PyTorch; a NaN counts as
greatest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from conformance.reference.activation import IDENTITY, Activation
from conformance.reference.convolution import output_size
from conformance.reference.layer import ConvolutionLayer, Gradients, Parameters

__all__ = ["MaxPoolingLayer", "mean_pooling_layer"]

Array = NDArray[Any]


def mean_pooling_layer(
    channels: int, size: Sequence[int], *, stride: Sequence[int] = (), dtype: DTypeLike = np.float64
) -> ConvolutionLayer:
    """z[n,c,o] = the mean of the window at o * stride; the stride is `size` if left out.

    >>> mean_pooling_layer(1, (2,)).forward(np.array([[[1.0, 3.0, 5.0, 9.0]]]))
    array([[[2., 7.]]])
    """
    if channels < 1 or not size or min(size) < 1:
        raise ValueError(f"pooling needs channels and a window, got {channels} of {tuple(size)}")
    w = np.full((channels, 1, *size), 1 / math.prod(size), dtype)
    return ConvolutionLayer(w, stride=tuple(stride or size), groups=channels, constant=True)


@dataclass(frozen=True, kw_only=True)
class MaxPoolingLayer:
    """z[n,c,o] = max_t a[n, c, o*stride + t], 0 <= t < size; windows are whole, a remainder is left out.

    >>> layer, a = MaxPoolingLayer(size=(2,)), np.array([[[1.0, 3.0, 9.0, 5.0]]])
    >>> layer.forward(a), layer.backward_delta(np.array([[[10.0, 20.0]]]), a)
    (array([[[3., 9.]]]), array([[[ 0., 10., 20.,  0.]]]))
    """

    activation: ClassVar[Activation] = IDENTITY
    parameters: ClassVar[Parameters] = Parameters()

    size: Sequence[int]
    stride: Sequence[int] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "stride", tuple(self.stride) or self.size)

    def with_parameters(self, parameters: Parameters) -> MaxPoolingLayer:
        """Itself: there are none."""
        for name, given in zip("wb", parameters, strict=True):
            if given is not None:
                raise ValueError(f"max pooling has no {name}, but was given one of shape {given.shape}")
        return self

    def forward(self, a: Array) -> Array:
        """The greatest of each window."""
        taps = self._taps(a)
        z: Array = a[next(taps)].copy()
        for tap in taps:
            np.maximum(z, a[tap], out=z)
        return z

    def backward_delta(self, delta: Array, a: Array) -> Array:
        """dC/da: each delta goes to the first entry of its window that is the greatest."""
        z = self.forward(a)
        if delta.shape != z.shape:
            raise ValueError(f"delta has shape {delta.shape}, but z has {z.shape}")
        da = np.zeros_like(a, order="C")
        free = np.ones(z.shape, bool)  # windows whose delta has not been handed back
        for tap in self._taps(a):
            first = free & ((a[tap] == z) | np.isnan(a[tap]))
            # `where`, not a product: an infinite delta times 0 would be NaN.
            da[tap] += np.where(first, delta, delta.dtype.type(0))
            free &= ~first
        return da

    def gradients(self, delta: Array, a: Array) -> Gradients:
        """None: nothing is learnt."""
        return Gradients()

    def _taps(self, a: Array) -> Iterator[tuple[Any, ...]]:
        """For each place t in a window, in C order: the index of what all windows have there."""
        rank = len(self.size)
        out = output_size(a.shape[2:], self.size, self.stride, ((0, 0),) * rank, (1,) * rank)
        for tap in itertools.product(*map(range, self.size)):
            axes = zip(tap, out, self.stride, strict=True)
            yield (..., *(slice(t, t + (o - 1) * s + 1, s) for t, o, s in axes))
