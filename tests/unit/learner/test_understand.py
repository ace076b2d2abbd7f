"""What a layer means is found by trying: every order of axes, both conventions, every padding, whatever its names say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.learner.find import Class
from conformance.learner.forms import LAYOUTS
from conformance.learner.understand import Understood, understood
from conformance.learner.way import methods
from learners import SECONDS, layer, plain

FOUR = [(x, w) for x, w in LAYOUTS if len(x) == len(w) == 4]


def read(subject: Any) -> Understood:
    seen = understood(subject, SECONDS)
    assert seen is not None
    return seen


@pytest.mark.parametrize("convention", ["correlation", "convolution"])
@pytest.mark.parametrize(("x", "w"), LAYOUTS)
def test_every_order_of_axes_is_recognised(x: str, w: str, convention: str) -> None:
    b = "C" if "O" in w else ""
    seen = read(layer(x, w, b, convention=convention))
    assert seen.exact
    reading = seen.reading
    y = x if "C" in x or "O" not in w else x.replace("HW", "CHW")
    assert (reading.x, reading.w, reading.y, reading.b) == (x, w, y, b)
    assert reading.limits.convention == convention
    assert {q: (g.part, g.form) for q, g in reading.gradients.items()} == {
        "dx": (0, x),
        "dw": (1, w),
        "db": (2, b),
    }


@pytest.mark.parametrize("form", ["C", "C1", "1C", "1C11", "111C", "C11"])
def test_every_form_of_a_bias_is_recognised(form: str) -> None:
    assert read(layer(b_form=form)).reading.b == form


@pytest.mark.parametrize("always", ["none", "half", "same", "same, more in front", "full"])
def test_what_is_always_padded_is_recognised(always: str) -> None:
    seen = read(layer(always=always))
    assert seen.exact
    assert seen.reading.limits.always == always
    assert set(seen.reading.gradients) == {"dx", "dw", "db"}


def mean_of(*quantities: str) -> Any:
    return lambda q, a, n: a / n if q in quantities else a


@pytest.mark.parametrize(
    ("divided", "means", "uneven"),
    [
        (("dw", "db"), {"dw", "db"}, ""),
        (("dx", "dw", "db"), {"dx", "dw", "db"}, ""),
        (("dw",), set(), "dw"),
        (("db",), set(), "db"),
        (("dx",), set(), ""),
    ],
)
def test_a_mean_over_the_batch_is_a_convention_only_of_both(
    divided: tuple[str, ...], means: set[str], uneven: str
) -> None:
    seen = read(layer(grown=mean_of(*divided)))
    assert {q for q, g in seen.reading.gradients.items() if g.mean} == means
    assert seen.reading.limits.halves == bool(means)
    assert seen.uneven == uneven


def test_another_factor_of_two_is_no_mean() -> None:
    seen = read(layer(grown=lambda q, a, n: a / 2))
    assert not any(g.mean for g in seen.reading.gradients.values())


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_gradients_are_known_in_any_order(order: tuple[int, ...]) -> None:
    usual = layer()
    ahead, (_, back) = usual.function, usual.backs[0]

    def conv_backward(dout, x, w, b):
        came = back(dout, x, w, b)
        return tuple(came[k] for k in order)

    gradients = read(plain(ahead, conv_backward)).reading.gradients
    assert [order[gradients[q].part] for q in ("dx", "dw", "db")] == [0, 1, 2]


def test_gradients_that_are_wrong_are_known_by_their_shapes() -> None:
    seen = read(layer(grown=lambda q, a, n: a * 0 + 1))
    assert {q: g.part for q, g in seen.reading.gradients.items()} == {"dx": 0, "dw": 1, "db": 2}


@pytest.mark.parametrize(
    "grown",
    [
        lambda q, a, n: a[..., 1:] if q == "dx" else a,
        lambda q, a, n: a[1:] if q == "db" else a,
    ],
)
def test_a_gradient_of_a_wrong_size_is_not_taken_for_none(grown: Any) -> None:
    assert set(read(layer(grown=grown)).reading.gradients) == {"dx", "dw", "db"}


def without(*quantities: str) -> Any:
    usual = layer()
    ahead, (_, back) = usual.function, usual.backs[0]

    def conv_backward(dout, x, w, b):
        named = dict(zip(("dx", "dw", "db"), back(dout, x, w, b), strict=True))
        return tuple(a for q, a in named.items() if q not in quantities)

    return plain(ahead, conv_backward)


@pytest.mark.parametrize("lacking", [("dx",), ("db",), ("dx", "db")])
def test_a_gradient_that_does_not_come_back_is_not_offered(lacking: tuple[str, ...]) -> None:
    assert set(read(without(*lacking)).reading.gradients) == {"dx", "dw", "db"} - set(lacking)


def test_one_function_a_gradient_is_understood_and_so_is_one_that_raises() -> None:
    usual = layer()
    ahead, (_, back) = usual.function, usual.backs[0]

    def input_gradient(dout, x, w, b):
        raise KeyError("x")

    def weight_gradient(dout, x, w, b):
        return back(dout, x, w, b)[1]

    def bias_gradient(dout, x, w, b):
        return back(dout, x, w, b)[2]

    assert set(read(plain(ahead, input_gradient, weight_gradient, bias_gradient)).reading.gradients) == {
        "dx",
        "dw",
        "db",
    }


# ---- limits ----
def guarded(check: Any, *, mean: bool = False) -> Any:
    """The usual layer behind a check of (x, w, stride)."""
    usual = layer()
    ahead, (_, back) = usual.function, usual.backs[0]

    def conv_forward(x, w, b, stride=1):
        check(x, w, stride)
        return ahead(x, w, b, stride)

    def conv_backward(dout, x, w, b, stride=1):
        check(x, w, stride)
        return back(dout, x, w, b, stride)

    return plain(conv_forward, conv_backward)


def divides(x, w, stride) -> None:
    assert (x.shape[2] - w.shape[2]) % stride == 0
    assert (x.shape[3] - w.shape[3]) % stride == 0


def odd(x, w, stride) -> None:
    if w.shape[2] % 2 == 0 or w.shape[3] % 2 == 0:
        raise ValueError("kernels of odd size only")


def square_kernels(x, w, stride) -> None:
    np.zeros(w.shape[2]) + np.zeros(w.shape[3])  # breaks on others


def square_images(x, w, stride) -> None:
    assert x.shape[2] == x.shape[3]


def square_images_by_accident(x, w, stride) -> None:
    np.zeros(x.shape[2]) + np.zeros(x.shape[3])


@pytest.mark.parametrize(
    ("check", "limits"),
    [
        (divides, {"divides"}),
        (odd, {"odd_kernels"}),
        (square_kernels, {"square_kernels"}),
        (square_images, {"square_images"}),
        (square_images_by_accident, set()),
    ],
)
def test_what_is_refused_is_a_limit(check: Any, limits: set[str]) -> None:
    seen = read(guarded(check))
    assert seen.exact
    names = ("divides", "odd_kernels", "square_kernels", "square_images")
    assert {name for name in names if getattr(seen.reading.limits, name)} == limits


def test_what_takes_no_stride_is_not_asked_for_it() -> None:
    def conv_forward(x, w, b):
        return layer().function(x, w, b)

    limits = read(plain(conv_forward)).reading.limits
    assert (limits.stride, limits.pad) == (False, False)


def test_an_option_that_is_never_asked_for_is_not_taken() -> None:
    def conv_forward(x, w, b, conv_param):
        return layer().function(x, w, b, conv_param["stride"]), None

    limits = read(plain(conv_forward)).reading.limits
    assert (limits.stride, limits.pad) == (True, False)


def test_results_in_float32_are_known() -> None:
    def conv_forward(x, w, b):
        return layer().function(x, w, b).astype(np.float32)

    assert read(plain(conv_forward)).reading.dtype == "f32"


# ---- what is not right ----
def test_a_forward_pass_that_is_wrong_is_read_as_what_it_comes_nearest_to() -> None:
    def conv_forward(x, w, b):
        return 2 * layer("NHWC", "HWIO", "C").function(x, w, b)

    seen = read(plain(conv_forward))
    assert not seen.exact
    assert (seen.reading.x, seen.reading.w, seen.reading.y) == ("NHWC", "HWIO", "NHWC")


def test_a_mistake_in_the_bias_does_not_hide_the_convention() -> None:
    def conv_forward(x, w, b):
        return layer(convention="convolution").function(x, w, 2 * b)

    seen = read(plain(conv_forward))
    assert not seen.exact
    assert seen.reading.limits.convention == "convolution"


def test_what_always_raises_has_no_score() -> None:
    def conv_forward(x, w, b):
        raise RuntimeError("no")

    seen = read(plain(conv_forward))
    assert (seen.exact, seen.score) == (False, 0)
    assert isinstance(seen.error, RuntimeError)


class Conv2D:
    """The kernel lies in an attribute of the size that was asked for."""

    def __init__(self, filters, kernel_size, input_shape):
        self.W = np.ones((kernel_size, kernel_size, input_shape[-1], filters))
        self.b = np.zeros(filters)

    def forward(self, x):
        self.x = x
        return layer("NHWC", "HWIO", "C").function(x, self.W, self.b)

    def backward(self, dout):
        _, back = layer("NHWC", "HWIO", "C").backs[0]
        dx, self.dW, self.db = back(dout, self.x, self.W, self.b)
        return dx


def test_a_class_is_understood_with_where_it_keeps_things() -> None:
    there = dict(methods(Conv2D))
    subject = Class(
        name="Conv2D",
        cls=Conv2D,
        aheads=(("forward", there["forward"]),),
        backs=(("backward", there["backward"]),),
        likely=True,
    )
    reading = read(subject).reading
    assert (reading.x, reading.w, reading.b) == ("NHWC", "HWIO", "C")
    assert (reading.way.w, reading.way.b) == (("W",), ("b",))
    assert set(reading.gradients) == {"dx", "dw", "db"}
    assert reading.limits.square_kernels
