"""What is claimed against what works, on plain problems of small integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.adapter.plain import features, plain, results, right, same, turned
from conformance.adapter.probe.bench import UNANSWERED
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.problem import DTYPES, Problem
from conformance.problem.geometry import BIASES, RANKS

__all__ = ["claims"]


def claims(session: Session) -> Iterator[Observation]:
    """The convention; each claim that does not hold; each thing that works and is not claimed."""
    problem = plain(session)
    if problem is None:
        yield _saw("convention", UNOBSERVABLE, "no plain problem is offered")
        return
    for convention in session.capabilities.conventions:
        yield _convention(session, _changed(problem, convention=convention))
    held: list[str] = []
    trials = list(_trials(session, problem))
    if _fault(session, problem, claimed=True):
        trials = trials[: len(DTYPES)]  # with other changes it would fail as well, and say nothing of them
    for what, claimed, trial in trials:
        refused = claimed and session.refusal(trial.geometry, trial.dtype)
        fault = "" if refused else _fault(session, trial, claimed=claimed)
        if claimed and fault:
            yield _saw(what, "fails", f"{fault} ({trial})", "claimed")
        elif not claimed and not fault:
            yield _saw(what, "works", f"right on {trial}", "not claimed")
        elif claimed and not refused:
            held.append(what)
    if held:
        yield _saw("claims", "hold", f"right on a plain problem each: {', '.join(held)}")


def _saw(what: str, value: str, evidence: str, declared: str = "") -> Observation:
    return Observation(
        dtype="", quantity="", property=what, value=value, evidence=evidence, declared=declared
    )


def _changed(problem: Problem, **changes: object) -> Problem:
    return problem.replace(geometry=replace(problem.geometry, **changes))  # type: ignore[arg-type]


def _convention(session: Session, problem: Problem) -> Observation:
    declared = problem.geometry.convention
    try:
        got = results(session, problem)
    except UNANSWERED as reason:
        return _saw("convention", UNOBSERVABLE, f"{reason} ({problem})", declared)
    for asked in (problem, turned(problem)):
        expected = right(asked)
        wrong = [q for q in got if not same(got[q], expected[q])]
        if not wrong:
            name = asked.geometry.convention
            evidence = f"{', '.join(got)} are those of the {name} on {problem}"
            return _saw("convention", name, evidence, declared if name != declared else "")
    return _saw(
        "convention", "neither", f"{', '.join(got)} are not all those of either on {problem}", declared
    )


def _trials(session: Session, problem: Problem) -> Iterator[tuple[str, bool, Problem]]:
    """(what, is it claimed?, a problem that has it)."""
    able = session.capabilities
    for code, dtype in DTYPES.items():
        yield dtype.name, code in able.dtypes, problem.replace(dtype=code)
    for rank in RANKS:
        size, kernel = (9, 8, 7)[:rank], (3, 2, 2)[:rank]
        if rank > problem.geometry.rank and len(set(problem.geometry.size)) == 1:
            size, kernel = (8,) * rank, (3,) * rank
        plain_again = {"size": size, "kernel": kernel, "stride": (1,), "padding": ((0, 0),), "dilation": (1,)}
        yield f"{rank} spatial axes", rank in able.ranks, _changed(problem, **plain_again)
    for bias in BIASES:
        yield f"bias {bias}", bias in able.biases, _changed(problem, bias=bias)
    for what, (claimed, change) in features(able).items():
        yield what, claimed, _changed(problem, **change)


def _fault(session: Session, problem: Problem, *, claimed: bool) -> str:
    """Why a problem does not come out right; '' if it does.  A broken adapter is only a fault where nothing is claimed."""
    try:
        got = results(session, problem, claimed=claimed)
    except UNANSWERED as reason:
        return f"raises {reason}" if claimed else str(reason)
    except AdapterBroken as reason:
        if claimed:
            raise
        return str(reason)
    expected = right(problem)
    wrong = [q for q in got if not same(got[q], expected[q]) or got[q].dtype != problem.format.numpy]
    return f"{', '.join(wrong)} not right" if wrong else ""
