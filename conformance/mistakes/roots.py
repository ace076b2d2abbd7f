"""Findings with their diagnosis; those that one mistake explains are one.

The same thing done wrong in several quantities (the dilation ignored in y, dx and dw) is one root cause: the first finding
stands for it, and what the others were found by falls with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from conformance.adapter.session import Session
from conformance.engine.findings import Finding
from conformance.engine.judgement import Status
from conformance.engine.run import Event, Run
from conformance.mistakes.diagnose import Diagnosis, diagnose
from conformance.problem import Problem
from conformance.spec import REGISTRY

__all__ = ["diagnosed", "events"]

VALUES = ("FWD", "DEL", "WGT", "BIA", "ALG", "NUM")
"""Chapters whose failures are wrong values or sizes; what the others saw says itself what was done."""


def events(run: Run) -> Iterator[Event]:
    """The events of a run, its findings diagnosed."""
    found: list[Finding] = []
    for event in run.events():
        if isinstance(event, Finding):
            found.append(event)
        else:
            yield event
    yield from diagnosed(run.session, found)


def diagnosed(session: Session, found: Iterable[Finding]) -> list[Finding]:
    """Findings of one adapter, each with its diagnosis, merged where that is the same."""
    merged: dict[tuple[str, ...], Finding] = {}
    for number, finding in enumerate(found):
        diagnosis = _diagnosis(session, finding)
        certain = [e for e in diagnosis.explanations if e.certain]
        told = dataclasses.replace(finding, diagnosis=diagnosis.text, hint=certain[0].hint if certain else "")
        key = _stems(diagnosis) if certain else (str(number),)
        merged[key] = _joined(merged[key], told) if key in merged else told
    return list(merged.values())


def _diagnosis(session: Session, finding: Finding) -> Diagnosis:
    chapter, _, _ = finding.clause.partition("-")
    quantity = finding.judgement.quantity
    if (
        finding.status is not Status.FAIL
        or chapter not in VALUES
        or finding.clause == "NUM-6"
        or not quantity
    ):
        return Diagnosis()
    return diagnose(session, Problem.parse(finding.problem), quantity)


def _stems(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The names of the explaining mistakes without their quantity."""
    return tuple(m.stem for m in diagnosis.explanations[0].mistakes)


def _joined(first: Finding, other: Finding) -> Finding:
    fallen = {*first.fallen, other.clause, *other.fallen} - {first.clause}
    sentences = dict.fromkeys(filter(None, (first.diagnosis, other.diagnosis)))
    return dataclasses.replace(
        first,
        fallen=tuple(id_ for id_ in REGISTRY if id_ in fallen),
        problems=max(first.problems, other.problems),
        diagnosis="; ".join(sentences),
    )
