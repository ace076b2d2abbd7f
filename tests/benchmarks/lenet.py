"""One training step of a LeNet, in several libraries, on the same numbers.

LeNet-5 with relu: 1@32x32 -> 6@28x28 -> pooled 14x14 -> 16@10x10 -> pooled 5x5 -> 120 -> 84 -> 10, mean pooling, quadratic
cost; 61,706 parameters.  A step takes x, target and parameters, and gives all parameters less RATE times their gradients.

All numbers are small multiples of small powers of two, so that no sum in float32 rounds, whatever its order, and every
library has to give the same bits: who is compared in time has computed the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.reference import (
    QUADRATIC,
    RELU,
    ConvolutionLayer,
    Network,
    dense_layer,
    descend,
    mean_pooling_layer,
)

RATE = 2.0**-10
SHAPES = ((6, 1, 5, 5), (16, 6, 5, 5), (120, 16, 5, 5), (84, 120), (10, 84))
TAPS = 2
"""Weights of a map that are not 0, each 1 or -1."""

Arrays = list[np.ndarray]
Step = Callable[[], Arrays]


def operands(batch: int) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """x, target, and w, b of every layer."""
    rng = np.random.default_rng(0)
    parameters = []
    for shape in SHAPES:
        w = np.zeros(shape, np.float32)
        for row in w.reshape(len(w), -1):
            row[rng.choice(row.size, TAPS, replace=False)] = rng.choice((-1, 1), TAPS)
        parameters += [w, rng.integers(0, 2, len(w)).astype(np.float32)]
    x = (rng.integers(0, 4, (batch, 1, 32, 32)) == 0).astype(np.float32)
    return x, rng.integers(-1, 2, (batch, 10)).astype(np.float32), parameters


def reference(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """The network under test."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4), (w5, b5) = zip(parameters[::2], parameters[1::2], strict=True)
    layers = (
        ConvolutionLayer(w1, b1, activation=RELU),
        mean_pooling_layer(6, (2, 2), dtype=np.float32),
        ConvolutionLayer(w2, b2, activation=RELU),
        mean_pooling_layer(16, (2, 2), dtype=np.float32),
        ConvolutionLayer(w3, b3, activation=RELU),
        dense_layer(w4, b4, size=(1, 1), activation=RELU),
        dense_layer(w5, b5, size=(1, 1)),
    )
    network = Network(layers=layers, cost=QUADRATIC)

    def step() -> Arrays:
        _, _, gradients = network.backpropagate(x, target[..., None, None])
        moved = descend(network, gradients, rate=RATE).parameters
        flat = [new for pair in moved for new in pair if new is not None]
        return [new.reshape(old.shape) for new, old in zip(flat, parameters, strict=True)]

    return step


def torch(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """PyTorch, with its autograd."""
    import torch as t
    from torch.nn import functional as f

    x, target = t.from_numpy(x), t.from_numpy(target)
    leaves = [t.from_numpy(p).requires_grad_() for p in parameters]

    def step() -> Arrays:
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = leaves
        a = f.avg_pool2d(f.relu(f.conv2d(x, w1, b1)), 2)
        a = f.avg_pool2d(f.relu(f.conv2d(a, w2, b2)), 2)
        a = f.relu(f.conv2d(a, w3, b3)).flatten(1)
        a = f.linear(f.relu(f.linear(a, w4, b4)), w5, b5)
        gradients = t.autograd.grad(((a - target) ** 2).sum() / 2, leaves)
        with t.no_grad():
            return [(p - RATE * g).numpy() for p, g in zip(leaves, gradients, strict=True)]

    return step


def autograd(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """Autograd, with its convolution, which is true convolution."""
    import autograd.numpy as anp
    from autograd import grad
    from autograd.scipy.signal import convolve

    def conv(a, w, b):
        y = convolve(a, w[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
        return y + b[:, None, None]

    def relu(a):
        return anp.where(a > 0, a, 0)  # at 0 the derivative of its maximum(a, 0) is 1/2

    def pool(a):
        n, c, h, w = a.shape
        return anp.mean(anp.reshape(a, (n, c, h // 2, 2, w // 2, 2)), axis=(3, 5))

    def cost(parameters):
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
        a = pool(relu(conv(x, w1, b1)))
        a = pool(relu(conv(a, w2, b2)))
        a = anp.reshape(relu(conv(a, w3, b3)), (len(x), 120))
        a = relu(a @ w4.T + b4) @ w5.T + b5
        return anp.sum((a - target) ** 2) / 2

    gradients = grad(cost)
    return lambda: [p - RATE * g for p, g in zip(parameters, gradients(parameters), strict=True)]


def mygrad(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """MyGrad, with its conv_nd."""
    import mygrad as mg
    from mygrad.nnet import conv_nd
    from mygrad.nnet.activations import relu

    def pool(a):
        n, c, h, w = a.shape
        return a.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))

    def step() -> Arrays:
        leaves = [mg.tensor(p) for p in parameters]
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = leaves
        a = pool(relu(conv_nd(x, w1, stride=1) + b1[:, None, None]))
        a = pool(relu(conv_nd(a, w2, stride=1) + b2[:, None, None]))
        a = relu(conv_nd(a, w3, stride=1) + b3[:, None, None]).reshape(len(x), 120)
        a = relu(a @ w4.T + b4) @ w5.T + b5
        (((a - target) ** 2).sum() / 2).backward()
        return [p - np.float32(RATE) * leaf.grad for p, leaf in zip(parameters, leaves, strict=True)]

    return step


def numpy_ml(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """numpy-ml, with its Conv2D and FullyConnected; its Pool2D loops over elements and is spared."""
    from numpy_ml.neural_nets.layers import Conv2D, FullyConnected

    names = ("W", "b")
    last = len(SHAPES) - 1
    layers = []
    for at, (w, b) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        activation = None if at == last else "ReLU"
        if w.ndim == 4:
            layer = Conv2D(len(w), w.shape[2:], act_fn=activation)
            layer.in_ch = w.shape[1]
            ours = (w.transpose(2, 3, 1, 0), b.reshape(1, 1, 1, -1))
        else:
            layer = FullyConnected(len(w), act_fn=activation)
            layer.n_in = w.shape[1]
            ours = (w.T, b[None])
        layer._init_params()
        layer.parameters = dict(zip(names, map(np.ascontiguousarray, ours), strict=True))
        layer.gradients = {name: np.zeros_like(p) for name, p in layer.parameters.items()}
        layers.append(layer)
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))

    def step() -> Arrays:
        a = images
        for at, layer in enumerate(layers):
            a = layer.forward(a)
            if at < 2:
                n, h, w, c = a.shape
                a = a.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
            if at == 2:
                a = a.reshape(len(a), -1)
        delta = a - target
        for at, layer in reversed(list(enumerate(layers))):
            if at == 2:
                delta = delta[:, None, None]
            if at < 2:
                delta = delta.repeat(2, axis=1).repeat(2, axis=2) / 4
            delta = layer.backward(delta)
        moved = []
        for layer in layers:
            w, b = (layer.parameters[name] - RATE * layer.gradients[name] for name in names)
            moved += [w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T, b.ravel()]
            layer.flush_gradients()
        return moved

    return step


def dezero(x: np.ndarray, target: np.ndarray, parameters: Arrays) -> Step:
    """DeZero, with its conv2d and average_pooling."""
    import dezero as dz
    from dezero import functions as f

    leaves = [dz.Variable(p) for p in [*parameters[:6], *(p.T.copy() for p in parameters[6:])]]
    half = np.float32(0.5)

    def step() -> Arrays:
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = leaves
        a = f.average_pooling(f.relu(f.conv2d(x, w1, b1)), 2, 2)
        a = f.average_pooling(f.relu(f.conv2d(a, w2, b2)), 2, 2)
        a = f.flatten(f.relu(f.conv2d(a, w3, b3)))
        a = f.linear(f.relu(f.linear(a, w4, b4)), w5, b5)
        (f.sum((a - target) ** 2) * half).backward()
        moved = [leaf.data - np.float32(RATE) * leaf.grad.data for leaf in leaves]
        for leaf in leaves:
            leaf.cleargrad()
        return [*moved[:6], *(p.T for p in moved[6:])]

    return step


PEERS = {"autograd": autograd, "mygrad": mygrad, "numpy-ml": numpy_ml, "dezero": dezero}
