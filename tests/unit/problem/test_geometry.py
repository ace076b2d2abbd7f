from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

from conformance.errors import GeometryError, UserError
from conformance.problem import Geometry
from conformance.problem.geometry import LARGEST
from conformance.problem.line import parsed

AXES = [
    (size, kernel, stride, lo, hi, dilation)
    for size, kernel, stride, lo, hi, dilation in itertools.product(
        range(1, 7), range(1, 4), range(1, 4), range(-2, 3), range(-1, 3), range(1, 4)
    )
    if size + lo + hi > dilation * (kernel - 1) and size > -min(lo, 0) - min(hi, 0)
]


def axis(size: int, kernel: int, stride: int, lo: int, hi: int, dilation: int) -> Geometry:
    return Geometry(
        size=(size,), kernel=(kernel,), stride=(stride,), padding=((lo, hi),), dilation=(dilation,)
    )


# ---- sizes that follow ----
def test_output_is_the_number_of_windows_that_fit() -> None:
    for numbers in AXES:
        size, kernel, stride, lo, hi, dilation = numbers
        starts = range(0, size + lo + hi, stride)
        fitting = [start for start in starts if start + (kernel - 1) * dilation < size + lo + hi]
        assert axis(*numbers).output == (len(fitting),), numbers


def test_output_is_the_formula_with_floor() -> None:
    for numbers in AXES:
        size, kernel, stride, lo, hi, dilation = numbers
        assert axis(*numbers).output == (
            math.floor((size + lo + hi - dilation * (kernel - 1) - 1) / stride) + 1,
        )


def test_remainder_is_what_lies_behind_the_last_window() -> None:
    for numbers in AXES:
        g = axis(*numbers)
        end_of_last = (g.output[0] - 1) * g.stride[0] + g.kernel_reach[0]
        assert g.remainder == (g.padded_size[0] - end_of_last,), numbers
        assert 0 <= g.remainder[0] < g.stride[0]


def test_kept_and_inner_say_where_x_stands_in_the_padded_input() -> None:
    for numbers in AXES:
        size, _, _, lo, hi, _ = numbers
        g, x = axis(*numbers), np.arange(1, size + 1)
        by_index = [x[i] if 0 <= i < size else 0 for i in range(-lo, size + hi)]
        padded = np.zeros(g.padded_size, int)
        padded[g.inner] = x[g.kept]
        assert padded.tolist() == by_index, numbers


def test_shapes_of_every_operand_and_result() -> None:
    g = Geometry(
        batch=2, channels=6, maps=9, groups=3, size=(7, 8), kernel=(3, 2), stride=(2, 1), padding=((1, 0), (0, 2)),
        dilation=(1, 3), bias="untied",
    )  # fmt: skip
    assert (g.rank, g.output, g.padded_size, g.kernel_reach) == (2, (3, 7), (8, 10), (3, 4))
    x, w, y = (2, 6, 7, 8), (9, 2, 3, 2), (2, 9, 3, 7)
    assert [g.shape_of(name) for name in ("x", "dx", "w", "dw", "y", "delta")] == [x, x, w, w, y, y]
    assert g.shape_of("b") == g.shape_of("db") == (9, 3, 7)
    assert g.products == 2 * 9 * 3 * 7 * 2 * 3 * 2


@pytest.mark.parametrize(("bias", "shape"), [("none", None), ("tied", (4,)), ("untied", (4, 3))])
def test_shape_of_the_bias(bias: str, shape: Any) -> None:
    assert Geometry(maps=4, size=(5,), kernel=(3,), bias=bias).b_shape == shape


# ---- the door ----
@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"size": 5, "kernel": 3}, {"size": (5,), "kernel": (3,)}),
        ({"size": (5, 6), "kernel": 3, "stride": 2}, {"size": (5, 6), "kernel": (3, 3), "stride": (2, 2)}),
        ({"size": [5, 6], "kernel": [3, 2]}, {"size": (5, 6), "kernel": (3, 2)}),
        ({"size": (5, 6), "kernel": 3, "padding": 1}, {"size": (5, 6), "kernel": (3, 3), "padding": ((1, 1), (1, 1))}),
        ({"size": (5, 6), "kernel": 3, "padding": (1, 2)},
         {"size": (5, 6), "kernel": (3, 3), "padding": ((1, 1), (2, 2))}),
        ({"size": (5, 6), "kernel": 3, "padding": ((1, 2),)},
         {"size": (5, 6), "kernel": (3, 3), "padding": ((1, 2), (1, 2))}),
        ({"size": np.array([5]), "kernel": np.int64(3), "batch": np.int32(2)}, {"size": (5,), "kernel": (3,), "batch": 2}),
    ],
)  # fmt: skip
def test_forms_of_one_geometry_are_equal(given: dict[str, Any], same: dict[str, Any]) -> None:
    assert Geometry(**given) == Geometry(**same)
    assert hash(Geometry(**given)) == hash(Geometry(**same))
    assert type(Geometry(**given).batch) is int
    assert all(type(n) is int for n in Geometry(**given).size)


def test_a_geometry_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Geometry(size=5, kernel=3).batch = 7  # type: ignore[misc]


IMPOSSIBLE = [
    ({"size": ()}, "a convolution here has 1, 2 or 3 spatial axes, not 0: size=()"),
    ({"size": (2, 2, 2, 2)}, "a convolution here has 1, 2 or 3 spatial axes, not 4: size=(2, 2, 2, 2)"),
    ({"size": (5, 0)}, "size on axis 1 must be at least 1, got 0"),
    ({"kernel": (0, 3)}, "kernel on axis 0 must be at least 1, got 0"),
    ({"kernel": (3, 2, 1)}, "kernel has 3 entries for 2 spatial axes: (3, 2, 1)"),
    ({"stride": (1, -2)}, "stride on axis 1 must be at least 1, got -2"),
    ({"dilation": (0, 1)}, "dilation on axis 0 must be at least 1, got 0"),
    ({"batch": -1}, "batch must be an integer of at least 0, got -1"),
    ({"channels": 0}, "channels must be an integer of at least 1, got 0"),
    ({"maps": 0}, "maps must be an integer of at least 1, got 0"),
    ({"groups": 0}, "groups must be an integer of at least 1, got 0"),
    ({"groups": 3, "channels": 6, "maps": 4}, "groups=3 does not divide maps=4"),
    ({"groups": 3, "channels": 4, "maps": 6}, "groups=3 does not divide channels=4"),
    ({"convention": "konvolution"}, "convention must be one of correlation, convolution, got 'konvolution'"),
    ({"bias": True}, "bias must be one of none, tied, untied, got True"),
    (
        {"kernel": (3, 4), "dilation": (1, 2), "padding": ((0, 0), (1, -1))},
        "the kernel does not fit on axis 1: it reaches 7 (kernel 4, dilation 2) but the input has 6 (size 6, padding 1:-1)",
    ),
    (
        {"padding": ((-3, 4), (0, 0)), "kernel": 1, "size": (3, 6)},
        "padding -3:4 on axis 0 crops all of the input of size 3",
    ),
    ({"padding": ((0, 0), (2, -6)), "kernel": 1}, "padding 2:-6 on axis 1 crops all of the input of size 6"),
    ({"padding": ((1, 2, 3), 0)}, "padding is one number or a pair (begin, end) an axis, got (1, 2, 3)"),
    (
        {"padding": ((1, 2), (1, 2), (1, 2))},
        "padding has 3 entries for 2 spatial axes: ((1, 2), (1, 2), (1, 2))",
    ),
    ({"size": (5, 6.0)}, "size must be made of integers, got (5, 6.0)"),
    ({"stride": True}, "stride must be made of integers, got True"),
    ({"padding": "same"}, "padding must be made of integers, got 'same'"),
    ({"batch": "2"}, "batch must be made of integers, got '2'"),
]


@pytest.mark.parametrize(("change", "message"), IMPOSSIBLE, ids=[message for _, message in IMPOSSIBLE])
def test_an_impossible_geometry_names_the_axis_and_the_numbers(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        Geometry(**{"size": (5, 6), "kernel": (3, 3), **change})
    assert str(caught.value) == message


def test_an_impossible_geometry_is_the_users_fault_and_a_value_error() -> None:
    with pytest.raises(GeometryError) as caught:
        Geometry(size=2, kernel=3)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.fault, caught.value.exit_code) == ("user", 2)


def test_every_geometry_is_either_possible_or_refused_never_another_error() -> None:
    for size, kernel, stride, lo, hi, dilation in itertools.product(*[range(-2, 3)] * 6):
        try:
            g = axis(size, kernel, stride, lo, hi, dilation)
        except GeometryError:
            continue
        assert g.output[0] >= 1
        assert g.kept[0].stop > g.kept[0].start


# ---- operands that fit ----
def test_check_accepts_what_fits() -> None:
    g = Geometry(batch=2, size=(5,), kernel=(3,), bias="none")
    g.check(
        x=np.ones((2, 1, 5)),
        w=np.ones((1, 1, 3)),
        b=None,
        delta=np.ones((2, 1, 3)),
        dx=np.ones((2, 1, 5)),
        db=None,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", np.ones((2, 1, 4)), "x has shape (2, 1, 4), but this geometry needs (2, 1, 5)"),
        ("w", np.ones((1, 3)), "w has shape (1, 3), but this geometry needs (1, 1, 3)"),
        ("delta", None, "delta has shape None, but this geometry needs (2, 1, 3)"),
        ("b", np.ones(1), "b has shape (1,), but this geometry needs None"),
        ("dx", [[1.0]], "dx has shape (), but this geometry needs (2, 1, 5)"),
    ],
)
def test_check_names_the_operand_and_both_shapes(name: str, value: Any, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        Geometry(batch=2, size=(5,), kernel=(3,), bias="none").check(**{name: value})
    assert str(caught.value) == message


# ---- how large a problem may be ----
LARGE = {
    "x": {"size": (2**30 + 1,), "kernel": (1,)},
    "the padded x": {"size": (2,), "kernel": (2,), "padding": (2**30,)},
    "w": {"size": (1,), "kernel": (1,), "channels": 2**20, "maps": 2**20},
    "y": {"size": (2**20,), "kernel": (1,), "maps": 2**20},
    "all windows of x": {"size": (2**20,), "kernel": (2**19,)},
}


@pytest.mark.parametrize(("name", "fields"), LARGE.items(), ids=list(LARGE))
@pytest.mark.parametrize("batch", [0, 1])
def test_what_would_take_all_memory_is_refused_before_it_is_allocated(
    name: str, fields: dict[str, Any], batch: int
) -> None:
    with pytest.raises(
        GeometryError, match=rf"too large: {name} would have \d+ elements, more than 1073741824"
    ):
        Geometry(**fields, batch=batch)


@pytest.mark.parametrize("name", ["stride", "dilation"])
def test_strides_and_dilations_fit_into_the_numbers_of_any_implementation(name: str) -> None:
    assert Geometry(size=(3,), kernel=(1,), **{name: 2**31 - 1}).output
    with pytest.raises(GeometryError, match=f"{name} on axis 0 must be at most 2147483647, got 2147483648"):
        Geometry(size=(3,), kernel=(1,), **{name: 2**31})


def test_the_limit_has_room_above_the_largest_layer_of_a_real_network() -> None:
    from conformance.engine.corpus import corpus

    layers = [n.problem.geometry for n in corpus("layers")]
    windows = max(g.batch * g.channels * math.prod((*g.output, *g.kernel)) for g in layers)
    assert 4 * windows < LARGEST


@pytest.mark.parametrize(
    "line", ["2d i999999999x999999999 k1", "net in 1x99999 | c99999 k1 | c99999 k1 | quadratic"]
)
def test_a_line_of_text_cannot_ask_for_terabytes(line: str) -> None:
    with pytest.raises(GeometryError, match="the problem is too large"):
        parsed(line)
