"""A class with its own weights, gradients averaged over the batch."""

import numpy as np


class ConvLayer:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        scale = np.sqrt(2.0 / (in_channels * kernel_size * kernel_size))
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weights = np.random.default_rng(0).normal(0, scale, shape)
        self.bias = np.zeros((out_channels, 1))

    def forward(self, x):
        self.x = x
        n, _, h, w = x.shape
        k, s, p = self.kernel_size, self.stride, self.padding
        out_h = (h + 2 * p - k) // s + 1
        out_w = (w + 2 * p - k) // s + 1
        self.padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        out = np.zeros((n, self.out_channels, out_h, out_w))
        for i in range(out_h):
            for j in range(out_w):
                patch = self.padded[:, :, i * s : i * s + k, j * s : j * s + k].reshape(n, -1)
                out[:, :, i, j] = patch @ self.weights.reshape(self.out_channels, -1).T + self.bias[:, 0]
        return out

    def backward(self, grad_output):
        n, _, out_h, out_w = grad_output.shape
        k, s, p = self.kernel_size, self.stride, self.padding
        self.grad_weights = np.zeros_like(self.weights)
        self.grad_bias = grad_output.sum(axis=(0, 2, 3)).reshape(-1, 1) / n
        grad_padded = np.zeros_like(self.padded)
        for i in range(out_h):
            for j in range(out_w):
                patch = self.padded[:, :, i * s : i * s + k, j * s : j * s + k]
                delta = grad_output[:, :, i, j]
                self.grad_weights += np.einsum("nf,nchw->fchw", delta, patch) / n
                spread = np.einsum("nf,fchw->nchw", delta, self.weights)
                grad_padded[:, :, i * s : i * s + k, j * s : j * s + k] += spread
        return grad_padded[:, :, p : p + self.x.shape[2], p : p + self.x.shape[3]]

    def update(self, learning_rate):
        self.weights -= learning_rate * self.grad_weights
        self.bias -= learning_rate * self.grad_bias


if __name__ == "__main__":
    raise SystemExit("training would start here")
