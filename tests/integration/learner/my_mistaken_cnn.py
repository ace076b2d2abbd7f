"""`my_cnn` with a mistake that many make: where windows overlap, dx is overwritten instead of added up."""

import numpy as np
from my_cnn import conv_forward

__all__ = ["conv_backward", "conv_forward"]


def conv_backward(x, w, b, delta, stride, padding):
    height, width = x.shape[2:]
    kh, kw = w.shape[2:]
    n_rows, n_columns = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    assert delta.shape == (len(x), len(w), n_rows, n_columns)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(n_rows):
        for j in range(n_columns):
            rows, columns = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
            dw += np.tensordot(delta[:, :, i, j], padded[:, :, rows, columns], axes=(0, 0))
            dpadded[:, :, rows, columns] = np.tensordot(delta[:, :, i, j], w, axes=(1, 0))
    dx = dpadded[:, :, padding : padding + height, padding : padding + width]
    return dx, dw, None if b is None else delta.sum(axis=(0, 2, 3))
