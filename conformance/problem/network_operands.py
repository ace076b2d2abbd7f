"""The numbers of a network problem: each tensor from its own random words, so that they follow from the line bit for bit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from conformance.problem.network import NetworkProblem

__all__ = ["Exact", "Real"]

Array = NDArray[Any]


def _integers(words: Array, shape: tuple[int, ...], a: int) -> Array:
    """The non-zero integers -a..-1, 1..a."""
    values = (words % np.uint64(2 * a)).astype(np.int64) - a
    values[values >= 0] += 1
    return values.astype(np.float64).reshape(shape)


class Exact:
    """Integers; and biases between the units of what they are added to."""

    def __init__(self, problem: NetworkProblem) -> None:
        self._a = 1 if problem.fill == "unit" else 3
        self._units: list[float] = []
        unit = 1.0
        for layer in problem.network.layers:
            offset = problem.fill == "small" and layer.geometry.bias != "none"
            self._units.append(unit / 2 if offset else 0.0)
            unit = (unit / 2 if offset else unit) * (layer.slope if layer.activation == "leaky" else 1.0)

    def x(self, words: Array, shape: tuple[int, ...]) -> Array:
        return _integers(words, shape, self._a)

    target = x

    def w(self, number: int, words: Array, shape: tuple[int, ...]) -> Array:
        return _integers(words, shape, self._a)

    def b(self, number: int, words: Array, shape: tuple[int, ...]) -> Array:
        return _integers(words, shape, self._a) + self._units[number]


class Real:
    """Full mantissas; w so small that z is of the order of 1; targets that the cost can take."""

    def __init__(self, problem: NetworkProblem) -> None:
        self._net, self._p = problem.network, problem.format.p

    def _mantissas(self, words: Array, shape: tuple[int, ...]) -> Array:
        """1/2 <= |a| < 1, random signs."""
        kept = (words >> np.uint64(65 - self._p)).astype(np.float64)  # p - 1 bits
        magnitude = 0.5 + np.ldexp(kept, -self._p)
        sign = np.where(words & np.uint64(1), -1.0, 1.0)
        values: Array = (sign * magnitude).reshape(shape)
        return values

    x = _mantissas

    def target(self, words: Array, shape: tuple[int, ...]) -> Array:
        drawn = self._mantissas(words, shape)
        if self._net.cost == "quadratic":
            return drawn
        if self._net.activations[-1] == "sigmoid":
            return np.asarray(np.abs(drawn) - 0.25)  # between 1/4 and 3/4
        chosen = (words.reshape(shape)[:, :1] % np.uint64(shape[1])).astype(np.int64)
        maps = np.arange(shape[1]).reshape(1, -1, *(1,) * (len(shape) - 2))
        return np.asarray(maps == chosen, np.float64)

    def w(self, number: int, words: Array, shape: tuple[int, ...]) -> Array:
        fan_in = math.prod(shape[1:])
        scaled: Array = np.ldexp(self._mantissas(words, shape), -round(math.log2(fan_in) / 2))
        return scaled

    def b(self, number: int, words: Array, shape: tuple[int, ...]) -> Array:
        return self._mantissas(words, shape) / 2
