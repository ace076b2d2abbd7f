"""One clause, one problem, one verdict: the atom of a report."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.oracle import Evidence, Grade

__all__ = ["DIED", "ENDED", "Judgement", "Status", "joined", "judged"]

DIED = "died, "
"""The note of a judgement whose process ended begins so."""
ENDED = "ended, "
"""And so that of one whose process was ended, for it broke the protocol."""


class Status(enum.StrEnum):
    """What became of a clause on a problem; only PASS is green."""

    PASS = "PASS"
    WEAK = "WEAK"
    UNSUPPORTED = "UNSUPPORTED"
    KNOWN = "KNOWN"
    FAIL = "FAIL"
    CRASHED = "CRASHED"
    TIMED_OUT = "TIMED_OUT"
    BROKEN_ADAPTER = "BROKEN_ADAPTER"

    @property
    def failed(self) -> bool:
        return self in (Status.FAIL, Status.CRASHED, Status.TIMED_OUT)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its worst evidence.

    problem: the line; origin: the corpus id, ``explored`` or ``given``.  error_over_bound: of the worst element; infinite
    where only equality is right.  wrong: number of wrong elements of the worst tensor.  certificate: the largest share of
    elements in which a wrong product is certain to be seen.
    """

    adapter: str
    clause: str
    problem: str
    origin: str
    status: Status
    grade: str = ""
    quantity: str = ""
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    error_over_bound: float = 0.0
    wrong: int = 0
    certificate: float = 0.0
    note: str = ""

    @property
    def lost(self) -> bool:
        """Did the process end, not answer in time, or break the protocol?  It has to be started again."""
        ends = {Status.CRASHED: DIED, Status.BROKEN_ADAPTER: ENDED}
        return self.status is Status.TIMED_OUT or (
            self.status in ends and self.note.startswith(ends[self.status])
        )


def judged(
    adapter: str, clause: str, problem: str, origin: str, evidence: Iterable[Evidence]
) -> Judgement | None:
    """The verdict on all evidence of a clause on a problem; None where the clause does not apply."""
    seen = list(evidence)
    if not seen:
        return None
    worst = max(seen, key=lambda e: (e.grade, e.error_over_bound))
    certificate = max(e.certificate for e in seen)
    if worst.grade is Grade.FAIL:
        status = Status.FAIL
    else:
        status = Status.PASS if certificate > 0 else Status.WEAK
    return Judgement(
        adapter=adapter,
        clause=clause,
        problem=problem,
        origin=origin,
        status=status,
        grade=worst.grade.name,
        quantity=worst.quantity,
        index=worst.index,
        got=worst.got,
        expected=worst.expected,
        error_over_bound=worst.error_over_bound,
        wrong=0 if worst.wrong is None else int(worst.wrong.sum()),
        certificate=certificate,
        note=worst.note,
    )


def joined(statuses: Iterable[Status]) -> Status:
    """The status of a clause over many problems; never green for what did not run.

    The worst failure; else PASS if anything passed with power.
    """
    met = set(statuses)
    failures = [
        s
        for s in (Status.BROKEN_ADAPTER, Status.TIMED_OUT, Status.CRASHED, Status.FAIL, Status.KNOWN)
        if s in met
    ]
    if failures:
        return failures[0]
    if Status.PASS in met:
        return Status.PASS
    return Status.UNSUPPORTED if met == {Status.UNSUPPORTED} else Status.WEAK


def worst_ratio(judgements: Iterable[Judgement]) -> float:
    """The largest error over bound; 0 without any."""
    return max((j.error_over_bound for j in judgements if not math.isnan(j.error_over_bound)), default=0.0)
