"""From failing judgements to findings: one root cause, one finding; what falls with it is listed under it.

On each problem a failing clause falls with the clauses that it names (`falls_with`), if they failed there too: the
adjoint falls with dx, exact data with the value, every repeated call with state that leaks.  What is left are roots.
On data of a numeric regime sizes are not asked for: a wrong one that is seen there falls with the clause of that size.
Exceptions of one kind are one finding, whatever clause they met first, and so are calls without an answer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.engine.judgement import Judgement, Status
from conformance.problem.line import parsed
from conformance.problem.network import NetworkProblem
from conformance.spec import REGISTRY, Severity

__all__ = ["Finding", "findings"]

STATE = "HYG-3"
SIZES = ("FWD-2", "DEL-2", "WGT-2")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One root cause, with the smallest problem that shows it.

    clause: the root; fallen: clauses that fall with it.  problems: on how many it was met.  judgement: the root clause's
    verdict on `problem` (the smallest found so far, or after shrinking).  diagnosis: what was done instead, or where it is
    wrong, as far as that is known; hint: how to mend it.
    """

    adapter: str
    clause: str
    severity: str
    status: Status
    fallen: tuple[str, ...]
    problems: int
    judgement: Judgement
    shrunk: bool = False
    diagnosis: str = ""
    hint: str = ""

    @property
    def problem(self) -> str:
        return self.judgement.problem


def findings(judgements: Iterable[Judgement]) -> list[Finding]:
    """The findings of one adapter's judgements, MUST before SHOULD, in order of their first failure."""
    by_problem: dict[str, dict[str, Judgement]] = defaultdict(dict)
    sized: dict[str, str] = {}  # quantity -> the clause that found its size wrong
    for j in judgements:
        if j.status.failed:
            by_problem[j.problem][j.clause] = j
        if j.clause in SIZES and _shows_a_size(j):
            sized[j.quantity] = j.clause
    groups: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for failed in by_problem.values():
        for j in failed.values():
            raised = j.status in (Status.CRASHED, Status.TIMED_OUT)
            groups[(_kind_of(j), "") if raised else ("", _root(j, failed, sized))].append(j)
    found = [_finding(root, members) for (_, root), members in _merged(groups).items()]
    return sorted(found, key=lambda f: f.severity != Severity.MUST)


def _merged(groups: dict[tuple[str, str], list[Judgement]]) -> dict[tuple[str, str], list[Judgement]]:
    """A root that other clauses' failures explain elsewhere, for the same quantity, is no finding of its own."""
    own = {root: [j for j in members if j.clause == root] for (_, root), members in groups.items() if root}
    above = {root: cause for root, js in own.items() if (cause := _cause_elsewhere(js, own))}
    merged: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for (kind, root), members in groups.items():
        top, passed = root, {root}
        while above.get(top, top) not in passed:
            top = above[top]
            passed.add(top)
        merged[kind, top] += members
    return merged


def _cause_elsewhere(js: list[Judgement], own: dict[str, list[Judgement]]) -> str | None:
    """The root, if there is one, that explains judgements of another root met on other problems."""
    clause = js[0].clause
    if clause in SIZES and any(j.index is None for j in js):
        return None
    quantities = {j.quantity for j in js} | set(REGISTRY[clause].needs)
    candidates = (c for c in _causes(clause) if c not in SIZES and c in own)
    return next((c for c in candidates if quantities & {j.quantity for j in own[c]}), None)


def _finding(root: str, members: list[Judgement]) -> Finding:
    own = [j for j in members if root in ("", j.clause)]
    met = own[0]  # of calls without an answer the first; the last ones were not made
    smallest = met if met.status is Status.TIMED_OUT else min(own, key=lambda j: _weight(j.problem))
    clause = root or smallest.clause
    clauses = {j.clause for j in members} - {clause}
    return Finding(
        adapter=smallest.adapter,
        clause=clause,
        severity=REGISTRY[clause].severity,
        status=smallest.status,
        fallen=tuple(id_ for id_ in REGISTRY if id_ in clauses),
        problems=len({j.problem for j in members}),
        judgement=smallest,
    )


def _root(j: Judgement, failed: dict[str, Judgement], sized: dict[str, str]) -> str:
    """Follow what explains a failure on one problem as far as it leads."""
    for cause in _causes(j.clause) if not (j.clause in SIZES and j.index is None) else []:
        above = failed.get(cause)
        if above and _explains(above, j):
            return _root(above, failed, sized)
    regime = REGISTRY[j.clause].chapter == "NUM" and _shows_a_size(j)
    return sized.get(j.quantity, j.clause) if regime else j.clause


def _shows_a_size(j: Judgement) -> bool:
    return j.status is Status.FAIL and j.note.startswith(f"{j.quantity} has shape")


def _explains(above: Judgement, j: Judgement) -> bool:
    if above.status is not Status.FAIL:
        return False
    if above.clause in SIZES:
        return above.index is None and above.quantity == j.quantity  # a size, not a value that should be zero
    return above.clause != STATE or above.quantity == j.quantity


def _causes(clause: str) -> list[str]:
    """Clauses whose failure explains this one's: a wrong size explains most, then leaking state."""
    if clause == STATE:
        return list(SIZES)
    return list(dict.fromkeys([*(c for c in SIZES if c != clause), STATE, *REGISTRY[clause].falls_with]))


def _kind_of(j: Judgement) -> str:
    """What makes two calls without a result the same: the type in ``raises ValueError: ...``, or that none came in time."""
    return j.note.partition(":")[0] if j.status is Status.CRASHED else j.status


def _weight(line: str) -> tuple[bool, int, int]:
    """Smaller problems first, empty ones last: elements of all operands, then the length of the line."""
    problem = parsed(line)
    if isinstance(problem, NetworkProblem):
        return False, sum(a.size for a in problem.operands.arrays().values()), len(line)
    g = problem.geometry
    return g.batch == 0, sum(map(math.prod, (g.x_shape, g.w_shape, g.y_shape))), len(line)
