"""Chapter NUM: what may be demanded of floating point (numerics.md), without a tuned tolerance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, Expected, Grade, compare, rounded_once, wrong
from conformance.oracle.vectorised import Layer
from conformance.spec.algebra import VALUES
from conformance.spec.case import Case, named
from conformance.spec.footprint import footprint
from conformance.spec.registry import Severity, clause

__all__: list[str] = []

INTEGERS = ("small", "sparse", "unit", "wide", "odd")


@clause(
    "NUM-1",
    "results carry the dtype of the operands; no silent down-cast",
    equation="dtype(y) = dtype(dx) = dtype(dw) = dtype(db) = dtype(x)",
    source="numerics: dtype of the call",
    needs=[],
)
def carries_dtype(case: Case) -> Iterator[Evidence]:
    promised = case.problem.format
    for q in case.offers:
        got = case.call(q).arrays[q].dtype
        if got == promised.numpy:
            yield Evidence(quantity=q, grade=Grade.EXACT)
        else:
            yield wrong(q, f"{q} has dtype {got}, the operands have {promised.name}")


@clause(
    "NUM-2",
    "exact data give exact results",
    equation="S <= 2^p units of the operands' lattice  =>  the exact value, rounded once to the dtype",
    source="numerics: exact regimes of the arithmetic class (transforms whose bound is below 1/2: rounded to integers)",
    needs=[],
    falls_with=VALUES,
)
def exact_data(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        expected = case.expected[q]
        if not expected.direct:
            if _settles(case, expected):
                yield compare(case[q], expected)
        elif expected.unrounded:
            yield compare(case[q], expected)
        elif (once := expected.rounded_once).any():
            yield compare(case[q], expected, once)


@clause(
    "NUM-3",
    "operands are not rounded, sums are kept at least in float32, and rounded once",
    equation="S <= 2^24 units of the operands' lattice  =>  the exact value, rounded once to the dtype",
    source="numerics: exact regime E2 (direct algorithms), whatever the arithmetic class declares",
    severity=Severity.SHOULD,
    needs=[],
    falls_with=("NUM-2", "NUM-4", *VALUES),
)
def at_least_float32(case: Case) -> Iterator[Evidence]:
    for q in () if case.problem.integers else case.offers:
        expected = case.expected[q]
        if expected.direct and (kept := expected.within(24) | expected.single).any():
            yield rounded_once(case[q], expected, kept)


@clause(
    "NUM-4",
    "real data stay within the proven bound of the arithmetic class",
    equation="|result - exact| <= E(n, S, u) element by element",
    source="numerics: proven bounds",
    needs=[],
    falls_with=("NUM-2", *VALUES),
)
def within_bound(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        expected = case.expected[q]
        if not expected.direct:
            if not _settles(case, expected):
                yield compare(case[q], expected)
        elif not (once := expected.rounded_once).all():
            yield compare(case[q], expected, ~once)


@clause(
    "NUM-5",
    "sums of nothing are exactly zero, sums of positive products are not negative",
    equation="S = 0  =>  result = 0;  all products > 0  =>  result >= 0",
    source="numerics: direct algorithms (transforms leave noise)",
    severity=Severity.SHOULD,
    needs=[],
    falls_with=("NUM-2", "NUM-4", *VALUES),
)
def zero_and_sign(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        expected = case.expected[q]
        if not expected.direct:
            continue
        if case.problem.fill in ("gaps", "onehot"):
            yield rounded_once(case[q], expected, expected.s == 0)
        elif case.problem.fill == "positive":
            yield _not_negative(q, case[q].astype(np.float64))


def _settles(case: Case, expected: Expected) -> bool:
    """Is a transform's error on these integers so small that only one integer is near?"""
    return case.problem.fill in INTEGERS and bool(np.all(expected.bound < 0.5))


def _not_negative(q: str, got: Any) -> Evidence:
    negative = ~(got >= 0)
    if not negative.any():
        return Evidence(quantity=q, grade=Grade.EXACT)
    index = tuple(int(i) for i in np.argwhere(negative)[0])
    return wrong(q, f"{q} at {index} is {got[index]:.9g}, a sum of positive products")


@clause(
    "NUM-6",
    "a NaN or Inf reaches the results that read it, and no others",
    equation="must <= {non-finite results} <= may: through products alone, or also through zeros written to memory",
    source="numerics: NaN/Inf footprint (direct algorithms; transforms spread it)",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def special_values(case: Case) -> Iterator[Evidence]:
    if not case.exact or case.problem.fill == "sparse" or not case.g.batch:
        return
    seed = case.problem.seed
    numbers = itertools.count(
        seed, 19
    )  # with this step, four at a time, the covering corpus meets every class of border
    for operand in ("x", "w", "delta"):
        clean = getattr(case.operands, operand)
        for special in (np.nan, np.inf):
            first = (seed % clean.shape[0], seed // 2 % clean.shape[1])
            places = {(*first, *border(clean.shape[2:], next(numbers))) for _ in range(4)}
            yield from _reaching(case, operand, special, places)


def _reaching(case: Case, operand: str, special: float, places: set[tuple[int, ...]]) -> Iterator[Evidence]:
    """Does a special value at these places reach what it must, and no more than it may?"""
    spoiled = np.array(getattr(case.operands, operand))
    for index in places:
        spoiled[index] = special
    masks = [footprint(case.g, operand, index) for index in sorted(places)]
    for q in case.offers:
        if (q != "y" or operand != "delta") and case.expected[q].direct:
            must, may = (np.any([m[q][side] for m in masks], axis=0) for side in (0, 1))
            got = ~np.isfinite(case.ask(q, **named(operand, spoiled)).astype(np.float64))
            where = " and ".join(map(str, sorted(places)))
            yield _reach(q, got, must, may, f"{special} in {operand} at {where}")


def border(sizes: tuple[int, ...], number: int) -> tuple[int, ...]:
    """The first, an inner or the last place along each axis; `number` counts through these classes."""
    place = []
    for size in sizes:
        number, kind = divmod(number, 3)
        place.append((0, size // 2, size - 1)[kind])
    return tuple(place)


def _reach(q: str, got: Any, must: Any, may: Any, note: str) -> Evidence:
    lost, spread = must & ~got, got & ~may
    if not (lost | spread).any():
        return Evidence(quantity=q, grade=Grade.EXACT)
    missing, bad = ("does not reach", lost) if lost.any() else ("also reaches", spread)
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return wrong(q, f"{note} {missing} {q} at {index} ({int(bad.sum())} elements)")


@clause(
    "NUM-7",
    "subnormal results and results that overflow: measured",
    equation="are multiples of the smallest subnormal kept?  Is what exceeds the largest number infinite?",
    source="numerics: information about the arithmetic class, no verdict",
    severity=Severity.INFO,
    needs=[],
)
def extremes(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        if case.problem.fill == "subnormal":
            right = np.abs(case.expected[q].exact)
            tiny = (right > 0) & (right < case.problem.format.smallest_normal)
            flushed = tiny & (case[q].astype(np.float64) == 0)
            yield from _measured(q, tiny, flushed, "subnormal results are", ("kept", "flushed to zero"))
        if case.problem.fill == "huge" and q != "db":
            yield from _overflow(case, q)


def _overflow(case: Case, q: str) -> Iterator[Evidence]:
    """One operand grown by a power of two, so that results exceed the largest number."""
    operand = "delta" if q == "dx" else "x"
    dtype = case.problem.format
    values = getattr(case.operands, operand).astype(np.float64)
    power = math.floor(math.log2(dtype.largest / np.abs(values).max(initial=1)))
    grown = named(operand, np.ldexp(values, power).astype(dtype.numpy))
    right: Any = getattr(Layer.of(case.g, case.operands.replace(**grown)), q)
    over = ~(np.abs(right) < 2 * dtype.largest) if dtype.code != "f64" else ~np.isfinite(right)
    finite = over & np.isfinite(case.ask(q, **grown).astype(np.float64))
    yield from _measured(q, over, finite, "results that overflow are", ("not finite", "finite numbers"))


def _measured(q: str, met: Any, other: Any, what: str, kinds: tuple[str, str]) -> Iterator[Evidence]:
    if met.any():
        yield Evidence(quantity=q, grade=Grade.EXACT, note=f"{what} {kinds[bool(other.any())]}")
