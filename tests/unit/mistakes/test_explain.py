"""The page of a fault: what users read, and that nothing on it was not computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import miniatures
from conformance.adapter.session import Session
from conformance.mistakes import explain
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.diagnose import Diagnosis, Explanation
from conformance.mistakes.explain import explained
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.page import WIDTH
from conformance.problem import Problem

UNROTATED = """\
dx-kernel-unrotated on 2d n1 c1 m1 i3x3 k2x2 bias=none f64

Indices count from 0: delta[row, column], w[kernel row, kernel column], dx[row, column].

delta       w
  -8  -4       8   2
  -8  -9      -1  -5

dx should be       got
  -64  -48   -8       40*  28*   4*
  -56  -44    2       24* -19* -23*
    8   49   45      -16* -82* -72*

dx[2,1] should be delta[1,0]*w[1,1] + delta[1,1]*w[1,0] = (-8)*(-5) + (-9)*(-1) = 49
got               delta[1,0]*w[0,0] + delta[1,1]*w[0,1] = (-8)*8    + (-9)*2    = -82"""


def page(name: str, line: str, *, known: bool = True) -> str:
    """What is told of a mistake of the catalogue; known: which one it is."""
    mistake = CATALOGUE[name]
    told = explained(
        Session(mistake.adapter(), name), Problem.parse(line), mistakes=[mistake] if known else []
    )
    assert told is not None
    return told


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_post_is_counted_on_fingers() -> None:
    mistake = CATALOGUE["dx-kernel-unrotated"]
    told = page("dx-kernel-unrotated", "2d i3x3 k2x2 bias=none")
    assert told.startswith(UNROTATED)
    assert flat(told).lower().endswith(f"{mistake.sentence}. to mend it: {mistake.hint}.".lower())


def test_of_a_right_implementation_there_is_nothing_to_tell() -> None:
    assert explained(Session(miniatures.Right(), "right"), Problem.parse("2d i3 k2"), mistakes=[]) is None


def test_what_was_done_is_found_if_nobody_says_it() -> None:
    mistake = CATALOGUE["dx-kernel-unrotated"]
    told = explained(Session(mistake.adapter(), "mine"), Problem.parse("2d i3x3 k2x2 bias=none"))
    assert told == page("dx-kernel-unrotated", "2d i3x3 k2x2 bias=none").replace(
        "dx-kernel-unrotated", "mine"
    )


def test_a_short_sentence_stands_behind_what_was_got() -> None:
    told = page("dw-negated", "1d i3 k3 bias=none")
    (got,) = [line for line in told.splitlines() if line.startswith("got ") and "=" in line]
    assert got.endswith(f": {CATALOGUE['dw-negated'].sentence}")


def test_a_large_problem_is_made_simpler_and_both_are_named() -> None:
    line = "2d n2 c4 m6 g2 i8x9 k3x2 s2x1 p1 d1x2 conv f32 fill=sparse mem=sliced seed=7"
    told = page("dx-last-window-only", line)
    first, second, *_ = told.splitlines()
    assert second == f"    made simpler from {Problem.parse(line)}"
    small = Problem.parse(first.partition(" on ")[2])
    assert (small.dtype, small.fill) == ("f32", "small")
    assert "got " in told.partition("should be delta")[2]


@pytest.mark.parametrize("line", ["1d i4 k2", "2d i3 k2", "3d i2x2x3 k1x2x2"])
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_in_every_rank_and_dtype_the_sums_lead_to_what_came_out(line: str, dtype: str) -> None:
    for quantity in ("y", "dx", "dw", "db"):
        told = page(f"{quantity}-negated", f"{line} {dtype} seed=3")
        assert f"on {Problem.parse(f'{line} {dtype} seed=3')}" in told
        assert "times -1: " in told
        assert max(map(len, told.splitlines())) <= WIDTH


def test_groups_maps_and_channels_have_their_own_matrices_and_indices() -> None:
    told = page("dx-next-group", "1d c2 m2 g2 i3 k2 bias=none")
    assert (
        "Indices count from 0: delta[map, position], w[map, kernel position], dx[channel, position]." in told
    )
    for title in ("delta[0]", "delta[1]", "w[0]", "w[1]", "dx[0] should be", "dx[1] should be"):
        assert title in told


def test_what_a_mistake_made_of_an_operand_is_shown() -> None:
    told = page("dx-y-for-delta", "1d i3 k2 bias=none")
    assert "delta' is what was used for delta." in flat(told)
    titles, values = told.split("\n\n")[2].splitlines()
    o = Problem.parse("1d i3 k2 bias=none").operands
    y = np.convolve(o.x[0, 0], o.w[0, 0, ::-1], mode="valid")
    np.testing.assert_array_equal([float(v) for v in values[titles.index("delta'") :].split()], y)


def test_two_mistakes_are_told_together() -> None:
    first, second = CATALOGUE["dw-rotated"], CATALOGUE["dw-doubled"]

    class Both(miniatures.Right):
        def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
            dx, dw, db = super().backward(g, x, w, b, delta)
            return dx, 2 * np.flip(dw, tuple(range(2, dw.ndim))), db

    told = explained(Session(Both(), "both"), Problem.parse("1d i3 k2 bias=none"), mistakes=[first, second])
    assert told is not None
    assert f"{first.sentence}; and {second.sentence}" in flat(told).replace("Dw", "dw")
    assert "times 2: " in told


# ---- not known ----
class Off(miniatures.Right):
    """The last element of dx is off by what `error` says."""

    def __init__(self, error: Any) -> None:
        super().__init__()
        self.error = error

    def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        dx[..., -2:-1] = self.error(dx[..., -2:-1], w, delta)
        return dx, dw, db


def off(error: Any, *, mistakes: Sequence[Mistake] = (), seed: int = 4) -> list[str]:
    """The last lines of the page: what should be, and what was got."""
    told = explained(
        Session(Off(error), "off"), Problem.parse(f"1d i3 k2 bias=none seed={seed}"), mistakes=mistakes
    )
    assert told is not None
    return [line for line in told.splitlines() if line.startswith(("dx[", "got  "))][-2:]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda dx, w, delta: delta[..., 1:] * w[..., :1], ", as if delta[0]*w[1] were missing"),
        (lambda dx, w, delta: dx + delta[..., :1] * w[..., 1:], ", as if delta[0]*w[1] counted twice"),
        (
            lambda dx, w, delta: dx - 2 * delta[..., 1:] * w[..., :1],
            ", as if delta[1]*w[0] had the other sign",
        ),
        (lambda dx, w, delta: dx + 1, ": 1 more than it should be"),
        (lambda dx, w, delta: dx - 1, ": 1 less than it should be"),
        (lambda dx, w, delta: dx * math.nan, " nan"),
        (lambda dx, w, delta: dx + math.inf, " inf"),
    ],
)
def test_what_is_not_known_is_told_by_how_far_it_is_off(error: Any, words: str) -> None:
    right, got = off(error)
    assert right.startswith("dx[1] should be delta[0]*w[1] + delta[1]*w[0] = ")
    assert got.endswith(words)


def test_what_two_guesses_would_explain_is_not_guessed() -> None:
    """Of -28 and 56 one with the other sign is the other one counted twice."""
    _, got = off(lambda dx, w, delta: dx - 2 * delta[..., 1:] * w[..., :1], seed=18)
    assert got.endswith("56 more than it should be")


def test_what_may_be_several_mistakes_is_told_as_perhaps_and_without_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = tuple(
        Explanation(mistakes=(CATALOGUE[name],), quantities=("dx",), certain=False)
        for name in ("dx-kernel-unrotated", "dx-delta-rotated")
    )
    monkeypatch.setattr(explain, "diagnose", lambda *asked: Diagnosis(explanations=several))
    adapter = CATALOGUE["dx-kernel-unrotated"].adapter()
    told = explained(Session(adapter, "mine"), Problem.parse("2d i3x3 k2x2 bias=none"))
    assert told is not None
    assert f"Perhaps {several[0].sentence}, or {several[1].sentence}." in flat(told)
    assert "To mend it" not in told


def test_a_factor_in_all_of_a_result_is_told_as_one() -> None:
    told = page("dw-doubled", "1d i4 k3 bias=none", known=False)
    assert "like all of dw, 2 times what it should be" in told


def test_a_mistake_that_does_not_give_what_came_back_is_not_written_out() -> None:
    _, got = off(lambda dx, w, delta: dx + 1, mistakes=[CATALOGUE["dx-kernel-unrotated"]])
    assert "*w[" not in got
    assert got.endswith("1 more than it should be")


# ---- no element tells it ----
def test_a_wrong_size_is_told_with_both_arrays() -> None:
    told = page("dx-of-padded-size", "1d i2 k2 p1 bias=none")
    assert "dx has shape (1, 1, 4), the geometry gives (1, 1, 2)." in told
    assert "dx should be, of shape (1, 1, 2)    got, of shape (1, 1, 4)" in told
    assert CATALOGUE["dx-of-padded-size"].hint in flat(told)


def test_an_exception_is_told() -> None:
    class Raises(miniatures.Right):
        def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
            raise ValueError("operands could not be broadcast")

    told = explained(Session(Raises(), "raises"), Problem.parse("1d i2 k2"))
    assert told is not None
    assert "forward raises ValueError: operands could not be broadcast (" in flat(told)


def test_of_state_the_second_call_is_shown() -> None:
    told = page("dw-accumulates", "1d i3 k2 bias=none")
    assert "The first call is right; this is what the second one gives, with the same operands." in told
    assert CATALOGUE["dw-accumulates"].hint in flat(told)


def test_what_a_clause_finds_is_told_in_its_words() -> None:
    told = explained(Session(miniatures.WritesItsInput(), "writes"), Problem.parse("1d i3 k2"))
    assert told is not None
    assert "operands are left unmodified" in told
    assert "forward changed its operand x." in flat(told)


def test_rounding_is_told_as_such() -> None:
    told = page("narrow-accumulator", "1d n2 c3 m2 i9 k3 bias=none f16 fill=real")
    assert "~" in told
    assert CATALOGUE["narrow-accumulator"].sentence.lower() in flat(told).lower()


def test_numbers_that_overflow_disturb_nothing() -> None:
    class Overflows(miniatures.Right):
        def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
            y = super().forward(g, x, w, b)
            return np.where(abs(y) > 1e100, np.nan, y)

    told = explained(
        Session(Overflows(), "overflows"), Problem.parse("1d i4 k2 bias=none fill=huge"), mistakes=[]
    )
    assert told is not None
    assert "nan*" in told
    assert "e+15" in told
