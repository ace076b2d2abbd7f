"""Pictures: every shade, one scale, rows, errors."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.reference import pictures


def test_each_sixth_of_the_scale_has_its_shade() -> None:
    assert pictures([np.array([[-3.0, -2, -1, 0, 1, 2, 3]])]) == "|#=- .oO|\n'#' -3 to 'O' 3"


def test_all_are_on_the_scale_of_the_greatest() -> None:
    assert pictures([np.array([[1.0]]), np.array([[-0.2]]), np.array([[0.4]])]) == "|O|-|.|\n'#' -1 to 'O' 1"


def test_more_than_fit_in_a_row_start_another() -> None:
    planes = [np.full((2, 1), sign) for sign in (1.0, -1.0, 1.0)]
    assert pictures(planes, in_a_row=2) == "|O|#|\n|O|#|\n\n|O|\n|O|\n'#' -1 to 'O' 1"


def test_zeros_have_a_picture() -> None:
    assert pictures([np.zeros((1, 3))]) == "|   |\n'#' -0 to 'O' 0"


@pytest.mark.parametrize(
    ("planes", "words"),
    [
        ([], r"pictures need matrices of one shape, got \[\]"),
        ([np.zeros(3)], r"pictures need matrices of one shape, got \[\(3,\)\]"),
        ([np.zeros((2, 3)), np.zeros((1, 3))], r"got \[\(1, 3\), \(2, 3\)\]"),
        ([np.zeros((0, 3))], r"got \[\(0, 3\)\]"),
        ([np.array([[np.inf]])], "there is no scale for a greatest element of inf"),
        ([np.array([[np.nan, 1]])], "there is no scale for a greatest element of nan"),
    ],
)
def test_what_cannot_be_drawn_is_named(planes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pictures(planes)
