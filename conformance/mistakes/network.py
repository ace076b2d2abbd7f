"""Backpropagation through a network, step by step, each step a method that a mistake does otherwise.

Everything is computed in float64 and rounded once to the dtype of x; at a kink sigma' is that from below, unless another is
given.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.protocol import Adapter, Gradients
from conformance.engine.strategies import EVERY_NETWORK, EVERYTHING
from conformance.mistakes.mistake import right
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry, Operands
from conformance.problem.network import Network, NetworkLayer, NetworkOperands

__all__ = ["Backpropagation", "NetworkMistake", "activated", "slope"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats | None]


def activated(layer: NetworkLayer, z: Floats) -> Floats:
    """sigma(z)."""
    if layer.activation == "softmax":
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=1, keepdims=True)
        return shares
    values: dict[str, Callable[[], Floats]] = {
        "identity": lambda: z,
        "relu": lambda: np.maximum(z, 0),
        "leaky": lambda: np.where(z > 0, z, layer.slope * z),
        "sigmoid": lambda: 1 / (1 + np.exp(-z)),
        "tanh": lambda: np.tanh(z),
        "softplus": lambda: np.logaddexp(0, z),
    }
    return values[layer.activation]()


def slope(layer: NetworkLayer, z: Floats, at_zero: float | None = None) -> Floats:
    """sigma'(z), at_zero at a kink; of a softmax, that of each map by itself."""
    kink = layer.below if at_zero is None else at_zero
    values: dict[str, Callable[[], Floats]] = {
        "identity": lambda: np.ones_like(z),
        "relu": lambda: np.where(z == 0, kink, np.where(z > 0, 1.0, 0.0)),
        "leaky": lambda: np.where(z == 0, kink, np.where(z > 0, 1.0, layer.slope)),
        "sigmoid": lambda: activated(layer, z) * (1 - activated(layer, z)),
        "tanh": lambda: 1 - np.tanh(z) ** 2,
        "softplus": lambda: 1 / (1 + np.exp(-z)),
        "softmax": lambda: activated(layer, z) * (1 - activated(layer, z)),
    }
    return values[layer.activation]()


class Backpropagation:
    """The right way; layers are numbered from 1, and a[0] is x.

    kinks: sigma'(0), by `NetworkLayer.word`.
    """

    def __init__(
        self, net: Network, operands: NetworkOperands, kinks: Mapping[str, float] | None = None
    ) -> None:
        self.net, self.last, self.kinks = net, len(net.layers), kinks or {}
        self.target = operands.target.astype(np.float64)
        self.params: list[Pair] = [
            (w.astype(np.float64), None if b is None else b.astype(np.float64)) for w, b in operands.params
        ]
        self.a, self.z = [operands.x.astype(np.float64)], []
        for number in range(1, self.last + 1):
            g = self.layer(number).geometry
            self.z.append(self.convolution(number, np.zeros(g.y_shape)).y)
            self.a.append(self.activated(number, self.z[-1]))

    def layer(self, number: int) -> NetworkLayer:
        return self.net.layers[number - 1]

    def convolution(
        self, number: int, delta: Floats, *, x: Floats | None = None, w: Floats | None = None
    ) -> Layer:
        """The layer's convolution, of its own input and kernel unless others are given."""
        own_w, b = self.params[number - 1]
        x = self.a[number - 1] if x is None else x
        return Layer(self.layer(number).geometry, x, own_w if w is None else w, b, delta)

    def activated(self, number: int, z: Floats) -> Floats:
        """a^l."""
        return activated(self.layer(number), z)

    # ---- cost ----
    def cost(self) -> Any:
        a, t = self.a[-1], self.target
        if self.net.cost == "quadratic":
            return ((a - t) ** 2).sum() / 2
        if self.net.activations[-1] == "softmax":
            return -(t * np.log(a)).sum()
        return -(t * np.log(a) + (1 - t) * np.log(1 - a)).sum()

    # ---- deltas ----
    @functools.cached_property
    def deltas(self) -> list[Floats]:
        found = [self.output()]
        for number in range(self.last - 1, 0, -1):
            found.insert(0, self.through(number, self.handed_back(number, found[0])))
        return found

    def output(self) -> Floats:
        """delta^L."""
        error = self.a[-1] - self.target
        return error if self.net.cost == "cross-entropy" else error * self.slope(self.last)

    def slope(self, number: int) -> Floats:
        """sigma'(z^l)."""
        layer = self.layer(number)
        return slope(layer, self.z[number - 1], self.kinks.get(layer.word))

    def handed_back(self, number: int, delta: Floats) -> Floats:
        """dC/da^l from delta^{l+1}."""
        return self.convolution(number + 1, delta).dx

    def through(self, number: int, handed: Floats) -> Floats:
        """delta^l from dC/da^l."""
        return handed * self.slope(number)

    # ---- gradients ----
    @property
    def gradients(self) -> list[Pair]:
        return [self.gradient(number, delta) for number, delta in enumerate(self.deltas, start=1)]

    def gradient(self, number: int, delta: Floats) -> Pair:
        """dC/dw^l, dC/db^l."""
        return self.dw(number, delta), self.db(number, delta)

    def dw(self, number: int, delta: Floats) -> Floats:
        return self.convolution(number, delta).dw

    def db(self, number: int, delta: Floats) -> Floats | None:
        return self.convolution(number, delta).db

    def stepped(self, rate: float) -> list[Pair]:
        """The parameters after one step."""
        return self.moved(-rate, self.gradients)

    def moved(self, by: float, gradients: list[Pair]) -> list[Pair]:
        return [
            (w + by * dw, None if b is None or db is None else b + by * db)
            for (w, b), (dw, db) in zip(self.params, gradients, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class NetworkMistake:
    """One mistake, by its name: what is done instead of the right thing, how to mend it, and the way that does it."""

    name: str
    sentence: str
    hint: str
    way: type[Backpropagation] = dataclasses.field(repr=False)

    @property
    def kind(self) -> str:
        """Where it is made."""
        return "networks"

    @property
    def stem(self) -> str:
        return self.name

    @property
    def methods(self) -> frozenset[str]:
        """The steps that it does otherwise."""
        return frozenset(name for name in dir(Backpropagation) if self._does(name))

    def _does(self, name: str) -> bool:
        return not name.startswith("_") and getattr(self.way, name) is not getattr(Backpropagation, name)

    def adapter(self) -> Adapter:
        """An implementation that makes it; its single layers are right."""
        return _Mistaken(self.way)


class _Mistaken(Adapter):
    capabilities = dataclasses.replace(EVERYTHING, dtypes=frozenset({"f64", "f32"}), network=EVERY_NETWORK)

    def __init__(self, way: type[Backpropagation]) -> None:
        super().__init__()
        self._way = way

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        return right(g, Operands(x=x, w=w, b=b, delta=np.zeros(g.y_shape, x.dtype)), "y")

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        g.check(x=x, w=w, b=b, delta=delta)
        o = Operands(x=x, w=w, b=b, delta=delta)
        return right(g, o, "dx"), right(g, o, "dw"), None if b is None else right(g, o, "db")

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        with np.errstate(all="ignore"):  # results may hold anything
            way = self._way(net, NetworkOperands(x=x, target=target, params=tuple(params)))
            deltas = [delta.astype(x.dtype) for delta in way.deltas]
            return np.asarray(way.cost()).astype(x.dtype), deltas, _rounded(way.gradients, x.dtype)

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        with np.errstate(all="ignore"):
            way = self._way(net, NetworkOperands(x=x, target=target, params=tuple(params)))
            return _rounded(way.stepped(rate), x.dtype)


def _rounded(pairs: list[Pair], dtype: Any) -> list[Any]:
    return [(w.astype(dtype), None if b is None else b.astype(dtype)) for w, b in pairs]


def made(name: str, sentence: str, hint: str, **methods: Callable[..., Any]) -> NetworkMistake:
    """A mistake by the methods that it does otherwise."""
    bodies: Mapping[str, Any] = methods
    return NetworkMistake(
        name=name, sentence=sentence, hint=hint, way=type(name, (Backpropagation,), dict(bodies))
    )
