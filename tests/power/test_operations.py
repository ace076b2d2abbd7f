"""The suite sees every mistake of the optional operations, each of their clauses sees one, and they are named."""

from __future__ import annotations

import functools

import pytest

from conformance.adapter.session import Session
from conformance.engine.corpus import corpus
from conformance.engine.fit import fitted
from conformance.engine.judgement import Status
from conformance.engine.runner import judge
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.diagnose import diagnose
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.pairs import drawn_pairs
from conformance.mistakes.power import RIGHT
from conformance.problem import Problem
from conformance.problem.operations import FURTHER
from conformance.spec import Clause, matching

MISTAKES = (*FAMILIES["transposed"], *FAMILIES["derivatives"])
CLAUSES = matching("TRN-*,SEC-*,JVP-*")
PROBLEMS = sorted([*corpus("covering"), *corpus("seed")], key=lambda n: n.problem.geometry.rank)[:24]


def concerned(m: Mistake) -> list[Clause]:
    return [c for c in CLAUSES if set(c.needs) & set(m.quantities)]


@functools.cache
def killers(name: str) -> tuple[str, set[str]]:
    """The first problem of integers on which a mistake is seen, and all clauses that fail on any problem."""
    m = CATALOGUE[name]
    session, failed, first = Session(m.adapter(), name), set(), ""
    for n in PROBLEMS:
        problem = fitted(n.problem, session)
        for j in judge(session, problem, n.id, concerned(m)):
            if j.status.failed:
                assert j.status is Status.FAIL, j
                failed.add(j.clause)
                first = first or (j.problem if problem.integers else "")
    return first, failed


@pytest.mark.parametrize("name", [m.name for m in MISTAKES])
def test_every_mistake_is_killed(name: str) -> None:
    assert killers(name)[1]


@pytest.mark.parametrize("m", drawn_pairs(MISTAKES, 40, seed=1), ids=lambda m: m.name)
def test_two_together_are_killed(m: Mistake) -> None:
    session = Session(m.adapter(), m.name)
    judged = (j for n in PROBLEMS for j in judge(session, fitted(n.problem, session), n.id, concerned(m)))
    assert next(j.status for j in judged if j.status.failed) is Status.FAIL


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda c: c.id)
def test_every_clause_kills_one(clause: Clause) -> None:
    assert [m.name for m in MISTAKES if clause in concerned(m) and clause.id in killers(m.name)[1]]


@pytest.mark.parametrize("name", [m.name for m in MISTAKES if "lost-without" in m.name])
def test_what_goes_wrong_without_a_direction_is_seen_by_asking_without_it_alone(name: str) -> None:
    assert killers(name)[1] <= {"SEC-4", "JVP-3"}


def test_the_right_implementation_is_not_killed() -> None:
    session = Session(RIGHT.adapter(), "right")
    assert session.capabilities.offered >= set(FURTHER)
    for n in PROBLEMS:
        for j in judge(session, fitted(n.problem, session), n.id, CLAUSES):
            assert j.status in (Status.PASS, Status.WEAK), j


@pytest.mark.parametrize("name", [m.name for m in MISTAKES])
def test_every_mistake_is_named(name: str) -> None:
    m = CATALOGUE[name]
    (quantity,) = m.quantities
    found = diagnose(Session(m.adapter(), name), Problem.parse(killers(name)[0]), quantity)
    assert [e.name for e in found.explanations if e.certain] == [name], found
