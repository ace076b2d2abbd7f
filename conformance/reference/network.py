"""A network: layers in a row, a cost at the end, and the seed's five steps.

    1. Input x:             a^1 = x
    2. Feedforward:         z^l = w^l * a^{l-1} + b^l,  a^l = sigma(z^l)              l = 2, 3, ..., L
    3. Output error:        delta^L = grad_a C (.) sigma'(z^L)
    4. Backpropagate:       delta^l = delta^{l+1} * ROT180(w^{l+1}) (.) sigma'(z^l)   l = L-1, ..., 2
    5. Output:              dC/dw^l = delta^l * sigma(ROT180(z^{l-1})),  dC/db^l = delta^l

(.) is the elementwise product.  The seed counts the input as layer 1; `layers[0]` is its layer 2.  The seed's * is the true
convolution; it is `convention="convolution"` of a layer, whose default is correlation.

A batch: C is the *sum* over the items, and so are the gradients.  With reduction "mean" C, deltas and gradients are those of
the mean: each 1/N of the sum.  Deltas are an item's own: delta^l[n] = dC/dz^l[n], no sum.

Shapes: x (N, C, *I), a target as the last layer's z, deltas[i] as the z of layers[i], gradients as their parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from conformance.reference.cost import QUADRATIC, Cost
from conformance.reference.layer import Gradients, Layer, Parameters

__all__ = ["Backpropagation", "Feedforward", "Network"]

Array = NDArray[Any]
REDUCTIONS = ("sum", "mean")


class Feedforward(NamedTuple):
    """z^l of every layer, and every a: one more, for activations[0] is x."""

    zs: list[Array]
    activations: list[Array]


class Backpropagation(NamedTuple):
    """C, and of every layer delta^l = dC/dz^l and (dw, db)."""

    cost: float
    deltas: list[Array]
    gradients: list[Gradients]


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Layers, and what their output costs.

    >>> import numpy as np
    >>> from conformance.reference import RELU, ConvolutionLayer
    >>> first = ConvolutionLayer(np.array([[[1.0, -1.0]]]), np.array([1.0]), activation=RELU)
    >>> second = ConvolutionLayer(np.array([[[2.0, 3.0]]]))
    >>> network = Network(layers=(first, second))
    >>> cost, deltas, gradients = network.backpropagate(np.array([[[5.0, 3.0, 7.0]]]), np.array([[[1.0]]]))
    >>> cost, deltas[1], deltas[0]  # z^2 = (3, -3), a^2 = (3, 0), z^3 = 6, C = 25/2
    (12.5, array([[[5.]]]), array([[[10.,  0.]]]))
    >>> gradients[0].dw, gradients[0].db
    (array([[[50., 30.]]]), array([10.]))
    """

    layers: Sequence[Layer]
    cost: Cost = QUADRATIC
    reduction: str = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("a network needs at least one layer, got none")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be {' or '.join(REDUCTIONS)}, got {self.reduction!r}")
        last = self.layers[-1].activation.name
        if self.cost.activates and last != "identity":
            raise ValueError(
                f"the last layer's {last} would come before that of {self.cost.name}: use identity"
            )

    @property
    def parameters(self) -> list[Parameters]:
        """(w, b) of every layer."""
        return [layer.parameters for layer in self.layers]

    def with_parameters(self, parameters: Sequence[Parameters]) -> Network:
        """The same network with other parameters."""
        if len(parameters) != len(self.layers):
            needed = len(self.layers)
            raise ValueError(f"{needed} layers need {needed} pairs of parameters, got {len(parameters)}")
        pairs = zip(self.layers, parameters, strict=True)
        return replace(self, layers=[layer.with_parameters(new) for layer, new in pairs])

    def output(self, x: Array) -> Array:
        """What the network says: a^L, through the cost's sigmoid or softmax where it has one."""
        return self.cost.output(self.feedforward(x).activations[-1])

    def feedforward(self, x: Array) -> Feedforward:
        """Steps 1 and 2."""
        zs, activations = [], [x]  # a^1 = x
        for number, layer in enumerate(self.layers):
            try:
                z = layer.forward(activations[-1])
            except ValueError as error:
                raise ValueError(f"layers[{number}]: {error}") from None
            zs.append(z)
            activations.append(layer.activation(z))
        return Feedforward(zs, activations)

    def backpropagate(self, x: Array, target: Array) -> Backpropagation:
        """All five steps."""
        # 1. Input, 2. Feedforward
        zs, activations = self.feedforward(x)
        # 3. Output error
        cost, delta = self._output_error(zs[-1], activations[-1], target)
        # 4. Backpropagate: the error goes through w^{l+1} to a^l, and through sigma to z^l
        deltas = [delta]
        for l in reversed(range(len(self.layers) - 1)):
            da = self.layers[l + 1].backward_delta(deltas[0], activations[l + 1])
            deltas.insert(0, da * self.layers[l].activation.derivative(zs[l]))
        # 5. Output: delta^l with what layer l read, a^{l-1}, which is activations[l]
        each = zip(self.layers, deltas, activations[:-1], strict=True)
        gradients = [layer.gradients(delta, a) for layer, delta, a in each]
        return Backpropagation(cost, deltas, gradients)

    def _output_error(self, z: Array, a: Array, target: Array) -> tuple[float, Array]:
        """C and step 3, delta^L = grad_a C (.) sigma'(z^L)."""
        cost = self.cost(a, target)
        delta = self.cost.gradient(a, target) * self.layers[-1].activation.derivative(z)
        if self.reduction == "sum":
            return cost, delta
        if not len(a):
            raise ValueError("an empty batch has no mean cost; its sum is 0")
        return cost / len(a), delta / delta.dtype.type(len(a))
