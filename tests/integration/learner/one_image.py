"""The post's figures in loops: one image, one kernel, true convolution, conv2 and rot180 as MATLAB has them."""

import numpy as np


def rot180(k):
    return k[::-1, ::-1]


def conv2(a, k, mode):
    kh, kw = k.shape
    if mode == "full":
        a = np.pad(a, ((kh - 1, kh - 1), (kw - 1, kw - 1)))
    k = rot180(k)
    rows, cols = a.shape[0] - kh + 1, a.shape[1] - kw + 1
    out = np.zeros((rows, cols))
    for r in range(rows):
        for c in range(cols):
            for u in range(kh):
                for v in range(kw):
                    out[r, c] += a[r + u, c + v] * k[u, v]
    return out


def forward(x, w, b):
    return conv2(x, w, "valid") + b


def backward(delta, x, w):
    dx = conv2(delta, rot180(w), "full")
    dw = conv2(rot180(x), delta, "valid")
    db = delta.sum()
    return dx, dw, db
