from __future__ import annotations

import numpy as np
import pytest

from conformance.learner.forms import LAYOUTS, OWN, given, named, reduced, sizes_in, taken
from conformance.problem import Geometry

G = Geometry(batch=2, channels=3, maps=5, size=(6, 7), kernel=(4, 2))


@pytest.mark.parametrize(("x", "w"), LAYOUTS)
def test_what_is_given_in_a_form_is_taken_back_from_it(x: str, w: str) -> None:
    g = reduced(G, x, w)
    for own, form, shape in ((OWN["x"], x, g.x_shape), (OWN["w"], w, g.w_shape)):
        a = np.arange(np.prod(shape)).reshape(shape)
        there = given(a, own, form)
        assert there.shape == sizes_in(shape, own, form)
        assert np.array_equal(taken(there, own, form), a)
        assert np.shares_memory(there, a)  # what is written to it must be seen


def test_axes_stand_where_the_form_says() -> None:
    a = np.arange(2 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    assert given(a, "NCHW", "NHWC")[1, 4, 5, 2] == a[1, 2, 4, 5]
    assert given(a[:1, :1], "NCHW", "HW")[4, 5] == a[0, 0, 4, 5]


@pytest.mark.parametrize(
    ("form", "shape"), [("C", (5,)), ("C1", (5, 1)), ("111C", (1, 1, 1, 5)), ("1C11", (1, 5, 1, 1))]
)
def test_a_bias_may_have_axes_that_mean_nothing(form: str, shape: tuple[int, ...]) -> None:
    b = np.arange(5)
    assert given(b, "C", form).shape == shape
    assert taken(given(b, "C", form), "C", form).tolist() == b.tolist()


def test_a_bias_of_one_map_may_be_a_number() -> None:
    assert np.ndim(given(np.array([7.0]), "C", "")) == 0
    assert taken(np.asarray(7.0), "C", "").tolist() == [7.0]


def test_a_result_with_other_axes_is_left_as_it_is() -> None:
    assert taken(np.zeros((2, 3)), "NCHW", "NHWC").shape == (2, 3)
    assert taken(np.zeros((5, 2)), "C", "C1").shape == (5, 2)


def test_a_geometry_is_reduced_to_what_the_forms_have() -> None:
    g = reduced(G, "HW", "HW")
    assert (g.batch, g.channels, g.maps, g.size) == (1, 1, 1, (6, 7))
    assert reduced(G, "NHWC", "HWIO") == G
    assert reduced(G, "HW", "OHW").maps == 5


def test_forms_are_told_with_the_letters_of_the_specification() -> None:
    assert named("x", "NHWC") == "(N, H, W, C)"
    assert named("w", "HWIO") == "(KH, KW, C, M)"
    assert named("y", "HWC") == "(OH, OW, M)"
    assert named("b", "C") == "(M,)"
    assert named("b", "") == "a number"
