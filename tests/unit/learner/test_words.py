from __future__ import annotations

import pytest

from conformance.learner.words import (
    is_backward,
    is_convolution,
    is_forward,
    is_other,
    meanings,
    quantity_in,
    quantity_of,
    role_of,
    stem,
)


@pytest.mark.parametrize(
    "name",
    [
        "conv_forward",
        "conv2d",
        "Conv2D",
        "ConvLayer",
        "convolve",
        "conv_forward_naive",
        "Convolutional",
        "cross_correlate",
    ],
)
def test_what_calls_itself_a_convolution(name: str) -> None:
    assert is_convolution(name)
    assert not is_other(name)


@pytest.mark.parametrize(
    "name", ["relu_forward", "max_pool_forward_naive", "im2col", "Dense", "deconv2d", "converge", "train"]
)
def test_what_is_another_layer_or_none(name: str) -> None:
    assert is_other(name) or not (is_convolution(name) or is_forward(name))


@pytest.mark.parametrize(
    "name", ["conv_backward", "backward", "backprop", "conv2dBackward", "kernel_gradient", "dx", "grad_w"]
)
def test_what_calls_itself_a_backward_pass(name: str) -> None:
    assert is_backward(name)
    assert not is_forward(name)


def test_a_pair_has_one_stem() -> None:
    assert stem("conv_forward_fast") == stem("conv_backward_fast") != stem("conv_forward")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("x", "x"), ("A_prev", "x"), ("image", "x"), ("W1", "w"), ("kernels", "w"), ("b", "b"), ("bias", "b"),
        ("dout", "delta"), ("d_L_d_out", "delta"), ("dZ", "delta"), ("grad_output", "delta"), ("stride", "stride"),
        ("padding", "pad"), ("conv_param", "options"), ("hparameters", "options"), ("cache", "cache"),
        ("kernel_size", "kernel"), ("in_channels", "channels"), ("num_filters", "maps"), ("input_shape", "x_shape"),
        ("learn_rate", "lr"),
    ],
)  # fmt: skip
def test_the_usual_names_of_parameters_say_what_they_are(name: str, first: str) -> None:
    assert meanings(name)[0] == first


def test_a_name_that_says_nothing_means_nothing() -> None:
    assert meanings("foo") == []
    assert role_of("stride") is None


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("dW", "dw"), ("grad_weights", "dw"), ("d_L_d_filters", "dw"), ("kernels_gradient", "dw"), ("weight_grad", "dw"),
        ("db", "db"), ("d_bias", "db"), ("bias_gradient", "db"), ("dX", "dx"), ("dA_prev", "dx"), ("grad_input", "dx"),
    ],
)  # fmt: skip
def test_the_usual_names_of_gradients_say_whose_they_are(name: str, quantity: str) -> None:
    assert quantity_of(name) == quantity


@pytest.mark.parametrize("name", ["data", "dim", "dout", "delta", "depth", "padded", "col", "W", "x"])
def test_other_attributes_are_no_gradients(name: str) -> None:
    assert quantity_of(name) is None


def test_a_function_may_be_named_for_its_gradient() -> None:
    assert [quantity_in(name) for name in ("input_gradient", "grad_w", "conv_backward")] == ["dx", "dw", None]
