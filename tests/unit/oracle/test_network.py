"""What is demanded of a network: bits where nothing rounds, a bound elsewhere, nothing where nothing can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic
from conformance.oracle.network import NetworkExpectation, Pass
from conformance.oracle.network_errors import FUNCTION, Errors, unit
from conformance.problem import DTYPES
from conformance.problem.network import NetworkProblem

PLAIN = dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic())


def expected(line: str, *, kink: dict[str, float] | None = None, **classes: Any) -> NetworkExpectation:
    p = NetworkProblem.parse(line)
    return NetworkExpectation(
        p.network, p.operands, dtype=p.format, arithmetic={**PLAIN, **classes}, kink=kink or {}
    )


@pytest.mark.parametrize(
    ("values", "right"),
    [([3.0, -5.0], 1.0), ([6.0, 4.0], 2.0), ([0.75, 2.0], 0.25), ([0.0], np.inf), ([2.0**-1074], 2.0**-1074)],
)
def test_unit_is_the_largest_power_of_two_that_divides_all(values: list[float], right: float) -> None:
    assert unit(np.array(values)) == right


def test_full_mantissas_have_a_tiny_unit() -> None:
    assert unit(np.array([1 - 2.0**-53])) == 2.0**-53


# ---- exact ----
STRAIGHT = "net n2 in 2x7x6 | c3 k2x3 leaky | c4 k3x2 relu | quadratic"


def test_straight_pieces_on_small_numbers_are_exact() -> None:
    e = expected(STRAIGHT)
    assert e.exact
    assert all(r.settled and r.certain == 1.0 for r in e.deltas)
    assert (e.errors.cost_exact, e.cost.certain) == (True, 1.0)
    assert float(e.cost.bound) < 1e-13 * float(e.cost.exact)  # of a norm that is squared
    assert e.right.z[0].dtype == np.float64  # what float64 computed was enough


def test_what_a_dtype_does_not_hold_is_judged_by_a_bound() -> None:
    e = expected(STRAIGHT + " f32")
    assert not e.exact
    assert e.deltas[0].settled  # small
    assert 0 < float(e.cost.bound) < 1e-5 * float(e.cost.exact)  # large


def test_a_narrow_accumulator_is_not_asked_for_bits_it_does_not_keep() -> None:
    narrow = dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic(accumulator="f16"))
    assert not expected(STRAIGHT, **narrow).exact


def test_sums_by_transforms_are_not_judged() -> None:
    e = expected(STRAIGHT, y=Arithmetic(algorithm="fft"))
    assert np.all(np.isinf(e.deltas[0].bound))
    assert e.deltas[0].certain == 0


@pytest.mark.parametrize("fill", ["real", "small"])
def test_float64_and_many_bits_agree(fill: str) -> None:
    p = NetworkProblem.parse(f"net n2 in 2x7 | c3 k2 leaky | c4 k3 relu | quadratic fill={fill}")
    plain, wide = (Pass(p.network, p.operands, kink={}, number=n) for n in (np.float64, object))
    for a, b in zip(plain.deltas, wide.deltas, strict=True):
        near = np.abs(a - b.astype(np.float64)) <= (0 if fill == "small" else 1e-14)
        assert near.all()


# ---- kinks ----
KINKS = "net n2 in 2x8x6 | c3 k2x3 leaky | c4 k3x2 relu | quadratic fill=kinks seed=20"


def test_at_a_kink_the_slope_is_the_one_that_is_given() -> None:
    p = NetworkProblem.parse(KINKS)
    at_zero = [Pass(p.network, p.operands, kink={"leaky": k}).slope(1) for k in (0.25, 0.5, 1.0)]
    zeros = Pass(p.network, p.operands, kink={}).z[0] == 0
    assert zeros.any()
    for slope, right in zip(at_zero, (0.25, 0.5, 1.0), strict=True):
        assert np.all(slope[zeros] == right)


def test_at_a_kink_that_is_not_known_either_side_is_right() -> None:
    e = expected(KINKS)
    zeros = e.right.z[0] == 0
    assert np.all(e.deltas[0].bound[zeros] > 0)
    assert expected(KINKS, kink={"leaky": 0.25, "relu": 0.0}).exact


def test_near_a_kink_either_side_is_right() -> None:
    """z is 0 in exact numbers, and what float32 makes of three thirds."""
    p = NetworkProblem.parse("net in 1x3 | k3 bias=none relu | quadratic f32 fill=real")
    o = p.operands.replace(
        x=np.array([[[0.1, 0.2, -0.3]]], np.float32), params=((np.ones((1, 1, 3), np.float32), None),)
    )
    e = NetworkExpectation(p.network, o, dtype=DTYPES["f32"], arithmetic=PLAIN, kink={})
    target = abs(float(o.target[0, 0, 0]))
    assert float(e.deltas[0].bound[0, 0, 0]) >= target * 0.99


# ---- bounds ----
SMOOTH = "net n2 in 2x7x6 | c3 k3x2 {} | c4 k2x3 {} | {} {} seed=5"
ENDS = [
    ("tanh", "sigmoid", "quadratic"),
    ("sigmoid", "sigmoid", "cross-entropy"),
    ("softplus", "softmax", "cross-entropy"),
]


@pytest.mark.parametrize("ends", ENDS, ids=" ".join)
@pytest.mark.parametrize(("dtype", "most"), [("f64", 1e-11), ("f32", 6e-3)])
def test_bounds_of_smooth_ones_are_above_zero_and_small(
    ends: tuple[str, str, str], dtype: str, most: float
) -> None:
    e = expected(SMOOTH.format(*ends, dtype))
    for right in (
        *e.deltas,
        *(dw for dw, _ in e.gradients),
        *(db for _, db in e.gradients if db is not None),
    ):
        assert np.all(right.bound > 0)
        assert right.bound.max() < most * np.abs(right.exact).max()
        assert right.certain > 0 or dtype == "f32"


def test_beyond_their_range_nothing_is_demanded_of_smooth_functions() -> None:
    p = NetworkProblem.parse("net in 1x3 | k2 softplus | k2 relu | quadratic fill=real")
    o = p.operands.replace(x=p.operands.x * 1000)
    e = NetworkExpectation(p.network, o, dtype=DTYPES["f64"], arithmetic=PLAIN, kink={})
    assert np.all(np.isinf(e.deltas[0].bound))
    assert np.isinf(e.cost.bound)
    assert not any(np.isnan(r.bound).any() for r in (e.cost, *e.deltas, *(dw for dw, _ in e.gradients)))


def test_a_sigmoid_that_should_say_no_has_a_bound_that_1_less_a_keeps() -> None:
    """Where a is small, 1 - a loses most of it: its logarithm is off by much more than its own roundings."""
    p = NetworkProblem.parse("net in 1x1 | k1 bias=none sigmoid | cross-entropy f32")
    one = np.ones((1, 1, 1), np.float32)
    for z in np.linspace(-9, -3, 61).astype(np.float32):
        o = p.operands.replace(x=z * one, target=0 * one, params=((one, None),))
        e = NetworkExpectation(p.network, o, dtype=DTYPES["f32"], arithmetic=PLAIN, kink={})
        a = 1 / (1 + np.exp(-o.x))
        for cost in (-np.log(1 - a), np.log1p(np.exp(o.x))):
            assert cost.dtype == np.float32
            assert abs(float(cost.item()) - float(e.cost.exact)) <= float(e.cost.bound)


@pytest.mark.parametrize("maps", [2, 9, 40])
def test_a_softmax_by_logarithms_may_use_all_that_is_assumed_of_functions_and_sums(maps: int) -> None:
    """Everything off by as much as it may be, to the same side: exponentials, their sum, its logarithm, the last one."""
    p = NetworkProblem.parse(f"net in 1x1 | c{maps} k1 bias=none softmax | cross-entropy f32")
    o = p.operands.replace(
        x=np.ones((1, 1, 1), np.float32), params=((np.zeros((maps, 1, 1), np.float32), None),)
    )
    e = NetworkExpectation(p.network, o, dtype=DTYPES["f32"], arithmetic=PLAIN, kink={})
    u = DTYPES["f32"].u
    total = maps * (1 + FUNCTION * u) * (1 + u) ** (maps - 1)
    logarithm = np.log(total) * (1 + FUNCTION * u) * (1 + u)
    a = np.exp(-logarithm) * (1 - FUNCTION * u)
    assert abs(a - 1 / maps) <= e.errors.a[-1].error.min()


def test_errors_grow_from_layer_to_layer() -> None:
    line = "net n2 in 2x9 | c3 k2 tanh | c4 k3 tanh | c2 k2 tanh | quadratic"
    p = NetworkProblem.parse(line)
    errors = Errors(expected(line).right, p.operands, dtype=DTYPES["f32"], arithmetic=PLAIN)
    assert errors.z[0].error.max() < errors.z[1].error.max() < errors.z[2].error.max()


def test_a_step_is_exact_where_nothing_rounds() -> None:
    e = expected(STRAIGHT)
    (w, b), *_ = e.stepped(0.125)
    assert w.settled
    assert b is not None
    (w0, b0), (dw, db) = e.operands.params[0], e.gradients[0]
    assert b0 is not None
    assert db is not None
    np.testing.assert_array_equal(w.exact, w0 - dw.exact / 8)
    np.testing.assert_array_equal(b.exact, b0 - db.exact / 8)
