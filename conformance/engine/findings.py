"""From failing judgements to findings: one root cause, one finding; what falls with it is listed under it.

On each problem a failing clause falls with the clauses that it names (`falls_with`), if they failed there too: the
adjoint falls with dx, exact data with the value, every repeated call with state that leaks.  What is left are roots.
Exceptions of one kind are one finding, whatever clause they met first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.engine.judgement import Judgement, Status
from conformance.problem import Problem
from conformance.spec import REGISTRY, Severity

__all__ = ["Finding", "findings"]

STATE = "HYG-3"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One root cause, with the smallest problem that shows it.

    clause: the root; fallen: clauses that fall with it.  problems: on how many it was met.  judgement: the root clause's
    verdict on `problem` (the smallest found so far, or after shrinking).
    """

    adapter: str
    clause: str
    severity: str
    status: Status
    fallen: tuple[str, ...]
    problems: int
    judgement: Judgement
    shrunk: bool = False

    @property
    def problem(self) -> str:
        return self.judgement.problem


def findings(judgements: Iterable[Judgement]) -> list[Finding]:
    """The findings of one adapter's judgements, MUST before SHOULD, in order of their first failure."""
    by_problem: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for j in judgements:
        if j.status.failed:
            by_problem[j.problem][j.clause] = j
    groups: dict[tuple[str, str], list[tuple[Judgement, str]]] = defaultdict(list)
    for failed in by_problem.values():
        for j in failed.values():
            if j.status is Status.CRASHED:
                groups[_kind_of(j.note), ""].append((j, j.clause))
            else:
                groups["", _root(j.clause, failed)].append((j, j.clause))
    found = [_finding(root, members) for (_, root), members in groups.items()]
    return sorted(found, key=lambda f: f.severity != Severity.MUST)


def _finding(root: str, members: list[tuple[Judgement, str]]) -> Finding:
    own = [j for j, clause in members if not root or clause == root]
    smallest = min(own, key=lambda j: _weight(j.problem))
    clause = root or smallest.clause
    clauses = dict.fromkeys(c for _, c in members if c != clause)
    return Finding(
        adapter=smallest.adapter,
        clause=clause,
        severity=REGISTRY[clause].severity,
        status=smallest.status,
        fallen=tuple(c for c in REGISTRY if c in clauses),
        problems=len({j.problem for j, _ in members}),
        judgement=smallest,
    )


def _root(clause: str, failed: dict[str, Judgement]) -> str:
    """Follow `falls_with` on one problem as far as it leads."""
    leaks = failed.get(STATE)
    if leaks and clause != STATE and leaks.quantity == failed[clause].quantity:
        return STATE
    for cause in REGISTRY[clause].falls_with:
        if cause in failed and failed[cause].status is Status.FAIL:
            return _root(cause, failed)
    return clause


def _kind_of(note: str) -> str:
    """The type of an exception, out of ``raises ValueError: ...``."""
    return note.partition(":")[0]


def _weight(line: str) -> tuple[int, int]:
    """Smaller problems first: elements of all operands, then the length of the line."""
    g = Problem.parse(line).geometry
    return sum(map(math.prod, (g.x_shape, g.w_shape, g.y_shape))), len(line)
