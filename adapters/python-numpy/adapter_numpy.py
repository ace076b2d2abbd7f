"""The bundled reference: the NumPy CNN's convolution layer, and networks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry, Network, Networks, reference
from conformance.reference import Convolution, directional, second_order, transposed, transposed_gradients

COSTS = {
    "sigmoid": reference.CROSS_ENTROPY_WITH_SIGMOID,
    "softmax": reference.CROSS_ENTROPY_WITH_SOFTMAX,
}
"""By the activation that they have inside."""


class NumPy(Adapter):
    """`conformance.reference.Convolution`, asked through its public methods: every geometry, every dtype."""

    capabilities = Capabilities(
        ranks=frozenset({1, 2, 3}),
        dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
        stride=True,
        padding="negative",
        dilation=True,
        groups=True,
        biases=frozenset({"none", "tied", "untied"}),
        convention="both",
        empty_batch=True,
        network=Networks(
            activations=frozenset({"identity", "relu", "leaky", "sigmoid", "tanh", "softplus", "softmax"}),
            costs=frozenset({"quadratic", "cross-entropy"}),
            step=True,
        ),
        operations=frozenset({"transposed", "double_backward", "forward_mode"}),
        arithmetic={
            **dict.fromkeys(("float64", "float32"), Arithmetic()),
            **dict.fromkeys(("float16", "bfloat16"), Arithmetic(accumulator="f32")),
        },
    )

    def versions(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return _layer(g, w, b).forward(x)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        layer = _layer(g, w, b)
        layer.forward(x)
        return layer.backward(delta)

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        return _network(net, params).backpropagate(x, target)

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        network = _network(net, params)
        gradients = network.backpropagate(x, target).gradients
        return reference.descend(network, gradients, rate=rate).parameters

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return transposed(x, w, b, size=g.size, **_geometry(g))

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return transposed_gradients(x, w, b, delta, **_geometry(g))

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        return second_order(x, w, delta, u, v, r, **_geometry(g))

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return directional(x, w, u, v, r, **_geometry(g))


def _network(net: Network, params: Any) -> reference.Network:
    """The same in the reference's words: a cross-entropy has its activation inside."""
    entropy = net.cost == "cross-entropy"
    activations = [
        _activation(layer.activation, layer.slope) for layer in net.layers[: -1 if entropy else None]
    ]
    layers = [
        reference.ConvolutionLayer(w, b, activation=activation, **_geometry(layer.geometry))
        for layer, activation, (w, b) in zip(
            net.layers, [*activations, *[reference.IDENTITY] * entropy], params, strict=True
        )
    ]
    return reference.Network(
        layers=layers, cost=COSTS[net.activations[-1]] if entropy else reference.QUADRATIC
    )


def _activation(name: str, slope: float) -> reference.Activation:
    return reference.leaky_relu(slope) if name == "leaky" else reference.ACTIVATIONS[name]


def _layer(g: Geometry, w: Any, b: Any) -> Convolution:
    return Convolution(w, b, **_geometry(g))


def _geometry(g: Geometry) -> dict[str, Any]:
    """As keywords of the reference; what is the default is left out, as callers do: so defaults are judged too."""
    unusual: dict[str, Any] = {}
    if g.groups != 1:
        unusual["groups"] = g.groups
    if g.convention != "correlation":
        unusual["convention"] = g.convention
    return {"stride": g.stride, "padding": g.padding, "dilation": g.dilation, **unusual}
