from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from conformance.oracle import (
    Arithmetic,
    Evidence,
    Expectation,
    Expected,
    Grade,
    compare,
    identical,
    rounded_once,
    sizes,
    wrong,
)
from conformance.problem import DTYPES, Geometry, Operands, Problem

REAL = "2d n2 c3 m2 i5x6 k3x2 p1 fill=real"
INTEGERS = "2d n2 c3 m2 i5x6 k3x2 p1"


def expected_of(line: str, quantity: str = "y", arithmetic: Arithmetic | None = None) -> Expected:
    problem = Problem.parse(line)
    return Expectation(
        problem.geometry,
        problem.operands,
        dtype=problem.format,
        arithmetic=arithmetic or Arithmetic(),
        quantum=problem.quantum,
    )[quantity]


def inner_product(
    x: list[float],
    w: list[float],
    dtype: str,
    quantum: float = 0.0,
    arithmetic: Arithmetic | None = None,
    *,
    independent: bool = False,
) -> Expected:
    kind = DTYPES[dtype].numpy
    values = {name: np.array(v).reshape(1, 1, -1).astype(kind) for name, v in (("x", x), ("w", w))}
    g, operands = (
        Geometry(size=len(x), kernel=len(w), bias="none"),
        Operands(**values, b=None, delta=np.ones((1, 1, 1), kind)),
    )
    return Expectation(
        g, operands, dtype=DTYPES[dtype], arithmetic=arithmetic or Arithmetic(), quantum=quantum,
        independent=independent,
    )["y"]  # fmt: skip


def one(value: float, dtype: str) -> Any:
    """A result of one element."""
    return np.full((1, 1, 1), value, DTYPES[dtype].numpy)


def next_to(values: Any, at: tuple[int, ...], side: int) -> Any:
    """A copy in which one element is moved up (side 1) or down (-1) by one unit in the last place."""
    f, value = DTYPES[{d.numpy: d.code for d in DTYPES.values()}[values.dtype]], float(values[at])
    moved = values.copy()
    moved[at] = value + side * max(2.0 ** (math.frexp(value)[1] - f.p), f.smallest_subnormal)
    assert moved[at] != values[at]
    return moved


# ---- grades ----
def test_grades_are_ordered_from_best_to_worst() -> None:
    assert [g.name for g in sorted(Grade)] == [
        "EXACT", "EXACT_ROUNDED", "RINT", "PROVEN", "SUSPICIOUS", "FAIL"
    ]  # fmt: skip


@pytest.mark.parametrize("quantity", ["y", "dx", "dw", "db"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_right_in_the_exact_regime_is_exact(dtype: str, quantity: str) -> None:
    expected = expected_of(f"{INTEGERS} {dtype}", quantity)
    evidence = compare(expected.exact.astype(DTYPES[dtype].numpy), expected)
    assert (evidence.grade, evidence.ok, evidence.certificate, evidence.wrong) == (Grade.EXACT, True, 1, None)
    assert evidence.quantity == quantity


@pytest.mark.parametrize("quantity", ["y", "dx", "dw", "db"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_ulp_off_in_the_exact_regime_fails(dtype: str, quantity: str) -> None:
    expected = expected_of(f"{INTEGERS} {dtype}", quantity)
    right = expected.exact.astype(DTYPES[dtype].numpy)
    for at in np.ndindex(*right.shape):
        for side in (-1, 1):
            evidence = compare(next_to(right, at, side), expected)
            assert (evidence.grade, evidence.index, evidence.error_over_bound) == (Grade.FAIL, at, math.inf)


@pytest.mark.parametrize("quantity", ["y", "dx", "dw", "db"])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_one_element_wrong_by_half_a_thousandth_fails(dtype: str, quantity: str) -> None:
    expected = expected_of(f"{REAL} {dtype}", quantity)
    right = expected.exact.astype(DTYPES[dtype].numpy)
    for at in np.ndindex(*right.shape):
        if (
            abs(expected.exact[at]) > expected.s[at] / 50
        ):  # where terms cancel, rounding may take more than that
            got = right.copy()
            got[at] *= 1.0005
            evidence = compare(got, expected)
            assert (evidence.grade, evidence.index) == (Grade.FAIL, at)


def test_the_exact_value_rounded_once_is_exact_rounded() -> None:
    expected = expected_of(f"{REAL} f32")
    evidence = compare(expected.exact.astype(np.float32), expected)
    assert (evidence.grade, evidence.ok) == (Grade.EXACT_ROUNDED, True)


def test_the_exact_value_rounded_once_to_bfloat16_is_exact_rounded() -> None:
    """1 + 2^-8 + 2^-40 lies above a tie of bfloat16 that a detour through float32 would hit."""
    expected = inner_product([1, 2.0**-8, 2.0**-20], [1, 1, 2.0**-20], "bf16")
    assert expected.exact.item() == 1 + 2.0**-8 + 2.0**-40
    assert compare(np.full((1, 1, 1), 1 + 2.0**-7, ml_dtypes.bfloat16), expected).grade is Grade.EXACT_ROUNDED


def test_another_rounding_inside_the_bound_is_proven() -> None:
    expected = expected_of(f"{REAL} f32")
    right = expected.exact.astype(np.float32)
    evidence = compare(next_to(right, (0, 0, 0, 0), 1), expected)
    assert (evidence.grade, evidence.ok) == (Grade.PROVEN, True)
    assert 0 < evidence.error_over_bound <= 1


def test_integers_of_a_transform_are_judged_after_rounding() -> None:
    expected = expected_of(INTEGERS, arithmetic=Arithmetic(algorithm="fft"))
    noise = np.resize([1e-13, -1e-13], expected.exact.shape)
    assert compare(expected.exact + noise, expected).grade is Grade.RINT
    assert compare(expected.exact, expected).grade is Grade.EXACT
    off = expected.exact.copy()
    off[0, 1, 2, 3] += 1
    assert compare(off, expected).grade is Grade.FAIL


def test_reals_of_a_transform_are_judged_by_its_bound() -> None:
    expected = expected_of(REAL, arithmetic=Arithmetic(algorithm="fft"))
    assert compare(expected.exact + expected.bound * 0.9, expected).grade is Grade.PROVEN
    assert compare(expected.exact + expected.bound * 1.1, expected).grade is Grade.FAIL


# ---- element by element ----
def two_outputs(arithmetic: Arithmetic | None = None) -> Expected:
    """float32: 1 + 1, and 1 + 2^24, which is beyond what 24 bits hold."""
    operands = Operands(
        x=np.float32([[[1, 1, 2**24]]]), w=np.ones((1, 1, 2), np.float32), b=None,
        delta=np.ones((1, 1, 2), np.float32),
    )  # fmt: skip
    g = Geometry(size=(3,), kernel=(2,), bias="none")
    return Expectation(g, operands, dtype=DTYPES["f32"], arithmetic=arithmetic or Arithmetic(), quantum=1.0)[
        "y"
    ]


@pytest.mark.parametrize(
    ("got", "grade", "index"),
    [
        ([2, 2**24], Grade.EXACT_ROUNDED, None),
        ([2, 2**24 + 2], Grade.PROVEN, None),
        ([np.nextafter(np.float32(2), np.float32(3)), 2**24], Grade.FAIL, (0, 0, 0)),
        ([2, 2**24 + 64], Grade.FAIL, (0, 0, 1)),
        ([2, np.nan], Grade.FAIL, (0, 0, 1)),
    ],
)
def test_an_element_beyond_the_exact_regime_has_a_bound_and_its_neighbour_has_none(
    got: list[float], grade: Grade, index: Any
) -> None:
    evidence = compare(np.array(got, np.float32).reshape(1, 1, 2), two_outputs())
    assert evidence.grade is grade
    assert index is None or evidence.index == index
    assert evidence.certificate == 0.5


def test_only_the_elements_asked_for_are_judged() -> None:
    expected, exact, rest = two_outputs(), np.array([[[True, False]]]), np.array([[[False, True]]])
    first_wrong, second_wrong = (np.float32([[got]]) for got in ([3, 2**24 + 2], [2, 0]))
    assert compare(first_wrong, expected, rest).grade is Grade.PROVEN
    assert compare(first_wrong, expected, exact).index == (0, 0, 0)
    assert compare(second_wrong, expected, exact).ok
    assert compare(second_wrong, expected, rest).index == (0, 0, 1)
    assert compare(np.float32([[[np.nan, np.nan]]]), expected, rest & exact).ok


def test_power_is_that_of_the_elements_that_are_judged() -> None:
    """The first is certain to show a wrong product, the second is not."""
    expected = two_outputs()
    for got in ([2, 2**24], [2, 2**24 + 2]):
        of_each = [compare(np.float32([[got]]), expected, expected.certain == c) for c in (True, False)]
        assert [e.certificate for e in of_each] == [0.5, 0.0]


def test_power_is_that_of_the_elements_that_are_judged_where_all_are_exact() -> None:
    expected = expected_of(f"{INTEGERS} f32")
    corner = np.zeros(expected.exact.shape, bool)
    corner[0, 0, 0, 0] = True
    right = expected.exact.astype(np.float32)
    assert compare(right, expected, corner).certificate == 1 / corner.size
    assert compare(right, expected, ~corner & corner).certificate == 0


# ---- rounded once ----
WIDE = Arithmetic(accumulator="f32")


@pytest.mark.parametrize(
    ("arithmetic", "got", "grade"),
    [
        (WIDE, 2048, Grade.EXACT_ROUNDED),
        (WIDE, 2050, Grade.FAIL),
        (WIDE, 2046, Grade.FAIL),
        (None, 2048, Grade.EXACT_ROUNDED),
        (None, 2050, Grade.PROVEN),
        (Arithmetic(accumulator="f32", partial_sums="f16"), 2050, Grade.PROVEN),
    ],
)
def test_float16_that_is_summed_in_float32_is_rounded_once(
    arithmetic: Arithmetic | None, got: float, grade: Grade
) -> None:
    """2,049 lies between two numbers of float16: ties go to even, unless a float16 sum has been rounded before."""
    expected = inner_product([2048, 1], [1, 1], "f16", 1.0, arithmetic)
    assert expected.exact.item() == 2049
    assert compare(one(got, "f16"), expected).grade is grade


@pytest.mark.parametrize(
    ("exact", "right", "wrongs"), [(257, 256, [258, 254]), (259, 260, [258]), (258.5, 258, [260])]
)
def test_bfloat16_that_is_summed_in_float32_is_rounded_once(
    exact: float, right: float, wrongs: list[float]
) -> None:
    expected = inner_product([256, exact - 256], [1, 1], "bf16", 0.5, WIDE)
    assert expected.exact.item() == exact
    assert compare(one(right, "bf16"), expected).grade is Grade.EXACT_ROUNDED
    assert {compare(one(got, "bf16"), expected).grade for got in wrongs} == {Grade.FAIL}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_product_of_full_mantissas_is_rounded_once(dtype: str) -> None:
    f = DTYPES[dtype]
    a, b = 1 - f.u, 1 - 3 * f.u
    expected = inner_product([a, 0.0], [b, 0.5], dtype, f.u)
    right = f.rounded(expected.exact)
    assert compare(right.astype(f.numpy), expected).grade <= Grade.EXACT_ROUNDED
    for side in (-1, 1):
        assert compare(next_to(right.astype(f.numpy), (0, 0, 0), side), expected).grade is Grade.FAIL
    sum_of_two = inner_product([a, a], [b, 2.0**-3], dtype, f.u)
    right = f.rounded(sum_of_two.exact).astype(f.numpy)
    assert compare(next_to(right, (0, 0, 0), 1), sum_of_two).grade is Grade.PROVEN


def test_rounded_once_judges_whoever_declares_what() -> None:
    """As NUM-3 does: S <= 2^24 demands it even of those who declare a float16 accumulator."""
    expected = inner_product([2048, 1], [1, 1], "f16", 1.0, Arithmetic(accumulator="f16"))
    kept = expected.within(24)
    assert rounded_once(one(2048, "f16"), expected, kept).grade is Grade.EXACT_ROUNDED
    evidence = rounded_once(one(2050, "f16"), expected, kept)
    assert (evidence.grade, evidence.index, evidence.got, evidence.expected) == (
        Grade.FAIL, (0, 0, 0), 2050, 2048
    )  # fmt: skip
    assert evidence.error_over_bound == math.inf


@pytest.mark.parametrize(
    ("got", "grade"),
    [
        ([2, 2**24], Grade.EXACT),
        ([2, 0], Grade.EXACT),
        ([2, np.nan], Grade.EXACT),
        ([3, 2**24], Grade.FAIL),
        ([np.nan, 2**24], Grade.FAIL),
        ([np.inf, 2**24], Grade.FAIL),
    ],
)
def test_rounded_once_judges_the_elements_asked_for(got: list[float], grade: Grade) -> None:
    where = np.array([[[True, False]]])
    evidence = rounded_once(np.float32([[got]]), two_outputs(), where)
    assert (evidence.grade, evidence.certificate) == (grade, 0.5)


def test_rounded_once_of_nothing_is_no_evidence_of_power() -> None:
    evidence = rounded_once(np.float32([[[7, 7]]]), two_outputs(), np.zeros((1, 1, 2), bool))
    assert evidence.ok
    assert not evidence.powered


def test_where_nothing_is_summed_zero_is_demanded() -> None:
    """Either sign of it."""
    expected = inner_product([0.0, 0.0], [0.7, 0.3], "f32", 2.0**-24)
    for zero in (0.0, -0.0):
        assert rounded_once(one(zero, "f32"), expected, expected.s == 0).grade is Grade.EXACT
    assert rounded_once(one(1e-45, "f32"), expected, expected.s == 0).grade is Grade.FAIL


# ---- suspicious ----
@pytest.mark.parametrize(("n", "times"), [(2000, 0.9), (20_000, 0.3)])
def test_what_is_proven_but_not_probable_is_suspicious(n: int, times: float) -> None:
    rng = np.random.default_rng(0)
    x, w = (list(rng.uniform(0.5, 1, n) * rng.choice((-1, 1), n)) for _ in range(2))
    grades = {}
    for independent in (True, False):
        expected = inner_product(x, w, "f32", independent=independent)
        off = expected.bound.item() * times
        assert (expected.probable.item() < off) is independent
        grades[independent] = compare(expected.exact + off, expected).grade
        assert compare(expected.exact + expected.probable * 0.9, expected).grade is Grade.PROVEN
        assert compare(expected.exact + expected.bound * 1.01, expected).grade is Grade.FAIL
    assert grades == {True: Grade.SUSPICIOUS, False: Grade.PROVEN}


def test_what_is_suspicious_is_no_failure_and_shows_its_place() -> None:
    expected = inner_product([0.7] * 5000, [0.7] * 5000, "f32", independent=True)
    evidence = compare(expected.exact - expected.bound * 0.9, expected)
    assert (evidence.grade, evidence.ok, evidence.wrong) == (Grade.SUSPICIOUS, True, None)
    assert evidence.error_over_bound == pytest.approx(0.9, rel=1e-6)


def test_few_summands_are_never_suspicious() -> None:
    """81 roundings may all go one way."""
    expected = inner_product([0.7] * 81, [0.7] * 81, "f32", independent=True)
    assert compare(expected.exact + expected.bound * 0.999, expected).grade is Grade.PROVEN


def test_where_nothing_is_proven_nothing_is_suspicious() -> None:
    expected = inner_product([1.0] * 300, [1.0] * 300, "bf16", independent=True)
    assert compare(one(12.0, "bf16"), expected).grade is Grade.PROVEN


@pytest.mark.parametrize("times", [0.5, 0.999999, 1.000001, 2.0, 1e6])
def test_the_line_is_the_bound(times: float) -> None:
    expected = expected_of(f"{REAL} f32")
    got = expected.exact.copy()
    got[1, 0, 2, 2] += expected.bound[1, 0, 2, 2] * times
    evidence = compare(got, expected)
    assert evidence.ok == (times < 1)
    assert evidence.index == (1, 0, 2, 2)
    assert evidence.error_over_bound == pytest.approx(times, rel=1e-7)  # `+=` rounds, in float64


# ---- what evidence says ----
def test_the_worst_element_is_the_one_farthest_beyond_its_bound() -> None:
    """A large error on a large element is less than a small one on a small element, if the bounds say so."""
    expected = expected_of(REAL)
    by_bound = np.argsort(expected.bound, axis=None)
    small, large = (
        tuple(int(i) for i in np.unravel_index(by_bound[at], expected.exact.shape)) for at in (0, -1)
    )
    got = expected.exact.copy()
    got[large] += 200 * expected.bound[large]
    got[small] -= 300 * expected.bound[small]
    evidence = compare(got, expected)
    assert evidence.index == small
    assert (evidence.got, evidence.expected) == (got[small], expected.exact[small])
    assert 250 < evidence.error_over_bound < 350


def test_in_the_exact_regime_the_worst_element_is_the_one_with_the_largest_error() -> None:
    expected = expected_of(f"{INTEGERS} f32")
    got = expected.exact.astype(np.float32)
    got[0, 0, 1, 1] += 1
    got[1, 1, 3, 2] -= 7
    got[1, 1, 4, 4] += 2
    evidence = compare(got, expected)
    assert evidence.index == (1, 1, 3, 2)
    assert (evidence.got, evidence.expected) == (expected.exact[1, 1, 3, 2] - 7, expected.exact[1, 1, 3, 2])
    assert evidence.error_over_bound == math.inf


def test_the_mask_holds_all_wrong_elements_and_no_other() -> None:
    expected = expected_of(f"{REAL} f32")
    got = expected.exact.astype(np.float32)
    got[:, 1, 0] += 1
    got[1, 0, 2, 2] += 1
    evidence = compare(got, expected)
    assert evidence.wrong is not None
    assert evidence.wrong.dtype == bool
    places = np.zeros(got.shape, bool)
    places[:, 1, 0] = places[1, 0, 2, 2] = True
    assert evidence.wrong.tolist() == places.tolist()


def test_evidence_holds_plain_numbers() -> None:
    expected = expected_of(INTEGERS)
    evidence = compare(expected.exact + 1, expected)
    assert type(evidence.got) is type(evidence.expected) is type(evidence.error_over_bound) is float
    assert evidence.index is not None
    assert all(type(i) is int for i in evidence.index)


def test_power_is_certified_by_the_share_of_elements() -> None:
    assert Evidence(quantity="y", grade=Grade.EXACT, certificate=0.25).powered
    assert not Evidence(quantity="y", grade=Grade.EXACT, certificate=0).powered
    assert not compare(np.zeros((0, 2, 2, 2)), expected_of("2d n0 c2 m2 i4 k3")).powered


# ---- NaN and infinity ----
@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("line", [f"{INTEGERS} f32", f"{REAL} f32", f"{REAL} f64"])
def test_a_special_value_among_numbers_fails_where_it_is(line: str, special: float) -> None:
    expected = expected_of(line)
    got = expected.exact.astype(Problem.parse(line).format.numpy)
    got[0, 0, 0, 0] += 100  # wrong, too, but less so
    got[1, 1, 2, 3] = special
    evidence = compare(got, expected)
    assert (evidence.grade, evidence.index, evidence.error_over_bound) == (Grade.FAIL, (1, 1, 2, 3), math.inf)
    assert evidence.wrong is not None
    assert evidence.wrong.sum() == 2


def test_nothing_but_nan_fails_everywhere() -> None:
    expected = expected_of(f"{REAL} f32")
    evidence = compare(np.full(expected.exact.shape, np.nan, np.float32), expected)
    assert evidence.grade is Grade.FAIL
    assert evidence.wrong is not None
    assert evidence.wrong.all()
    assert math.isnan(evidence.got or 0)


@pytest.mark.filterwarnings("error")
def test_infinity_is_right_where_a_sum_may_overflow() -> None:
    expected = inner_product([250, 250], [250, 250], "f16")
    assert compare(np.full((1, 1, 1), np.inf, np.float16), expected).ok


@pytest.mark.parametrize("got", [math.nan, 0.0, 1e5])
def test_where_gamma_is_void_nothing_can_be_said_but_nan_is_no_number(got: float) -> None:
    """300 terms in a bfloat16 accumulator: the proof says nothing, yet no order of summation makes a NaN."""
    expected = inner_product([1.0] * 300, [1.0] * 300, "bf16")
    evidence = compare(np.full((1, 1, 1), got, ml_dtypes.bfloat16), expected)
    assert evidence.ok == (not math.isnan(got))
    assert not evidence.powered
    assert evidence.error_over_bound == (math.inf if math.isnan(got) else 0)


# ---- shapes ----
@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (2, 2, 6), (), (2, 2, 0, 6), (2, 2, 1, 1)])
def test_another_shape_fails_and_names_both(shape: tuple[int, ...]) -> None:
    expected = expected_of(INTEGERS)
    for evidence in (compare(np.zeros(shape), expected), sizes("y", shape, expected.exact.shape)):
        assert (evidence.grade, evidence.index, evidence.wrong) == (Grade.FAIL, None, None)
        assert evidence.error_over_bound == math.inf
        assert evidence.note == f"y has shape {shape}, the geometry gives (2, 2, 5, 7)"


def test_a_right_shape_is_evidence_too() -> None:
    assert sizes("dx", (1, 2, 3), (1, 2, 3)).grade is Grade.EXACT


def test_a_failure_without_an_element_says_why() -> None:
    evidence = wrong("dw", "dw is a list")
    assert (evidence.grade, evidence.note, evidence.quantity, evidence.ok) == (
        Grade.FAIL,
        "dw is a list",
        "dw",
        False,
    )


# ---- identical ----
def test_identical_results_are_exact_whatever_their_dtype() -> None:
    a = np.array([[1.0, -2.0], [0.5, 3.0]])
    assert identical("y", a.astype(np.float16), a).grade is Grade.EXACT
    assert identical("y", a.astype(ml_dtypes.bfloat16), a.astype(np.float32)).grade is Grade.EXACT


def test_one_bit_of_difference_is_not_identical() -> None:
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    b = a.copy()
    b[1, 0] = np.nextafter(3.0, 4.0)
    evidence = identical("dw", b, a, "two routes")
    assert (evidence.grade, evidence.index, evidence.expected, evidence.note) == (
        Grade.FAIL,
        (1, 0),
        3.0,
        "two routes",
    )
    assert evidence.wrong is not None
    assert evidence.wrong.tolist() == [[False, False], [True, False]]


def test_nan_and_infinity_in_the_same_places_are_identical() -> None:
    a = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert identical("y", a, a.copy()).grade is Grade.EXACT


@pytest.mark.parametrize(
    ("got", "reference"),
    [
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.inf, 1.0),
        (1.0, np.inf),
        (np.inf, -np.inf),
        (np.nan, np.inf),
        (np.inf, np.nan),
    ],
)
def test_a_special_value_in_one_of_two_results_is_not_identical(got: float, reference: float) -> None:
    evidence = identical("y", np.array([np.nan, np.inf, got]), np.array([np.nan, np.inf, reference]))
    assert (evidence.grade, evidence.index, evidence.error_over_bound) == (Grade.FAIL, (2,), math.inf)
    assert evidence.wrong is not None
    assert evidence.wrong.tolist() == [False, False, True]


def test_plus_and_minus_zero_are_identical() -> None:
    assert identical("y", np.array([0.0]), np.array([-0.0])).ok


def test_results_of_different_shapes_are_not_identical() -> None:
    assert (
        identical("y", np.zeros((2, 3)), np.zeros((3, 2))).note
        == "y has shape (2, 3), the geometry gives (3, 2)"
    )


def test_empty_results_are_identical() -> None:
    assert identical("y", np.zeros((0, 3)), np.zeros((0, 3))).grade is Grade.EXACT
