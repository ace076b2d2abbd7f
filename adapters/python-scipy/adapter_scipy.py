"""SciPy: a convolution layer composed of the convolution and correlation of scipy.signal, by map and channel.

With X the padded input, as far as outputs read it; D the zero-stuffed delta (s - 1 zeros between elements);
W the zero-stuffed kernel (d - 1 zeros), rotated by 180 degrees under true convolution:

    y[m]     = sum over c of  X[c] valid-correlated with W[m, c],  every s-th element
    dx[c]    = sum over m of  D[m] full-convolved with W[m, c],    without the padding
    dw[m, c] = sum over n of  X[c] valid-correlated with D[m],     every d-th element, rotated back
    db[m]    = sum of delta[m]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import signal

from conformance import Adapter, Arithmetic, Capabilities, Geometry

Array = NDArray[Any]


class SciPy(Adapter):
    """The batch goes to scipy.signal as one more axis.

    A kernel, of length 1 there, meets every item; the valid correlation of X[c] with D[m] sums over items.
    """

    routes = {
        "direct": "scipy.signal.correlate and scipy.signal.convolve with method='direct'",
        "fftconvolve": "scipy.signal.fftconvolve for both",
    }

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return Capabilities(
            ranks=frozenset({1, 2, 3}),
            dtypes=frozenset({"float64", "float32"}),
            stride=True,
            padding="negative",
            dilation=True,
            groups=True,
            biases=frozenset({"none", "tied", "untied"}),
            convention="both",
            empty_batch=True,
            arithmetic=Arithmetic(algorithm="fft" if self.route == "fftconvolve" else "direct"),
        )

    def versions(self) -> dict[str, str]:
        return {"scipy": scipy.__version__, "numpy": np.__version__}

    def forward(self, g: Geometry, x: Array, w: Array, b: Array | None) -> Array:
        g.check(x=x, w=w, b=b)
        read, kernel = _padded(x, _read(g)), _stuffed(_rotated(g, w), g.dilation)
        y = np.zeros(g.y_shape, x.dtype)
        for m, c, k in _pairs(g):
            y[:, m] += self._correlate(read[:, c], kernel[None, m, k])[_every(g.stride)]
        if b is not None:
            y += b if g.bias == "untied" else b.reshape(-1, *[1] * g.rank)
        return y

    def backward(self, g: Geometry, x: Array, w: Array, b: Array | None, delta: Array) -> tuple[Any, ...]:
        g.check(x=x, w=w, b=b, delta=delta)
        read, kernel = _padded(x, _read(g)), _stuffed(_rotated(g, w), g.dilation)
        stuffed = _stuffed(delta, g.stride)
        full, dw = np.zeros_like(read), np.zeros_like(w)
        for m, c, k in _pairs(g):
            full[:, c] += self._convolve(stuffed[:, m], kernel[None, m, k])
            dw[m, k] = self._correlate(read[:, c], stuffed[:, m])[_every(g.dilation)]
        dx = _padded(full, [(-lo, -hi) for lo, hi in _read(g)])
        summed = 0 if g.bias == "untied" else (0, *range(2, delta.ndim))
        return dx, _rotated(g, dw), None if b is None else delta.sum(summed)

    def _correlate(self, a: Array, v: Array) -> Array:
        """Valid.  a is nowhere shorter than v: scipy.signal would exchange the two silently, or refuse."""
        if self.route == "direct":
            return signal.correlate(a, v, mode="valid", method="direct")
        spatial = range(1, a.ndim)
        products = signal.fftconvolve(a, np.flip(v, tuple(spatial)), mode="valid", axes=spatial)
        return products.sum(0, keepdims=True) if len(v) > 1 else products

    def _convolve(self, a: Array, v: Array) -> Array:
        """Full, item by item: where v is longer, scipy.signal slides a over zeros, which would carry NaN to other items."""
        if self.route == "direct":
            return np.stack([signal.convolve(item, v[0], mode="full", method="direct") for item in a])
        return signal.fftconvolve(a, v, mode="full")


def _pairs(g: Geometry) -> Iterator[tuple[int, int, int]]:
    """Each map, with each channel that it reads: its index in x and its index in w."""
    if g.batch == 0:
        return  # sums over nothing, and scipy.signal refuses empty arrays
    channels, maps = g.channels // g.groups, g.maps // g.groups
    for m in range(g.maps):
        for k in range(channels):
            yield m, m // maps * channels + k, k


def _read(g: Geometry) -> list[tuple[int, int]]:
    """The padding, without the positions behind the last window, which no output reads."""
    return [(lo, hi - rest) for (lo, hi), rest in zip(g.padding, g.remainder, strict=True)]


def _every(steps: Sequence[int]) -> tuple[Any, ...]:
    """Index of every step-th element along the spatial axes."""
    return (..., *(slice(None, None, step) for step in steps))


def _rotated(g: Geometry, w: Array) -> Array:
    """ROT180 of the spatial axes, under true convolution."""
    return np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w


def _stuffed(a: Array, steps: Sequence[int]) -> Array:
    """step - 1 zeros between elements that are neighbours along a spatial axis."""
    sizes = [(size - 1) * step + 1 for size, step in zip(a.shape[2:], steps, strict=True)]
    stuffed = np.zeros((*a.shape[:2], *sizes), a.dtype)
    stuffed[_every(steps)] = a
    return stuffed


def _padded(a: Array, padding: Sequence[tuple[int, int]]) -> Any:
    """Zeros around the spatial axes; negative padding crops, and it crops last."""
    added = np.pad(a, [(0, 0), (0, 0), *((max(lo, 0), max(hi, 0)) for lo, hi in padding)])
    spans = zip(padding, added.shape[2:], strict=True)
    kept: tuple[Any, ...] = (..., *(slice(max(-lo, 0), size - max(-hi, 0)) for (lo, hi), size in spans))
    return added[kept]
