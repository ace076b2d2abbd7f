"""The suite sees every catalogued mistake, each clause sees one, and the published report says so.

Mistakes are put to the problems of `covering` and `seed`, those with two axes first (most mistakes need no more, and some
no less); numeric ones to the one-dimensional ones with their numeric regimes.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.fit import fitted
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.power import CLAUSES, REASONS, drawn_pairs, probes
from conformance.spec import Clause

REPORT = Path(__file__).parents[2] / "reports" / "power.md"
PROBLEMS = sorted([*corpus("covering"), *corpus("seed")], key=lambda n: n.problem.geometry.rank != 2)
NUMERIC = {m.name for m in FAMILIES["numerics"]}
PAIRS = 60


@functools.cache
def numeric_problems(dtypes: tuple[str, ...]) -> list[Named]:
    """One-dimensional, in every numeric regime."""
    (mistake, *_) = (m for m in FAMILIES["numerics"] if m.dtypes == dtypes)
    run = Run(Session(mistake.adapter(), ""), PROFILES["quick"])
    return [n for n in run.problems() if n.id.startswith("covering/1d") and "+" in n.id]


def problems_of(m: Mistake) -> list[Named]:
    return numeric_problems(m.dtypes) if m.name in NUMERIC else PROBLEMS


def concerned(m: Mistake) -> list[Clause]:
    """Clauses that look at a wrong quantity, those without further calls first."""
    asked = (c for c in CLAUSES if not c.needs or set(c.needs) & set(m.quantities))
    return sorted(asked, key=lambda c: c.variants)


def killers(m: Mistake, problems: list[Named], clauses: list[Clause]) -> Iterator[str]:
    """Clauses that fail, in order."""
    session = Session(m.adapter(), m.name)
    for n in problems:
        judged = judge(session, fitted(n.problem, session), n.id, clauses)
        yield from (j.clause for j in judged if j.status.failed)


# ---- mistakes ----
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in REASONS])
def test_every_mistake_is_killed(name: str) -> None:
    m = CATALOGUE[name]
    assert next(killers(m, problems_of(m), concerned(m)), None) is not None


@pytest.mark.parametrize("m", drawn_pairs(CATALOGUE.values(), PAIRS, seed=1), ids=lambda m: m.name)
def test_two_together_are_killed(m: Mistake) -> None:
    assert next(killers(m, PROBLEMS, concerned(m)), None) is not None


def test_what_is_said_to_be_equivalent_is_not_killed() -> None:
    for name in REASONS:
        m = CATALOGUE[name]
        assert list(killers(m, problems_of(m)[:27], concerned(m))) == []


# ---- clauses ----
def test_every_clause_kills() -> None:
    """Mistakes of all families in turn, until every clause has had one."""
    left = {c.id: c for c in CLAUSES}
    problems = [*probes(), *PROBLEMS[:3]]
    for m in filter(None, itertools.chain(*itertools.zip_longest(*FAMILIES.values()))):
        for clause in set(killers(m, problems, list(left.values()))):
            del left[clause]
        if not left:
            return
    pytest.fail(f"no mistake is killed by {', '.join(left)}")


# ---- the published report ----
@functools.cache
def rows() -> dict[str, str]:
    """First cell of each row of the report's tables -> the rest of its first row."""
    found: dict[str, str] = {}
    for first, rest in re.findall(r"^\| (\S+) +(\|.*)$", REPORT.read_text("utf-8"), re.MULTILINE):
        found.setdefault(first, rest)
    return found


def test_the_report_has_all_mistakes_and_clauses_of_now() -> None:
    assert set(rows()) - {"clause", "mistake"} == set(CATALOGUE) | {c.id for c in CLAUSES}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_report_says_what_each_mistake_is(name: str) -> None:
    assert CATALOGUE[name].sentence in rows()[name]


def test_the_report_has_nothing_that_is_not_killed() -> None:
    text = REPORT.read_text("utf-8")
    assert "SURVIVES" not in text
    assert "KILLS NOTHING" not in text
