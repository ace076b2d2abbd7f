"""Does the covering array cover?  Judged from the geometries in the file, never from the rows behind them.

A class of an axis (kernel, stride, remainder, padding, ends, dilation) is met where an axis has it, and two such
classes meet only on one and the same axis: an even kernel on one axis and a stride on another show nothing of
even kernels under a stride.  Which pairs can meet is found by trying small axes, not by asking the generator.
"""

from __future__ import annotations

import functools
import itertools
from importlib import resources
from typing import Any

import pytest

from conformance.engine import covering
from conformance.engine.corpus import corpus
from conformance.engine.runner import LARGE
from conformance.problem import Geometry, Problem
from conformance.problem.fills import GEOMETRIC
from conformance.problem.memory import MEMORIES

RANKS = (1, 2, 3)
OF_AN_AXIS: dict[str, tuple[Any, ...]] = {
    "kernel": ("odd", "even", "1", "input"),
    "stride": ("1", ">1", ">kernel"),
    "remainder": ("none", "some"),
    "padding": ("0", "<kernel", ">=kernel"),
    "ends": ("equal", "unequal"),
    "dilation": ("1", ">1"),
}
OF_A_PROBLEM: dict[str, tuple[Any, ...]] = {
    "dtype": ("f64", "f32", "f16", "bf16"),
    "groups": ("1", ">1", "depthwise", "multiplier"),
    "batch": (1, 2, 3),
    "convention": ("correlation", "convolution"),
    "bias": ("none", "tied", "untied"),
    "memory": ("c", "fortran", "sliced", "reversed", "channels-last", "broadcast"),
    "fill": ("small", "real", "sparse"),
}
Class = tuple[str, Any]
Pair = frozenset[Class]


# ---- which classes a problem has ----
def of_axis(size: int, kernel: int, stride: int, lo: int, hi: int, dilation: int) -> tuple[Class, ...]:
    """The six classes of one axis; each attribute's classes exclude one another."""
    positions = size + lo + hi - dilation * (kernel - 1) - 1
    return (
        ("kernel", "input" if kernel == size else "1" if kernel == 1 else "odd" if kernel % 2 else "even"),
        ("stride", "1" if stride == 1 else ">1" if stride <= kernel else ">kernel"),
        ("remainder", "some" if positions % stride else "none"),
        ("padding", "0" if lo == hi == 0 else "<kernel" if max(lo, hi) < kernel else ">=kernel"),
        ("ends", "equal" if lo == hi else "unequal"),
        ("dilation", ">1" if dilation > 1 and kernel > 1 else "1"),
    )


def axes_of(g: Geometry) -> list[tuple[Class, ...]]:
    each = zip(g.size, g.kernel, g.stride, g.padding, g.dilation, strict=True)
    return [
        of_axis(size, kernel, stride, lo, hi, dilation) for size, kernel, stride, (lo, hi), dilation in each
    ]


def groups_of(g: Geometry) -> str:
    if g.groups == 1:
        return "1"
    if g.channels == g.groups:
        return "depthwise" if g.maps == g.groups else "multiplier"
    return ">1"


def of_problem(p: Problem) -> list[Class]:
    g = p.geometry
    return [
        ("dtype", p.dtype),
        ("groups", groups_of(g)),
        ("batch", g.batch),
        ("convention", g.convention),
        ("bias", g.bias),
        ("memory", p.memory),
        ("fill", p.fill),
    ]


def pairs_of(p: Problem) -> set[Pair]:
    whole = of_problem(p)
    return {
        frozenset(pair) for axis in axes_of(p.geometry) for pair in itertools.combinations([*axis, *whole], 2)
    }


def classes_of(p: Problem) -> set[Class]:
    return {*itertools.chain.from_iterable(axes_of(p.geometry)), *of_problem(p)}


def problems(rank: int, *, empty: bool = False) -> list[Problem]:
    named = [n.problem for n in corpus("covering")]
    return [p for p in named if p.geometry.rank == rank and (p.geometry.batch == 0) == empty]


# ---- which classes can meet ----
@functools.cache
def possible_axes() -> frozenset[tuple[Class, ...]]:
    """The classes of every small axis on which the kernel fits; of size 1 they are left out."""
    trials = itertools.product(range(2, 8), range(1, 6), range(1, 7), range(6), range(6), (1, 2))
    return frozenset(
        of_axis(size, kernel, stride, lo, hi, dilation)
        for size, kernel, stride, lo, hi, dilation in trials
        if kernel <= size and size + lo + hi > dilation * (kernel - 1)
    )


@functools.cache
def demanded() -> frozenset[Pair]:
    """Every pair of classes of different attributes that some problem can have."""
    within = {frozenset(pair) for axis in possible_axes() for pair in itertools.combinations(axis, 2)}
    whole = [[(name, value) for value in values] for name, values in OF_A_PROBLEM.items()]
    axis = [[(name, value) for value in values] for name, values in OF_AN_AXIS.items()]
    across = itertools.chain(itertools.combinations(whole, 2), itertools.product(whole, axis))
    return frozenset(within | {frozenset(pair) for a, b in across for pair in itertools.product(a, b)})


def told(pair: Pair) -> str:
    return " & ".join(f"{name}={value}" for name, value in sorted(pair, key=str))


def test_the_attributes_of_the_generator_are_those_judged_here() -> None:
    mine = {**OF_AN_AXIS, **OF_A_PROBLEM}
    theirs = {name: set(values) for name, values in covering.ATTRIBUTES.items()}
    assert theirs == {name: set(values) for name, values in mine.items()}
    assert set(OF_A_PROBLEM["memory"]) == set(MEMORIES)
    assert set(OF_A_PROBLEM["fill"]) == set(GEOMETRIC) - {"unit"}  # numeric regimes come on top


def test_most_pairs_are_demanded() -> None:
    """Against a demand that is empty by mistake."""
    every = [[(n, v) for v in values] for n, values in {**OF_AN_AXIS, **OF_A_PROBLEM}.items()]
    count = sum(len(a) * len(b) for a, b in itertools.combinations(every, 2))
    assert count - 10 <= len(demanded()) <= count


def test_possible_says_what_trying_says() -> None:
    """A row that no geometry has counts for pairs that nothing tests; one refused in vain hides pairs."""
    names = list(OF_AN_AXIS)
    every = itertools.product(*OF_AN_AXIS.values())
    allowed = {
        tuple(zip(names, row, strict=True))
        for row in every
        if covering.possible(dict(zip(names, row, strict=True)))
    }
    assert sorted(map(str, allowed - possible_axes())) == []
    assert sorted(map(str, possible_axes() - allowed)) == []


# ---- the file ----
def test_the_file_is_what_the_generator_writes() -> None:
    file = resources.files("conformance.engine").joinpath("corpus/covering.txt")
    assert covering.text() == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("rank", RANKS)
def test_every_possible_pair_of_classes_meets_in_a_problem(rank: int) -> None:
    met = set().union(*(pairs_of(p) for p in problems(rank)))
    missing = sorted(told(pair) for pair in demanded() - met)
    assert missing == [], (
        f"{len(missing)} of {len(demanded())} pairs are not met in {rank}d: {', '.join(missing)}"
    )


@pytest.mark.parametrize("rank", RANKS)
def test_every_class_meets_an_empty_batch(rank: int) -> None:
    met = set().union(*(classes_of(p) for p in problems(rank, empty=True)))
    every = {
        (name, value)
        for name, values in {**OF_AN_AXIS, **OF_A_PROBLEM}.items()
        for value in values
        if name != "batch"
    }
    assert sorted(map(str, every - met)) == []


@pytest.mark.parametrize("rank", RANKS)
def test_in_some_problem_the_kernel_is_the_whole_input(rank: int) -> None:
    """On every axis, without padding or dilation, with exact data: else FWD-8 and WGT-6 are never judged."""
    plain = [
        p for p in problems(rank) if set(p.geometry.dilation) == {1} and not any(map(any, p.geometry.padding))
    ]
    assert [str(p) for p in plain if p.geometry.kernel == p.geometry.size and p.fill != "real"]


@pytest.mark.parametrize("rank", [2, 3])
def test_axes_differ_in_most_problems(rank: int) -> None:
    """Sizes that are equal hide a swap of axes."""
    unlike = [p for p in problems(rank) if len(set(p.geometry.size)) > 1]
    assert len(unlike) >= 0.9 * len(problems(rank))


@pytest.mark.parametrize("rank", RANKS)
def test_no_problem_is_so_large_that_clauses_are_left_out(rank: int) -> None:
    """There, clauses that ask for more calls are not judged: a pair would be met by half the clauses only."""
    assert [str(p) for p in problems(rank) if p.geometry.products > LARGE] == []
    assert len(problems(rank)) <= 80  # every run begins with all of them


@pytest.mark.parametrize("rank", RANKS)
def test_the_generators_rows_are_all_possible(rank: int) -> None:
    assert [row for row in covering.rows(rank) if not covering.possible(row)] == []
