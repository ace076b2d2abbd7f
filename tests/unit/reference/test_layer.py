"""Layers: what `test_convolution` proves, handed through; dense layers; parameters; errors."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.reference import (
    RELU,
    ConvolutionLayer,
    Gradients,
    Parameters,
    backward_delta,
    dense_layer,
    forward,
    gradient_b,
    gradient_w,
)

RNG = np.random.default_rng(5)
GEOMETRY = {
    "stride": (2, 1),
    "padding": ((1, 2), (0, 3)),
    "dilation": (1, 2),
    "groups": 2,
    "convention": "convolution",
}


def _integers(*shape: int) -> np.ndarray:
    return RNG.integers(-4, 5, shape).astype(float)


@pytest.mark.parametrize("untied", [False, True], ids=["tied", "untied"])
def test_a_layer_is_the_convolution_of_its_geometry(untied: bool) -> None:
    a, w = _integers(2, 4, 7, 9), _integers(6, 2, 3, 2)
    out = forward(a, w, **GEOMETRY).shape[2:]
    b, delta = _integers(6, *(out if untied else ())), _integers(2, 6, *out)
    layer = ConvolutionLayer(w, b, activation=RELU, **GEOMETRY)
    np.testing.assert_array_equal(layer.forward(a), forward(a, w, b, **GEOMETRY))
    np.testing.assert_array_equal(
        layer.backward_delta(delta, a), backward_delta(delta, w, size=(7, 9), **GEOMETRY)
    )
    dw, db = layer.gradients(delta, a)
    np.testing.assert_array_equal(dw, gradient_w(a, delta, kernel=(3, 2), **GEOMETRY))
    np.testing.assert_array_equal(db, delta.sum(axis=0) if untied else gradient_b(delta))


def test_a_geometry_left_out_is_stride_and_dilation_one_without_padding() -> None:
    layer = ConvolutionLayer(_integers(2, 3, 2, 2, 2))
    assert (layer.stride, layer.padding, layer.dilation) == ((1, 1, 1), ((0, 0),) * 3, (1, 1, 1))
    assert layer.forward(_integers(1, 3, 4, 5, 6)).shape == (1, 2, 3, 4, 5)


def test_a_dense_layer_is_a_product_with_a_matrix() -> None:
    """z = W a + b, da = W^T delta, dW = delta a^T, with a as a column."""
    a, matrix, b, delta = _integers(5, 3, 2, 4), _integers(6, 24), _integers(6), _integers(5, 6)
    layer = dense_layer(matrix, b, size=(2, 4), activation=RELU)
    flat = a.reshape(5, 24)
    np.testing.assert_array_equal(layer.forward(a), (flat @ matrix.T + b)[..., None, None])
    down = layer.backward_delta(delta[..., None, None], a)
    np.testing.assert_array_equal(down, (delta @ matrix).reshape(a.shape))
    dw, db = layer.gradients(delta[..., None, None], a)
    np.testing.assert_array_equal(dw.reshape(6, 24), delta.T @ flat)
    np.testing.assert_array_equal(db, delta.sum(axis=0))
    assert layer.activation is RELU


def test_parameters_can_be_replaced_and_the_rest_stays() -> None:
    w, b = _integers(6, 2, 3, 2), _integers(6)
    layer = ConvolutionLayer(w, b, activation=RELU, **GEOMETRY)
    assert layer.parameters == Parameters(w, b)
    other = layer.with_parameters(Parameters(2 * w, 3 * b))
    np.testing.assert_array_equal(other.w, 2 * w)
    np.testing.assert_array_equal(other.b, 3 * b)
    assert (other.geometry, other.activation) == (GEOMETRY, RELU)
    assert layer.w is w


def test_a_layer_without_bias_has_no_db() -> None:
    layer = ConvolutionLayer(_integers(1, 1, 2))
    assert layer.parameters.b is None
    assert layer.gradients(_integers(1, 1, 3), _integers(1, 1, 4)).db is None


def test_a_constant_layer_learns_nothing() -> None:
    layer = ConvolutionLayer(_integers(1, 1, 2), _integers(1), constant=True)
    assert layer.parameters == Parameters(None, None)
    assert layer.gradients(_integers(1, 1, 3), _integers(1, 1, 4)) == Gradients(None, None)
    assert layer.with_parameters(Parameters()) is layer


W, B = np.zeros((4, 1, 3)), np.zeros(4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ConvolutionLayer(np.zeros((4, 3))), r"w needs axes \(M, C/G, \*K\), but has shape \(4, 3\)"),
        (
            lambda: ConvolutionLayer(np.zeros((4, 1, 3), int)),
            "w must hold floating-point numbers, but has dtype int64",
        ),
        (
            lambda: ConvolutionLayer(W, stride=(1, 2)).forward(np.zeros((1, 1, 5))),
            r"one entry everywhere: size \(5,\), kernel \(3,\), stride \(1, 2\)",
        ),
        (
            lambda: ConvolutionLayer(W, B).with_parameters(Parameters(W[:3], B)),
            r"w is float64 \(4, 1, 3\) and cannot become float64 \(3, 1, 3\)",
        ),
        (
            lambda: ConvolutionLayer(W, B).with_parameters(Parameters(W, B.astype("f4"))),
            r"b is float64 \(4,\) and cannot become float32 \(4,\)",
        ),
        (
            lambda: ConvolutionLayer(W).with_parameters(Parameters(W, B)),
            r"b is absent and cannot become float64 \(4,\)",
        ),
        (
            lambda: ConvolutionLayer(W, B, constant=True).with_parameters(Parameters(W, B)),
            r"w is absent and cannot become float64 \(4, 1, 3\)",
        ),
        (
            lambda: dense_layer(np.zeros((3, 10)), size=(2, 2)),
            r"w \(3, 10\) has not one row a map with entries for channels of size \(2, 2\)",
        ),
        (lambda: dense_layer(np.zeros((3, 10)), size=()), r"w \(3, 10\) has not .* size \(\)"),
        (lambda: dense_layer(np.zeros((3, 2, 5)), size=(5,)), r"w \(3, 2, 5\) has not"),
    ],
)
def test_errors_name_the_numbers(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
