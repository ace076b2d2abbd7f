"""What chapter NUM asks of whom: which data, which elements, which places of NaN and infinity."""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.engine.corpus import corpus
from conformance.engine.runner import LARGE
from conformance.oracle import Arithmetic, Grade
from conformance.problem import DTYPES, QUANTITIES, Geometry, Operands, dtype_of
from conformance.problem.fills import FILLS, REGIMES
from conformance.spec import REGISTRY, Case, Question
from conformance.spec.numerics import border

CaseOf = Callable[..., Case]
LINE = "2d n2 c3 m3 i6x5 k2x3"
PRODUCTS = ("y", "dx", "dw")


# ---- which clause judges which elements ----
@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "inner", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", FILLS)
def test_a_nan_is_seen_on_all_data_wherever_it_is(
    fill: str, dtype: str, place: int, case_of: CaseOf, right: Any
) -> None:
    """Between them NUM-2 and NUM-4 judge every element, whatever the accumulator is."""

    def one_is_nan(g: Geometry, o: Operands, backward: bool) -> Any:
        r = right(g, o, backward)
        for a in r.values():
            a.flat[place * (a.size - 1) // 2] = np.nan
        return r

    for arithmetic in (Arithmetic(), Arithmetic(accumulator="f64" if dtype == "f64" else "f32")):
        case = case_of(f"{LINE} {dtype} fill={fill}", one_is_nan, arithmetic=arithmetic)
        failed = {e.quantity for id_ in ("NUM-2", "NUM-4") for e in REGISTRY[id_].check(case) if not e.ok}
        assert failed == set(QUANTITIES)


def test_integers_are_judged_as_exact_alone_and_reals_by_the_bound_alone(case_of: CaseOf) -> None:
    said = {
        fill: {
            id_ for id_ in ("NUM-2", "NUM-4") if list(REGISTRY[id_].check(case_of(f"{LINE} f64 fill={fill}")))
        }
        for fill in ("small", "wide", "odd", "subnormal", "huge", "real")
    }
    assert said == {fill: {"NUM-4" if fill == "real" else "NUM-2"} for fill in said}


def test_a_tensor_of_both_kinds_is_judged_by_both_clauses_each_its_own_elements(
    case_of: CaseOf, right: Any
) -> None:
    """Where gaps leave nothing, or one product, to sum, the result is exact or rounded once; elsewhere it has a bound."""
    line = "1d n1 c1 m1 i8 k3 bias=none f32 fill=gaps"  # the last four of x are zero
    case = case_of(line)
    once = case.expected["y"].rounded_once
    assert once.any()
    assert not once.all()
    for index in np.ndindex(*once.shape):

        def wrong_there(g: Geometry, o: Operands, backward: bool, index: Any = index) -> Any:
            r = right(g, o, backward)
            if not backward:
                r["y"][index] += 1
            return r

        failed = {
            id_
            for id_ in ("NUM-2", "NUM-4")
            for e in REGISTRY[id_].check(case_of(line, wrong_there))
            if not e.ok
        }
        assert failed == {"NUM-2" if once[index] else "NUM-4"}


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_a_narrow_accumulator_passes_must_and_not_should(dtype: str, case_of: CaseOf, right: Any) -> None:
    """Who declares nothing may sum in the dtype; NUM-3 tells that it does."""

    def sums_narrowly(g: Geometry, o: Operands, backward: bool) -> Any:
        parts = []
        for c in range(g.channels):
            x = np.zeros_like(o.x)
            x[:, c] = o.x[:, c]
            parts.append(right(g, o.replace(x=x), backward))
        return parts[0] if backward else {"y": functools.reduce(np.add, [p["y"] for p in parts])}

    case = case_of(f"{LINE} bias=none {dtype} fill=wide", sums_narrowly, offered=frozenset({"y"}))
    verdicts = {id_: [e.ok for e in REGISTRY[id_].check(case)] for id_ in ("NUM-2", "NUM-3", "NUM-4")}
    assert verdicts["NUM-3"] == [False]
    assert all(verdicts["NUM-2"] + verdicts["NUM-4"])
    declared = case_of(
        f"{LINE} bias=none {dtype} fill=wide",
        sums_narrowly,
        offered=frozenset({"y"}),
        arithmetic=Arithmetic(accumulator="f32"),
    )
    assert [e.ok for e in REGISTRY["NUM-2"].check(declared)] == [False]


@pytest.mark.parametrize("id", ["NUM-3", "NUM-5"])
def test_of_transforms_only_the_bias_gradient_is_asked_what_direct_sums_can_do(
    id: str,  # noqa: A002
    case_of: CaseOf,
) -> None:
    for fill in REGIMES:
        fft = case_of(f"{LINE} f32 fill={fill}", arithmetic=Arithmetic(algorithm="fft"))
        assert {e.quantity for e in REGISTRY[id].check(fft)} <= {"db"}


def test_only_integers_that_fill_a_small_part_are_left_to_num_2(case_of: CaseOf) -> None:
    """On small integers, S <= 2^p in every dtype: NUM-3 would say nothing that NUM-2 does not."""
    said = {fill for fill in FILLS if list(REGISTRY["NUM-3"].check(case_of(f"{LINE} f16 fill={fill}")))}
    assert said >= {"wide", "odd", "onehot", "stagnation", "subnormal", "huge"}
    assert not said & {"small", "sparse", "unit"}


# ---- measured ----
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_results_are_measured(dtype: str, case_of: CaseOf, right: Any) -> None:
    def flushes(g: Geometry, o: Operands, backward: bool) -> Any:
        normal = dtype_of(o.x.dtype).smallest_normal
        r = right(g, o, backward)
        return {q: np.where(np.abs(a.astype(np.float64)) < normal, a * 0, a) for q, a in r.items()}

    assert noted(case_of(f"{LINE} {dtype} fill=subnormal")) == dict.fromkeys(
        PRODUCTS, "subnormal results are kept"
    )
    assert noted(case_of(f"{LINE} {dtype} fill=subnormal", flushes)) == dict.fromkeys(
        PRODUCTS, "subnormal results are flushed to zero"
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_that_overflow_are_measured(dtype: str, case_of: CaseOf, right: Any) -> None:
    def saturates(g: Geometry, o: Operands, backward: bool) -> Any:
        largest = dtype_of(o.x.dtype).largest
        r = right(g, o, backward)
        return {q: np.nan_to_num(a.astype(np.float64), posinf=largest, neginf=-largest, nan=largest).astype(a.dtype)
                for q, a in r.items()}  # fmt: skip

    assert noted(case_of(f"{LINE} {dtype} fill=huge")) == dict.fromkeys(
        PRODUCTS, "results that overflow are not finite"
    )
    assert noted(case_of(f"{LINE} {dtype} fill=huge", saturates)) == dict.fromkeys(
        PRODUCTS, "results that overflow are finite numbers"
    )


def noted(case: Case) -> dict[str, str]:
    """What NUM-7 says of each quantity; it never fails."""
    evidence = list(REGISTRY["NUM-7"].check(case))
    assert all(e.grade is Grade.EXACT for e in evidence)
    return {e.quantity: e.note for e in evidence}


def test_nothing_is_measured_on_other_data(case_of: CaseOf) -> None:
    assert {fill for fill in FILLS if noted(case_of(f"{LINE} f32 fill={fill}"))} == {"subnormal", "huge"}


# ---- where special values are put ----
def classes(shape: tuple[int, ...], index: tuple[int, ...]) -> list[tuple[str, ...]]:
    """The border classes of an element: an axis of one place is first and last at once, and has no inner one."""
    kinds = [
        [name for name, is_it in (("first", i == 0), ("inner", 0 < i < n - 1), ("last", i == n - 1)) if is_it]
        for n, i in zip(shape[2:], index[2:], strict=True)
    ]
    return list(itertools.product(*kinds))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 4, 5), (3, 2, 5, 1), (2, 2, 3, 4, 5), (1, 4, 2, 2, 2)])
def test_numbers_count_through_all_border_classes(shape: tuple[int, ...]) -> None:
    rank = len(shape) - 2
    indices = [(0, 0, *border(shape[2:], number)) for number in range(3**rank)]
    assert all(0 <= i < n for index in indices for i, n in zip(index, shape, strict=True))
    met = {c for index in indices for c in classes(shape, index)}
    possible = itertools.product(
        *(("first", "inner", "last") if n > 2 else ("first", "last") for n in shape[2:])
    )
    assert met == set(possible)


@functools.cache
def spoiled(case_of: CaseOf) -> dict[tuple[int, str], Counter[Any]]:
    """(rank, operand) -> how often each border class held a NaN or an infinity, over the corpora of the quick profile."""
    met: dict[tuple[int, str], Counter[Any]] = defaultdict(Counter)
    for problem in (n.problem for name in ("covering", "seed") for n in corpus(name)):
        if problem.geometry.products <= LARGE:
            asked: list[Question] = []
            list(REGISTRY["NUM-6"].check(case_of(str(problem), asked=asked)))
            for name, a in (item for question in asked for item in question.operands.items()):
                if not np.isfinite(a).all():
                    for index in np.argwhere(~np.isfinite(a.astype(np.float64))):
                        met[problem.geometry.rank, name].update(classes(a.shape, tuple(index)))
    return met


@pytest.mark.parametrize("operand", ["x", "w", "delta"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_over_the_quick_corpora_every_border_class_holds_a_special_value(
    rank: int, operand: str, case_of: CaseOf
) -> None:
    every = set(itertools.product(("first", "inner", "last"), repeat=rank))
    assert sorted(every - set(spoiled(case_of)[rank, operand])) == []
