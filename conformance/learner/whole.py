"""After the steps: the quick profile's corpus, as far as the code takes it, through the ordinary run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run, in_regimes
from conformance.learner.reading import Reading
from conformance.learner.steps import ladder
from conformance.mistakes.roots import events
from conformance.problem import Problem
from conformance.report.model import Report
from conformance.report.write import Writer
from conformance.spec import REGISTRY, Question

__all__ = ["LEFT_OUT", "Whole", "whole"]

LEFT_OUT = "HYG-6"
"""Not asked of a learner: that operands of a wrong size are refused."""

BUDGET = 60.0
"""Seconds that the calls should take in all; larger problems are left out where slow loops would need more."""

CALLS = {True: 55, False: 5}
"""Calls that the clauses make on a problem, or thereabouts: on exact integers, and on other data."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The report of the run; on how many problems, and how many were left out because they would take too long."""

    report: Report
    problems: int
    left_out: int


def whole(session: Session, reading: Reading) -> Whole:
    """Everything but what is left out."""
    fitted = list(_fitted(reading))
    chosen = _affordable(fitted, _seconds_a_product(session, reading))
    only = ",".join(id_ for id_, c in REGISTRY.items() if id_ != LEFT_OUT and not c.of_networks)
    run = Run(session, PROFILES["quick"], only=only, given_problems=tuple(chosen))
    writer = Writer([run], profile="quick", only=only)
    for event in events(run):
        writer.add(session.name, event)
    return Whole(report=writer.close(), problems=len(chosen), left_out=len(fitted) - len(chosen))


def _fitted(reading: Reading) -> Iterator[Problem]:
    """The corpus brought to what the code takes, with the numeric regimes of the profile; each problem once."""
    profile = PROFILES["quick"]
    named = [n for name in profile.corpora for n in corpus(name)]
    near = {n.id: reading.limits.problem(n.problem, reading.dtype) for n in named}
    plain = [Named(id=id_, problem=p) for id_, p in near.items() if p is not None]
    for problem in dict.fromkeys(n.problem for n in (*plain, *in_regimes(plain, profile.regimes))):
        if not (
            reading.limits.halves and problem.fill == "subnormal"
        ):  # half of a subnormal number is rounded
            yield problem


def _seconds_a_product(session: Session, reading: Reading) -> float:
    """What a multiplication takes, on the largest problem of the steps."""
    largest = max(ladder(reading, biased=True), key=lambda p: p.geometry.products)
    start = time.thread_time()
    for backward in (False, True) if reading.gradients else (False,):
        session.put(
            Question(geometry=largest.geometry, operands=largest.operands, memory="c", backward=backward)
        )
    return (time.thread_time() - start) / largest.geometry.products


def _affordable(problems: list[Problem], seconds_a_product: float) -> list[Problem]:
    """As many as the budget allows, the small ones before the large, in the order in which they were."""
    left, kept = BUDGET, set()
    for problem in sorted(problems, key=lambda p: p.geometry.products):
        left -= problem.geometry.products * seconds_a_product * CALLS[problem.integers]
        if left > 0:
            kept.add(problem)
    return [p for p in problems if p in kept]
