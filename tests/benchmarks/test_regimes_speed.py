"""What judging in all data regimes costs beside the exact regime alone: the same problems, turn by turn.

The exact regime: the covering corpus on small integers, every clause.  All regimes: the same, and real data, and the nine
numeric regimes, as a run of the standard profile judges them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from conformance.adapter.connect import connect
from conformance.engine.corpus import Named, corpus
from conformance.engine.run import in_regimes
from conformance.engine.runner import judge_all
from conformance.problem.fills import REGIMES
from conformance.spec import matching

pytestmark = pytest.mark.benchmark

LIMIT = 3.0
TURNS = 5


def judged(problems: Iterable[Named]) -> float:
    """Seconds of this process."""
    session = connect("python-numpy")
    start = time.process_time()
    statuses = {j.status.value for js in judge_all(session, problems, matching()) for j in js}
    assert statuses <= {"PASS", "WEAK"}
    return time.process_time() - start


def test_all_regimes_cost_at_most_three_times_the_exact_one() -> None:
    exact = [
        Named(id=n.id, problem=n.problem.replace(fill="small"))
        for n in corpus("covering")
        if n.problem.geometry.batch
    ]
    real = [Named(id=f"{n.id}+real", problem=n.problem.replace(fill="real")) for n in exact]
    rounding = [*real, *in_regimes(exact, len(REGIMES))]
    turns = [(judged(exact), judged([*exact, *rounding])) for _ in range(TURNS)]
    ratio = sorted(both / alone for alone, both in turns)[TURNS // 2]
    alone = 1e3 * min(t for t, _ in turns) / len(exact)
    print(
        f"\nexact regime: {alone:.2f} ms a problem; all {2 + len(REGIMES)} regimes: {ratio:.2f} times as much"
    )
    assert ratio <= LIMIT
