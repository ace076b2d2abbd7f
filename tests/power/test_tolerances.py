"""reports/numerics.md and the README's table say what is so: of this suite, and of numpy's comparison.

What torch and JAX say is tested where they are installed (tests/adapters/test_tolerances.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import tolerances
from tolerances import LAYERS, MISSED, Subject

from conformance import Problem
from conformance.adapter.session import Session
from conformance.engine.runner import judge
from conformance.mistakes import Mistake, right
from conformance.problem import DTYPES
from conformance.spec import REGISTRY

README = Path(__file__).parents[2] / "README.md"
PUBLISHED = tolerances.published()
RIGHT = [s for s in tolerances.honest() if s.layers == LAYERS]
MISTAKEN = list(tolerances.mistaken())


def said_of(subject: Subject, first: str) -> dict[str, str]:
    return PUBLISHED[first, DTYPES[subject.dtype].name]


def test_the_report_has_every_numeric_mistake_in_every_dtype_and_no_other() -> None:
    now = [s.name for s in MISTAKEN] + [s.sentence for s in tolerances.honest()]
    assert sorted(first for first, _ in PUBLISHED) == sorted(now)


def test_the_report_is_the_document_of_its_own_rows() -> None:
    """So that counts and sentences are of these rows, and of this catalogue."""
    rows = PUBLISHED.values()
    made = tolerances.document(
        [r for r in rows if "implementation" in r], [r for r in rows if "mistake" in r], tolerances.versions()
    )
    assert tolerances.REPORT.read_text("utf-8") == made


def test_the_readme_shows_rows_of_the_report() -> None:
    rows = PUBLISHED.values()
    short = tolerances.short([r for r in rows if "implementation" in r], [r for r in rows if "mistake" in r])
    assert short in README.read_text("utf-8")


def test_nothing_right_is_rejected_and_nothing_mistaken_missed() -> None:
    for row in PUBLISHED.values():
        assert (
            row["this suite"] == tolerances.QUIET if "implementation" in row else row["this suite"] != MISSED
        )


@pytest.mark.parametrize("subject", MISTAKEN, ids=lambda s: f"{s.name}-{s.dtype}")
def test_the_smallest_problem_shows_the_mistake_to_the_clause(subject: Subject) -> None:
    """It is pasted back: the mistake fails (or NUM-7 measures something else of it), and what is right does not."""
    row = said_of(subject, subject.name)
    problem, clause = Problem.parse(row["smallest problem"].strip("`")), REGISTRY[row["this suite"]]
    assert problem.dtype == subject.dtype
    nothing = Mistake(name="right", sentence="", hint="", compute=right, quantities=())
    (mistaken, honest) = (
        [*judge(Session(a, "it"), problem, "", [clause])] for a in (subject.make(), nothing.adapter())
    )
    assert not any(j.status.failed for j in honest)
    assert any(j.status.failed for j in mistaken) != (clause.id == "NUM-7")
    assert [j.note for j in mistaken] != [j.note for j in honest] or clause.id != "NUM-7"


@pytest.mark.parametrize("subject", RIGHT, ids=lambda s: f"{s.name}-{s.dtype}")
def test_numpy_says_of_right_ones_what_is_published(subject: Subject) -> None:
    said = said_of(subject, subject.sentence)["numpy allclose"]
    assert tolerances.of_right("numpy allclose", subject) == said


@pytest.mark.parametrize("subject", MISTAKEN, ids=lambda s: f"{s.name}-{s.dtype}")
def test_numpy_says_of_mistaken_ones_what_is_published(subject: Subject) -> None:
    said = said_of(subject, subject.name)["numpy allclose"]
    assert tolerances.of_mistaken("numpy allclose", subject) == said
