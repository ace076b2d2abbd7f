"""Pooling, exactly: block means, maxima by plain loops, ties, NaN, differences, errors."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.reference import Gradients, MaxPoolingLayer, Parameters, mean_pooling_layer

RNG = np.random.default_rng(6)


def _distinct(*shape: int) -> np.ndarray:
    """Every integer once, four apart, in random order: maxima are unique, and stay where they are if moved by 1."""
    return 4.0 * RNG.permutation(int(np.prod(shape))).reshape(shape)


# ---- mean ----
def test_mean_pooling_is_the_mean_of_blocks_and_shares_the_error() -> None:
    layer = mean_pooling_layer(3, (2, 4))
    a, delta = _distinct(2, 3, 6, 8), 8 * RNG.integers(-4, 5, (2, 3, 3, 2)).astype(float)
    np.testing.assert_array_equal(layer.forward(a), a.reshape(2, 3, 3, 2, 2, 4).mean(axis=(3, 5)))
    shared = np.repeat(np.repeat(delta, 2, axis=2), 4, axis=3) / 8
    np.testing.assert_array_equal(layer.backward_delta(delta, a), shared)
    assert layer.parameters == Parameters(None, None)
    assert layer.gradients(delta, a) == Gradients(None, None)


def test_mean_pooling_with_a_stride_of_its_own_and_a_remainder() -> None:
    layer = mean_pooling_layer(1, (2,), stride=(3,))
    a = np.array([[[1.0, 3, 100, 5, 9, 100]]])
    np.testing.assert_array_equal(layer.forward(a), [[[2, 7]]])
    da = layer.backward_delta(np.array([[[2.0, 4.0]]]), a)
    np.testing.assert_array_equal(da, [[[1, 1, 0, 2, 2, 0]]])


def test_mean_pooling_in_float32_stays_there() -> None:
    assert mean_pooling_layer(1, (2,), dtype=np.float32).forward(np.ones((1, 1, 4), "f4")).dtype == np.float32


# ---- max ----
CASES = [
    ((9,), (3,), ()),
    ((9,), (3,), (2,)),
    ((7, 8), (2, 3), ()),
    ((7, 8), (3, 2), (2, 1)),
    ((7, 8), (2, 2), (3, 4)),
    ((4, 5, 6), (2, 3, 2), (1, 2, 3)),
]


def _windows(a: np.ndarray, layer: MaxPoolingLayer):
    """(n, c, o), and the index of each entry of its window, in C order."""
    out = [(i - k) // s + 1 for i, k, s in zip(a.shape[2:], layer.size, layer.stride, strict=True)]
    for n, c, *o in np.ndindex(*a.shape[:2], *out):
        starts = [at * s for at, s in zip(o, layer.stride, strict=True)]
        entries = [(n, c, *np.add(starts, t)) for t in np.ndindex(*layer.size)]
        yield (n, c, *o), [tuple(map(int, entry)) for entry in entries]


@pytest.mark.parametrize(("size", "window", "stride"), CASES)
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_max_pooling_by_plain_loops(size, window, stride, ties: bool) -> None:
    layer = MaxPoolingLayer(size=window, stride=stride)
    a = RNG.integers(0, 3, (2, 3, *size)).astype(float) if ties else _distinct(2, 3, *size)
    z = layer.forward(a)
    delta = RNG.integers(-4, 5, z.shape).astype(float)
    right_z, right_da = np.full(z.shape, np.nan), np.zeros(a.shape)
    for o, entries in _windows(a, layer):
        first = max(entries, key=lambda entry: a[entry])  # max takes the first of several
        right_z[o] = a[first]
        right_da[first] += delta[o]
    np.testing.assert_array_equal(z, right_z)
    np.testing.assert_array_equal(layer.backward_delta(delta, a), right_da)


def test_a_difference_of_max_pooling_is_its_derivative_exactly() -> None:
    """<f(a+v) - f(a), delta> = <da, v>, where v is too small to make another entry the greatest."""
    layer = MaxPoolingLayer(size=(3, 2), stride=(2, 1))
    a, v = _distinct(2, 3, 7, 8), RNG.integers(-1, 2, (2, 3, 7, 8)).astype(float)
    delta = RNG.integers(-4, 5, (2, 3, 3, 7)).astype(float)
    difference = layer.forward(a + v) - layer.forward(a)
    assert (difference * delta).sum() == (layer.backward_delta(delta, a) * v).sum() != 0


def test_a_nan_is_the_greatest_and_gets_the_error() -> None:
    layer = MaxPoolingLayer(size=(3,))
    a = np.array([[[1.0, np.nan, 9.0, 5.0, 6.0, 4.0]]])
    np.testing.assert_array_equal(layer.forward(a), [[[np.nan, 6]]])
    np.testing.assert_array_equal(layer.backward_delta(np.array([[[2.0, 3.0]]]), a), [[[0, 2, 0, 0, 3, 0]]])


def test_an_infinite_error_spoils_no_other() -> None:
    layer = MaxPoolingLayer(size=(2,))
    da = layer.backward_delta(np.array([[[np.inf, 3.0]]]), np.array([[[1.0, 2.0, 4.0, 3.0]]]))
    np.testing.assert_array_equal(da, [[[0, np.inf, 3, 0]]])


def test_max_pooling_learns_nothing_and_writes_only_its_own() -> None:
    layer = MaxPoolingLayer(size=[1])
    a, delta = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0]]])
    for result in (layer.forward(a), layer.backward_delta(delta, a)):
        result[:] = -1
    np.testing.assert_array_equal((a, delta), [[[[1, 2]]], [[[3, 4]]]])
    assert layer.gradients(delta, a) == Gradients(None, None)
    assert layer.with_parameters(Parameters()) is layer


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_max_pooling_keeps_the_dtype(dtype: str) -> None:
    layer, a = MaxPoolingLayer(size=(2,)), np.ones((1, 1, 4), dtype)
    assert layer.forward(a).dtype == layer.backward_delta(a[..., :2], a).dtype == dtype


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_pooling_layer(0, (2,)), r"pooling needs channels and a window, got 0 of \(2,\)"),
        (lambda: mean_pooling_layer(2, (2, 0)), r"pooling needs channels and a window, got 2 of \(2, 0\)"),
        (lambda: mean_pooling_layer(2, ()), r"pooling needs channels and a window, got 2 of \(\)"),
        (
            lambda: mean_pooling_layer(2, (2,)).forward(np.zeros((1, 3, 4))),
            "x has 3 channels, but w reads 1 in each of 2 groups",
        ),
        (
            lambda: MaxPoolingLayer(size=(5,)).forward(np.zeros((1, 1, 4))),
            "kernel 5 with dilation 1 does not fit an input of 4",
        ),
        (
            lambda: MaxPoolingLayer(size=(2,)).forward(np.zeros((1, 1, 4, 4))),
            r"one entry everywhere: size \(4, 4\), kernel \(2,\)",
        ),
        (
            lambda: MaxPoolingLayer(size=(2,), stride=(0,)).forward(np.zeros((1, 1, 4))),
            r"stride \(0,\) .* must be at least 1",
        ),
        (
            lambda: MaxPoolingLayer(size=(2,)).backward_delta(np.zeros((1, 1, 3)), np.zeros((1, 1, 4))),
            r"delta has shape \(1, 1, 3\), but z has \(1, 1, 2\)",
        ),
        (
            lambda: MaxPoolingLayer(size=(2,)).with_parameters(Parameters(None, np.zeros(3))),
            r"max pooling has no b, but was given one of shape \(3,\)",
        ),
    ],
)
def test_errors_name_the_numbers(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
