"""Gradient descent: a step against the gradient, plain or with momentum.

    plain       w -> w - eta dC/dw
    momentum    v -> mu v - eta dC/dw,  w -> w + v          v starts at 0; mu = 0 is plain

b likewise.  eta is the rate, mu the momentum.  Networks are values: a step returns another one.

Source: M. Nielsen, "Neural Networks and Deep Learning", chapters 1 and 3, to which the seed keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from conformance.reference.layer import Gradients, Parameters
from conformance.reference.network import Network

__all__ = ["Momentum", "descend"]

Array = NDArray[Any]


def descend(network: Network, gradients: Sequence[Gradients], *, rate: float) -> Network:
    """The network after one plain step."""
    _check_rate(rate)
    _check_gradients(network, gradients)
    moved = _each(lambda w, dw: w - _as(dw, rate) * dw, network.parameters, gradients)
    return network.with_parameters(moved)


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Descent that keeps some of its speed.

    A step is given the velocity of the step before, none in the first, and returns its own beside the network.
    """

    rate: float
    momentum: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum lies in [0, 1), got {self.momentum}")

    def step(
        self, network: Network, gradients: Sequence[Gradients], velocity: Sequence[Parameters] | None = None
    ) -> tuple[Network, list[Parameters]]:
        """The network after one step, and the velocity of that step."""
        _check_gradients(network, gradients)
        eta, mu = self.rate, self.momentum
        if velocity is None:
            velocity = _each(lambda dw: -_as(dw, eta) * dw, gradients)
        else:
            velocity = _each(lambda v, dw: _as(v, mu) * v - _as(dw, eta) * dw, velocity, gradients)
        moved = _each(lambda w, v: w + v, network.parameters, velocity)
        return network.with_parameters(moved), velocity


def _each(rule: Callable[..., Array], *layered: Sequence[Parameters | Gradients]) -> list[Parameters]:
    """The rule on w (and v, dw) and on b (and v, db) of every layer; what a layer has not stays absent."""
    return [
        Parameters(*(None if entries[0] is None else rule(*entries) for entries in zip(*pairs, strict=True)))
        for pairs in zip(*layered, strict=True)
    ]


def _as(array: Array, number: float) -> Any:
    """A number of the array's dtype, which their product keeps."""
    return array.dtype.type(number)


def _check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"the rate must be positive and finite, got {rate}")


def _check_gradients(network: Network, gradients: Sequence[Gradients]) -> None:
    """Each as its parameter: NumPy would stretch one of another shape, and move where nothing should."""
    if len(gradients) != len(network.layers):
        raise ValueError(
            f"{len(network.layers)} layers need as many pairs of gradients, got {len(gradients)}"
        )
    for number, pairs in enumerate(zip(network.parameters, gradients, strict=True)):
        for parameter, gradient in zip(*pairs, strict=True):
            needed, given = (None if part is None else part.shape for part in (parameter, gradient))
            if needed != given:
                raise ValueError(f"layers[{number}] needs a gradient of shape {needed}, got {given}")
