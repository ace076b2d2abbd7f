"""SPEC.md is what the registry says, and every reader of the seed is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.spec import CHAPTERS, REGISTRY, matching
from conformance.spec.document import QUESTIONS, described, text

ROOT = Path(__file__).resolve().parents[3]
"""The repository: tests lie in it wherever the package is installed."""


def test_spec_md_is_fresh() -> None:
    """Regenerate it with ``python -m conformance.spec.document`` in the repository's root."""
    file = ROOT / "SPEC.md"
    if not file.is_file():
        pytest.skip(f"there is no {file}: these tests do not lie in a repository")
    assert file.read_text(encoding="utf-8") == text()


def section(title: str) -> list[list[str]]:
    """The cells of the table under a heading, its head left out."""
    body = text().partition(f"\n## {title}")[2].partition("\n## ")[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_clause_has_one_row_in_its_chapter(chapter: str) -> None:
    rows = section(f"{chapter}: {CHAPTERS[chapter]}")
    clauses = [c for c in REGISTRY.values() if c.chapter == chapter]
    assert clauses
    assert rows == [
        [cell.replace("|", "\\|") for cell in (c.id, c.severity, c.text, f"`{c.equation}`", c.source)]
        for c in clauses
    ]


def test_every_row_of_every_table_has_as_many_cells_as_its_head() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", text(), re.MULTILINE):
        assert len({len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_chapters_come_in_order() -> None:
    headings = re.findall(r"^## (?:(\w+): )?", text(), re.MULTILINE)
    assert headings == ["", *CHAPTERS, ""]  # the notation before, the readers' questions after


@pytest.mark.parametrize("reader", QUESTIONS)
def test_every_readers_question_has_a_clause_that_answers_it(reader: int) -> None:
    answers = [c.id for c in REGISTRY.values() if reader in c.readers]
    assert answers
    assert [str(reader), QUESTIONS[reader], ", ".join(answers)] in section("Readers' questions")


def test_no_clause_answers_a_reader_who_asked_nothing() -> None:
    assert {reader for c in REGISTRY.values() for reader in c.readers} == set(QUESTIONS)


def test_the_questions_stand_in_the_order_of_the_comments() -> None:
    assert [int(row[0]) for row in section("Readers' questions")] == sorted(QUESTIONS)


@pytest.mark.parametrize("name", ["x", "w", "b", "y", "delta"])
def test_the_notation_names_every_operand(name: str) -> None:
    assert any(row[0].startswith(f"`{name}`") for row in section("Notation"))


def test_a_clause_in_words() -> None:
    (clause,) = matching("DEL-3")
    assert described(clause) == (
        "DEL-3 (MUST) dx is the adjoint of y in x\n"
        "    <y - b, delta> = <x, dx>\n"
        "    source: chain rule: delta^l = sum dC/dz^{l+1} dz^{l+1}/dz^l\n"
        "    falls with: FWD-1, DEL-1"
    )


def test_a_clause_that_falls_with_no_other_says_nothing_of_it() -> None:
    (clause,) = matching("FWD-1")
    assert "falls with" not in described(clause)
    assert described(clause).startswith("FWD-1 (MUST) y equals the definition\n")


@pytest.mark.parametrize("clause", REGISTRY.values(), ids=list(REGISTRY))
def test_the_words_of_a_clause_fit_a_line_of_a_table(clause: object) -> None:
    for field in ("text", "equation", "source"):
        words = getattr(clause, field)
        assert words
        assert words == words.strip()
        assert "\n" not in words
        assert "`" not in words
