"""What is right for a whole network, and how far rounding may stray from it.

One forward and one backward pass (`Pass`): z^l = conv(a^{l-1}, w^l) + b^l, a^l = sigma(z^l), then from the cost down

    delta^L = grad_a C (.) sigma'(z^L)        delta^l = dx^{l+1}(delta^{l+1}) (.) sigma'(z^l)
    dw^l = dw(a^{l-1}, delta^l)               db^l = db(delta^l)

First in float64, with a look at every sum: where S <= 2^53 units of its lattice, nothing rounded and the numbers *are* the
real ones.  Otherwise again with numbers of 160 bits (mpmath), of which only the last rounding to float64 is off.

How far rounding may stray from it: `network_errors`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import MPContext
from numpy.typing import NDArray

from conformance.oracle.arithmetic import Arithmetic
from conformance.oracle.network_errors import Errors
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, DType
from conformance.problem.network import KINKED, Network, NetworkLayer, NetworkOperands

__all__ = ["NetworkExpectation", "Pass", "Right"]

Floats = NDArray[np.float64]
Array = NDArray[Any]

BITS = 160

_mp: Any = MPContext()
_mp.prec = BITS


# ---- what is right ----
class Pass:
    """One forward and one backward pass in exact or nearly exact numbers.

    number: float64, or ``object`` for mpmath's.  kink: sigma' where z is exactly 0, by activation (`NetworkLayer.word`).
    """

    def __init__(
        self,
        network: Network,
        operands: NetworkOperands,
        *,
        number: Any = np.float64,
        kink: Mapping[str, float],
    ) -> None:
        self.network, self._number, self.kink = network, number, kink
        self.target = self._made(operands.target)
        self.params = [(self._made(w), None if b is None else self._made(b)) for w, b in operands.params]
        self.a: list[Array] = [self._made(operands.x)]  # a[l] is a^l; a[0] is x
        self.z: list[Array] = []
        for layer, (w, b) in zip(network.layers, self.params, strict=True):
            g = layer.geometry
            self.z.append(Layer(g, self.a[-1], w, b, np.zeros(g.y_shape), number=number).y)
            self.a.append(self.activated(layer, self.z[-1]))

    def _made(self, a: Array) -> Array:
        values = a.astype(np.float64)
        return values if self._number is np.float64 else _each(_mp.mpf, values)

    def activated(self, layer: NetworkLayer, z: Array) -> Array:
        """sigma(z)."""
        if layer.activation == "identity":
            return z
        if layer.activation in KINKED:
            return np.where(z > 0, z, z * layer.below)
        if layer.activation == "softmax":
            powers = _each(_mp.exp, z)
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return _each(_FUNCTIONS[layer.activation], z)

    def slope(self, number: int) -> Array:
        """sigma'(z^l) of layer `number`, from 1 (not of a softmax)."""
        layer, z, a = self.network.layers[number - 1], self.z[number - 1], self.a[number]
        if layer.activation == "identity":
            return np.ones(z.shape)
        if layer.activation in KINKED:
            at_zero = self.kink.get(layer.word, layer.below)
            return np.where(z > 0, 1.0, np.where(z < 0, layer.below, at_zero))
        if layer.activation == "softplus":
            return _each(_FUNCTIONS["sigmoid"], z)
        return np.asarray(a * (1 - a) if layer.activation == "sigmoid" else 1 - a * a)

    @functools.cached_property
    def deltas(self) -> list[Array]:
        """delta^1 ... delta^L, the gradients of C by z^l."""
        last = len(self.network.layers)
        found = [self.a[-1] - self.target]  # cross-entropy: sigma' cancels
        if self.network.cost == "quadratic":
            found[0] = found[0] * self.slope(last)
        for number in range(last - 1, 0, -1):
            found.insert(0, self.handed_back(number, found[0]) * self.slope(number))
        return found

    def handed_back(self, number: int, delta: Array) -> Array:
        """dC/da^l, from delta^{l+1}."""
        return self._layer(number + 1, delta).dx

    @functools.cached_property
    def gradients(self) -> list[tuple[Array, Array | None]]:
        """(dw, db) of every layer."""
        layers = [self._layer(number, delta) for number, delta in enumerate(self.deltas, start=1)]
        return [(layer.dw, layer.db) for layer in layers]

    def _layer(self, number: int, delta: Array) -> Layer:
        g = self.network.layers[number - 1].geometry
        w, b = self.params[number - 1]
        return Layer(g, self.a[number - 1], w, b, delta, number=self._number)

    @functools.cached_property
    def costs(self) -> Array:
        """The cost of every element of the last a: C is their sum."""
        a, t = self.a[-1], self.target
        if self.network.cost == "quadratic":
            return np.asarray((a - t) * (a - t) / 2)
        if self.network.activations[-1] == "softmax":
            return np.where(t == 0, _mp.mpf(0), -t * _each(_mp.log, a))
        return np.asarray(-(t * _each(_mp.log, a) + (1 - t) * _each(_mp.log, 1 - a)))

    @property
    def cost(self) -> Any:
        return self.costs.sum()


def _each(function: Callable[[Any], Any], values: Array) -> Array:
    made: Array = np.frompyfunc(function, 1, 1)(values)
    return made


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda z: 1 / (1 + _mp.exp(-z)),
    "tanh": _mp.tanh,
    "softplus": lambda z: _mp.log1p(_mp.exp(z)),
}


# ---- what may be demanded ----
@dataclass(frozen=True, kw_only=True, eq=False)
class Right:
    """One tensor's right values and how far a correct implementation may be from them (0: not at all).

    quantity: cost, delta, dw or db, of layer `layer` (0: of the network).  least: a magnitude that a wrong product changes
    it by; certain: the share of elements in which that is certain to be seen.
    """

    quantity: str
    layer: int
    exact: Floats
    bound: Floats
    least: float

    @property
    def settled(self) -> bool:
        """Is every element demanded bit for bit?"""
        return not self.bound.any()

    @property
    def certain(self) -> float:
        return float(np.mean(2 * self.bound < self.least))


class NetworkExpectation:
    """The right results of a network in a dtype and arithmetic class, each with its bound.

    kink: the implementation's sigma'(0), by activation; arithmetic: one class a quantity of a layer.
    """

    def __init__(
        self,
        network: Network,
        operands: NetworkOperands,
        *,
        dtype: DType,
        arithmetic: Mapping[str, Arithmetic],
        kink: Mapping[str, float],
    ) -> None:
        self.network, self.operands, self.dtype = network, operands, dtype
        self.right = _true(network, operands, kink)
        self.errors = Errors(self.right, operands, dtype=dtype, arithmetic=arithmetic)

    @property
    def exact(self) -> bool:
        """Is every delta and gradient demanded bit for bit, and the cost of whoever sums its terms as they are?"""
        return self.errors.exact

    @functools.cached_property
    def cost(self) -> Right:
        return self._right("cost", 0, self.right.cost, self.errors.cost, _least(self.right.costs))

    @functools.cached_property
    def deltas(self) -> list[Right]:
        """Of every layer."""
        errors = enumerate(self.errors.deltas, start=1)
        return [
            self._right("delta", n, self.right.deltas[n - 1], e, _least(self.right.deltas[n - 1]))
            for n, e in errors
        ]

    @functools.cached_property
    def gradients(self) -> list[tuple[Right, Right | None]]:
        """(dw, db) of every layer."""
        found = []
        for number, ((dw, db), (e_w, e_b)) in enumerate(
            zip(self.right.gradients, self.errors.gradients, strict=True), start=1
        ):
            least = _least(self.right.deltas[number - 1])
            least_w = least * _least(self.right.a[number - 1])
            right_b = None if db is None or e_b is None else self._right("db", number, db, e_b, least)
            found.append((self._right("dw", number, dw, e_w, least_w), right_b))
        return found

    def stepped(self, rate: float) -> list[tuple[Right, Right | None]]:
        """The parameters after one step of gradient descent, w - rate dw and b - rate db."""
        moved = []
        for (w, b), (dw, db) in zip(self.operands.params, self.gradients, strict=True):
            right_b = None if b is None or db is None else self._moved(b, db, rate)
            moved.append((self._moved(w, dw, rate), right_b))
        return moved

    def _moved(self, before: Array, gradient: Right, rate: float) -> Right:
        values = before.astype(np.float64)
        error = self.errors.moved(values, gradient.exact, gradient.bound, rate)
        least = rate * gradient.least
        return self._right(gradient.quantity[1], gradient.layer, values - rate * gradient.exact, error, least)

    def _right(self, quantity: str, layer: int, exact: Any, error: Any, least: float) -> Right:
        """The real numbers rounded to float64, which is off by less than a unit roundoff of its own."""
        values = np.asarray(exact).astype(np.float64)
        bound = np.where(error == 0, 0.0, error + 2.0**-52 * np.abs(values))
        bound = np.where(np.isnan(bound), np.inf, bound)  # of infinity times 0
        return Right(quantity=quantity, layer=layer, exact=values, bound=bound, least=least)


def _true(network: Network, operands: NetworkOperands, kink: Mapping[str, float]) -> Pass:
    """A pass in float64 if that is exact, else in many more bits."""
    if network.piecewise_linear:
        plain = Pass(network, operands, kink=kink)
        classes = dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic())
        if Errors(plain, operands, dtype=DTYPES["f64"], arithmetic=classes).exact:
            return plain
    return Pass(network, operands, kink=kink, number=object)


def _least(values: Array) -> float:
    """The smallest magnitude other than zero."""
    sizes = np.abs(values.astype(np.float64))
    return float(sizes[sizes > 0].min()) if (sizes > 0).any() else 0.0
