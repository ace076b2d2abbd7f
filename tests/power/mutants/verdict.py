"""What kills a mutant: the first thing for which `conformance run --profile quick` would not exit with 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.adapter.connect import connect
from conformance.adapter.doctor import examine
from conformance.engine.corpus import Named
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge_all
from conformance.problem import Problem
from conformance.spec import REGISTRY, Severity

__all__ = ["killer"]

SECONDS = 10.0
"""Time limit of one call; the right implementations need less than one second on every problem of this profile."""


def killer(targets: Iterable[str]) -> str:
    """Why these adapters, or routes, do not conform; the empty text if they do."""
    try:
        return next((reason for target in targets for reason in _faults(target)), "")
    except Exception as error:  # noqa: BLE001  the mutant's fault: nothing else changed
        return f"{type(error).__name__}: {error}"


def _faults(target: str) -> Iterator[str]:
    session = connect(target, time_limit=SECONDS)
    yield from (f"doctor: {remark.text}" for remark in examine(session) if not remark.ok)
    run = Run(session, PROFILES["quick"])
    powerful = False
    for judgements in judge_all(session, sorted(run.problems(), key=_late), run.clauses):
        yield from (f"{j.clause} {j.status} {j.origin}" for j in judgements if _fatal(j))
        powerful |= any(j.status is Status.PASS for j in judgements)
    if not powerful:
        yield "nothing was judged with power"


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
