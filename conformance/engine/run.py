"""One run of one adapter, whole: corpus first, then exploring, then findings, shrunk.

for event in Run(session, PROFILES["quick"]).events():
    ...          # Remark (doctor), Judgement, Finding: in this order
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.errors import Unsatisfiable

from conformance.adapter.doctor import Remark, examine
from conformance.adapter.probe import inferred
from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.findings import Finding, findings
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import Profile
from conformance.engine.runner import LARGE, judge, judge_all
from conformance.engine.shrink import shrunk
from conformance.engine.strategies import problems
from conformance.oracle.arithmetic import described
from conformance.problem import DTYPES, Problem, dtype_of
from conformance.problem.fills import REGIMES
from conformance.spec import REGISTRY, Clause, matching

__all__ = ["Event", "Run", "drawn", "in_regimes"]

Event = Remark | Judgement | Finding

LARGEST_TO_SHRINK = 200_000
"""Multiplications of a problem above which shrinking starts from nothing smaller: it would take too long."""


class Run:
    """One adapter, a profile, and what narrows it: clauses (`only`), one dtype, problems given in place of the corpus."""

    def __init__(
        self,
        session: Session,
        profile: Profile,
        *,
        seed: int = 0,
        only: str = "*",
        dtype: str | None = None,
        given_problems: tuple[Problem, ...] = (),
    ) -> None:
        self.session, self.profile, self.seed = session, profile, seed
        self.clauses: list[Clause] = matching(only)
        self.dtype = None if dtype is None else dtype_of(dtype).code
        self._given = given_problems

    def problems(self) -> list[Named]:
        """What will be put to the adapter, before it is fitted to what it claims."""
        named = [Named(id="given", problem=p) for p in self._given] or self._corpus()
        if self.dtype is None:
            return named
        return [Named(id=n.id, problem=n.problem.replace(dtype=self.dtype)) for n in named]

    @property
    def _fits(self) -> bool:
        """May problems be changed to what the adapter claims?  Not those that were given, nor a dtype asked for in vain."""
        lacking = self.dtype is not None and self.dtype not in self.session.capabilities.dtypes
        return not (self._given or lacking)

    def _corpus(self) -> list[Named]:
        named = [n for name in self.profile.corpora for n in corpus(name)]
        small = [n for n in named if n.problem.geometry.products <= self.profile.largest]
        beyond = drawn(self.session, self.profile.explored, self.seed)
        judged = any(c.chapter == "NUM" for c in self.clauses)  # nothing else is, on these data
        rounding = list(in_regimes(small, self.profile.regimes if judged else 0))
        return sorted(small, key=_rare) + rounding + [Named(id="explored", problem=p) for p in beyond]

    def events(self) -> Iterator[Event]:
        """The doctor's remarks; if the adapter is sound every judgement, then the findings, each on its smallest problem."""
        remarks = list(examine(self.session))
        yield from remarks
        if not all(r.ok for r in remarks):
            return
        yield from self._inferred()
        failed: list[Judgement] = []
        for judgements in judge_all(self.session, self.problems(), self.clauses, fit=self._fits):
            yield from judgements
            failed += [j for j in judgements if j.status.failed]
        for finding in findings(failed):
            yield self._shrunk(finding)

    def _inferred(self) -> Iterator[Remark]:
        """The arithmetic class of each dtype for which none is declared, as probes see it: the run uses it."""
        able = self.session.capabilities
        for code in (d for d in DTYPES if d in able.dtypes and self.dtype in (None, d)):
            if able.arithmetic_of(code) is None:
                self.session.inferred[code] = inferred(self.session, code)
                text = f"{DTYPES[code].name}: {described(self.session.inferred[code])} (inferred: none is declared)"
                yield Remark(check="arithmetic", ok=True, text=text)

    def _shrunk(self, finding: Finding) -> Finding:
        problem = Problem.parse(finding.problem)
        if problem.geometry.products > LARGEST_TO_SHRINK or finding.status is Status.TIMED_OUT:
            return finding
        clause = REGISTRY[finding.clause]
        smallest = shrunk(problem, lambda p: self._fails(p, clause, finding.status), seed=self.seed)
        again = [
            j for j in judge(self.session, smallest, finding.judgement.origin, [clause]) if j.status.failed
        ]
        if not again:  # it does not fail every time: the problem that was seen to fail stands
            return finding
        return dataclasses.replace(finding, judgement=again[0], shrunk=True)

    def _fails(self, problem: Problem, clause: Clause, status: Status) -> bool:
        if self.session.refusal(problem.geometry, problem.dtype) is not None:
            return False
        return any(j.status is status for j in judge(self.session, problem, "", [clause]))


def _rare(named: Named) -> bool:
    """False for problems with two axes: they come first, and most mistakes show on one of the first three."""
    return named.problem.geometry.rank != 2


def in_regimes(corpus: list[Named], count: int) -> Iterator[Named]:
    """Problems that are not large on `count` numeric regimes each, which take turns from problem to problem."""
    for number, named in enumerate(corpus):
        if named.problem.geometry.products <= LARGE and named.problem.geometry.batch:
            for k in range(count):
                fill = REGIMES[(number * count + k) % len(REGIMES)]
                yield Named(id=f"{named.id}+{fill}", problem=named.problem.replace(fill=fill))


def drawn(session: Session, count: int, seed: int) -> list[Problem]:
    """`count` problems that the adapter offers, drawn by Hypothesis from `seed`."""
    found: list[Problem] = []
    if not count:
        return found
    strategy = problems(session.capabilities, offered=lambda g, dtype: session.refusal(g, dtype) is None)

    @hypothesis_seed(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(problem: Problem) -> None:
        found.append(problem)

    with contextlib.suppress(Unsatisfiable):  # it refuses all that it claims
        collect()
    return found
