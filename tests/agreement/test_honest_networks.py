"""Right networks raise no alarm, in whatever order they sum and by whatever formula they compute.

All arithmetic is that of the dtype, element by element; what varies is the order of sums, and how activations, derivatives,
costs and their gradients are written.  Every clause of chapter NET has to accept every one of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conformance import Adapter, Arithmetic, Geometry
from conformance.adapter.session import Session
from conformance.engine.networks import network_corpus
from conformance.engine.runner import judge_network
from conformance.engine.strategies import EVERY_NETWORK, EVERYTHING, networks
from conformance.problem.network import NetworkLayer, NetworkProblem
from conformance.spec import Severity, matching

CLAUSES = [c for c in matching("NET-*") if c.severity is Severity.MUST]
Sum = Callable[[list[Any]], Any]


def forwards(terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def backwards(terms: list[Any]) -> Any:
    return forwards(terms[::-1])


def pairwise(terms: list[Any]) -> Any:
    return (
        terms[0]
        if len(terms) == 1
        else pairwise(terms[: len(terms) // 2]) + pairwise(terms[len(terms) // 2 :])
    )


SUMS: dict[str, Sum] = {"forwards": forwards, "backwards": backwards, "pairwise": pairwise}


def positions(g: Geometry) -> Iterator[tuple[Any, Any, Any]]:
    """(tap in w, slice of the padded x, ...) of every tap."""
    for t in itertools.product(*map(range, g.kernel)):
        spans = zip(t, g.dilation, g.stride, g.output, strict=True)
        read = tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, s, o in spans)
        yield (
            (
                tuple(n - 1 - k for n, k in zip(g.kernel, t, strict=True))
                if g.convention == "convolution"
                else t
            ),
            read,
            t,
        )


class Honest(Adapter):
    """Loops over taps and channels in the dtype itself.

    formulas: ``by z``: sigma' from z, cost from logits; ``by a``: sigma' from a, cost by norms, logarithms, quotients of a.
    """

    capabilities = dataclasses.replace(
        EVERYTHING, dtypes=frozenset({"f64", "f32"}), network=EVERY_NETWORK, arithmetic=Arithmetic()
    )

    def __init__(self, summed: Sum, formulas: str) -> None:
        super().__init__()
        self.sum, self.by_a = summed, formulas == "by a"

    # ---- one layer ----
    def padded(self, g: Geometry, x: Any) -> Any:
        out = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
        out[(..., *g.inner)] = x[(..., *g.kept)]
        return out

    def z(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        x, (inner, outer) = self.padded(g, x), (g.channels // g.groups, g.maps // g.groups)
        y = np.zeros(g.y_shape, x.dtype)
        for m in range(g.maps):
            terms = [] if b is None else [np.broadcast_to(b[m], (g.batch, *g.output))]
            for (t, read, _), c in itertools.product(positions(g), range(inner)):
                terms.append(w[(m, c, *t)] * x[(slice(None), m // outer * inner + c, *read)])
            y[:, m] = self.sum(terms)
        return y

    def dx(self, g: Geometry, w: Any, delta: Any) -> Any:
        inner, outer = g.channels // g.groups, g.maps // g.groups
        out = np.zeros((g.batch, g.channels, *g.padded_size), w.dtype)
        for c in range(g.channels):
            terms = []
            for (t, read, _), m in itertools.product(positions(g), range(outer)):
                term = np.zeros((g.batch, *g.padded_size), w.dtype)
                maps = c // inner * outer + m
                term[(slice(None), *read)] = w[(maps, c % inner, *t)] * delta[:, maps]
                terms.append(term)
            out[:, c] = self.sum(terms)
        full = np.zeros(g.x_shape, w.dtype)
        full[(..., *g.kept)] = out[(..., *g.inner)]
        return full

    def dw(self, g: Geometry, x: Any, delta: Any) -> Any:
        x, (inner, outer) = self.padded(g, x), (g.channels // g.groups, g.maps // g.groups)
        out = np.zeros(g.w_shape, x.dtype)
        for (t, read, _), m, c in itertools.product(positions(g), range(g.maps), range(inner)):
            products = x[(slice(None), m // outer * inner + c, *read)] * delta[:, m]
            out[(m, c, *t)] = self.sum(list(products.ravel()))
        return out

    def db(self, g: Geometry, delta: Any) -> Any:
        if g.bias == "untied":
            return self.sum(list(delta))
        return np.array([self.sum(list(delta[:, m].ravel())) for m in range(g.maps)])

    # ---- activations ----
    def a(self, layer: NetworkLayer, z: Any) -> Any:
        one = z.dtype.type(1)
        if layer.activation == "softmax":
            powers = np.exp(z)
            if self.by_a:
                return powers / self.sum([powers[:, m : m + 1] for m in range(z.shape[1])])
            logs = z - np.log(self.sum([powers[:, m : m + 1] for m in range(z.shape[1])]))
            return np.exp(logs)
        return {
            "identity": lambda: z,
            "relu": lambda: np.maximum(z, 0),
            "leaky": lambda: np.where(z > 0, z, z * z.dtype.type(layer.slope)),
            "sigmoid": lambda: one / (one + np.exp(-z)) if self.by_a else (1 + np.tanh(z / 2)) / 2,
            "tanh": lambda: np.tanh(z) if self.by_a else (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
            "softplus": lambda: np.log(one + np.exp(z)) if self.by_a else np.logaddexp(z, z.dtype.type(0)),
        }[layer.activation]()

    def slope(self, layer: NetworkLayer, z: Any, a: Any) -> Any:
        one = z.dtype.type(1)
        return {
            "identity": lambda: np.ones_like(z),
            "relu": lambda: (z > 0).astype(z.dtype),
            "leaky": lambda: np.where(z > 0, one, z.dtype.type(layer.slope)),
            "sigmoid": lambda: a * (one - a) if self.by_a else np.exp(-z) / (one + np.exp(-z)) ** 2,
            "tanh": lambda: one - a * a if self.by_a else one / np.cosh(z) ** 2,
            "softplus": lambda: one - np.exp(-a) if self.by_a else one / (one + np.exp(-z)),
        }[layer.activation]()

    # ---- the whole ----
    def network(self, net: Any, x: Any, target: Any, params: Any) -> Any:
        activations, zs = [x], []
        for layer, (w, b) in zip(net.layers, params, strict=True):
            zs.append(self.z(layer.geometry, activations[-1], w, b))
            activations.append(self.a(layer, zs[-1]))
        cost, delta = self.end(net, zs[-1], activations[-1], target)
        deltas, gradients = [delta], []
        for k in range(len(net.layers) - 1, -1, -1):
            g, (w, b) = net.layers[k].geometry, params[k]
            gradients.insert(
                0, (self.dw(g, activations[k], deltas[0]), None if b is None else self.db(g, deltas[0]))
            )
            if k:
                slope = self.slope(net.layers[k - 1], zs[k - 1], activations[k])
                deltas.insert(0, self.dx(g, w, deltas[0]) * slope)
        return cost, deltas, gradients

    def end(self, net: Any, z: Any, a: Any, t: Any) -> Any:
        last = net.layers[-1]
        if net.cost == "quadratic":
            squares = [list(item.ravel()) for item in (a - t) ** 2]
            cost = self.sum([v / 2 for item in squares for v in item])
            if self.by_a:  # 0.5 ||a - t||^2
                cost = self.sum([np.sqrt(self.sum(item)) ** 2 / 2 for item in squares])
            return cost, (a - t) * self.slope(last, z, a)
        one = z.dtype.type(1)
        if last.activation == "sigmoid":
            if self.by_a:
                terms = -(t * np.log(a) + (one - t) * np.log(one - a))
                return self.sum(list(terms.ravel())), (-t / a + (one - t) / (one - a)) * self.slope(
                    last, z, a
                )
            terms = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
            return self.sum(list(terms.ravel())), a - t
        if self.by_a:
            gradient = -t / a
            inner = self.sum([gradient[:, m : m + 1] * a[:, m : m + 1] for m in range(a.shape[1])])
            return self.sum(list((-t * np.log(a)).ravel())), a * (gradient - inner)
        logs = z - np.log(self.sum([np.exp(z[:, m : m + 1]) for m in range(z.shape[1])]))
        return self.sum(list((-t * logs).ravel())), a - t

    def step(self, net: Any, x: Any, target: Any, params: Any, rate: float) -> Any:
        eta = x.dtype.type(rate)
        _, _, gradients = self.network(net, x, target, params)
        return [
            (w - eta * dw, None if b is None else b - eta * db)
            for (w, b), (dw, db) in zip(params, gradients, strict=True)
        ]


WAYS = [(s, f) for s in SUMS for f in ("by z", "by a")]


def alarms(problem: NetworkProblem, summed: str, formulas: str) -> list[Any]:
    session = Session(Honest(SUMS[summed], formulas), "honest")
    return [j for j in judge_network(session, problem, "", CLAUSES) if j.status.failed]


@pytest.mark.parametrize("named", network_corpus(), ids=lambda n: n.id)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_no_alarm_on_the_corpus(named: Any, dtype: str) -> None:
    problem = named.problem.replace(dtype=dtype)
    number = [n.id for n in network_corpus()].index(named.id)
    for summed, formulas in (WAYS[number % len(WAYS)], WAYS[(number + 3) % len(WAYS)]):
        assert alarms(problem, summed, formulas) == []


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_alarm_on_drawn_ones(data: st.DataObject) -> None:
    problem = data.draw(networks(Honest.capabilities))
    assume(problem.products <= 3000)
    assert alarms(problem, *data.draw(st.sampled_from(WAYS))) == []
