"""A network problem put to one implementation, as the clauses of chapter NET see it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic
from conformance.oracle.network import NetworkExpectation, Pass
from conformance.problem.network import KINKED, Network, NetworkLayer, NetworkOperands, NetworkProblem
from conformance.spec.case import NotOffered, Raised, TimedOut

__all__ = ["NetworkAnswer", "NetworkCase", "NetworkQuestion"]

Array = NDArray[Any]
Pairs = tuple[tuple[Array, Array | None], ...]

SMALLEST_STEP = 12
"""Halvings of a step after which it is given up: no region so small is drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkQuestion:
    """One call: the cost, deltas and gradients of a network; or, with a `rate`, its parameters after one step."""

    network: Network
    operands: NetworkOperands
    rate: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkAnswer:
    """What came back: cost, delta^1 ... delta^L and (dw, db) a layer; of a step, the parameters alone."""

    cost: Array = field(default_factory=lambda: np.zeros(()))
    deltas: tuple[Array, ...] = ()
    gradients: Pairs = ()
    params: Pairs = ()


class NetworkCase:
    """One problem, one implementation.

    answer: computes a `NetworkQuestion`; raises as that of `Case`.  kinks: sigma'(0) of the implementation by activation, as
    far as it is known; what is asked for is added.
    """

    def __init__(
        self,
        problem: NetworkProblem,
        answer: Callable[[NetworkQuestion], NetworkAnswer],
        *,
        arithmetic: Mapping[str, Arithmetic],
        kinks: dict[str, float] | None = None,
    ) -> None:
        self.problem, self.net, self.operands = problem, problem.network, problem.operands
        self._answer, self._arithmetic = answer, arithmetic
        self._kinks = {} if kinks is None else kinks
        self._known: dict[Any, NetworkAnswer | Exception] = {}

    # ---- what is right ----
    @functools.cached_property
    def expected(self) -> NetworkExpectation:
        return self.expected_of(self.operands)

    def expected_of(self, operands: NetworkOperands) -> NetworkExpectation:
        return NetworkExpectation(
            self.net,
            operands,
            dtype=self.problem.format,
            arithmetic=self._arithmetic,
            kink=self.kinks,
        )

    @functools.cached_property
    def kinks(self) -> dict[str, float]:
        """The implementation's sigma'(0) of each activation here that has a kink, where z may be 0."""
        if self.problem.fill == "real":
            return {}
        return {layer.word: self._kink(layer) for layer in self.net.layers if layer.activation in KINKED}

    def _kink(self, layer: NetworkLayer) -> float:
        """Seen in the output error of that layer alone, with w = b = 0 and target -1: it is sigma'(0) everywhere."""
        if layer.word not in self._kinks:
            net, g, dtype = Network(layers=(layer,)), layer.geometry, self.problem.format.numpy
            b = None if g.b_shape is None else np.zeros(g.b_shape, dtype)
            operands = NetworkOperands(
                x=self._plain(g.x_shape),
                target=-self._plain(g.y_shape),
                params=((np.zeros(g.w_shape, dtype), b),),
            )
            delta = self._answer(NetworkQuestion(network=net, operands=operands)).deltas[0]
            seen = float(delta.flat[0]) if delta.size else layer.below
            self._kinks[layer.word] = seen if layer.below <= seen <= 1 else layer.below
        return self._kinks[layer.word]

    def _plain(self, shape: tuple[int, ...]) -> Array:
        return np.ones(shape, self.problem.format.numpy)

    # ---- what is answered ----
    @property
    def own(self) -> NetworkAnswer:
        """The answer to the problem itself."""
        return self._asked(None, NetworkQuestion(network=self.net, operands=self.operands))

    def stepped(self, rate: float) -> Pairs:
        """The parameters after one step."""
        return self._asked(rate, NetworkQuestion(network=self.net, operands=self.operands, rate=rate)).params

    def cost(self, operands: NetworkOperands) -> Array:
        """The cost with other parameters."""
        return self._answer(NetworkQuestion(network=self.net, operands=operands)).cost

    def _asked(self, key: Any, question: NetworkQuestion) -> NetworkAnswer:
        if key not in self._known:
            try:
                self._known[key] = self._answer(question)
            except (Raised, NotOffered, TimedOut, AdapterBroken) as refusal:
                self._known[key] = refusal
        known = self._known[key]
        if isinstance(known, Exception):
            raise known
        return known

    # ---- steps that stay where C is a parabola ----
    def moved(self, number: int, direction: tuple[Array, Array | None], t: float) -> NetworkOperands:
        """The operands with t times a direction added to the parameters of layer `number`."""
        w, b = self.operands.params[number - 1]
        v, v_b = direction
        pair = (_added(w, v, t), None if b is None or v_b is None else _added(b, v_b, t))
        return self.operands.replace(
            params=tuple(pair if k == number else own for k, own in enumerate(self.operands.params, start=1))
        )

    def within_region(self, number: int, direction: tuple[Array, Array | None]) -> float | None:
        """The largest t of 1, 1/2, 1/4, ... with which no z changes its sign at a kink, and the cost stays exact.

        Between both ends none does, then: a region without kinks is convex.  None if there is no such t.
        """
        here = self._signs(self.operands)
        for t in (2.0**-k for k in range(SMALLEST_STEP)):
            both = [self.moved(number, direction, sign * t) for sign in (1, -1)]
            if all(np.array_equal(self._signs(o), here) for o in both):
                exact = all(self.expected_of(o).errors.cost_exact for o in both)
                return t if exact else None
        return None

    def _signs(self, operands: NetworkOperands) -> Array:
        """The sign of every z that has a kink at 0."""
        z = Pass(self.net, operands, kink={}).z
        kinked = [
            np.sign(a).ravel()
            for a, layer in zip(z, self.net.layers, strict=True)
            if layer.activation in KINKED
        ]
        return np.concatenate([*kinked, np.zeros(0)])


def _added(a: Array, v: Array, t: float) -> Array:
    moved: Array = (a.astype(np.float64) + t * v).astype(a.dtype)
    return moved
