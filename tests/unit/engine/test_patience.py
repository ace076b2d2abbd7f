from __future__ import annotations

from conformance.adapter.session import Session
from conformance.engine.corpus import Named
from conformance.engine.judgement import DIED, ENDED, Judgement, Status
from conformance.engine.patience import CLAUSE, PROBLEM, Patience
from conformance.engine.runner import judge_all
from conformance.problem import Problem
from conformance.spec import TimedOut, matching
from miniatures import Right


def judgement(clause: str, status: Status, note: str = "") -> Judgement:
    return Judgement(adapter="a", clause=clause, problem="i3 k2", origin="", status=status, note=note)


def test_what_is_lost() -> None:
    assert judgement("FWD-1", Status.TIMED_OUT).lost
    assert judgement("FWD-1", Status.CRASHED, f"{DIED}killed by SIGSEGV").lost
    assert not judgement("FWD-1", Status.CRASHED, "raises ValueError: no").lost
    assert not judgement("FWD-1", Status.FAIL).lost
    assert judgement("FWD-1", Status.BROKEN_ADAPTER, f"{ENDED}mine: no message of the protocol").lost
    assert not judgement("FWD-1", Status.BROKEN_ADAPTER, "mine: backward must return (dx, dw, db)").lost


def test_a_clause_that_was_lost_on_problems_is_not_asked_on_others() -> None:
    patience, died = Patience(), judgement("FWD-1", Status.CRASHED, f"{DIED}killed by SIGSEGV: last words")
    for _ in range(CLAUSE):
        assert patience.refusal("FWD-1", [], 0) is None
        assert patience.count([died, judgement("FWD-2", Status.PASS)]) == [
            died,
            judgement("FWD-2", Status.PASS),
        ]
    status, note = patience.refusal("FWD-1", [], 0) or ("", "")
    assert status is Status.CRASHED
    assert note == f"died, killed by SIGSEGV: not asked any more, it was so on {CLAUSE} problems before"
    assert judgement("FWD-1", Status.CRASHED, note).lost
    assert patience.refusal("FWD-2", [], 0) is None


def test_what_breaks_the_protocol_is_not_asked_any_more_either() -> None:
    """What broke it is said each time, once."""
    note = f"{ENDED}cmd:mine: an answer that claims 9 bytes: at most 8"
    patience, broken = Patience(), judgement("FWD-1", Status.BROKEN_ADAPTER, note)
    for _ in range(CLAUSE):
        assert patience.refusal("FWD-1", [], 0) is None
        patience.count([broken])
    for _ in range(2):
        status, told = patience.refusal("FWD-1", [], 0) or ("", "")
        assert status is Status.BROKEN_ADAPTER
        assert told == f"{note}: not asked any more, it was so on {CLAUSE} problems before"
        patience.count([judgement("FWD-1", Status.BROKEN_ADAPTER, told)])


def test_a_problem_that_was_lost_is_not_asked_on_by_other_clauses() -> None:
    patience, late = Patience(), judgement("FWD-1", Status.TIMED_OUT, "did not answer within 10 s")
    assert patience.refusal("FWD-2", [late], PROBLEM - 1) is None
    assert patience.refusal("FWD-2", [], PROBLEM) is None  # it died of something else
    assert patience.refusal("FWD-2", [late], PROBLEM) == (
        Status.TIMED_OUT,
        f"did not answer within 10 s: not asked, it was so {PROBLEM} times on this problem before",
    )


class Hangs(Right):
    """It never answers, as far as anybody can tell; how often it was asked is counted."""

    asked = 0

    def forward(self, *arguments: object) -> object:
        Hangs.asked += 1
        raise AssertionError("it was asked")


def test_a_run_that_goes_on_has_the_patience_that_was_left() -> None:
    problems = [Problem.parse(f"2d i{n}x4 k2x2") for n in range(3, 8)]
    lost = {str(p): [judgement("FWD-1", Status.TIMED_OUT, str(TimedOut("late")))] for p in problems[:CLAUSE]}
    named = [Named(id="n", problem=p) for p in problems]
    judged = list(judge_all(Session(Hangs(), "a"), named, matching("FWD-1"), judged=lost))
    assert [j.status for js in judged for j in js] == 5 * [Status.TIMED_OUT]
    assert Hangs.asked == 0
