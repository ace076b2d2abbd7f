from __future__ import annotations

import pytest

from conformance.engine.corpus import corpus
from conformance.learner.limits import PADDINGS, Limits
from conformance.problem import Geometry, Problem

EVERYTHING = Limits(bias=("tied", "none"))
SOME = {
    "nothing": Limits(stride=False, pad=False),
    "one image": Limits(x="HW", w="HW", stride=False, pad=False),
    "always half": Limits(stride=False, pad=False, always="half"),
    "always same": Limits(pad=False, always="same"),
    "by a word": Limits(mode="half"),
    "square kernels": Limits(square_kernels=True),
    "odd kernels": Limits(odd_kernels=True),
    "square images": Limits(square_images=True),
    "divides": Limits(divides=True),
    "divides square images": Limits(divides=True, square_images=True, square_kernels=True),
    "halves": Limits(halves=True),
    "one kernel": Limits(fixed=(("kernel", (3, 3)),), stride=False, pad=False),
    "untied convolution": Limits(bias=("untied", "none"), convention="convolution"),
}
PROBLEMS = [n.problem for name in ("covering", "seed") for n in corpus(name) if n.problem.geometry.rank == 2]


@pytest.mark.parametrize("limits", SOME.values(), ids=SOME)
def test_a_problem_that_was_fitted_is_taken(limits: Limits) -> None:
    near = [limits.problem(p, "f64") for p in PROBLEMS]
    assert all(p is not None and limits.takes(p.geometry) for p in near)
    assert {p.dtype for p in near if p} == {"f64"}


def test_a_problem_that_is_taken_stays_as_it_is() -> None:
    problem = Problem.parse("n2 c3 m4 i7x6 k3x2 s2 p1 f64 seed=5")
    assert EVERYTHING.problem(problem, "f64") == problem


def test_other_ranks_are_not_taken() -> None:
    assert Limits().problem(Problem.parse("1d i5 k3"), "f64") is None
    assert not Limits().takes(Geometry(size=(5,), kernel=(3,), bias="none"))


def fitted(limits: Limits, line: str) -> str:
    problem = limits.problem(Problem.parse(line), "f64")
    return str(problem)


@pytest.mark.parametrize(
    ("limits", "line", "near"),
    [
        ("nothing", "n2 c3 m4 i7x6 k3x2 s2 p1 bias=none", "2d n2 c3 m4 i7x6 k3x2 bias=none f64"),
        ("one image", "n2 c3 m4 i7x6 k3x2 bias=none", "2d n1 c1 m1 i7x6 k3x2 bias=none f64"),
        ("always half", "i7x6 k3x2 bias=none", "2d n1 c1 m1 i7x6 k3x2 p1x1 bias=none f64"),
        ("always same", "i7x6 k4x3 s2x1 bias=none", "2d n1 c1 m1 i7x6 k4x3 s2x2 p1:2x0:1 bias=none f64"),
        ("by a word", "i7x6 k3x5 p1 bias=none", "2d n1 c1 m1 i7x6 k3x5 p1x2 bias=none f64"),
        ("by a word", "i7x6 k3x5 bias=none", "2d n1 c1 m1 i7x6 k3x5 bias=none f64"),
        ("square kernels", "i7x6 k3x2 bias=none", "2d n1 c1 m1 i7x6 k3x3 bias=none f64"),
        ("odd kernels", "i7x6 k3x2 bias=none", "2d n1 c1 m1 i7x6 k3x1 bias=none f64"),
        ("square images", "i7x6 k3x2 bias=none", "2d n1 c1 m1 i7x7 k3x2 bias=none f64"),
        ("divides", "i8x6 k3x2 s2 bias=none", "2d n1 c1 m1 i9x6 k3x2 s2x2 bias=none f64"),
        ("halves", "n3 i7x6 k3x2 bias=none", "2d n2 c1 m1 i7x6 k3x2 bias=none f64"),
        ("one kernel", "i2x6 k1x2 bias=none", "2d n1 c1 m1 i3x6 k3x3 bias=none f64"),
        ("untied convolution", "i4x5 k2 ", "2d n1 c1 m1 i4x5 k2x2 conv bias=untied f64"),
        ("nothing", "c4 m6 g2 i7x6 k2 d2 bias=none", "2d n1 c2 m3 i7x6 k2x2 bias=none f64"),
    ],
)
def test_each_limit_changes_what_it_has_to(limits: str, line: str, near: str) -> None:
    assert fitted(SOME[limits], line) == near


def test_what_keeps_the_size_keeps_it() -> None:
    for size in range(1, 12):
        for kernel in range(1, 6):
            for name in ("same", "same, more in front"):
                lo, hi = PADDINGS[name](size, kernel, 1)
                assert lo + hi == kernel - 1
    assert PADDINGS["same"](6, 3, 2) == (0, 1)
    assert PADDINGS["same, more in front"](6, 3, 2) == (1, 0)
