"""The suite sees no mistakes where there are none: honest implementations, thousands of problems, no alarm.

Each sums in another order, and rounds as often as it declares: a bound that is too tight, or a relation that holds
only for one order of summation, would fail here.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status
from conformance.engine.run import drawn
from conformance.engine.runner import judge
from conformance.engine.strategies import problems
from conformance.problem import DTYPES, Problem
from conformance.spec import REGISTRY, Clause, matching

Put = Callable[..., Any]
Sessions = Callable[[str], Session]

HONEST = ("Right", "Whole", "WholeApart", "Reordered", "ReorderedBackwards", "PairwiseColumns")
VALUES = [c for c in matching() if not c.variants]
VARIANTS = [c for c in matching() if c.variants]
LARGEST = 1500
"""Multiplications of a forward pass: several orders of summation are loops in Python."""

LONG_SUMS = (
    "1d n3 c3 m2 i40 k5 p2",  # dw sums 120 products
    "1d n2 c9 m8 i9 k5 p1:2 s2",  # y sums 45 products, dx 24
    "2d n3 c2 m3 i9x8 k3x2 d2x1 conv bias=untied",
    "2d n1 c4 m4 g2 i12x10 k1x1",
    "3d n2 c2 m2 i4x5x4 k2x3x2 p1x0x1",
)


def small_problems(session: Session, count: int, *, start: int) -> list[Problem]:
    """Drawn as a run draws them, but small."""
    found: list[Problem] = []

    @seed(start)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(problems(session.capabilities, offered=lambda g, _: g.products <= LARGEST))
    def collect(problem: Problem) -> None:
        found.append(problem)

    collect()
    return found


def alarms(
    session: Session, asked: list[Problem], clauses: list[Clause]
) -> tuple[list[Judgement], Counter[str]]:
    """The judgements that are not green (nor weak, nor declared), and how many of each status there were."""
    judged = [j for p in dict.fromkeys(asked) for j in judge(session, p, "given", clauses)]
    return [j for j in judged if not fine(session, j)], Counter(j.status.value for j in judged)


def fine(session: Session, j: Judgement) -> bool:
    """Green, weak, or what its author says himself: NUM-3 asks for more than a narrow accumulator."""
    if not set(REGISTRY[j.clause].needs) <= session.capabilities.offered:
        return j.status is Status.UNSUPPORTED
    if j.clause == "NUM-3" and j.status is Status.FAIL:
        return session.arithmetic(Problem.parse(j.problem).dtype)[j.quantity].accumulator is None
    return j.status in (Status.PASS, Status.WEAK)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_implementation_raises_no_alarm_on_drawn_problems(name: str, session_of: Sessions) -> None:
    session = session_of(name)
    asked = small_problems(session, 200, start=1)
    asked += [p.replace(fill="real", seed=p.seed + 1) for p in asked]
    assert {p.dtype for p in asked} == set(DTYPES)
    found, count = alarms(session, asked, VALUES)
    assert found == []
    assert count["PASS"] > 2000


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_implementation_raises_no_alarm_on_variants_of_drawn_problems(
    name: str, session_of: Sessions
) -> None:
    session = session_of(name)
    found, count = alarms(session, small_problems(session, 40, start=2), VARIANTS)
    assert found == []
    assert count["PASS"] > 400


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HONEST)
def test_long_sums_of_real_data_stay_within_the_bound(name: str, dtype: str, session_of: Sessions) -> None:
    asked = [
        dataclasses.replace(Problem.parse(line), dtype=dtype, fill="real", seed=k)
        for line in LONG_SUMS
        for k in range(3)
    ]
    found, count = alarms(session_of(name), asked, matching("NUM-2,NUM-4"))
    assert found == []
    assert count["PASS"] > 0


@pytest.mark.parametrize("name", HONEST)
def test_no_clause_raises_an_alarm_on_an_honest_implementation(
    name: str, put: Put, session_of: Sessions
) -> None:
    outcome = put(name)
    assert [j for j in outcome.report.judgements if not fine(session_of(name), j)] == []
    assert {f.clause for f in outcome.findings} <= {"NUM-3"}
    assert outcome.report.exit_code() == 0
    offered = session_of(name).capabilities.offered
    asked = [row for row in outcome.report.rows(name) if set(row.clause.needs) <= offered]
    assert {row.status for row in asked if row.clause.id != "NUM-3"} == {Status.PASS}


def test_what_a_run_draws_is_reproducible_and_depends_on_the_seed(session_of: Sessions) -> None:
    right = session_of("Right")
    first = drawn(right, 25, 7)
    assert [str(p) for p in drawn(right, 25, 7)] == [str(p) for p in first]
    assert [str(p) for p in drawn(right, 25, 8)] != [str(p) for p in first]
    assert len(first) == 25
