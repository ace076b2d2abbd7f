"""The suite sees every catalogued mistake, each clause sees one, and the published report says so.

Mistakes are put to the problems of `covering` and `seed`, those with two axes first (most mistakes need no more, and some
no less); numeric ones to the one-dimensional ones with their numeric regimes.
"""

from __future__ import annotations

import functools
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.fit import fitted
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.pairs import KINDS, drawn_pairs
from conformance.mistakes.power import CLAUSES, NETWORK_CLAUSES, REASONS, of_integers, probes
from conformance.spec import Clause

REPORT = Path(__file__).parents[2] / "reports" / "power.md"
PROBLEMS = sorted([*corpus("covering"), *corpus("seed")], key=lambda n: n.problem.geometry.rank != 2)
NUMERIC = {m.name for m in FAMILIES["numerics"]}
LAYERS = [m for m in CATALOGUE.values() if m.kind == "layers"]
PAIRS = 60


@functools.cache
def numeric_problems(dtypes: tuple[str, ...]) -> list[Named]:
    """The first one-dimensional ones, and these in every numeric regime."""
    (mistake, *_) = (m for m in FAMILIES["numerics"] if m.dtypes == dtypes)
    run = Run(Session(mistake.adapter(), ""), PROFILES["quick"])
    return [n for n in run.problems() if n.id.startswith(("covering/1d-0", "covering/1d-1"))]


def problems_of(m: Mistake) -> list[Named]:
    return numeric_problems(m.dtypes) if m.name in NUMERIC else PROBLEMS


def concerned(m: Mistake) -> list[Clause]:
    """Clauses that look at a wrong quantity, those without further calls first; numerics only if nothing else is wrong."""
    asked = (c for c in CLAUSES if not c.needs or set(c.needs) & set(m.quantities))
    asked = (c for c in asked if c.chapter == "NUM" or m.name not in NUMERIC)
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


@pytest.mark.parametrize("m", drawn_pairs(LAYERS, PAIRS, seed=1), ids=lambda m: m.name)
def test_two_together_are_killed(m: Mistake) -> None:
    assert next(killers(m, PROBLEMS, concerned(m)), None) is not None


def test_what_is_said_to_be_equivalent_is_not_killed() -> None:
    for name in REASONS:
        m = CATALOGUE[name]
        assert list(killers(m, problems_of(m)[:27], concerned(m))) == []


# ---- the published report ----
@dataclass(frozen=True, kw_only=True)
class Row:
    """What the report says of a mistake."""

    mistake: str
    sentence: str
    problems: str
    killer: str
    roots: str
    others: str

    @property
    def clauses(self) -> list[str]:
        return [c for c in f"{self.roots}, {self.others}".split(", ") if c]


@functools.cache
def tables() -> list[list[str]]:
    """The cells of all rows of the report."""
    lines = REPORT.read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


@functools.cache
def rows() -> dict[str, Row]:
    names = [f.name for f in fields(Row)]
    return {
        cells[0]: Row(**dict(zip(names, cells, strict=True))) for cells in tables() if cells[0] in CATALOGUE
    }


def test_the_report_has_all_mistakes_and_clauses_of_now() -> None:
    firsts = {cells[0] for cells in tables()} - {"clause", "mistake", "of", *KINDS}
    clauses = {c.id for c in (*CLAUSES, *NETWORK_CLAUSES)}
    assert firsts == {*CATALOGUE, *NETWORK_CATALOGUE} | clauses


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_report_says_what_each_mistake_is(name: str) -> None:
    assert rows()[name].sentence == CATALOGUE[name].sentence
    assert (rows()[name].killer == "equivalent") == (name in REASONS)
    assert bool(rows()[name].roots) == (name not in REASONS)


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda c: c.id)
def test_every_clause_kills_what_the_report_says(clause: Clause) -> None:
    """Of the mistakes that it is said to kill, one of those that are soonest killed."""
    killed = [row for row in rows().values() if clause.id in row.clauses]
    assert killed, f"{clause.id} kills no mistake: no failure of it was ever seen"
    row = min(killed, key=lambda row: int(row.problems))
    session = Session(CATALOGUE[row.mistake].adapter(), row.mistake)
    (killer,) = (n for n in Run(session, PROFILES["quick"]).problems() if n.id == row.killer)
    problems = [killer, of_integers(killer), *probes()]
    assert next(killers(CATALOGUE[row.mistake], problems, [clause]), None) == clause.id


def test_the_median_is_small() -> None:
    assert statistics.median(int(row.problems) for row in rows().values()) <= 3


def test_the_report_has_nothing_that_is_not_killed() -> None:
    text = REPORT.read_text("utf-8")
    assert "SURVIVES" not in text
    assert "KILLS NOTHING" not in text
    assert re.search(r"^300 pairs: 300 killed", text, re.MULTILINE)
    pairs = [cells[:3] for cells in tables() if cells[0] in KINDS]
    assert pairs == [[kind, "100", "100"] for kind in KINDS]
