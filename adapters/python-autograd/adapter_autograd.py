"""Autograd (HIPS): `autograd.scipy.signal.convolve`, differentiated by `autograd`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

import autograd
import autograd.numpy as np
from autograd.scipy.signal import convolve
from autograd.scipy.special import logsumexp

from conformance import Adapter, Arithmetic, Capabilities, Geometry, Network, Networks

ACTIVATIONS: Mapping[str, Callable[[Any, float], Any]] = {
    "identity": lambda z, _: z,
    "relu": lambda z, _: np.maximum(z, 0),
    "leaky": lambda z, slope: np.maximum(z, slope * z),
    "sigmoid": lambda z, _: 1 / (1 + np.exp(-z)),
    "tanh": lambda z, _: np.tanh(z),
    "softplus": lambda z, _: np.logaddexp(0, z),
}


class Autograd(Adapter):
    """A "valid" convolution of padded x, of which every s-th output is kept, plus a bias."""

    routes: ClassVar[Mapping[str, str]] = {
        "convolve": "autograd.scipy.signal.convolve, gradients by make_vjp"
    }
    capabilities = Capabilities(
        ranks=frozenset({1, 2, 3}),
        dtypes=frozenset({"float64", "float32"}),
        stride=True,
        padding="asymmetric",
        biases=frozenset({"none", "tied", "untied"}),
        convention="both",
        empty_batch=True,
        network=Networks(
            activations=frozenset({*ACTIVATIONS, "softmax"}),
            costs=frozenset({"quadratic", "cross-entropy"}),
            step=True,
        ),
        arithmetic=Arithmetic(),
    )

    def versions(self) -> Mapping[str, str]:
        return {name: version(name) for name in ("autograd", "numpy")}

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return np.array(_layer(g, x, w, b))

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        g.check(delta=delta)
        operands = (x, w) if b is None else (x, w, b)
        vjp, _ = autograd.make_vjp(lambda leaves: _layer(g, leaves[0], leaves[1], *leaves[2:]))(operands)
        dx, dw, *db = vjp(delta)
        return dx, dw, db[0] if db else None

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        nothing = [np.zeros(layer.geometry.y_shape, x.dtype) for layer in net.layers]
        flat = [p for pair in params for p in pair if p is not None]
        cost, (deltas, gradients) = autograd.value_and_grad(lambda leaves: _cost(net, x, target, *leaves))(
            (nothing, flat)
        )
        return cost, deltas, _by_layer(gradients, params)

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        """Autograd's own optimizers have momentum: the parameters minus rate times their gradients."""
        _, _, gradients = self.network(net, x, target, params)
        return [
            (w - rate * dw, None if b is None else b - rate * db)
            for (w, b), (dw, db) in zip(params, gradients, strict=True)
        ]


def _layer(g: Geometry, x: Any, w: Any, b: Any = None) -> Any:
    """y.  convolve turns the kernel: for a correlation it is turned beforehand."""
    g.check(x=x, w=w, b=b)  # convolve broadcasts, and turns to the larger one of both
    axes = list(range(2, 2 + g.rank))
    if g.convention == "correlation":
        w = w[(slice(None), slice(None), *[slice(None, None, -1)] * g.rank)]
    padded = np.pad(x, [(0, 0), (0, 0), *g.padding], mode="constant")
    full = convolve(padded, w, axes=(axes, axes), dot_axes=([1], [1]), mode="valid")
    y = full[(slice(None), slice(None), *(slice(None, None, s) for s in g.stride))]
    return y if b is None else y + b.reshape(b.shape + (1,) * (g.rank + 1 - b.ndim))


def _cost(net: Network, x: Any, target: Any, added: Any, flat: Any) -> Any:
    """C, with `added` put to each z, so that the gradients by it are the deltas."""
    a, z, left = x, x, iter(flat)
    for layer, more in zip(net.layers, added, strict=True):
        w, b = next(left), None if layer.geometry.bias == "none" else next(left)
        z = _layer(layer.geometry, a, w, b) + more
        if layer.activation != "softmax":
            a = ACTIVATIONS[layer.activation](z, layer.slope)
    if net.cost == "quadratic":
        return np.sum((a - target) ** 2) / 2
    if net.activations[-1] == "sigmoid":
        return np.sum(np.logaddexp(0, z) - target * z)
    return np.sum(target * (logsumexp(z, axis=1, keepdims=True) - z))


def _by_layer(flat: Any, params: Any) -> list[Any]:
    left = iter(flat)
    return [tuple(None if p is None else next(left) for p in pair) for pair in params]
