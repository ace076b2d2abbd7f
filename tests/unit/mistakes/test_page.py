"""Arrays on a page: what elements are called, which matrices are shown, and where they are cut."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conformance.mistakes.page import (
    MOST_BLOCKS,
    MOST_LINES,
    WIDTH,
    Names,
    apart,
    beside,
    matrices,
    matrix,
    shown,
)
from conformance.problem import Geometry

PLAIN = Names(g=Geometry(size=(4, 4), kernel=(2, 2)))
RICH = Names(g=Geometry(batch=2, channels=4, maps=2, groups=2, size=(3, 4), kernel=(2, 2), bias="untied"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1 / 3, "0.333333333"),
        (2.0**40, "1.09951163e+12"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_a_number_has_nine_digits_at_most(value: float, text: str) -> None:
    assert shown(value) == text


def test_numbers_that_look_alike_are_told_apart() -> None:
    assert apart(0.1, 0.2) == "0.1"
    assert apart(1 + 2.0**-40, 1.0) == repr(1 + 2.0**-40)


@pytest.mark.parametrize(
    ("names", "array", "index", "text"),
    [
        (PLAIN, "dx", (0, 0, 1, 2), "dx[1,2]"),
        (PLAIN, "w", (0, 0, 1, 0), "w[1,0]"),
        (PLAIN, "db", (0,), "db"),
        (PLAIN, "delta'", (0, 0, 1, 2), "delta'[1,2]"),
        (RICH, "x", (1, 3, 2, 0), "x[1,3,2,0]"),
        (RICH, "w", (1, 0, 0, 1), "w[1,0,0,1]"),
        (RICH, "db", (1, 2, 2), "db[1,2,2]"),
        (RICH, "b'", (1, 0, 2, 2), "b'[1,0,2,2]"),
    ],
)
def test_indices_of_what_there_is_but_one_of_are_left_out(
    names: Names, array: str, index: tuple[int, ...], text: str
) -> None:
    assert names.element(array, index) == text


def test_a_spatial_axis_of_length_one_keeps_its_index() -> None:
    assert Names(g=Geometry(size=(1, 3), kernel=(1, 2))).element("dx", (0, 0, 0, 2)) == "dx[0,2]"


def test_the_legend_says_which_index_is_which_and_what_a_prime_is() -> None:
    assert PLAIN.legend(["b", "delta'", "dx"]) == (
        "Indices count from 0: b, delta'[row, column], dx[row, column]; delta' is what was used for delta."
    )
    assert RICH.legend(["x"]) == "Indices count from 0: x[item, channel, row, column]."


def test_a_matrix_has_its_leading_indices_above_it_and_stars_where_it_is_wrong() -> None:
    values = np.arange(8.0).reshape(2, 1, 2, 2) - 3
    marked = np.zeros(values.shape, bool)
    marked[1, 0, 1, 0] = True
    names = Names(g=Geometry(batch=2, size=(2, 2), kernel=(1, 1)))
    assert matrices(names, "dx", values, marked=marked) == [
        ["dx[0]", "  -3  -2", "  -1   0"],
        ["dx[1]", "  1  2", "  3* 4"],
    ]
    assert matrices(names, "dx", values, marked=marked, stars=False)[1] == ["dx[1]", "  1  2", "  3  4"]


def test_arrays_of_every_rank_are_matrices_of_their_last_axes() -> None:
    line = Names(g=Geometry(channels=2, size=(3,), kernel=(1,)))
    assert matrices(line, "x", np.arange(6.0).reshape(1, 2, 3)) == [
        ["x[0]", "  0  1  2"],
        ["x[1]", "  3  4  5"],
    ]
    room = Names(g=Geometry(size=(2, 1, 2), kernel=(1, 1, 1)))
    assert matrices(room, "x", np.arange(4.0).reshape(1, 1, 2, 1, 2)) == [
        ["x[0]", "  0  1"],
        ["x[1]", "  2  3"],
    ]
    assert matrices(RICH, "b", np.arange(2.0)) == [["b", "  0  1"]]


def test_of_many_matrices_those_that_matter_are_shown_and_the_rest_is_counted() -> None:
    names = Names(g=Geometry(batch=20, size=(1, 1), kernel=(1, 1)))
    values, marked = np.arange(20.0).reshape(20, 1, 1, 1), np.zeros((20, 1, 1, 1), bool)
    marked[17] = True
    shown_ = [block[0] for block in matrices(names, "dx", values, marked=marked, focus=[(12, 0, 0, 0)])]
    assert len(shown_) == MOST_BLOCKS + 1
    assert {"dx[12]", "dx[17]"} <= set(shown_)
    assert shown_[-1] == f"and {20 - MOST_BLOCKS} more"


@pytest.mark.parametrize("place", [0, 20, 39])
def test_a_matrix_that_is_too_large_is_cut_to_what_is_in_focus(place: int) -> None:
    names = Names(g=Geometry(size=(1, 40), kernel=(1, 1)))
    (block,) = matrices(names, "dx", np.arange(40.0).reshape(1, 1, 1, 40), focus=[(0, 0, 0, place)])
    title, row = block
    numbers = [int(text) for text in row.split()]
    assert place in numbers
    assert len(numbers) == MOST_LINES
    assert title == f"dx (columns {numbers[0]}-{numbers[-1]} of 40)"


def test_a_matrix_of_long_numbers_is_cut_to_the_width_of_a_page() -> None:
    names = Names(g=Geometry(size=(1, 16), kernel=(1, 1)))
    (block,) = matrices(names, "dx", np.arange(16.0).reshape(1, 1, 1, 16) / 7, focus=[(0, 0, 0, 9)])
    title, row = block
    assert len(row) <= WIDTH
    assert shown(9 / 7) in row.split()
    first, last = (int(n) for n in title.partition("columns ")[2].partition(" of")[0].split("-"))
    assert last - first + 1 == len(row.split()) == 7


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1), (2, 0)])
def test_whatever_came_back_is_a_matrix(shape: tuple[int, ...]) -> None:
    title, *rows = matrix("got", np.ones(shape))
    assert title == "got"
    assert " ".join(rows).split() == ["1"] * math.prod(shape)


def test_blocks_stand_beside_one_another_as_far_as_a_line_goes() -> None:
    assert beside([["a", "1"], ["b"]]) == ["a    b", "1"]
    wide = ["x" * (WIDTH // 2)]
    assert beside([wide, wide]) == [*wide, "", *wide]
