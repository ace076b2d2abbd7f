"""How strong is the suite?  Every mistake is put through the engine as an implementation: what kills it, and how soon.

A mistake is *killed* by the first problem on which a clause fails.  Single ones meet the quick profile's problems, pairs the
standard profile's; those in networks the corpus of networks.  One that survives has to be *equivalent*: its results are
the right ones, bit for bit, on every problem of four corpora, and there is a reason for it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.findings import findings
from conformance.engine.fit import fitted
from conformance.engine.judgement import Status
from conformance.engine.networks import network_corpus
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge, judge_network
from conformance.errors import UserError, near
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE
from conformance.mistakes.compound import begun
from conformance.mistakes.mistake import Mistake, right
from conformance.mistakes.network import NetworkMistake
from conformance.mistakes.recipe import computing
from conformance.problem import Problem
from conformance.problem.operations import FURTHER, shape_of
from conformance.spec import Clause, Severity, matching

__all__ = [
    "CLAUSES",
    "NETWORK",
    "NETWORK_CLAUSES",
    "PAIR",
    "REASONS",
    "Power",
    "Trial",
    "chosen",
    "of_integers",
    "probes",
    "trials",
    "tried",
    "tried_network",
]

PAIR = "pair of "
"""The families of two mistakes made together: of layers, of operations, of networks."""
NETWORK = "network"
"""The family of mistakes in whole networks."""

CLAUSES = tuple(c for c in matching() if c.severity is not Severity.INFO and not c.of_networks)
"""Those of single layers that can fail."""
NETWORK_CLAUSES = tuple(c for c in matching() if c.severity is not Severity.INFO and c.of_networks)
"""Those of whole networks."""

COMPARED = ("covering", "seed", "edges", "sizes")
"""Corpora on which an equivalent mistake gives the right results."""

REASONS = {
    "saturates": "it differs only in results that overflow, of which nothing is demanded: NUM-7 measures them"
}
"""Why a single mistake changes nothing that is judged."""

MASKED = "one undoes the other"

RIGHT = Mistake(name="right", sentence="nothing is wrong", hint="", compute=right, quantities=FURTHER)
"""It offers all operations: what a mistake gets wrong says which it offers."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of a mistake, or of two made together.

    killer: the id of the first problem on which a clause fails ('' if none does), the `problems`-th one that was put to
    it, after so many milliseconds.  clauses: those that fail there, there on small integers, and of a single mistake on
    `probes`; roots: those that findings are named by.  equivalent: why it survives rightly.
    """

    name: str
    family: str
    problems: int
    milliseconds: float
    killer: str = ""
    clauses: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    equivalent: str = ""

    @property
    def verdict(self) -> str:
        return "killed" if self.killer else "equivalent" if self.equivalent else "SURVIVES"


@dataclass(frozen=True, kw_only=True)
class Power:
    """All trials; `seed` drew the pairs."""

    trials: tuple[Trial, ...]
    seed: int

    @property
    def singles(self) -> list[Trial]:
        return [t for t in self.trials if not t.family.startswith(PAIR)]

    @property
    def pairs(self) -> list[Trial]:
        return [t for t in self.trials if t.family.startswith(PAIR)]

    @property
    def survivors(self) -> list[Trial]:
        """Those that should have been killed."""
        return [t for t in self.trials if t.verdict == "SURVIVES"]

    def killed_by(self, clause: str, *, alone: bool = False) -> list[Trial]:
        """Single mistakes on which a clause fails (and no other does)."""
        return [t for t in self.singles if clause in t.clauses and not (alone and len(t.clauses) > 1)]

    @staticmethod
    def median(trials: Iterable[Trial]) -> float:
        """Problems that it takes to kill."""
        return statistics.median([t.problems for t in trials if t.killer] or [0])


# ---- trying ----
def chosen(pattern: str = "*") -> list[Mistake | NetworkMistake]:
    """The mistakes whose name matches a glob, in layers and then in networks.

    Raises:
        UserError: none does.
    """
    known: list[Mistake | NetworkMistake] = [*CATALOGUE.values(), *NETWORK_CATALOGUE.values()]
    found = [m for m in known if fnmatch.fnmatchcase(m.name, pattern)]
    if not found:
        meant = near(pattern, (m.name for m in known))
        raise UserError(
            f"no mistake matches {pattern!r}{meant}; their names are in conformance/mistakes/catalogue"
        )
    return found


def trials(
    mistakes: Iterable[Mistake | NetworkMistake], pairs: Iterable[Mistake | NetworkMistake]
) -> Iterator[Trial]:
    """Each single mistake, then each pair."""
    family = {m.name: name for name, members in FAMILIES.items() for m in members}
    for m in mistakes:
        if isinstance(m, NetworkMistake):
            yield tried_network(m)
        else:
            yield tried(m, family=family[m.name], reason=REASONS.get(m.name, ""), also=probes())
    for m in pairs:
        if isinstance(m, NetworkMistake):
            yield tried_network(m, family=PAIR + m.kind)
        else:
            yield tried(m, family=PAIR + m.kind, profile="standard", reason=MASKED)


def tried(
    m: Mistake, *, family: str = "", profile: str = "quick", reason: str = "", also: Sequence[Named] = ()
) -> Trial:
    """A mistake put through a profile's problems until a clause fails.

    reason: why it may be equivalent.  also: problems that count for `Trial.clauses` besides the killing one.
    """
    parts, session, clauses, number = _problems(profile, m.dtypes), _session(m), _concerned(m), 0
    start = time.perf_counter()
    trial = functools.partial(Trial, name=m.name, family=family)
    for part in parts:
        for named in part:
            number += 1
            if any(j.status.failed for j in judge(session, named.problem, named.id, clauses)):
                ms = 1000 * (time.perf_counter() - start)
                failed, roots = _seen(m, [named, of_integers(named), *also])
                return trial(problems=number, milliseconds=ms, killer=named.id, clauses=failed, roots=roots)
        if reason and (count := _agreeing(m)):
            why = f"right, bit for bit, on {count} problems of {', '.join(COMPARED)}: {reason}"
            return trial(problems=number, milliseconds=0, equivalent=why)
    return trial(problems=number, milliseconds=1000 * (time.perf_counter() - start))


def tried_network(m: NetworkMistake, *, family: str = NETWORK) -> Trial:
    """A mistake put through the corpus of networks until a clause fails; its clauses are those that fail there."""
    session, start = Session(m.adapter(), m.name), time.perf_counter()
    for number, named in enumerate(network_corpus(), start=1):
        judged = list(judge_network(session, named.problem, named.id, NETWORK_CLAUSES))
        failed = [j for j in judged if j.status.failed]
        if failed:
            return Trial(
                name=m.name,
                family=family,
                problems=number,
                milliseconds=1000 * (time.perf_counter() - start),
                killer=named.id,
                clauses=_ordered(j.clause for j in failed),
                roots=_ordered(f.clause for f in findings(failed)),
            )
    ms = 1000 * (time.perf_counter() - start)
    return Trial(name=m.name, family=family, problems=len(network_corpus()), milliseconds=ms)


def _seen(m: Mistake, problems: Iterable[Named]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The clauses that fail on a fresh implementation, and those that its findings are named by."""
    session, clauses = _session(m), _concerned(m)
    judged = [j for n in problems for j in judge(session, fitted(n.problem, session), n.id, clauses)]
    failed = [j for j in judged if j.status.failed]
    return _ordered(j.clause for j in failed), _ordered(f.clause for f in findings(failed))


def of_integers(named: Named) -> Named:
    """The same problem on small integers, where every clause has its say."""
    return Named(id=f"{named.id}+small", problem=named.problem.replace(fill="small"))


def _ordered(ids: Iterable[str]) -> tuple[str, ...]:
    met = set(ids)
    return tuple(c.id for c in (*CLAUSES, *NETWORK_CLAUSES) if c.id in met)


def _concerned(m: Mistake) -> list[Clause]:
    """The clauses that look at a quantity that is wrong; first those that need no further calls."""
    asked = (c for c in CLAUSES if not c.needs or set(c.needs) & set(m.quantities))
    return sorted(asked, key=lambda c: c.variants)


def _session(m: Mistake) -> Session:
    return Session(m.adapter(), m.name)


@functools.cache
def _problems(profile: str, dtypes: tuple[str, ...]) -> tuple[tuple[Named, ...], tuple[Named, ...]]:
    """What a run puts to an implementation of these dtypes: the quick profile's corpora, and what comes after them."""
    session = _session(dataclasses.replace(RIGHT, dtypes=dtypes))
    found: dict[Problem, Named] = {}
    for n in Run(session, PROFILES[profile]).problems():
        problem = fitted(n.problem, session)
        found.setdefault(problem, Named(id=n.id, problem=problem))
    known = {n.id for name in PROFILES["quick"].corpora for n in corpus(name)}
    first = tuple(n for n in found.values() if n.id in known)
    after = tuple(n for n in found.values() if n.id not in known)
    return first, after


@functools.cache
def probes() -> tuple[Named, ...]:
    """The first problem on which each clause passes with power, of those that a right implementation is put to."""
    session, left, found = _session(RIGHT), set(CLAUSES), []
    for named in itertools.chain(*_problems("quick", RIGHT.dtypes)):
        judged = judge(session, named.problem, named.id, [c for c in CLAUSES if c in left])
        passed = {j.clause for j in judged if j.status is Status.PASS}
        if passed:
            found.append(named)
            left = {c for c in left if c.id not in passed}
        if not left:
            break
    return tuple(found)


def _agreeing(m: Mistake) -> int:
    """On how many problems its results are the right ones; 0 if they are not on one of them."""
    base = computing(start=begun) if m.switch else right
    problems = [n.problem for name in COMPARED for n in corpus(name) if n.problem.dtype in m.dtypes]
    for p in problems:
        for q in m.quantities:
            if shape_of(p.geometry, q) is not None:
                a, b = (compute(p.geometry, p.operands_of(q), q) for compute in (m.compute, base))
                if a.shape != b.shape or a.tobytes() != b.tobytes():
                    return 0
    return len(problems)
