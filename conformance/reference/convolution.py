"""A convolutional layer and its gradients: a dense layer whose neurons share their weights.

What one output reads of the input is its *window*.  Write all windows as the columns of a matrix, kernels and errors
as rows, one set of matrices a group g,

    X[g, (c, t), (n, o)] = x~[n, c, o*s + t*d - p_lo]         x~ is x with zeros outside
    W[g, m, (c, t)]      = w'[m, c, t]                        w' is w for correlation, ROT180(w) for convolution
    D[g, m, (n, o)]      = delta[n, m, o]

and backpropagation is that of the multilayer perceptron, with * replaced by matrix products:

    Y  = W X + b       forward          z^l = w^l a^{l-1} + b^l
    dX = W^T D         backward_delta   the error goes back along the weights it came by
    dW = D X^T         gradient_w       dC/dw^l = delta^l a^{l-1}
    db = D 1           gradient_b       dC/db^l = delta^l

Sharing shows in two places only.  Windows overlap, so dx adds up what dX hands back to the same input.  And one kernel
serves every window, so dW and db are sums over all of them.

Shapes: x (N, C, *I), w (M, C/G, *K), b (M,) or untied (M, *O), y and delta (N, M, *O), each gradient as its operand.
`stride` s and `dilation` d are tuples with one number a spatial axis, `padding` has a pair (p_lo, p_hi) an axis;
negative padding crops.  There may be any number of spatial axes, and no items (N = 0).

Sums are plain sums of products, kept in float64 for float64 and in float32 for anything narrower, and rounded once to
the dtype of the operands.  Padding is multiplied like any input: a zero there times an infinite weight is NaN.  X holds
each input once for every window that reads it: K times the memory of x is the price of leaving the work to BLAS.

Source: G. Gwardys, "Convolutional Neural Networks backpropagation: from intuition to derivation", 2016.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Convolution", "backward_delta", "forward", "gradient_b", "gradient_w", "output_size", "rot180"]

Array = NDArray[Any]
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Index = tuple[Any, ...]


class Convolution:
    """A layer: it holds a kernel, a bias and how they are laid over the input, and keeps the last input (no copy).

    >>> layer = Convolution(np.ones((1, 1, 2)), stride=(1,), padding=((0, 0),), dilation=(1,))
    >>> layer.forward(np.array([[[1.0, 2.0, 3.0]]]))
    array([[[3., 5.]]])
    >>> dx, dw, db = layer.backward(np.array([[[1.0, 10.0]]]))
    >>> dx, dw
    (array([[[ 1., 11., 10.]]]), array([[[21., 32.]]]))
    """

    def __init__(
        self, w: Array, b: Array | None = None, *,
        stride: Ints, padding: Pads, dilation: Ints, groups: int = 1, convention: str = "correlation",
    ) -> None:  # fmt: skip
        self.w, self.b = w, b
        self.geometry: dict[str, Any] = {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "convention": convention,
        }  # fmt: skip
        self.x: Array | None = None

    def forward(self, x: Array) -> Array:
        """y, the layer's output before activation."""
        self.x = x
        return forward(x, self.w, self.b, **self.geometry)

    def backward(self, delta: Array) -> tuple[Array, Array, Array | None]:
        """(dx, dw, db) for the last input; db is None without a bias."""
        if self.x is None:
            raise ValueError("backward needs the input of a forward before it")
        dx = backward_delta(delta, self.w, size=self.x.shape[2:], **self.geometry)
        dw = gradient_w(self.x, delta, kernel=self.w.shape[2:], **self.geometry)
        db = None if self.b is None else gradient_b(delta, untied=self.b.ndim > 1)
        return dx, dw, db


def forward(
    x: Array, w: Array, b: Array | None = None, *,
    stride: Ints, padding: Pads, dilation: Ints, groups: int = 1, convention: str = "correlation",
) -> Array:  # fmt: skip
    """y[n,m,o] = b[m] + sum_{c in g(m)} sum_t w'[m,c,t] x~[n, c, o*s + t*d - p_lo]

    One map, convolution: y = convolve2d(x, w, 'valid') + b.      Seed: z^{l+1} = w^{l+1} * sigma(z^l) + b^{l+1}
    """
    maps, in_group, *kernel = w.shape
    if x.shape[1] != in_group * groups:
        raise ValueError(f"x has {x.shape[1]} channels, but w has {in_group} for each of {groups} groups")
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    wide = _accumulator(x, w, b)

    X = _windows(x, kernel, out, stride, padding, dilation).reshape(groups, -1, x.shape[0] * math.prod(out))
    y = _rows(w, groups) @ X
