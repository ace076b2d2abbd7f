"""The right results of networks against a derivation that never goes backwards: differences of the cost.

The forward pass is plain loops over index sums, in exact fractions (straight pieces) or in numbers of 60 digits (smooth
ones).  A delta, or a gradient, is what the cost gains when one weighted input, or one parameter, is moved a little.  Of
straight pieces the cost is a parabola in any one of them as long as no kink is crossed: the central difference is its
derivative, and all must agree exactly.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conformance.adapter.networks import Networks
from conformance.engine.strategies import EVERYTHING, networks
from conformance.oracle import Arithmetic
from conformance.oracle.network import NetworkExpectation
from conformance.problem import Geometry
from conformance.problem.network import NetworkProblem

CLASSES = dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic())
STEP = Fraction(1, 2**30)
LARGEST = 150
"""Multiplications of a forward pass: each element of each result costs two of them."""

Place = tuple[str, int, tuple[int, ...]]

FUNCTIONS: dict[str, Callable[[Any, float], Any]] = {
    "identity": lambda z, _: z,
    "relu": lambda z, _: max(z, 0),
    "leaky": lambda z, slope: z if z > 0 else z * Fraction(slope),
    "sigmoid": lambda z, _: 1 / (1 + mpmath.exp(-z)),
    "tanh": lambda z, _: mpmath.tanh(z),
    "softplus": lambda z, _: mpmath.log(1 + mpmath.exp(z)),
}


def indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, shape))


def taps(g: Geometry, o: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(tap as it stands in w, position of x) that an output position reads inside x."""
    for t in indices(g.kernel):
        i = tuple(
            p * s + k * d - lo
            for p, s, k, d, (lo, _) in zip(o, g.stride, t, g.dilation, g.padding, strict=True)
        )
        if all(0 <= at < n for at, n in zip(i, g.size, strict=True)):
            turned = tuple(n - 1 - k for n, k in zip(g.kernel, t, strict=True))
            yield (turned if g.convention == "convolution" else t), i


class Forward:
    """The cost of a problem, with one number moved, and the signs of all z on the way."""

    def __init__(self, problem: NetworkProblem, number: Callable[[Any], Any]) -> None:
        self.net, self.number = problem.network, number
        self.values = {
            ("x", 0): problem.operands.x,
            ("t", 0): problem.operands.target,
            **{("w", k): w for k, (w, _) in enumerate(problem.operands.params, start=1)},
            **{("b", k): b for k, (_, b) in enumerate(problem.operands.params, start=1) if b is not None},
        }

    def cost(self, moved: Place | None = None, by: Any = 0) -> Any:
        def get(name: str, layer: int, at: tuple[int, ...]) -> Any:
            value = self.number(float(self.values[name, layer][at]))
            return value + by if moved == (name, layer, at) else value

        self.signs = []
        a = {at: get("x", 0, at) for at in indices(self.net.x_shape)}
        for k, layer in enumerate(self.net.layers, start=1):
            g, z = layer.geometry, {}
            per_group = (g.channels // g.groups, g.maps // g.groups)
            for n, m, *o in indices(g.y_shape):
                z[n, m, *o] = self.number(0)
                if g.bias != "none":
                    z[n, m, *o] += get("b", k, (m,) if g.bias == "tied" else (m, *o))
                for c, (t, i) in itertools.product(range(per_group[0]), taps(g, tuple(o))):
                    channel = m // per_group[1] * per_group[0] + c
                    z[n, m, *o] += get("w", k, (m, c, *t)) * a[n, channel, *i]
                if moved == ("z", k, (n, m, *o)):
                    z[n, m, *o] += by
            self.signs.append([(v > 0) - (v < 0) for v in z.values()])
            a = (
                self.softmax(z)
                if layer.activation == "softmax"
                else {at: FUNCTIONS[layer.activation](v, layer.slope) for at, v in z.items()}
            )
        return sum(self.term(v, get("t", 0, at)) for at, v in a.items())

    @staticmethod
    def softmax(z: dict[Any, Any]) -> dict[Any, Any]:
        sums: dict[Any, Any] = {}
        for (n, _, *o), v in z.items():
            sums[n, *o] = sums.get((n, *o), 0) + mpmath.exp(v)
        return {(n, m, *o): mpmath.exp(v) / sums[n, *o] for (n, m, *o), v in z.items()}

    def term(self, a: Any, t: Any) -> Any:
        if self.net.cost == "quadratic":
            return (a - t) ** 2 / 2
        if self.net.activations[-1] == "softmax":
            return -t * mpmath.log(a)
        return -(t * mpmath.log(a) + (1 - t) * mpmath.log(1 - a))


def results(problem: NetworkProblem, expected: NetworkExpectation) -> Iterator[tuple[Place, Any]]:
    """Every delta and gradient that runs judge by."""
    right = expected.right
    for k, (delta, (dw, db)) in enumerate(zip(right.deltas, right.gradients, strict=True), start=1):
        for name, values in (("z", delta), ("w", dw), ("b", db)):
            if values is not None:
                yield from (((name, k, at), values[at]) for at in indices(values.shape))


def expectation(problem: NetworkProblem) -> NetworkExpectation:
    return NetworkExpectation(
        problem.network, problem.operands, dtype=problem.format, arithmetic=CLASSES, kink={}
    )


def check_exactly(problem: NetworkProblem) -> int:
    """How many elements agree exactly; those at a kink are left out."""
    forward, expected = Forward(problem, Fraction), expectation(problem)
    assert Fraction(float(expected.cost.exact)) == forward.cost()
    here, agreeing = forward.signs, 0
    for place, value in results(problem, expected):
        ends = []
        for by in (STEP, -STEP):
            ends.append(forward.cost(place, by))
            if forward.signs != here:
                break
        else:
            assert (ends[0] - ends[1]) / (2 * STEP) == Fraction(float(value)), place
            agreeing += 1
    return agreeing


LINES = [
    "net n2 in 2x4x3 | c3 k2x3 relu | c2 k3x1 identity | quadratic f64 seed=1",
    "net n2 in 2x5 | c3 k2 leaky | c2 k3 leaky=0.5 | c2 k2 relu | quadratic f64 seed=2",
    "net n1 in 2x5x4 | c4 g2 k2x3 s2x1 conv relu | c2 k2 conv bias=untied identity | quadratic f64 seed=3",
    "net n2 in 1x4x3 | c2 k2x3 p1:0x0:2 d2x1 bias=none leaky | c3 k3x1 identity | quadratic f64 seed=4",
    "net n1 in 1x3x4x3 | c2 k2x1x3 relu | c2 k2 p0x0x1 identity | quadratic f64 seed=5",
    "net n2 in 1x4x3 | c2 k2 relu | c2 k2 relu | quadratic f64 fill=kinks seed=6",
]


@pytest.mark.parametrize("line", LINES)
def test_straight_pieces_agree_exactly_with_differences_of_the_cost(line: str) -> None:
    assert check_exactly(NetworkProblem.parse(line)) > 20


STRAIGHT = Networks(activations=frozenset({"identity", "relu", "leaky"}))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_drawn_ones_agree_exactly(data: st.DataObject) -> None:
    able = dataclasses.replace(EVERYTHING, network=STRAIGHT)
    problem = data.draw(networks(able))
    assume(problem.products <= LARGEST and problem.fill != "real")
    check_exactly(problem)


SMOOTH = [
    "net n2 in 2x4 | c2 k2 sigmoid | c2 k3 sigmoid | quadratic f64 seed=1",
    "net n1 in 2x4x3 | c2 k2 tanh | c3 k2x1 softplus | quadratic f64 seed=2",
    "net n2 in 2x4 | c3 k2 tanh | c2 k2 sigmoid | cross-entropy f64 seed=3",
    "net n2 in 2x4 | c2 k2 softplus | c3 k2 softmax | cross-entropy f64 seed=4",
    "net n2 in 2x4 | c2 k2 conv relu | c3 k2 softmax | cross-entropy f32 seed=5",
    "net n1 in 2x5 | c2 k2 leaky | c3 k2 tanh | c2 k2 identity | quadratic f32 seed=6",
]


@pytest.mark.parametrize("line", SMOOTH)
def test_smooth_ones_agree_to_thirty_digits(line: str) -> None:
    problem = NetworkProblem.parse(line)
    expected = expectation(problem)
    with mpmath.workdps(60):
        forward, h = Forward(problem, mpmath.mpf), mpmath.mpf(10) ** -18
        assert abs(forward.cost() - expected.right.cost) < mpmath.mpf(10) ** -38 * forward.cost()
        for place, value in results(problem, expected):
            slope = (forward.cost(place, h) - forward.cost(place, -h)) / (2 * h)
            assert abs(slope - value) < mpmath.mpf(10) ** -30 * (1 + abs(slope)), place


def test_a_gradient_that_is_off_by_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = NetworkProblem.parse(LINES[0])
    expected = expectation(problem)
    expected.right.gradients[0][0][-1, -1, -1, -1] += 1
    monkeypatch.setitem(globals(), "expectation", lambda _: expected)
    with pytest.raises(AssertionError, match="w"):
        check_exactly(problem)
