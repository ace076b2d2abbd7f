from __future__ import annotations

import dataclasses

import pytest

from conformance.errors import UnknownClause
from conformance.problem import QUANTITIES
from conformance.problem.operations import FURTHER
from conformance.spec import CHAPTERS, REGISTRY, Severity, matching
from conformance.spec.registry import clause

IDS = {
    "FWD": range(1, 10),
    "DEL": range(1, 8),
    "WGT": range(1, 7),
    "BIA": range(1, 4),
    "TRN": range(1, 7),
    "SEC": range(1, 6),
    "JVP": range(1, 4),
    "ALG": range(1, 4),
    "NUM": range(1, 8),
    "HYG": range(1, 8),
}
"""What the specification promises; a clause may be added, never renumbered or taken away."""

PROMISED = [f"{chapter}-{number}" for chapter, numbers in IDS.items() for number in numbers]
SHOULD = {"NUM-3", "NUM-5", "HYG-2"}
INFO = {"NUM-7"}


@pytest.mark.parametrize("id", PROMISED)
def test_a_promised_clause_exists(id: str) -> None:  # noqa: A002  (a clause's id is its name)
    assert REGISTRY[id].id == id
    severity = Severity.SHOULD if id in SHOULD else Severity.INFO if id in INFO else Severity.MUST
    assert REGISTRY[id].severity is severity


@pytest.mark.parametrize("id", REGISTRY)
def test_a_clause_says_what_it_demands_in_words_and_in_an_equation_and_why(id: str) -> None:  # noqa: A002
    c = REGISTRY[id]
    assert c.id == id
    assert c.chapter in CHAPTERS
    assert all(text.strip() == text != "" for text in (c.text, c.equation, c.source))
    assert not c.text.endswith(".")
    assert set(c.needs) <= {*QUANTITIES, *FURTHER, "network", "step"}


def test_every_clause_stands_in_a_chapter_under_its_own_text() -> None:
    assert {c.chapter for c in REGISTRY.values()} == set(CHAPTERS)
    for told in ("text", "check"):
        assert len({getattr(c, told) for c in REGISTRY.values()}) == len(REGISTRY)


@pytest.mark.parametrize("id", REGISTRY)
def test_a_clause_falls_with_clauses_that_exist_and_never_in_a_circle(id: str) -> None:  # noqa: A002
    above, seen = list(REGISTRY[id].falls_with), set()
    while above:
        other = above.pop()
        assert other != id
        if other not in seen:
            seen.add(other)
            above += REGISTRY[other].falls_with


def test_the_clauses_that_explain_others_need_no_variants() -> None:
    """A clause that is left out on large problems could not explain a failure there."""
    for c in REGISTRY.values():
        assert not any(REGISTRY[other].variants for other in c.falls_with) or c.id == "HYG-2"


def test_every_reader_with_a_question_has_a_clause() -> None:
    answered = {reader for c in REGISTRY.values() for reader in c.readers}
    assert answered == {7, 8, 10, 11, 12, 13, 14, 15, 16, 18, 19}


def test_an_id_is_registered_once() -> None:
    before = dict(REGISTRY)
    with pytest.raises(ValueError, match="clause FWD-1 is registered twice"):
        clause("FWD-1", "again", equation="y = y", source="nowhere", needs=[])(lambda case: iter(()))
    assert before == REGISTRY


def test_a_clause_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        REGISTRY["FWD-1"].text = "other"  # type: ignore[misc]


# ---- patterns ----
def test_all_clauses_come_in_the_order_of_chapters_and_numbers() -> None:
    ids = [c.id for c in matching()]
    assert sorted(ids) == sorted(REGISTRY)
    order = list(CHAPTERS)
    assert ids == sorted(ids, key=lambda id: (order.index(id.partition("-")[0]), int(id.partition("-")[2])))


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("FWD-1", ["FWD-1"]),
        ("fwd-1", ["FWD-1"]),
        ("BIA-*", ["BIA-1", "BIA-2", "BIA-3"]),
        ("*-7", ["FWD-7", "DEL-7", "NUM-7", "HYG-7"]),
        ("HYG-7,DEL-1,DEL-1", ["DEL-1", "HYG-7"]),
        ("WGT-[12]", ["WGT-1", "WGT-2"]),
        ("WGT-2, FWD-3, WGT-1", ["FWD-3", "WGT-1", "WGT-2"]),
    ],
)
def test_a_pattern_chooses_clauses(pattern: str, ids: list[str]) -> None:
    assert [c.id for c in matching(pattern)] == ids


@pytest.mark.parametrize("pattern", ["FWD-99", "", "forward"])
def test_a_pattern_without_a_clause_is_an_error_that_names_it(pattern: str) -> None:
    with pytest.raises(UnknownClause) as caught:
        matching(pattern)
    assert repr(pattern) in str(caught.value)
    assert "FWD-1" in str(caught.value)


def test_a_pattern_of_which_one_part_matches_nothing_is_an_error() -> None:
    """A misspelt clause must not be left out silently."""
    with pytest.raises(UnknownClause):
        matching("FWD-1,FWD-99")
