"""Networks as lines of text, what they refuse, and their operands."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from conformance.engine.strategies import networks
from conformance.errors import GeometryError, NotationError
from conformance.oracle.network import Pass
from conformance.problem import Geometry, Problem
from conformance.problem.line import parsed
from conformance.problem.network import Network, NetworkLayer, NetworkProblem

LINE = "net n2 in 3x9x8 | c4 k3x2 s2 p1 relu | c2 k2 identity | quadratic f64 seed=3"


# ---- both ways ----
@settings(max_examples=150)
@given(networks())
def test_a_line_gives_the_problem_back(problem: NetworkProblem) -> None:
    assert NetworkProblem.parse(str(problem)) == problem
    assert str(NetworkProblem.parse(str(problem))) == str(problem)
    assert parsed(str(problem)) == problem


def test_a_line_says_what_it_means() -> None:
    net = NetworkProblem.parse(LINE).network
    first, second = net.layers
    assert first.geometry == Geometry(
        batch=2, channels=3, maps=4, size=(9, 8), kernel=(3, 2), stride=(2,), padding=((1, 1),)
    )
    assert second.geometry == Geometry(batch=2, channels=4, maps=2, size=(5, 5), kernel=(2, 2))
    assert net.activations == ("relu", "identity")
    assert net.target_shape == (2, 2, 4, 4)
    assert net.piecewise_linear


def test_what_is_usual_may_be_left_out() -> None:
    short = NetworkProblem.parse("net in 1x5 | k2 | k2 leaky | quadratic")
    assert str(short) == "net n1 in 1x5 | c1 k2 identity | c1 k2 leaky | quadratic f64"
    assert (short.fill, short.dtype, short.seed) == ("small", "f64", 0)
    assert NetworkProblem.parse("net in 1x5 | k2 tanh | quadratic").fill == "real"
    assert NetworkProblem.parse("net in 1x5 | k2 leaky=0.5 | quadratic").network.layers[0].slope == 0.5


def test_a_layer_is_still_a_layer() -> None:
    assert isinstance(parsed("1d i5 k2"), Problem)


# ---- refusals ----
@pytest.mark.parametrize(
    ("line", "says", "column"),
    [
        ("net in 1x5", "a network has an input, layers and a cost", 10),
        ("in 1x5 | k2 | quadratic", "begins with the word net", 0),
        ("net n2 | k2 | quadratic", "the input is missing", 0),
        ("net in 1x5 | c2 relu | quadratic", "layer 1 has no kernel", 12),
        ("net in 1x5 | k2 k3 | quadratic", "kernel is given twice", 16),
        ("net in 1x5 | k2 relu tanh | quadratic", "activation is given twice", 21),
        ("net in 1x5 | k2 f32 | quadratic", "'f32' does not belong to a layer", 16),
        ("net k2 in 1x5 | k2 | quadratic", "'k2' does not belong to the input", 4),
        ("net in 1x5 | k2 | quadratic k2", "'k2' does not belong to the end", 28),
        ("net in 1x5 | k2 swish | quadratic", "'swish': s takes a number an axis", 17),
        ("net in 1x5 | k2 | cubic", "'cubic': c takes one number", 19),
        ("net in 1x5 | k2 relu=2 | quadratic", "leaky alone takes a number", 16),
        ("net in 1x5 | k2 leaky=x | quadratic", "leaky alone takes a number", 16),
        ("net in 1x5 | k2 | quadratic fill=wide", "fill= takes one of small, kinks, unit, real", 33),
    ],
)
def test_a_line_that_does_not_parse_points_at_the_place(line: str, says: str, column: int) -> None:
    with pytest.raises(NotationError) as caught:
        NetworkProblem.parse(line)
    assert says in caught.value.reason
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("net in 1x5 | k6 | quadratic", "the kernel does not fit on axis 0"),
        ("net in 1x5 | k3 | k4 | quadratic", "the kernel does not fit on axis 0"),
        ("net n0 in 1x5 | k2 | quadratic", "at least one item"),
        ("net in 1x5 | k2 softmax | k2 | quadratic", "softmax stands in the last layer alone"),
        ("net in 1x5 | k2 softmax | quadratic", "quadratic follows identity or relu"),
        ("net in 1x5 | k2 relu | cross-entropy", "cross-entropy follows sigmoid or softmax"),
        ("net in 1x5 | k2 tanh | quadratic fill=small", "the fill of this network must be one of real"),
        ("net in 1x5 | k2 | quadratic f16", "drawn in f64 and f32, not in f16"),
        ("net in 1x5 | k2 leaky=0.3 | quadratic", "a power of two, from 1/256 to 1/2, got 0.3"),
        ("net in 1x5 | k2 leaky=1 | quadratic", "a power of two"),
        ("net in 1x9 | " + "k2 | " * 6 + "quadratic", "1 to 5 layers, got 6"),
    ],
)
def test_an_impossible_network_says_why(line: str, says: str) -> None:
    with pytest.raises(GeometryError, match=says):
        NetworkProblem.parse(line)


def test_layers_have_to_fit_each_other() -> None:
    a = NetworkLayer(geometry=Geometry(size=(5,), kernel=(2,), maps=3))
    b = NetworkLayer(geometry=Geometry(size=(4,), kernel=(2,), channels=2))
    with pytest.raises(GeometryError, match="layer 2 does not read what layer 1 gives"):
        Network(layers=(a, b))


# ---- operands ----
def test_operands_follow_from_the_line_bit_for_bit() -> None:
    o = NetworkProblem.parse("net in 1x3 | k2 relu | quadratic seed=1").operands
    told = {name: a.tolist() for name, a in o.arrays().items()}
    assert told == {"x": [[[3, 1, -1]]], "target": [[[-1, 2]]], "w1": [[[1, -3]]], "b1": [-1.5]}


@given(networks())
@settings(max_examples=100)
def test_operands_have_their_shapes_dtype_and_range(problem: NetworkProblem) -> None:
    o, net = problem.operands, problem.network
    assert o.x.shape == net.x_shape
    assert o.target.shape == net.target_shape
    for (w, b), layer in zip(o.params, net.layers, strict=True):
        assert w.shape == layer.geometry.w_shape
        assert (None if b is None else b.shape) == layer.geometry.b_shape
    for a in o.arrays().values():
        assert a.dtype == problem.format.numpy
        assert not a.flags.writeable
        assert np.abs(a.astype(np.float64)).max() < 4
    if problem.fill == "real":
        assert np.abs(o.x).min() >= 0.5
        fan_in = math.prod(net.layers[0].geometry.w_shape[1:])
        assert 0.3 < np.abs(o.params[0][0]).max() * math.sqrt(fan_in) < 1.5
    else:
        assert np.all(o.x == np.rint(o.x))
        assert np.all(o.x)


def test_targets_are_what_the_cost_takes() -> None:
    sigmoid = NetworkProblem.parse("net n2 in 1x9 | c3 k2 sigmoid | cross-entropy").operands.target
    assert 0.25 <= sigmoid.min() < sigmoid.max() < 0.75
    softmax = NetworkProblem.parse("net n2 in 1x9 | c3 k2 softmax | cross-entropy").operands.target
    assert set(np.unique(softmax)) == {0.0, 1.0}
    assert np.all(softmax.sum(axis=1) == 1)
    assert len({tuple(map(tuple, item)) for item in softmax.argmax(axis=1).reshape(2, 8, 1).tolist()}) == 2


@given(networks())
@settings(max_examples=100)
def test_small_ones_with_biases_keep_away_from_kinks(problem: NetworkProblem) -> None:
    biased = all(layer.geometry.bias != "none" for layer in problem.network.layers)
    if problem.fill == "small" and biased:
        assert all(np.all(z != 0) for z in Pass(problem.network, problem.operands, kink={}).z)
