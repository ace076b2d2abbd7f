"""What is wrong with one problem's results, and a small problem that shows it.

A fault has numbers where an element is wrong; else it says in words what is: an exception, a size, a clause.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe import inferred
from conformance.adapter.session import Session
from conformance.engine.findings import findings
from conformance.engine.judgement import Status
from conformance.engine.runner import case_of, judge
from conformance.engine.shrink import shrunk
from conformance.errors import AdapterBroken, UserError
from conformance.oracle import Evidence, Expected, compare
from conformance.problem import Problem
from conformance.spec import REGISTRY, Case, Clause, NotOffered, Raised, TimedOut

__all__ = ["READS", "Fault", "fault", "simplest"]

LARGEST = 40
"""Elements of x, w and y, each, that fit on a page."""
LONGEST = 12
"""Products of one element that do."""
SEEDS = 200
"""Data among which the plainest are looked for."""
TRIES = 40
"""Of these, how many are put to the implementation."""

READS = {"y": ("x", "w", "b"), "dx": ("delta", "w"), "dw": ("x", "delta"), "db": ("delta",)}
"""The operands of each quantity, in the order in which its products are written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """What is wrong with a quantity of a problem.

    kind: ``value``, ``size``, ``late``, ``raises ...`` or the id of a clause.  said: the same in words, where no element
    tells it.  call: the one that went wrong; the second, if the first was right.  got: what came back, in float64.
    """

    problem: Problem
    quantity: str
    kind: str
    expected: Expected
    said: str = ""
    call: int = 1
    got: NDArray[np.float64] | None = None
    evidence: Evidence | None = None

    def same(self, other: Fault | None) -> bool:
        """Is it the same in another problem?"""
        if other is None:
            return False
        return (self.quantity, self.kind, self.call) == (other.quantity, other.kind, other.call)

    @property
    def far(self) -> float:
        """How far the worst element is beyond its bound."""
        return math.inf if self.evidence is None else self.evidence.error_over_bound

    @property
    def index(self) -> tuple[int, ...]:
        """Of the worst element."""
        return () if self.evidence is None else self.evidence.index or ()

    @property
    def wrong(self) -> NDArray[np.bool_] | None:
        """Mask of the elements that are wrong."""
        return None if self.evidence is None else self.evidence.wrong


def fault(session: Session, problem: Problem) -> Fault | None:
    """The worst fault of an implementation on a problem; None if nothing is wrong.

    Values come first; if they are right, those of a second call; then whatever a clause finds.

    Raises:
        UserError: the problem is not offered.  AdapterBroken: the adapter's results are none.
    """
    refusal = session.refusal(problem.geometry, problem.dtype)
    if refusal:
        raise UserError(f"{session.name} does not offer this problem: {refusal}")
    if session.capabilities.arithmetic_of(problem.dtype) is None and problem.dtype not in session.inferred:
        session.inferred[problem.dtype] = inferred(session, problem.dtype)  # as a run does
    case = case_of(session, problem)
    try:
        for call in (1, 2):
            found = [f for q in case.offers if (f := _in_values(case, q, call))]
            if found:
                return max(found, key=lambda f: f.far)
    except NotOffered as reason:
        raise UserError(f"{session.name} does not offer this problem: {reason}") from None
    return _by_clauses(session, case, list(REGISTRY.values()))


def simplest(session: Session, seen: Fault) -> Fault:
    """The same fault on a problem that fits on a page, with plain data; at worst as it was seen."""
    problem, looks = seen.problem, {seen.problem: seen}

    def same(p: Problem) -> bool:
        """Each is looked at once: what keeps state may not answer twice alike."""
        again = looks.get(p) or _again(session, p, seen)
        if again is None or not seen.same(again):
            return False
        looks[p] = again
        return True

    if seen.kind == "late" or (_fits(seen) and problem.fill == "small"):
        return seen
    if not _fits(seen):
        problem = shrunk(problem, same)
    plain = _plainest(problem, seen.quantity) if seen.kind == "value" else []
    return looks[next(filter(same, plain), problem)]


def _fits(seen: Fault) -> bool:
    g = seen.problem.geometry
    sizes = map(math.prod, (g.x_shape, g.w_shape, g.y_shape))
    return max(sizes) <= LARGEST and int(seen.expected.n.max(initial=0)) <= LONGEST


def _plainest(problem: Problem, quantity: str) -> list[Problem]:
    """The problem with other small integers: none alike, so that sums tell them apart; no ones and few below zero."""

    def key(p: Problem) -> tuple[float, ...]:
        read = [a.ravel().astype(np.float64) for name, a in p.operands.items() if name in READS[quantity]]
        a = np.concatenate(read)
        return a.size - np.unique(a).size, int(np.sum(abs(a) == 1)), int(np.sum(a < 0)), float(abs(a).sum())

    drawn = (problem.replace(fill="small", seed=seed) for seed in range(SEEDS))
    return sorted(drawn, key=key)[:TRIES]


# ---- looking ----
def _again(session: Session, problem: Problem, seen: Fault) -> Fault | None:
    """A look at another problem, for the same fault only."""
    if session.refusal(problem.geometry, problem.dtype) is not None:
        return None
    case = case_of(session, problem)
    try:
        if seen.kind in REGISTRY:
            return _by_clauses(session, case, [REGISTRY[seen.kind]])
        if not case.has(seen.quantity) or (seen.call == 2 and _in_values(case, seen.quantity, 1)):
            return None
        return _in_values(case, seen.quantity, seen.call)
    except (NotOffered, AdapterBroken):
        return None


def _in_values(case: Case, quantity: str, call: int) -> Fault | None:
    made = functools.partial(
        Fault, problem=case.problem, quantity=quantity, expected=case.expected[quantity], call=call
    )
    try:
        raw = case.call(quantity, again=call - 1).arrays[quantity]
    except Raised as raised:
        method = "forward" if quantity == "y" else "backward"
        return made(kind=f"raises {raised.kind}", said=f"{method} raises {raised} ({raised.traceback})")
    except TimedOut as late:
        return made(kind="late", said=str(late))
    expected = case.expected[quantity]
    evidence = compare(raw, expected)
    if evidence.ok:
        return None
    if raw.shape != expected.exact.shape:
        return made(kind="size", said=evidence.note, got=raw.astype(np.float64))
    got = case.settled(quantity, raw) if case.problem.integers else raw.astype(np.float64)
    return made(kind="value", got=got, evidence=evidence)


def _by_clauses(session: Session, case: Case, clauses: list[Clause]) -> Fault | None:
    """What clauses find beyond values: operands that are overwritten, results that hang on the calls before, ..."""
    judged = list(judge(session, case.problem, "", clauses))
    broken = [j for j in judged if j.status is Status.BROKEN_ADAPTER]
    if broken:
        raise AdapterBroken(broken[0].note)
    for finding in findings(j for j in judged if j.status.failed):
        j = finding.judgement
        quantity = j.quantity if j.quantity in case.offers else case.offers[0]
        told = j.note or f"{j.quantity}{list(j.index or ())} is {j.got:.9g}, right is {j.expected:.9g}"
        return Fault(
            problem=case.problem,
            quantity=quantity,
            kind=finding.clause,
            expected=case.expected[quantity],
            said=f"{REGISTRY[finding.clause].text}: {told}",
        )
    return None
