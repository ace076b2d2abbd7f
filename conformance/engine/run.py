"""One run of one adapter, whole: corpus first, then exploring, then findings, shrunk.

for event in Run(session, PROFILES["quick"]).events():
    ...          # Remark (doctor), Judgement, Finding: in this order
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.errors import Unsatisfiable

from conformance.adapter.doctor import Remark, examine
from conformance.adapter.probe import inferred
from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.findings import Finding, findings
from conformance.engine.judgement import Judgement, Status
from conformance.engine.known import Ledger
from conformance.engine.networks import NamedNetwork, drawn_networks, fitted_network, network_corpus
from conformance.engine.patience import Patience
from conformance.engine.profiles import Profile
from conformance.engine.runner import LARGE, judge, judge_all, judge_network
from conformance.engine.shrink import shrunk
from conformance.engine.shrink_network import shrunk_network
from conformance.engine.strategies import problems
from conformance.oracle.arithmetic import described
from conformance.problem import DTYPES, Problem, dtype_of
from conformance.problem.fills import REGIMES
from conformance.problem.line import parsed
from conformance.problem.network import NET_DTYPES, NetworkProblem
from conformance.spec import REGISTRY, Clause, matching

__all__ = ["Event", "Run", "drawn", "in_regimes"]

Event = Remark | Judgement | Finding

LARGEST_TO_SHRINK = 200_000
"""Multiplications of a problem above which shrinking starts from nothing smaller: it would take too long."""


DEAD_AGAIN, LATE_AGAIN = 24, 4
"""Times that a process may die, or be late, while a problem that makes it do so is shrunk."""


class Run:
    """One adapter, a profile, and what narrows it: clauses (`only`), one dtype, problems given in place of the corpus.

    judged: judgements of an earlier run that was cut off, a list a problem's line; these problems are not put to it again.
    """

    def __init__(
        self,
        session: Session,
        profile: Profile,
        *,
        seed: int = 0,
        only: str = "*",
        dtype: str | None = None,
        given_problems: tuple[Problem | NetworkProblem, ...] = (),
        judged: Mapping[str, list[Judgement]] | None = None,
    ) -> None:
        self.session, self.profile, self.seed = session, profile, seed
        self.clauses: list[Clause] = matching(only)
        self.dtype = None if dtype is None else dtype_of(dtype).code
        self.given, self.judged = given_problems, judged or {}
        self._layers = tuple(p for p in given_problems if isinstance(p, Problem))
        self._networks = tuple(p for p in given_problems if isinstance(p, NetworkProblem))

    def problems(self) -> list[Named]:
        """What will be put to the adapter, before it is fitted to what it claims."""
        named = [Named(id="given", problem=p) for p in self._layers] or ([] if self.given else self._corpus())
        if self.dtype is None:
            return named
        return [Named(id=n.id, problem=n.problem.replace(dtype=self.dtype)) for n in named]

    def networks(self) -> list[NamedNetwork]:
        """What will be put to the adapter of whole networks, fitted to what it claims; given ones are not."""
        if self.given:
            named = [NamedNetwork(id="given", problem=p) for p in self._networks]
            return [dataclasses.replace(n, problem=self._in_dtype(n.problem)) for n in named]
        if self.dtype not in (None, *NET_DTYPES) or not any(c.of_networks for c in self.clauses):
            return []
        beyond = drawn_networks(self.session, self.profile.networks, self.seed)
        named = [*network_corpus(), *(NamedNetwork(id="explored", problem=p) for p in beyond)]
        fitted = {fitted_network(self._in_dtype(n.problem), self.session): n.id for n in reversed(named)}
        return [NamedNetwork(id=id_, problem=p) for p, id_ in reversed(fitted.items())]

    def _in_dtype(self, problem: NetworkProblem) -> NetworkProblem:
        return problem if self.dtype is None else problem.replace(dtype=self.dtype)

    @property
    def _fits(self) -> bool:
        """May problems be changed to what the adapter claims?  Not those that were given, nor a dtype asked for in vain."""
        lacking = self.dtype is not None and self.dtype not in self.session.capabilities.dtypes
        return not (self.given or lacking)

    def _corpus(self) -> list[Named]:
        named = [n for name in self.profile.corpora for n in corpus(name)]
        small = [n for n in named if n.problem.geometry.products <= self.profile.largest]
        beyond = drawn(self.session, self.profile.explored, self.seed)
        judged = any(c.chapter == "NUM" for c in self.clauses)  # nothing else is, on these data
        rounding = list(in_regimes(small, self.profile.regimes if judged else 0))
        return sorted(small, key=_rare) + rounding + [Named(id="explored", problem=p) for p in beyond]

    def events(self) -> Iterator[Event]:
        """The doctor's remarks; if the adapter is sound every judgement, then the findings, each on its smallest problem.

        Failures that the adapter's folder declares are KNOWN; a remark says which of these declarations are stale.
        """
        known, remarks = Ledger.of(self.session), list(examine(self.session))
        yield from remarks
        if not all(r.ok for r in remarks):
            return
        yield from self._inferred()
        failed: list[Judgement] = []
        for judgements in self._judged():
            marked = [known.marked(j) for j in judgements]
            yield from marked
            failed += [j for j in marked if j.status.failed]
        yield from known.stale()
        for finding in findings(failed):
            self.session.place.anew()
            yield self._shrunk(finding)

    def _judged(self) -> Iterator[list[Judgement]]:
        """The judgements of each layer, then of each network.

        Networks are all put to it: they tell each other what the derivative at a kink is.
        """
        patience = Patience()
        yield from judge_all(
            self.session,
            self.problems(),
            self.clauses,
            fit=self._fits,
            judged=self.judged,
            patience=patience,
        )
        for named in self.networks():
            self.session.place.anew()
            yield patience.count(judge_network(self.session, named.problem, named.id, self.clauses, patience))

    def _inferred(self) -> Iterator[Remark]:
        """The arithmetic class of each dtype for which none is declared, as probes see it: the run uses it."""
        able = self.session.capabilities
        for code in (d for d in DTYPES if d in able.dtypes and self.dtype in (None, d)):
            if able.arithmetic_of(code) is None:
                self.session.inferred[code] = inferred(self.session, code)
                text = f"{DTYPES[code].name}: {described(self.session.inferred[code])} (inferred: none is declared)"
                yield Remark(check="arithmetic", ok=True, text=text)

    def _shrunk(self, finding: Finding) -> Finding:
        problem = parsed(finding.problem)
        if isinstance(problem, NetworkProblem):
            return self._shrunk_network(finding, problem)
        if problem.geometry.products > LARGEST_TO_SHRINK or not self._can_be_lost_again(finding):
            return finding
        clause = REGISTRY[finding.clause]
        smallest = shrunk(problem, lambda p: self._fails(p, clause, finding.status), seed=self.seed)
        self.session.place.grant(1)
        judgements = judge(self.session, smallest, finding.judgement.origin, [clause])
        again = [j for j in judgements if j.status.failed and j.lost == finding.judgement.lost]
        if not again:  # it does not fail every time: the problem that was seen to fail stands
            return finding
        return dataclasses.replace(finding, judgement=again[0], shrunk=True)

    def _shrunk_network(self, finding: Finding, problem: NetworkProblem) -> Finding:
        if not self._can_be_lost_again(finding):
            return finding
        clauses = [REGISTRY[finding.clause]]

        def failing(p: NetworkProblem) -> list[Judgement]:
            if self.session.network_refusal(p) is not None:
                return []
            judged = judge_network(self.session, p, finding.judgement.origin, clauses)
            return [j for j in judged if j.status is finding.status]

        again = failing(shrunk_network(problem, lambda p: bool(failing(p))))
        return dataclasses.replace(finding, judgement=again[0], shrunk=True) if again else finding

    def _can_be_lost_again(self, finding: Finding) -> bool:
        """Is there patience for the restarts that shrinking would take, where the problem kills or hangs?"""
        if not finding.judgement.lost:
            return True
        if finding.status is Status.TIMED_OUT:
            return self.session.place.grant(LATE_AGAIN)
        return self.session.place.grant(DEAD_AGAIN)

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
