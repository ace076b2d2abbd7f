"""Calls timed in turns: whatever else the machine does disturbs all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def in_turns(calls: Sequence[Callable[[], object]], *, rounds: int) -> list[list[float]]:
    """The seconds of each call in every round."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return seconds


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of mine / theirs."""
    return statistics.median(m / t for m, t in zip(mine, theirs, strict=True))
