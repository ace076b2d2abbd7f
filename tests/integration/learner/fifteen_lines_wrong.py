import numpy as np


def conv_forward(x, w, b):
    n, _, h, width = x.shape
    m, _, kh, kw = w.shape
    y = np.zeros((n, m, h - kh + 1, width - kw + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = np.tensordot(x[:, :, i : i + kh, j : j + kw], w, axes=([1, 2, 3], [1, 2, 3])) + b
    return y


def conv_backward(dout, x, w, b):
    swapped = w.transpose(1, 0, 2, 3)
    padding = [(0, 0), (0, 0)] + [(k - 1, k - 1) for k in w.shape[2:]]
    dx = conv_forward(np.pad(dout, padding), swapped, np.zeros(w.shape[1]))
    dw = conv_forward(x.transpose(1, 0, 2, 3), dout.transpose(1, 0, 2, 3), np.zeros(w.shape[0]))
    return dx, dw.transpose(1, 0, 2, 3), dout.sum(axis=(0, 2, 3))
