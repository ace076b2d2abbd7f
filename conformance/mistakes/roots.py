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
from conformance.mistakes.diagnose_network import diagnose_network
from conformance.problem.line import parsed
from conformance.problem.network import NetworkProblem
from conformance.spec import REGISTRY

__all__ = ["diagnosed", "events"]

VALUES = ("FWD", "DEL", "WGT", "BIA", "NET", "TRN", "SEC", "JVP", "ALG", "NUM")
"""Chapters whose failures are wrong values or sizes; what the others saw says itself what was done ..."""
STATE = ("HYG-1", "HYG-2", "HYG-3")
"""... but for state: there it is asked what the state is."""


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
    """Findings of one adapter, each with its diagnosis, merged where that is the same; the certain ones lead."""
    told = [(finding, _diagnosis(session, finding)) for finding in found]
    merged: dict[Key, Finding] = {}
    for finding, diagnosis in sorted(told, key=lambda pair: not _certain(pair[1])):
        keys = list(_keys(diagnosis)) or [finding.clause]
        known = next((key for key in keys if key in merged), None)
        hint = diagnosis.explanations[0].hint if _certain(diagnosis) else ""
        own = dataclasses.replace(finding, diagnosis=diagnosis.text, hint=hint)
        if known is None:
            merged[keys[0]] = own
        else:
            merged[known] = _joined(merged[known], own, certain=_certain(diagnosis))
    place = {finding.clause: number for number, (finding, _) in enumerate(told)}
    return sorted(merged.values(), key=lambda f: place[f.clause])


Key = str | tuple[str, ...]


def _certain(diagnosis: Diagnosis) -> bool:
    return bool(diagnosis.explanations) and diagnosis.explanations[0].certain


def _keys(diagnosis: Diagnosis) -> Iterator[Key]:
    """What findings of one root have in common: a mistake but for its quantity, or the place."""
    for explanation in diagnosis.explanations:
        yield tuple(m.stem for m in explanation.mistakes)
    if diagnosis.location:
        yield diagnosis.location


def _diagnosis(session: Session, finding: Finding) -> Diagnosis:
    chapter, _, _ = finding.clause.partition("-")
    quantity = finding.judgement.quantity
    asked = (chapter in VALUES and finding.clause != "NUM-6") or finding.clause in STATE
    if finding.status is not Status.FAIL or not asked or not quantity:
        return Diagnosis()
    problem = parsed(finding.problem)
    if isinstance(problem, NetworkProblem):
        return diagnose_network(session, problem)
    return diagnose(session, problem, quantity)


def _joined(first: Finding, other: Finding, *, certain: bool) -> Finding:
    fallen = {*first.fallen, other.clause, *other.fallen} - {first.clause}
    sentences = dict.fromkeys((first.diagnosis, other.diagnosis) if certain else (first.diagnosis,))
    return dataclasses.replace(
        first,
        fallen=tuple(id_ for id_ in REGISTRY if id_ in fallen),
        problems=max(first.problems, other.problems),
        diagnosis="; ".join(sentences),
    )
