"""A convolution layer from scratch, as a learner writes it: loops over positions, one stride and one padding."""

import numpy as np


def conv_forward(x, w, b, stride, padding):
    n, c, height, width = x.shape
    m, cw, kh, kw = w.shape
    assert cw == c
    assert b is None or b.shape == (m,)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    y = np.zeros((n, m, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b[:, None, None]


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
            dpadded[:, :, rows, columns] += np.tensordot(delta[:, :, i, j], w, axes=(1, 0))
    dx = dpadded[:, :, padding : padding + height, padding : padding + width]
    return dx, dw, None if b is None else delta.sum(axis=(0, 2, 3))
