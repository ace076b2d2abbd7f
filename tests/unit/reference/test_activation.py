"""Activations: exact where they are piecewise linear, else against their definitions in 450 digits; extremes, errors.

The bounds: u is the unit roundoff.  NumPy's own tests (test_umath_accuracy) allow its exp, log1p and tanh 4 units in the
last place, at most 8u of the value.  With e = e^-|z|, of relative error 8u, and 1 + e, of 8u e/(1+e) + u <= 5u:

    sigmoid     1/(1+e) or e/(1+e)     8u + 5u + u (division)                           = 14u
    sigmoid'    e/(1+e)^2              8u + 2 * 5u + u (square) + u                     = 20u
    tanh'       4 q/(1+q)^2, q = e^2   q: 17u, 1+q: 8.5u + u;   17u + 2 * 9.5u + u + u  = 38u
    softplus    max(z,0) + ln(1+e)     ln(1+e) takes e's 8u over at most, has its own 8u, then u = 17u

and one u for all terms of second order.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

import ml_dtypes
import numpy as np
import pytest

import decimals
from conformance.reference import ACTIVATIONS, RELU, SIGMOID, SOFTPLUS, TANH, leaky_relu

IDENTITY, LEAKY = ACTIVATIONS["identity"], leaky_relu(0.25)
WIDEST = {"float64": 700.0, "float32": 80.0}
"""Where e^-|z| is a normal number, so that relative errors are what they should be."""


def _points(dtype: str, width: float) -> np.ndarray:
    some = np.random.default_rng(0).uniform(-1, 1, 12)
    points = np.concatenate((some, 5 * some, width * some, [0, 1e-9, -1e-9, width, -width]))
    return points.astype(dtype)


def _exactly(f: decimals.Function, z: np.ndarray) -> list[Decimal]:
    with decimal.localcontext(decimals.decimal_context):
        return [f(Decimal(float(at))) for at in z]


def _roundings(got: np.ndarray, right: list[Decimal]) -> float:
    """The greatest relative error, in u."""
    assert got.shape == (len(right),)
    with decimal.localcontext(decimals.decimal_context):
        errors = [abs(Decimal(float(g)) - r) / abs(r) for g, r in zip(got, right, strict=True) if r]
        assert all(g == 0 for g, r in zip(got, right, strict=True) if not r)
        return float(max(errors)) / (float(np.finfo(got.dtype).eps) / 2)


SMOOTH = [
    (SIGMOID, decimals.sigmoid, 15, 21),
    (TANH, decimals.tanh, 9, 39),
    (SOFTPLUS, decimals.softplus, 18, 15),
]


@pytest.mark.parametrize("dtype", WIDEST)
@pytest.mark.parametrize(
    ("activation", "definition", "bound", "slopes"), SMOOTH, ids=lambda a: getattr(a, "name", "")
)
def test_smooth_activations_are_their_definitions(activation, definition, bound, slopes, dtype) -> None:
    z = _points(dtype, WIDEST[dtype])
    assert _roundings(activation(z), _exactly(definition, z)) <= bound
    z = z if activation is not TANH else _points(dtype, WIDEST[dtype] / 2)  # for e^-2|z|
    quotients = _exactly(lambda at: decimals.derivative(definition, at), z)
    assert _roundings(activation.derivative(z), quotients) <= slopes


def test_the_bounds_see_a_formula_that_cancels() -> None:
    z = _points("float64", 700.0)
    quotients = _exactly(lambda at: decimals.derivative(decimals.sigmoid, at), z)
    assert _roundings(SIGMOID(z) * (1 - SIGMOID(z)), quotients) > 10**6


Z = np.array([-8.0, -1.0, -0.0, 0.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("activation", "values", "slopes"),
    [
        (IDENTITY, Z, [1, 1, 1, 1, 1, 1]),
        (RELU, [0, 0, 0, 0, 0.5, 3], [0, 0, 0, 0, 1, 1]),
        (LEAKY, [-2, -0.25, 0, 0, 0.5, 3], [0.25, 0.25, 0.25, 0.25, 1, 1]),
    ],
    ids=lambda a: getattr(a, "name", ""),
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
def test_piecewise_linear_activations_are_exact(activation, values, slopes, dtype) -> None:
    """At the kink the slope is that from the left."""
    z = Z.astype(dtype)
    np.testing.assert_array_equal(activation(z), np.array(values, dtype), strict=True)
    np.testing.assert_array_equal(activation.derivative(z), np.array(slopes, dtype), strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "values", "slopes"),
    [  # at -inf, the most negative, the most positive, inf; m: the greatest finite number
        ("relu", (0, 0, "m", np.inf), (0, 0, 1, 1)),
        ("sigmoid", (0, 0, 1, 1), (0, 0, 0, 0)),
        ("tanh", (-1, -1, 1, 1), (0, 0, 0, 0)),
        ("softplus", (0, 0, "m", np.inf), (0, 0, 1, 1)),
    ],
)
def test_nothing_overflows(name, values, slopes, dtype) -> None:
    most = np.finfo(dtype).max
    z = np.array([-np.inf, -most, most, np.inf], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got, slope = ACTIVATIONS[name](z), ACTIVATIONS[name].derivative(z)
    np.testing.assert_array_equal(
        got, np.array([most if v == "m" else v for v in values], dtype), strict=True
    )
    np.testing.assert_array_equal(slope, np.array(slopes, dtype), strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_shape_and_dtype_are_kept_and_nan_stays(name: str, dtype) -> None:
    z = np.full((2, 3, 4), np.nan).astype(dtype)
    with np.errstate(invalid="ignore"):  # bfloat16 warns of a NaN that is compared
        a, slope = ACTIVATIONS[name](z), ACTIVATIONS[name].derivative(z)
    assert (a.shape, a.dtype, slope.shape, slope.dtype) == (z.shape, z.dtype, z.shape, z.dtype)
    assert np.isnan(a.astype(float)).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_z_is_left_as_it_was(name: str) -> None:
    z = Z.copy()
    ACTIVATIONS[name](z)
    ACTIVATIONS[name].derivative(z)
    np.testing.assert_array_equal(z, Z)


def test_each_has_the_name_it_is_found_by() -> None:
    assert [a.name for a in ACTIVATIONS.values()] == [
        "leaky_relu(0.01)" if name == "leaky_relu" else name for name in ACTIVATIONS
    ]


@pytest.mark.parametrize("slope", [-0.5, 1.0, float("nan")])
def test_a_leaky_relu_needs_a_slope_below_one(slope: float) -> None:
    with pytest.raises(ValueError, match=rf"the slope of a leaky relu lies in \[0, 1\), got {slope}"):
        leaky_relu(slope)
