"""The run: problems x clauses x one adapter -> a stream of judgements.  No printing.

One `Case` a problem: the adapter's results are computed once and serve every clause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from conformance.adapter.session import Session
from conformance.engine.corpus import Named
from conformance.engine.fit import fitted
from conformance.engine.judgement import DIED, Judgement, Status
from conformance.engine.judgement import judged as verdict
from conformance.engine.patience import Patience
from conformance.errors import AdapterBroken, HarnessError
from conformance.problem import Problem
from conformance.problem.network import NetworkProblem
from conformance.spec import Case, Clause, Died, NetworkCase, NotOffered, Raised, TimedOut

__all__ = ["LARGE", "case_of", "judge", "judge_all", "judge_network", "network_case"]

LARGE = 400_000
"""Multiplications of a forward pass from which on clauses that ask for more calls are left out."""


def judge_all(
    session: Session,
    problems: Iterable[Named],
    clauses: list[Clause],
    *,
    fit: bool = True,
    judged: Mapping[str, list[Judgement]] | None = None,
    patience: Patience | None = None,
) -> Iterator[list[Judgement]]:
    """The judgements of each problem, fitted to what the adapter claims; a problem met before is left out.

    judged: those that are known already, by their line.  fit: False where the problems were asked for as they are: what is
    not offered is then UNSUPPORTED.  patience: with calls that end in nothing.
    """
    met: set[Problem] = set()
    patience = patience or Patience()
    for named in problems:
        problem = fitted(named.problem, session) if fit else named.problem
        if problem not in met:
            met.add(problem)
            known = judged and judged.get(str(problem))
            session.place.anew()
            yield patience.count(known or judge(session, problem, named.id, clauses, patience))


def judge(
    session: Session,
    problem: Problem,
    origin: str,
    clauses: Iterable[Clause],
    patience: Patience | None = None,
) -> Iterator[Judgement]:
    """The judgements of one problem, one for each clause that applies to it."""
    case = case_of(session, problem)
    line = str(problem)
    refusal = session.refusal(problem.geometry, problem.dtype)
    asked = _Asked(session, line, origin, patience)
    for clause in clauses:
        if not _asked(clause, problem):
            continue
        lacking = sorted(set(clause.needs) - session.capabilities.offered)
        reason = refusal or (f"{', '.join(lacking)} not offered" if lacking else "")
        if clause.feature and clause.feature not in session.capabilities.features:
            reason = f"{clause.feature} not claimed"  # fitted problems have it no more
        if reason:
            yield _without_evidence(session, clause, line, origin, Status.UNSUPPORTED, reason)
            continue
        if not all(map(case.has, clause.needs)):
            continue  # a geometry without a bias has no db
        judgement = asked.judged(case, clause)
        if judgement is not None:
            yield judgement


def _asked(clause: Clause, problem: Problem) -> bool:
    """Large problems are spared further calls; on data of a numeric regime only rounding is judged."""
    if clause.of_networks:
        return False
    if problem.rounding:
        return clause.chapter == "NUM"
    return not (clause.variants and problem.geometry.products > LARGE)


def case_of(session: Session, problem: Problem) -> Case:
    """The problem put to the adapter, as clauses see it."""
    return Case(
        problem,
        session.answer,
        arithmetic=session.arithmetic(problem.dtype),
        offered=session.capabilities.offered,
        claims=lambda g: session.refusal(g, problem.dtype) is None,
    )


def judge_network(
    session: Session,
    problem: NetworkProblem,
    origin: str,
    clauses: Iterable[Clause],
    patience: Patience | None = None,
) -> Iterator[Judgement]:
    """The judgements of one network, one for each clause of chapter NET that applies to it."""
    case, line, able = network_case(session, problem), str(problem), session.capabilities.network
    refusal = session.network_refusal(problem)
    asked = _Asked(session, line, origin, patience)
    for clause in (c for c in clauses if c.of_networks):
        lacking = {"network", "step"} & set(clause.needs) - (able.methods if able else frozenset())
        reason = refusal or (f"{', '.join(sorted(lacking))} not offered" if lacking else "")
        if reason:
            yield _without_evidence(session, clause, line, origin, Status.UNSUPPORTED, reason)
        elif (judgement := asked.judged(case, clause)) is not None:
            yield judgement


def network_case(session: Session, problem: NetworkProblem) -> NetworkCase:
    """The network put to the adapter, as clauses see it."""
    return NetworkCase(
        problem, session.network, arithmetic=session.arithmetic(problem.dtype), kinks=session.kinks
    )


class _Asked:
    """The clauses of one problem, asked as long as there is patience."""

    def __init__(self, session: Session, line: str, origin: str, patience: Patience | None) -> None:
        self._session, self._line, self._origin, self._patience = session, line, origin, patience
        self._lost: list[Judgement] = []
        self._deaths = session.place.deaths

    def judged(self, case: Case | NetworkCase, clause: Clause) -> Judgement | None:
        deaths = self._session.place.deaths - self._deaths
        refusal = self._patience and self._patience.refusal(clause.id, self._lost, deaths)
        if refusal:
            return _without_evidence(self._session, clause, self._line, self._origin, *refusal)
        judgement = _judge(self._session, case, clause, self._line, self._origin)
        if judgement and judgement.lost:
            self._lost.append(judgement)
        return judgement


def _judge(
    session: Session, case: Case | NetworkCase, clause: Clause, line: str, origin: str
) -> Judgement | None:
    try:
        return verdict(session.name, clause.id, line, origin, clause.check(case))
    except Died as died:
        return _without_evidence(session, clause, line, origin, Status.CRASHED, f"{DIED}{died}")
    except Raised as raised:
        note = f"raises {raised}" + (f" ({raised.traceback})" if raised.traceback else "")
        return _without_evidence(session, clause, line, origin, Status.CRASHED, note)
    except TimedOut as late:
        return _without_evidence(session, clause, line, origin, Status.TIMED_OUT, str(late))
    except NotOffered as reason:
        return _without_evidence(session, clause, line, origin, Status.UNSUPPORTED, str(reason))
    except AdapterBroken as fault:
        return _without_evidence(session, clause, line, origin, Status.BROKEN_ADAPTER, str(fault))
    except Exception as error:
        raise HarnessError(
            f"clause {clause.id} raised {error!r} on {session.name}, problem {line}"
        ) from error


def _without_evidence(
    session: Session, clause: Clause, line: str, origin: str, status: Status, note: str
) -> Judgement:
    return Judgement(
        adapter=session.name, clause=clause.id, problem=line, origin=origin, status=status, note=note
    )
