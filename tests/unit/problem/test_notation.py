from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.errors import GeometryError, NotationError
from conformance.problem import DTYPES, Geometry, Problem
from conformance.problem.fills import FILLS
from conformance.problem.geometry import BIASES, CONVENTIONS
from conformance.problem.memory import MEMORIES

DEFAULT = Problem(geometry=Geometry(size=(3,), kernel=(2,)))
KNOWN_FILLS = (
    "small, real, sparse, unit, wide, odd, onehot, stagnation, cancellation, positive, gaps, subnormal, huge"
)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    groups, rank, axes = number(1, 3), number(1, 3), []
    widest, longest = {1: (12, 300), 2: (6, 30), 3: (3, 5)}[rank]
    for _ in range(rank):
        kernel, dilation, lo, hi = number(1, widest), number(1, 4), number(-3, 12), number(-3, 12)
        least = max(1 - min(lo, 0) - min(hi, 0), dilation * (kernel - 1) + 1 - lo - hi)
        axes.append((least + number(0, longest), kernel, number(1, 5), (lo, hi), dilation))
    size, kernels, stride, padding, dilations = zip(*axes, strict=True)
    geometry = Geometry(
        batch=number(0, 12),
        channels=groups * number(1, 5),
        maps=groups * number(1, 5),
        groups=groups,
        size=size,
        kernel=kernels,
        stride=stride,
        padding=padding,
        dilation=dilations,
        convention=draw(st.sampled_from(CONVENTIONS)),
        bias=draw(st.sampled_from(BIASES)),
    )
    return Problem(
        geometry=geometry,
        dtype=draw(st.sampled_from(list(DTYPES))),
        fill=draw(st.sampled_from(FILLS)),
        memory=draw(st.sampled_from(MEMORIES)),
        seed=draw(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1))),
    )


QUICK = settings(max_examples=150)


# ---- both ways ----
@QUICK
@given(problem=problems())
def test_a_line_gives_the_same_problem_back(problem: Problem) -> None:
    assert Problem.parse(str(problem)) == problem
    assert str(Problem.parse(str(problem))) == str(problem)


@QUICK
@given(problem=problems(), rng=st.randoms(use_true_random=False))
def test_tokens_may_come_in_any_order_and_with_any_space(problem: Problem, rng: random.Random) -> None:
    tokens = str(problem).split()
    rng.shuffle(tokens)
    assert Problem.parse("  \t".join(["", *tokens, ""])) == problem


@QUICK
@given(problem=problems())
def test_a_default_is_left_out_and_only_a_default(problem: Problem) -> None:
    g, tokens = problem.geometry, str(problem).split()
    said = {
        r"g\d+": g.groups != 1,
        r"s\d.*": set(g.stride) != {1},
        r"p.+": any(map(any, g.padding)),
        r"d\d.*": set(g.dilation) != {1},
        "conv": g.convention != "correlation",
        "bias=.+": g.bias != "tied",
        "fill=.+": problem.fill != "small",
        "mem=.+": problem.memory != "c",
        "seed=.+": problem.seed != 0,
        "corr": False,
    }
    assert {pattern: any(re.fullmatch(pattern, token) for token in tokens) for pattern in said} == said


def test_the_line_of_a_problem_with_everything() -> None:
    line = (
        "3d n2 c4 m6 g2 i7x8x9 k3x2x1 s2x1x3 p1:0x2x-1:2 d1x3x1 conv bias=untied bf16 fill=sparse mem=channels-last "
        "seed=18446744073709551615"
    )
    problem = Problem.parse(line)
    assert str(problem) == line
    assert problem == Problem(
        geometry=Geometry(
            batch=2, channels=4, maps=6, groups=2, size=(7, 8, 9), kernel=(3, 2, 1), stride=(2, 1, 3),
            padding=((1, 0), (2, 2), (-1, 2)), dilation=(1, 3, 1), convention="convolution", bias="untied",
        ),
        dtype="bf16", fill="sparse", memory="channels-last", seed=2**64 - 1,
    )  # fmt: skip


def test_the_line_of_a_problem_with_defaults_alone() -> None:
    assert str(DEFAULT) == "1d n1 c1 m1 i3 k2 f64"
    assert Problem.parse("i3 k2") == DEFAULT


@pytest.mark.parametrize(
    "line",
    [
        "i3 k2 1d", "k2 i3 corr", "s1 i3 k2 d1 p0", "i3 k2 p0:0", "g1 bias=tied i3 k2", "f64 fill=small mem=c seed=0 i3 k2",
        "n01 i03 k2", "i3 k2 seed=00",
    ],
)  # fmt: skip
def test_lines_of_the_default_problem(line: str) -> None:
    assert Problem.parse(line) == DEFAULT


def test_one_number_serves_all_axes() -> None:
    assert Problem.parse("3d i5 k2 s2 p1:0 d1") == Problem.parse("i5x5x5 k2x2x2 s2x2x2 p1:0x1:0x1:0 d1x1x1")


# ---- errors point at the place ----
WRONG: list[tuple[str, str, str]] = [
    # the line; the same line with a caret under the offending place; what is said
    ("1d i3 q2 k2", "      ^", "no token begins like 'q2'"),
    ("i3 k2 4d", "      ^", "no token begins like '4d'"),
    ("i3 k2 F32", "      ^", "no token begins like 'F32'"),
    ("i3 k2 xcorr", "      ^", "no token begins like 'xcorr'"),
    ("i3 k2 bias:tied", "      ^", "no token begins like 'bias:tied'"),
    ("i3 k2 corr=1", "       ^", "'corr=1': c takes one number, not 'orr=1'"),
    ("i3x3 k2xa", "        ^", "'k2xa': k takes a number an axis, at most three, not 'a'"),
    ("i3x3 k2x", "        ^", "'k2x': k takes a number an axis, at most three, not ''"),
    ("i3x3 kx2", "      ^", "'kx2': k takes a number an axis, at most three, not ''"),
    ("i k2", " ^", "'i': i takes a number an axis, at most three, not ''"),
    ("i2x2x2x2 k2", "       ^", "'i2x2x2x2': i takes a number an axis, at most three, not '2'"),
    ("i3 k-2", "    ^", "'k-2': k takes a number an axis, at most three, not '-2'"),
    ("i3 k2 s1.5", "       ^", "'s1.5': s takes a number an axis, at most three, not '1.5'"),
    ("i3 k2 d2:1", "       ^", "'d2:1': d takes a number an axis, at most three, not '2:1'"),
    ("i3 k2 n2x3", "         ^", "'n2x3': n takes one number, not '3'"),
    ("i3 k2 n-1", "       ^", "'n-1': n takes one number, not '-1'"),
    ("i3 k2 cm", "       ^", "'cm': c takes one number, not 'm'"),
    ("i3 k2 p1:2:3", "       ^", "'p1:2:3': p takes a number an axis, at most three, not '1:2:3'"),
    ("i3x3 k2 p1x:2", "           ^", "'p1x:2': p takes a number an axis, at most three, not ':2'"),
    ("i3 k2 p1:", "       ^", "'p1:': p takes a number an axis, at most three, not '1:'"),
    ("i3 k2 p--1", "       ^", "'p--1': p takes a number an axis, at most three, not '--1'"),
    ("i3 k2 p+1", "       ^", "'p+1': p takes a number an axis, at most three, not '+1'"),
    ("i3 k2 seed=-7", "           ^", "'seed=-7': seed= takes one number from 0 to 2^64 - 1, not '-7'"),
    ("i3 k2 seed=", "           ^", "'seed=': seed= takes one number from 0 to 2^64 - 1, not ''"),
    ("i3 k2 seed", "       ^", "'seed': s takes a number an axis, at most three, not 'eed'"),
    ("i3 k2 seed=1e3", "           ^", "'seed=1e3': seed= takes one number from 0 to 2^64 - 1, not '1e3'"),
    ("i3 k2 bias=both", "           ^", "bias= takes one of none, tied, untied, not 'both'"),
    ("i3 k2 fill=", "           ^", f"fill= takes one of {KNOWN_FILLS}, not ''"),
    (
        "i3 k2 mem=C",
        "          ^",
        "mem= takes one of c, fortran, sliced, reversed, channels-last, broadcast, not 'C'",
    ),
    ("i3 k2 n2 n3", "         ^", "batch is given twice"),
    ("i3 k2 i3", "      ^", "size is given twice"),
    ("i3 k2 corr conv", "           ^", "convention is given twice"),
    ("i3 k2 f32 f32", "          ^", "dtype is given twice"),
    ("1d i3 k2 1d", "         ^", "rank is given twice"),
    ("i3 k2 p1 p1", "         ^", "padding is given twice"),
    ("2d n1", "     ^", "the size is missing: write i and a number an axis, as in i3x2"),
    ("", "^", "the size is missing: write i and a number an axis, as in i3x2"),
    ("i3", "  ^", "the kernel is missing: write k and a number an axis, as in k3x2"),
    ("i3x3 k2 1d", "        ^", "1d, but the size has 2 axes"),
    ("3d i3x3 k2", "^", "3d, but the size has 2 axes"),
    ("i3 k2 n\u0663", "       ^", "'n\u0663': n takes one number, not '\u0663'"),
    ("i3 k" + "9" * 31, "    ^", f"'k{'9' * 31}': k takes a number an axis, at most three, not '{'9' * 31}'"),
    ("   i3 k2 zero", "         ^", "no token begins like 'zero'"),
]


@pytest.mark.parametrize(
    ("line", "caret", "reason"), WRONG, ids=[line or "an empty line" for line, _, _ in WRONG]
)
def test_an_error_points_at_the_place(line: str, caret: str, reason: str) -> None:
    with pytest.raises(NotationError) as caught:
        Problem.parse(line)
    error = caught.value
    assert (error.reason, error.column, error.line) == (reason, caret.index("^"), line)
    assert str(error) == f"{reason}\n    {line}\n    {caret}"


@QUICK
@given(line=st.text(alphabet="0123x:-=acdefgikmnprsu ", max_size=24))
def test_any_text_is_a_problem_or_an_error_of_the_users(line: str) -> None:
    try:
        problem = Problem.parse(line)
    except NotationError as error:
        assert 0 <= error.column <= len(line)  # noqa: PT017  (most lines raise, some do not)
    except GeometryError:
        pass
    else:
        assert Problem.parse(str(problem)) == problem


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("i3 k4", "the kernel does not fit on axis 0"),
        ("i3x3 k2x2x2", "kernel has 3 entries for 2 spatial axes"),
        ("i3 k2 seed=18446744073709551616", "seed must be between 0 and 2^64 - 1, got 18446744073709551616"),
        ("i3 k2 g2 c2", "groups=2 does not divide maps=1"),
    ],
)
def test_a_line_that_parses_may_still_name_no_problem(line: str, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        Problem.parse(line)
    assert str(caught.value).startswith(message)


# ---- a problem without its line ----
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dtype": "f8"},
            "dtype must be one of f64, f32, f16, bf16, float64, float32, float16, bfloat16, got 'f8'",
        ),
        ({"fill": "ones"}, f"fill must be one of {KNOWN_FILLS}, got 'ones'"),
        (
            {"memory": "F"},
            "memory must be one of c, fortran, sliced, reversed, channels-last, broadcast, got 'F'",
        ),
        ({"seed": -1}, "seed must be between 0 and 2^64 - 1, got -1"),
    ],
)
def test_a_problem_refuses_unknown_words(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        DEFAULT.replace(**change)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("code", "name"), [("f64", "float64"), ("f32", "float32"), ("f16", "float16"), ("bf16", "bfloat16")]
)
def test_a_dtype_goes_by_its_code_its_name_and_its_numpy_dtype(code: str, name: str) -> None:
    by_name, by_numpy = DEFAULT.replace(dtype=name), DEFAULT.replace(dtype=DTYPES[code].numpy)
    assert by_name == by_numpy == DEFAULT.replace(dtype=code)
    assert by_name.dtype == code
