"""NAME: a convolution by plain loops; put your own in their place."""

import itertools

import numpy as np

from conformance import Adapter, Capabilities


class Loops(Adapter):
    capabilities = Capabilities(
        ranks={1, 2, 3},
        dtypes={"float64"},
        stride=True,
        padding="asymmetric",
        dilation=True,
        groups=True,
        empty_batch=True,
    )

    def versions(self):
        return {"numpy": np.__version__}

    def forward(self, g, x, w, b):
        g.check(x=x, w=w, b=b)
        padded, y = np.pad(x, ((0, 0), (0, 0), *g.padding)), np.zeros(g.y_shape)
        for m, c, tap in _products(g):
            y[:, m] += w[(m, c % w.shape[1], *tap)] * padded[(slice(None), c, *_read(g, tap))]
        return y if b is None else y + b.reshape(-1, *[1] * g.rank)

    def backward(self, g, x, w, b, delta):
        g.check(x=x, w=w, b=b, delta=delta)
        padded, dw = np.pad(x, ((0, 0), (0, 0), *g.padding)), np.zeros(g.w_shape)
        dpadded = np.zeros(padded.shape)
        for m, c, tap in _products(g):
            read = (slice(None), c, *_read(g, tap))
            dpadded[read] += w[(m, c % w.shape[1], *tap)] * delta[:, m]
            dw[(m, c % w.shape[1], *tap)] = np.sum(delta[:, m] * padded[read])
        inner = tuple(slice(lo, lo + n) for (lo, _), n in zip(g.padding, g.size))
        db = None if b is None else delta.sum(axis=(0, *range(2, delta.ndim)))
        return dpadded[(slice(None), slice(None), *inner)], dw, db


def _products(g):
    """(map, channel that it reads, tap of the kernel) of every product."""
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for m in range(g.maps):
        first = m // maps * channels
        for c in range(first, first + channels):
            for tap in itertools.product(*map(range, g.kernel)):
                yield m, c, tap


def _read(g, tap):
    """The padded input that all outputs read through one tap of the kernel."""
    axes = zip(tap, g.dilation, g.output, g.stride)
    return [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in axes]
