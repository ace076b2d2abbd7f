"""How long an adapter that dies, hangs or breaks the protocol is asked on: each time costs a restart, or the time limit.

A clause is not asked any more after `CLAUSE` problems on which it was lost, nor are a problem's other clauses after
`PROBLEM` deaths on it.  What is not asked is never green: it has the status of what was met before, and says so.  What is
left follows from the judgements, so that a run that was cut off goes on with the same patience.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from conformance.engine.judgement import Judgement, Status

__all__ = ["CLAUSE", "PROBLEM", "Patience"]

CLAUSE = 3
PROBLEM = 2


class Patience:
    """The patience that is left with one adapter."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self._last: dict[str, Judgement] = {}

    def count(self, judgements: Iterable[Judgement]) -> list[Judgement]:
        """The judgements of one problem, counted."""
        seen = list(judgements)
        lost = {j.clause: j for j in seen if j.lost}
        self._lost.update(lost.keys())
        self._last |= lost
        return seen

    def refusal(self, clause: str, here: list[Judgement], deaths: int) -> tuple[Status, str] | None:
        """(status, note) of a clause that is not asked; None if it is.

        here: what was lost on the same problem, where the process was lost `deaths` times.
        """
        if self._lost[clause] >= CLAUSE:
            return _like(self._last[clause], f"not asked any more, it was so on {CLAUSE} problems before")
        if here and deaths >= PROBLEM:
            return _like(here[-1], f"not asked, it was so {PROBLEM} times on this problem before")
        return None


def _like(j: Judgement, told: str) -> tuple[Status, str]:
    known = j.note.endswith("not asked any more")  # by whoever asks
    what = j.note.partition(": not asked" if j.status is Status.BROKEN_ADAPTER else ":")[0]
    return j.status, j.note if known else f"{what}: {told}"
