"""The smallest problem that still fails, for predicates of which it is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from conformance.engine.shrink import shrunk
from conformance.problem import Problem

LARGE = Problem.parse(
    "3d n3 c6 m9 g3 i9x8x7 k3x2x2 s2x1x3 p1:2x-1:0x2 d2x1x1 conv bias=untied "
    "f32 fill=sparse mem=sliced seed=987654"
)
FLAT = Problem.parse("2d n3 c5 m4 i12x9 k5x4 s3x2 p2x1 f16 fill=real mem=fortran seed=77")
PLAIN = Problem.parse("1d n2 c3 m2 i9 k3 s2 d2 f64 seed=5")
REGIME = Problem.parse("2d n3 c5 m4 i12x9 k5x4 s3x2 f16 fill=wide seed=77")
Fails = Callable[[Problem], bool]


class Recorded:
    """A predicate that remembers what it was asked."""

    def __init__(self, fails: Fails) -> None:
        self.fails = fails
        self.asked: list[Problem] = []

    def __call__(self, problem: Problem) -> bool:
        self.asked.append(problem)
        return self.fails(problem)


def no_larger(p: Problem, than: Problem) -> bool:
    """In any field: sizes, counts, the magnitude of each padding; a word is the given one or the simplest."""
    a, b = p.geometry, than.geometry
    counts = all(getattr(a, n) <= getattr(b, n) for n in ("batch", "channels", "maps", "groups"))
    axes = all(
        mine <= theirs
        for n in ("size", "kernel", "stride", "dilation")
        for mine, theirs in zip(getattr(a, n), getattr(b, n), strict=True)
    )
    pads = all(
        0 <= mine <= theirs or theirs <= mine <= 0
        for pair, other in zip(a.padding, b.padding, strict=True)
        for mine, theirs in zip(pair, other, strict=True)
    )
    words = (
        a.convention in (b.convention, "correlation"),
        a.bias in (b.bias, "none"),
        p.memory in (than.memory, "c"),
        p.fill
        in {"sparse": ("sparse", "small", "unit"), "small": ("small", "unit")}.get(than.fill, (than.fill,)),
        p.dtype == than.dtype,
        p.seed <= than.seed,
    )
    return counts and axes and pads and all(words)


SMALLEST: list[tuple[str, Problem, Fails, str]] = [
    ("everything", LARGE, lambda p: True, "3d i1 k1 bias=none f32 fill=unit"),
    ("everything, real", FLAT, lambda p: True, "2d i1 k1 bias=none f16 fill=real"),
    ("everything, of a numeric regime", REGIME, lambda p: True, "2d i1 k1 bias=none f16 fill=wide"),
    ("sums of a numeric regime", REGIME, lambda p: p.geometry.kernel[1] > 2 and p.fill == "wide",
     "2d i1x3 k1x3 bias=none f16 fill=wide"),
    ("a stride", LARGE, lambda p: p.geometry.stride[2] > 1, "3d i1 k1 s1x1x2 bias=none f32 fill=unit"),
    ("dilation and two outputs", PLAIN, lambda p: p.geometry.dilation[0] > 1 and p.geometry.output[0] > 1,
     "1d i2 k1 d2 bias=none f64 fill=unit"),
    ("dilation that matters", PLAIN, lambda p: p.geometry.dilation[0] > 1 and p.geometry.kernel[0] > 1,
     "1d i3 k2 d2 bias=none f64 fill=unit"),
    ("groups", LARGE, lambda p: p.geometry.groups > 1, "3d c2 m2 g2 i1 k1 bias=none f32 fill=unit"),
    ("maps of a group", LARGE, lambda p: p.geometry.maps // p.geometry.groups > 1,
     "3d m2 i1 k1 bias=none f32 fill=unit"),
    ("two items", FLAT, lambda p: p.geometry.batch > 1, "2d n2 i1 k1 bias=none f16 fill=real"),
    ("cropping", LARGE, lambda p: p.geometry.padding[1][0] < 0,
     "3d i1x2x1 k1 p0x-1:0x0 bias=none f32 fill=unit"),
    ("memory", FLAT, lambda p: p.memory != "c", "2d i1 k1 bias=none f16 fill=real mem=fortran"),
    ("a bias", LARGE, lambda p: p.geometry.bias == "untied", "3d i1 k1 bias=untied f32 fill=unit"),
    ("true convolution", LARGE, lambda p: p.geometry.convention == "convolution",
     "3d i1 k1 conv bias=none f32 fill=unit"),
    ("zeros in the data", LARGE, lambda p: p.fill == "sparse", "3d i1 k1 bias=none f32 fill=sparse"),
    ("the seed", LARGE, lambda p: p.seed > 1000, "3d i1 k1 bias=none f32 fill=unit seed=1001"),
    ("only itself", LARGE, lambda p: p == LARGE, str(LARGE)),
    ("what only the problem's neighbours show", LARGE,
     lambda p: (p.seed, p.memory, p.geometry.size[0], p.geometry.stride[2]) == (987654, "sliced", 9, 3),
     "3d i9x1x1 k1 s1x1x3 bias=none f32 fill=unit mem=sliced seed=987654"),
    ("an oblong input", FLAT, lambda p: p.geometry.size[0] > p.geometry.size[1] > 3,
     "2d i5x4 k1 bias=none f16 fill=real"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "fails", "line"), [row[1:] for row in SMALLEST], ids=[row[0] for row in SMALLEST]
)
def test_the_smallest_problem_is_found(problem: Problem, fails: Fails, line: str) -> None:
    recorded = Recorded(fails)
    smallest = shrunk(problem, recorded)
    assert str(smallest) == str(Problem.parse(line))
    assert fails(smallest)
    assert len(recorded.asked) <= 400
    assert [str(p) for p in recorded.asked if not no_larger(p, problem)] == []


def test_it_starts_from_the_failing_problem_itself() -> None:
    recorded = Recorded(lambda p: p.geometry.channels > 3)
    shrunk(LARGE, recorded)
    assert recorded.asked[0] == LARGE


def test_the_same_seed_asks_the_same() -> None:
    first, second = (
        Recorded(lambda p: p.geometry.stride[0] > 1 and p.geometry.output[0] > 1) for _ in range(2)
    )
    assert shrunk(LARGE, first, seed=3) == shrunk(LARGE, second, seed=3)
    assert first.asked == second.asked


def test_a_problem_with_nothing_to_simplify_is_itself() -> None:
    least = Problem.parse("1d i1 k1 bias=none f64 fill=unit")
    assert shrunk(least, lambda p: True) == least
    assert shrunk(least, lambda p: False) == least


def test_an_empty_batch_stays_empty() -> None:
    empty = Problem.parse("1d n0 c2 m3 i7 k3 f64")
    assert str(shrunk(empty, lambda p: True)) == "1d n0 c1 m1 i1 k1 bias=none f64 fill=unit"


def test_the_largest_seed_is_no_obstacle() -> None:
    p = Problem.parse(f"1d i5 k3 f64 seed={2**64 - 1}")
    assert shrunk(p, lambda q: q == p) == p


# ---- what does not fail every time, and what runs out of tries ----
def test_what_never_fails_again_is_the_problem_itself() -> None:
    assert shrunk(PLAIN, lambda p: False) == PLAIN


def test_what_failed_once_and_never_again_is_the_problem_itself() -> None:
    recorded = Recorded(lambda p: len(recorded.asked) == 1)
    assert shrunk(LARGE, recorded) == LARGE


@pytest.mark.parametrize("chance", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_what_fails_at_random_ends_with_a_problem_that_was_seen_to_fail(chance: float, seed: int) -> None:
    dice, seen = random.Random(seed), [FLAT]

    def fails(p: Problem) -> bool:
        if dice.random() > chance:
            return False
        seen.append(p)
        return True

    smallest = shrunk(FLAT, fails)
    assert smallest in seen
    assert no_larger(smallest, FLAT)


@pytest.mark.parametrize("tries", [0, 1, 5, 30])
def test_it_asks_no_more_often_than_it_may(tries: int) -> None:
    recorded = Recorded(lambda p: p.geometry.stride[0] > 1 and p.geometry.kernel[0] > 1)
    smallest = shrunk(LARGE, recorded, tries=tries)
    assert len(recorded.asked) <= tries
    assert smallest == LARGE or recorded.fails(smallest)
    assert no_larger(smallest, LARGE)


def test_a_predicate_that_raises_is_not_silenced() -> None:
    def raises(p: Problem) -> bool:
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        shrunk(FLAT, raises)
