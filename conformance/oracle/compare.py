"""A computed result against the right one: evidence with a grade, without a tolerance.

Grades, best first: EXACT (bitwise; demanded where no sum can round), EXACT_ROUNDED (the exact value rounded once; demanded
where no sum can round but the result does), RINT (a transform whose proven error is below one half: rounded to integers
it is exact), PROVEN (inside the bound of the arithmetic class), SUSPICIOUS (inside it, but farther off than independent
roundings are believed to take a result), FAIL.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.expectation import Expected

__all__ = [
    "Evidence",
    "Grade",
    "compare",
    "demanded",
    "identical",
    "rounded_once",
    "sizes",
    "within",
    "wrong",
]


class Grade(enum.IntEnum):
    """How well a result agrees; larger is worse.  A tensor has the grade of its worst element."""

    EXACT = 0
    EXACT_ROUNDED = 1
    RINT = 2
    PROVEN = 3
    SUSPICIOUS = 4
    FAIL = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What a comparison saw: the worst element, how far it is off, and whether a mistake would have been seen at all.

    error_over_bound: 0 where results are exact, at most 1 where they are right, infinite where only equality is.
    wrong: mask of the elements that are not right (None: all are right, or shapes differ).
    powered: is a wrong product certain to be seen somewhere ?  certificate: in which share of elements
    (`Expected.certificate`).
    """

    quantity: str
    grade: Grade
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    error_over_bound: float = 0.0
    wrong: NDArray[np.bool_] | None = None
    certificate: float = 1.0
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.grade is not Grade.FAIL

    @property
    def powered(self) -> bool:
        return self.certificate > 0


def wrong(quantity: str, note: str) -> Evidence:
    """Evidence of a failure that is not one element's: a shape, a dtype, an exception that did not come."""
    return Evidence(quantity=quantity, grade=Grade.FAIL, error_over_bound=math.inf, note=note)


def sizes(quantity: str, got: tuple[int, ...], expected: tuple[int, ...]) -> Evidence:
    """Are the shapes the same?"""
    if got == expected:
        return Evidence(quantity=quantity, grade=Grade.EXACT)
    return wrong(quantity, f"{quantity} has shape {got}, the geometry gives {expected}")


def compare(got: NDArray[Any], expected: Expected, where: NDArray[np.bool_] | None = None) -> Evidence:
    """Judge one tensor; the worst element is the one that is farthest beyond its bound.

    where: the elements that are judged (all of them).
    """
    if got.shape != expected.exact.shape:
        return sizes(expected.quantity, got.shape, expected.exact.shape)
    values = got.astype(np.float64)
    certificate = expected.certificate if where is None else float(np.mean(expected.certain & where))
    if np.array_equal(values, expected.exact):
        return Evidence(quantity=expected.quantity, grade=Grade.EXACT, certificate=certificate)
    target, bound = demanded(expected)
    if where is not None:
        values = np.where(where, values, target)
    bound = np.where(np.isnan(values) & ~expected.may_overflow, 0.0, bound)  # NaN is within no bound
    evidence = _worst(expected.quantity, values, target, bound, certificate)
    return (
        evidence if not evidence.ok else dataclasses.replace(evidence, grade=_grade(values, expected, where))
    )


def rounded_once(got: NDArray[Any], expected: Expected, where: NDArray[np.bool_]) -> Evidence:
    """Are the elements `where` no sum can round the exact value, rounded once to the dtype?"""
    if not where.any():
        return Evidence(quantity=expected.quantity, grade=Grade.EXACT, certificate=0.0)
    right = expected.whole.dtype.rounded(expected.exact)
    values = np.where(where, got.astype(np.float64), right)
    evidence = _worst(expected.quantity, values, right, np.zeros_like(right), float(np.mean(where)))
    rounded = bool(np.any(where & (right != expected.exact)))
    return dataclasses.replace(evidence, grade=max(evidence.grade, Grade(rounded)))


def identical(quantity: str, got: NDArray[Any], reference: NDArray[Any], note: str = "") -> Evidence:
    """Are two results of which no sum can round (or of one and the same call) equal, element by element?

    note: the relation that binds them, for whoever reads of its failure.
    """
    if got.shape != reference.shape:
        return sizes(quantity, got.shape, reference.shape)
    a, b = got.astype(np.float64), reference.astype(np.float64)
    if np.array_equal(a, b, equal_nan=True):
        return Evidence(quantity=quantity, grade=Grade.EXACT)
    bound = np.where(np.isnan(a) & np.isnan(b), np.inf, 0.0)
    return dataclasses.replace(_worst(quantity, a, b, bound, 1.0), note=note)


def within(
    quantity: str,
    got: NDArray[Any],
    right: NDArray[np.float64],
    bound: NDArray[np.float64],
    *,
    certificate: float,
    note: str = "",
) -> Evidence:
    """Is each element within its bound of what is right (where that is 0: equal)?

    note: where the tensor belongs, for whoever reads of its failure.
    """
    if got.shape != right.shape:
        return dataclasses.replace(
            sizes(quantity, got.shape, right.shape),
            note=f"{note}: its shape is {got.shape}, not {right.shape}",
        )
    values = got.astype(np.float64)
    unbounded = np.isinf(bound)
    bound = np.where(np.isnan(values) & ~unbounded, 0.0, bound)  # NaN is within no bound
    evidence = _worst(quantity, values, right, bound, certificate)
    if not evidence.ok:
        return dataclasses.replace(evidence, note=note)
    same = np.array_equal(values, right)
    return dataclasses.replace(evidence, grade=Grade.EXACT if same else Grade.PROVEN)


def demanded(expected: Expected) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(value, largest deviation from it) that is demanded of each element."""
    if not expected.direct:
        return expected.exact, expected.bound
    if expected.unrounded:
        return expected.exact, np.zeros_like(expected.exact)
    once = expected.rounded_once
    target = np.where(once, expected.whole.dtype.rounded(expected.exact), expected.exact)
    return target, np.where(once, 0.0, expected.bound)


def _grade(values: NDArray[np.float64], expected: Expected, where: NDArray[np.bool_] | None) -> Grade:
    """The grade of a result that is not wrong: that of its worst element."""
    with np.errstate(invalid="ignore"):
        inexact = values != expected.whole.dtype.rounded(expected.exact)
        inexact &= True if where is None else where
        if not inexact.any():
            return Grade.EXACT_ROUNDED
        if not expected.direct:
            rint = expected.whole.quantum == 1 and bool(np.all(expected.bound[inexact] < 0.5))
            return Grade.RINT if rint else Grade.PROVEN
        likely = np.abs(values - expected.exact) <= expected.probable
        return Grade.PROVEN if np.all(likely | ~inexact | np.isinf(expected.bound)) else Grade.SUSPICIOUS


def _worst(
    quantity: str,
    got: NDArray[np.float64],
    right: NDArray[np.float64],
    bound: NDArray[np.float64],
    certificate: float,
) -> Evidence:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.where(got == right, 0.0, np.abs(got - right))
        ratio = np.where(error == 0, 0.0, error / bound)
    ratio = np.where(
        np.isnan(error), np.where(np.isinf(bound), 0.0, np.inf), np.where(np.isinf(bound), 0.0, ratio)
    )
    bad = ratio > 1
    # among elements that are infinitely far beyond their bound, the one with the largest error is shown
    rank = np.where(np.isinf(ratio) & np.isfinite(error), np.finfo(np.float64).max, ratio)
    at = int(np.argmax(np.where(rank == rank.max(), np.nan_to_num(error, nan=np.inf), -1.0)))
    index = tuple(int(i) for i in np.unravel_index(at, got.shape))
    return Evidence(
        quantity=quantity,
        grade=Grade.FAIL if bad.any() else Grade.EXACT,
        index=index,
        got=float(got[index]),
        expected=float(right[index]),
        error_over_bound=float(ratio[index]),
        wrong=bad if bad.any() else None,
        certificate=certificate,
    )
