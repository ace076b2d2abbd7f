"""Costs: exact on integers, else against their definitions in 450 digits; extremes, errors.

The bounds, with the unit roundoff u, sigmoid's 15u and softplus' 18u of their values (`test_activation`), exp's and log's
8u, and n terms in a sum:

    sigmoid   C = sum t softplus(-a) + (1-t) softplus(a): no term is negative; 18u, 1-t: u, product: u, sum: u, then n u,
              and u for the second order.  s - t: 15u s + u |s - t|.
    softmax   Let B be the greatest |a - m|, M the maps.  a - m is off by u B, so each e^(a-m) by (B+8) u of itself, their
              sum by (B+8+M) u of itself, its logarithm L by that much, absolutely, and by 8u L; L - (a-m) by u B more, and
              by a rounding, u (L+B), and its product with t by another: each term by u t (4B + 8+M + 10L), and u t for the
              second order; the sum of all by n u C more.
              s: ((B+8) + (B+8+M) + 1) u s, and u s; s T - t, where T = sum t: M u of s T, and two roundings.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

import ml_dtypes
import numpy as np
import pytest

import decimals
from conformance.reference import COSTS, CROSS_ENTROPY_WITH_SIGMOID, CROSS_ENTROPY_WITH_SOFTMAX, QUADRATIC

U = 2.0**-53


def _a_and_t(width: float) -> tuple[np.ndarray, np.ndarray]:
    """(2, 3, 2): items, maps, positions; targets between, 0 and 1."""
    rng = np.random.default_rng(1)
    a = width * rng.uniform(-1, 1, (2, 3, 2))
    t = rng.uniform(0, 1, a.shape)
    t[0, :, 0] = (0, 1, 0)
    return a, t


def _decimals(array: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: Decimal(float(v)), otypes=[object])(array)


def _sigmoid_terms(a: np.ndarray, t: np.ndarray) -> np.ndarray:
    s = np.vectorize(decimals.sigmoid, otypes=[object])(a)
    ln = np.vectorize(Decimal.ln, otypes=[object])
    return -(t * ln(s) + (1 - t) * ln(1 - s))


def _softmax(a: np.ndarray) -> np.ndarray:
    e = np.vectorize(Decimal.exp, otypes=[object])(a)
    return e / e.sum(axis=1, keepdims=True)


def _softmax_terms(a: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -t * np.vectorize(Decimal.ln, otypes=[object])(_softmax(a))


def _gradient(terms, a: np.ndarray, t: np.ndarray) -> np.ndarray:
    """By difference quotients, one a after the other; other items and positions do not change with it."""
    gradient = np.empty(a.shape, object)
    for n, m, o in np.ndindex(*a.shape):
        here = (slice(n, n + 1), slice(None), slice(o, o + 1))

        def along(value: Decimal, here=here, m=m) -> Decimal:
            moved = a[here].copy()
            moved[0, m, 0] = value
            return terms(moved, t[here]).sum()

        gradient[n, m, o] = decimals.derivative(along, a[n, m, o])
    return gradient


def _off(got: np.ndarray | float, right: np.ndarray | Decimal) -> np.ndarray:
    return np.abs(_decimals(np.atleast_1d(got)) - right).astype(float)


WIDTHS = [1.0, 30.0, 300.0]


@pytest.mark.parametrize("width", WIDTHS)
def test_cross_entropy_with_sigmoid_is_its_definition(width: float) -> None:
    a, t = _a_and_t(width)
    with decimal.localcontext(decimals.decimal_context):
        exact_a, exact_t = _decimals(a), _decimals(t)
        cost = _sigmoid_terms(exact_a, exact_t).sum()
        gradient = _gradient(_sigmoid_terms, exact_a, exact_t)
        off_cost = _off(CROSS_ENTROPY_WITH_SIGMOID(a, t), cost)
        off_gradient = _off(CROSS_ENTROPY_WITH_SIGMOID.gradient(a, t), gradient)
    s = CROSS_ENTROPY_WITH_SIGMOID.output(a)
    assert off_cost <= (22 + a.size) * U * float(cost)
    assert np.all(off_gradient <= 15 * U * s + U * np.abs(gradient.astype(float)))


@pytest.mark.parametrize("width", WIDTHS)
def test_cross_entropy_with_softmax_is_its_definition(width: float) -> None:
    a, t = _a_and_t(width)
    maps = a.shape[1]
    with decimal.localcontext(decimals.decimal_context):
        exact_a, exact_t = _decimals(a), _decimals(t)
        cost = _softmax_terms(exact_a, exact_t).sum()
        gradient = _gradient(_softmax_terms, exact_a, exact_t)
        off_cost = _off(CROSS_ENTROPY_WITH_SOFTMAX(a, t), cost)
        off_gradient = _off(CROSS_ENTROPY_WITH_SOFTMAX.gradient(a, t), gradient)
        s = CROSS_ENTROPY_WITH_SOFTMAX.output(a)
        off_s = _off(s, _softmax(exact_a))
    spread = np.ptp(a, axis=1, keepdims=True)
    logarithm = np.log(maps)  # L is at most that
    terms = U * t * (4 * spread + 9 + maps + 10 * logarithm)
    assert off_cost <= terms.sum() + a.size * U * float(cost)
    assert np.all(off_s <= (2 * spread + 18 + maps) * U * s)
    total = t.sum(axis=1, keepdims=True)
    assert np.all(
        off_gradient <= U * ((2 * spread + 19 + 2 * maps) * s * total + np.abs(gradient.astype(float)))
    )


def test_quadratic_is_exact_on_integers() -> None:
    rng = np.random.default_rng(2)
    a, t, v = rng.integers(-9, 10, (3, 2, 3, 4)).astype(float)
    assert QUADRATIC(a, t) == sum((int(p) - int(q)) ** 2 for p, q in zip(a.flat, t.flat, strict=True)) / 2
    assert QUADRATIC(a + v, t) - QUADRATIC(a - v, t) == 2 * (QUADRATIC.gradient(a, t) * v).sum()
    np.testing.assert_array_equal(QUADRATIC.output(a), a)


def test_by_hand() -> None:
    """At a = 0, s is 1/2; a one-hot target of two maps: C = ln 2 an item and position."""
    a, t = np.zeros((1, 2, 1)), np.array([[[1.0], [0.0]]])
    np.testing.assert_array_equal(CROSS_ENTROPY_WITH_SOFTMAX.gradient(a, t), [[[-0.5], [0.5]]])
    np.testing.assert_array_equal(CROSS_ENTROPY_WITH_SIGMOID.gradient(a, t), [[[-0.5], [0.5]]])
    assert CROSS_ENTROPY_WITH_SOFTMAX(a, t) == np.log(2)
    assert CROSS_ENTROPY_WITH_SIGMOID(a, t) == 2 * np.log1p(1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "cost", [CROSS_ENTROPY_WITH_SIGMOID, CROSS_ENTROPY_WITH_SOFTMAX], ids=lambda c: c.name
)
def test_certainty_costs_nothing_if_right_and_much_if_wrong(cost, dtype) -> None:
    """Where s rounds to 0 or 1, and its logarithm, or t/s, would not be finite."""
    a = np.array([[[1e30], [-1e30]]], dtype)
    right, wrong = np.array([[[1], [0]]], dtype), np.array([[[0], [1]]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert cost(a, right) == 0
        np.testing.assert_array_equal(cost.gradient(a, right), np.zeros_like(a), strict=True)
        assert cost(a, wrong) == 2 * float(a[0, 0, 0])
        np.testing.assert_array_equal(cost.gradient(a, wrong), right - wrong, strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", COSTS)
def test_dtype_and_shape_are_kept(name: str, dtype) -> None:
    a = np.ones((2, 3, 4)).astype(dtype)
    cost = COSTS[name]
    assert isinstance(cost(a, a), float)
    for result in (cost.gradient(a, a), cost.output(a)):
        assert (result.shape, result.dtype) == (a.shape, a.dtype)


@pytest.mark.parametrize("name", COSTS)
def test_a_batch_is_the_sum_of_its_items_and_none_costs_nothing(name: str) -> None:
    cost = COSTS[name]
    a, t = np.zeros((5, 2, 1)), np.ones((5, 2, 1))
    assert cost(a[:4], t[:4]) == 4 * cost(a[:1], t[:1]) > 0
    assert cost(a[:0], t[:0]) == 0


@pytest.mark.parametrize(
    ("cost", "target", "words"),
    [
        (QUADRATIC, np.zeros((2, 3)), r"target has shape \(2, 3\), but a\^L has \(2, 3, 1\)"),
        (QUADRATIC, np.zeros((2, 3, 1), "f4"), r"target has dtype float32, but a\^L has float64"),
        (CROSS_ENTROPY_WITH_SIGMOID, np.full((2, 3, 1), -0.5), r"lies in \[0, 1\], but one is -0.5"),
        (CROSS_ENTROPY_WITH_SOFTMAX, np.full((2, 3, 1), 7.0), r"lies in \[0, 1\], but one is 7.0"),
        (CROSS_ENTROPY_WITH_SOFTMAX, np.full((2, 3, 1), np.nan), r"lies in \[0, 1\], but one is nan"),
    ],
)
def test_a_wrong_target_is_named(cost, target, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cost(np.zeros((2, 3, 1)), target)
