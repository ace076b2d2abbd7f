"""One root cause, one finding."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from conformance.engine.findings import Finding, findings
from conformance.engine.judgement import Judgement, Status
from conformance.spec import REGISTRY, Severity

SMALL, MIDDLE, LARGE = "2d i5x4 k3x2 f64", "2d i7x6 k3x2 s2 f64", "2d n2 c3 m4 i9x8 k3x2 f64"
EMPTY = "2d n0 i1 k1 f64"


def judgement(clause: str, problem: str = SMALL, quantity: str = "y", **more: Any) -> Judgement:
    """A value that is wrong at one element, unless `more` says something else."""
    own: dict[str, Any] = {
        "status": Status.FAIL,
        "grade": "FAIL",
        "index": (0, 0),
        "got": 1.0,
        "expected": 2.0,
        "wrong": 1,
    }
    return Judgement(
        adapter="mine", clause=clause, problem=problem, origin="seed/x", quantity=quantity, **{**own, **more}
    )


def size(clause: str, problem: str = SMALL, quantity: str = "y") -> Judgement:
    """A wrong shape: no element to show."""
    return judgement(
        clause, problem, quantity, index=None, got=None, expected=None, wrong=0, note=f"{quantity} has shape"
    )


def raised(clause: str, kind: str = "ValueError", problem: str = SMALL, text: str = "no") -> Judgement:
    return judgement(
        clause,
        problem,
        "",
        status=Status.CRASHED,
        grade="",
        index=None,
        got=None,
        note=f"raises {kind}: {text} (x.py:3)",
    )


def told(judgements: list[Judgement]) -> list[tuple[str, tuple[str, ...]]]:
    """(root, what falls with it) of each finding."""
    return [(f.clause, f.fallen) for f in findings(judgements)]


# ---- on one problem ----
def test_without_failures_there_are_no_findings() -> None:
    assert findings([]) == []
    harmless = [s for s in Status if not s.failed]
    assert findings([judgement("FWD-1", status=s) for s in harmless]) == []


def test_one_failure_is_one_finding() -> None:
    (only,) = findings([judgement("WGT-1", quantity="dw")])
    assert only == Finding(
        adapter="mine", clause="WGT-1", severity="MUST", status=Status.FAIL, fallen=(), problems=1,
        judgement=judgement("WGT-1", quantity="dw"),
    )  # fmt: skip
    assert (only.problem, only.shrunk) == (SMALL, False)


@pytest.mark.parametrize("clause", [c for c in REGISTRY.values() if c.falls_with], ids=lambda c: c.id)
def test_a_clause_falls_with_each_of_those_it_names(clause: Any) -> None:
    for cause in clause.falls_with:
        found = told([judgement(clause.id), judgement(cause)])
        assert found == [(cause, (clause.id,))], f"{clause.id} with {cause}"


def test_the_adjoint_falls_with_the_value() -> None:
    failing = [
        judgement(c, quantity="dx") for c in ("DEL-1", "DEL-3", "DEL-4", "DEL-5", "DEL-7", "NUM-2", "ALG-1")
    ]
    for order in (failing, failing[::-1]):
        (only,) = told(order)
        assert only[0] == "DEL-1"
        assert sorted(only[1]) == ["ALG-1", "DEL-3", "DEL-4", "DEL-5", "DEL-7", "NUM-2"]


def test_what_nothing_explains_is_a_root_of_its_own() -> None:
    assert told([judgement("DEL-1", quantity="dx"), judgement("WGT-1", quantity="dw")]) == [
        ("DEL-1", ()),
        ("WGT-1", ()),
    ]
    assert told([judgement("HYG-4"), judgement("FWD-1")]) == [("HYG-4", ()), ("FWD-1", ())]


@pytest.mark.parametrize(
    ("sized", "value", "quantity"),
    [("FWD-2", "FWD-1", "y"), ("DEL-2", "DEL-1", "dx"), ("WGT-2", "WGT-1", "dw")],
)
def test_a_wrong_size_explains_the_value(sized: str, value: str, quantity: str) -> None:
    failing = [size(value, quantity=quantity), size(sized, quantity=quantity)]
    assert told(failing) == told(failing[::-1]) == [(sized, (value,))]


def test_a_wrong_size_explains_whatever_reads_the_result() -> None:
    failing = [size(c) for c in ("FWD-1", "FWD-2", "FWD-4", "HYG-2", "HYG-3", "HYG-4", "NUM-2", "ALG-2")]
    (only,) = told(failing)
    assert only[0] == "FWD-2"
    assert set(only[1]) == {"FWD-1", "FWD-4", "HYG-2", "HYG-3", "HYG-4", "NUM-2", "ALG-2"}


def test_a_wrong_size_of_one_result_does_not_explain_another() -> None:
    assert told([size("FWD-2"), judgement("WGT-1", quantity="dw")]) == [("FWD-2", ()), ("WGT-1", ())]


def test_positions_that_should_be_zero_fall_with_the_value_and_explain_nothing() -> None:
    """DEL-2 fails here by an element, not by the size."""
    failing = [judgement("DEL-1", quantity="dx"), judgement("DEL-2", quantity="dx")]
    assert told(failing) == told(failing[::-1]) == [("DEL-1", ("DEL-2",))]


def test_state_that_leaks_explains_every_repeated_call() -> None:
    failing = [judgement(c, quantity="dw") for c in ("WGT-1", "WGT-4", "HYG-2", "HYG-3", "HYG-4", "HYG-5")]
    for order in (failing, failing[::-1]):
        (only,) = told(order)
        assert only[0] == "HYG-3"
        assert set(only[1]) == {"WGT-1", "WGT-4", "HYG-2", "HYG-4", "HYG-5"}


def test_state_of_one_quantity_does_not_explain_another() -> None:
    failing = [judgement("HYG-3", quantity="dw"), judgement("FWD-1", quantity="y")]
    assert told(failing) == [("HYG-3", ()), ("FWD-1", ())]


def test_a_chain_of_causes_is_followed_to_its_end() -> None:
    """HYG-2 falls with HYG-5, which falls with the value, which falls with a wrong size."""
    failing = [size(c) for c in ("HYG-2", "HYG-5", "FWD-1", "FWD-2")]
    for order in itertools.permutations(failing):
        assert [(root, set(fallen)) for root, fallen in told(list(order))] == [
            ("FWD-2", {"HYG-2", "HYG-5", "FWD-1"})
        ]


# ---- over several problems ----
def test_a_root_met_on_many_problems_is_one_finding_with_the_smallest() -> None:
    (only,) = findings([judgement("FWD-1", LARGE), judgement("FWD-1", SMALL), judgement("FWD-1", MIDDLE)])
    assert (only.problems, only.problem) == (3, SMALL)


def test_an_empty_problem_is_shown_last() -> None:
    (only,) = findings([judgement("FWD-1", EMPTY), judgement("FWD-1", LARGE)])
    assert (only.problems, only.problem) == (2, LARGE)


def test_the_problem_shown_is_one_on_which_the_root_itself_failed() -> None:
    (only,) = findings(
        [judgement("DEL-3", SMALL, "dx"), judgement("DEL-1", LARGE, "dx"), judgement("DEL-3", LARGE, "dx")]
    )
    assert (only.clause, only.fallen, only.problem, only.problems) == ("DEL-1", ("DEL-3",), LARGE, 2)
    assert only.judgement.clause == "DEL-1"


def test_the_same_quantity_merges_across_problems() -> None:
    failing = [judgement("NUM-4", SMALL, "dw"), judgement("WGT-1", LARGE, "dw")]
    assert told(failing) == told(failing[::-1]) == [("WGT-1", ("NUM-4",))]


def test_another_quantity_does_not_merge_across_problems() -> None:
    failing = [judgement("NUM-4", SMALL, "dx"), judgement("WGT-1", LARGE, "dw")]
    assert told(failing) == [("NUM-4", ()), ("WGT-1", ())]


def test_merging_does_not_depend_on_the_order_of_problems() -> None:
    """HYG-2 falls with HYG-5, HYG-5 with FWD-1: each was met on another problem."""
    failing = [judgement("HYG-2", SMALL), judgement("HYG-5", MIDDLE), judgement("FWD-1", LARGE)]
    for order in itertools.permutations(failing):
        assert told(list(order)) == [("FWD-1", ("HYG-2", "HYG-5"))], [j.clause for j in order]


def test_state_on_one_problem_does_not_explain_a_size_on_another() -> None:
    """No state makes a result of the wrong size: these are two mistakes."""
    failing = [judgement("HYG-3", SMALL, "dx"), size("DEL-2", LARGE, "dx")]
    assert [root for root, _ in told(failing)] == ["HYG-3", "DEL-2"]


@pytest.mark.parametrize(
    ("sized", "quantity"), [("FWD-2", "y"), ("DEL-2", "dx"), ("WGT-2", "dw")], ids=lambda name: name
)
def test_a_wrong_size_on_data_of_a_regime_falls_with_the_size(sized: str, quantity: str) -> None:
    """There only chapter NUM is judged: what it sees of the size, the clause of the size would have seen."""
    failing = [size(sized, SMALL, quantity), size("NUM-2", MIDDLE, quantity), size("NUM-7", LARGE, quantity)]
    for order in itertools.permutations(failing):
        (only,) = findings(order)
        assert (only.clause, only.fallen, only.problems) == (sized, ("NUM-2", "NUM-7"), 3)


def test_a_wrong_value_on_data_of_a_regime_does_not_fall_with_the_size() -> None:
    for other in (
        judgement("NUM-2", LARGE),
        judgement("NUM-1", LARGE, index=None, note="y has dtype float32"),
    ):
        assert told([size("FWD-2"), other]) == [("FWD-2", ()), (other.clause, ())]
    assert told([size("FWD-2"), size("NUM-2", LARGE, "dx")]) == [("FWD-2", ()), ("NUM-2", ())]


def test_a_size_that_only_a_repeated_call_has_is_no_root_elsewhere() -> None:
    """FWD-2 was asked on that problem too, and did not fail."""
    assert told([size("FWD-2"), size("HYG-3", LARGE)]) == [("FWD-2", ()), ("HYG-3", ())]


def test_problems_are_counted_once_whatever_fails_on_them() -> None:
    failing = [judgement(c, p, "dx") for p in (SMALL, LARGE) for c in ("DEL-1", "DEL-3", "DEL-4")]
    (only,) = findings(failing)
    assert only.problems == 2


# ---- exceptions ----
def test_exceptions_of_one_kind_are_one_finding_whatever_clause_they_met_first() -> None:
    failing = [
        raised("WGT-1", problem=LARGE, text="size 3"),
        raised("FWD-1", text="size 4"),
        raised("ALG-1", problem=MIDDLE),
    ]
    (only,) = findings(failing)
    assert (only.clause, only.status, only.problems, only.problem) == ("FWD-1", Status.CRASHED, 3, SMALL)
    assert set(only.fallen) == {"WGT-1", "ALG-1"}


def test_exceptions_of_two_kinds_are_two_findings() -> None:
    assert told([raised("FWD-1", "ValueError"), raised("WGT-1", "KeyError")]) == [
        ("FWD-1", ()),
        ("WGT-1", ()),
    ]


def test_an_exception_explains_no_wrong_value() -> None:
    failing = [raised("FWD-1"), judgement("FWD-4"), judgement("DEL-3", quantity="dx")]
    assert sorted(told(failing)) == [("DEL-3", ()), ("FWD-1", ()), ("FWD-4", ())]


# ---- in which order ----
def test_must_stands_before_should_and_then_what_failed_first() -> None:
    assert REGISTRY["HYG-2"].severity is Severity.SHOULD
    failing = [
        judgement("HYG-2", SMALL, "db"),
        judgement("WGT-1", MIDDLE, "dw"),
        judgement("DEL-1", LARGE, "dx"),
    ]
    found = findings(failing)
    assert [(f.clause, f.severity) for f in found] == [
        ("WGT-1", "MUST"),
        ("DEL-1", "MUST"),
        ("HYG-2", "SHOULD"),
    ]


def test_what_falls_with_a_root_is_listed_in_the_order_of_the_registry() -> None:
    failing = [judgement(c, quantity="dx") for c in ("NUM-4", "ALG-2", "DEL-5", "DEL-1", "DEL-3")]
    assert told(failing) == [
        ("DEL-1", tuple(c for c in REGISTRY if c in {"NUM-4", "ALG-2", "DEL-5", "DEL-3"}))
    ]
