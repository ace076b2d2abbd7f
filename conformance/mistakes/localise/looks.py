"""Looks: an implementation asked on one problem after another, within a budget, and never believed blindly.

A `Look` is what came back beside what is right.  `Looks` keeps them, so that a problem is asked once; what the
implementation does not answer (it raises, declines, breaks off) is no look, and once it was late it is not asked again.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.engine.runner import LARGE, case_of
from conformance.errors import AdapterBroken, GeometryError
from conformance.oracle import Expected, compare
from conformance.problem import Geometry, Problem
from conformance.spec import NotOffered, Raised, TimedOut

__all__ = ["Array", "Floats", "Look", "Looks", "Mask", "axis_names", "same", "varied"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

CALLS = 60
SECONDS = 5.0

ENOUGH = 16
"""Elements that have to be right before it is no chance that they are: what a mistake does may not show on some data."""

SPATIAL = {1: ("position",), 2: ("row", "column"), 3: ("plane", "row", "column")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One quantity of one problem.

    got: in float64; of integer data, what a transform computed is rounded to integers.  expected: what is right.
    fits: has `got` its shape?  wrong: mask of the elements that are not right; all, if it does not fit.
    overwritten: operands that the call changed.
    """

    problem: Problem
    quantity: str
    got: Floats
    expected: Expected
    fits: bool
    wrong: Mask
    overwritten: tuple[str, ...] = ()

    @property
    def g(self) -> Geometry:
        return self.problem.geometry

    @property
    def right(self) -> Floats:
        """Exact, in float64."""
        return self.expected.exact

    @property
    def ok(self) -> bool:
        return self.fits and not self.wrong.any()

    @property
    def bias(self) -> Floats | None:
        """What a bias contributes to y, in its shape; None if it contributes nothing."""
        b = self.problem.operands.b
        if b is None or self.quantity != "y":
            return None
        own = b.astype(np.float64)
        return np.broadcast_to(
            own if self.g.bias == "untied" else own.reshape(-1, *(1,) * self.g.rank), self.g.y_shape
        )

    def gives(self, values: Floats) -> bool:
        """Is what came back these values, rounded to the dtype?"""
        return same(self.got, self.problem.format.rounded(values))


class Looks:
    """Looks at one quantity; all of them, in order, in `seen`."""

    def __init__(
        self, session: Session, quantity: str, *, calls: int = CALLS, seconds: float = SECONDS
    ) -> None:
        self._session, self._quantity = session, quantity
        self._left, self._end = calls, time.monotonic() + seconds
        self._known: dict[Problem, Look | None] = {}

    @property
    def seen(self) -> list[Look]:
        return [look for look in self._known.values() if look is not None]

    def at(self, problem: Problem | None) -> Look | None:
        """The look at a problem; None where there is none (not offered, not answered, nothing left to spend)."""
        if problem is None:
            return None
        if problem not in self._known and self.affords(problem):
            self._known[problem] = self.again(problem)
        return self._known.get(problem)

    def again(self, problem: Problem) -> Look | None:
        """A new call, whatever is known and spent."""
        self._left -= 1
        try:
            return self._look(problem)
        except (TimedOut, AdapterBroken):
            self._left = 0
        except (Raised, NotOffered, KeyError):
            pass
        return None

    def affords(self, problem: Problem) -> bool:
        """Is it small, and is there time and a call left?  The last one is for `again`."""
        return self._left > 1 and time.monotonic() < self._end and problem.geometry.products <= LARGE

    def ok(self, problem: Problem | None) -> bool | None:
        """Is it right on a problem?  None: no look."""
        look = self.at(problem)
        return None if look is None else look.ok

    def surely(self, problem: Problem) -> bool:
        """Is it right on a problem, and, if that has few elements, on the same with other data?"""
        right = 0
        for k in range(ENOUGH):
            look = self.at(problem.replace(seed=(problem.seed + 100 * k) % 2**64))
            if look is None or not look.ok:
                return False
            right += look.right.size
            if right >= ENOUGH:
                return True
        return False

    def _look(self, problem: Problem) -> Look | None:
        case = case_of(self._session, problem)
        if not case.has(self._quantity):
            return None
        answer = case.call(self._quantity)
        raw, expected = answer.arrays[self._quantity], case.expected[self._quantity]
        fits, wrong = raw.shape == expected.exact.shape, compare(raw, expected).wrong
        return Look(
            problem=problem,
            quantity=self._quantity,
            got=case.settled(self._quantity, raw) if fits and problem.integers else raw.astype(np.float64),
            expected=expected,
            fits=fits,
            wrong=np.full(expected.exact.shape, not fits) if wrong is None else wrong,
            overwritten=answer.modified,
        )


def varied(problem: Problem, **changes: Any) -> Problem | None:
    """The problem with another geometry; None if that is impossible."""
    try:
        return problem.replace(geometry=dataclasses.replace(problem.geometry, **changes))
    except GeometryError:
        return None


def axis_names(g: Geometry, quantity: str) -> tuple[str, ...]:
    """What one index along each axis of a result is called."""
    spatial = SPATIAL[g.rank]
    if quantity == "db":
        return ("map", *spatial) if g.bias == "untied" else ("map",)
    if quantity == "dw":
        return ("map", "channel", *(f"kernel {name}" for name in spatial))
    return ("item", "map" if quantity == "y" else "channel", *spatial)


def same(a: Floats, b: Floats) -> bool:
    """Shape and values; NaN is NaN."""
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
