"""What kills a mutant: the first thing for which `conformance run --profile quick` would not exit with 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.adapter.connect import connect
from conformance.adapter.doctor import examine
from conformance.adapter.session import Session
from conformance.engine.corpus import Named
from conformance.engine.fit import fitted
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge
from conformance.problem import Problem
from conformance.spec import REGISTRY, Severity

__all__ = ["killer"]


def killer(targets: Iterable[str]) -> str:
    """Why these adapters, or routes, do not conform; the empty text if they do."""
    try:
        return next((reason for target in targets for reason in _faults(target)), "")
    except Exception as error:  # noqa: BLE001  the mutant's fault: nothing else changed
        return f"{type(error).__name__}: {error}"


def _faults(target: str) -> Iterator[str]:
    session = connect(target)
    yield from (f"doctor: {remark.text}" for remark in examine(session) if not remark.ok)
    powerful = False
    for judgement in _judgements(session):
        if _fatal(judgement):
            yield f"{judgement.clause} {judgement.status} {judgement.origin}"
        powerful |= judgement.status is Status.PASS
    if not powerful:
        yield "nothing was judged with power"


def _judgements(session: Session) -> Iterator[Judgement]:
    """Those of a run, one by one, so that the first fault is the last that is asked; in an order that finds it soon."""
    run, met = Run(session, PROFILES["quick"]), set()
    clauses = sorted(run.clauses, key=lambda c: c.variants)
    for named in sorted(run.problems(), key=_late):
        problem = fitted(named.problem, session)
        if problem not in met:
            met.add(problem)
            yield from judge(session, problem, named.id, clauses)


def _fatal(judgement: Judgement) -> bool:
    must = REGISTRY[judgement.clause].severity is Severity.MUST
    return judgement.status is Status.BROKEN_ADAPTER or (judgement.status.failed and must)


def _late(named: Named) -> tuple[bool, int]:
    """Exact problems first, and of these the ones with many features: most mutants fall on the first."""
    return named.problem.rounding, -_features(named.problem)


def _features(problem: Problem) -> int:
    g = problem.geometry
    asymmetric = any(lo != hi for lo, hi in g.padding)
    several = (g.batch > 1, g.groups > 1, g.channels > g.groups, g.maps > g.groups, g.rank > 1)
    stepping = (max(g.stride) > 1, max(g.dilation) > 1, any(g.remainder))
    return sum((*several, *stepping, asymmetric, g.bias != "none", g.convention == "convolution"))
