"""What went wrong?  The catalogue fitted to what an implementation was seen to compute.

A mistake explains a quantity only if it reproduces *every* observed result of it, the right ones too, bit for bit.  First
single mistakes are tried, then again with room for rounding (a mean of which each term was divided: of integers, whatever
else it could be taken for is much farther off), then pairs.  While several fit, one more problem on which they differ is
put to the implementation.  What then still agrees cannot be told apart by anything that it offers: no name is certain.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.adapter.session import Session
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.compound import result, rounded, same, switched
from conformance.mistakes.localise import localise
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.network import NetworkMistake
from conformance.mistakes.observed import Candidate, Observed
from conformance.problem import Problem
from conformance.problem.operations import FURTHER

__all__ = ["Diagnosis", "Explanation", "diagnose"]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One or two mistakes that reproduce all that was observed of `quantities`.

    certain: nothing else in the catalogue does.
    """

    mistakes: tuple[Mistake | NetworkMistake, ...]
    quantities: tuple[str, ...]
    certain: bool

    @property
    def name(self) -> str:
        return " and ".join(m.name for m in self.mistakes)

    @property
    def sentence(self) -> str:
        return "; and ".join(m.sentence for m in self.mistakes)

    @property
    def hint(self) -> str:
        return "; ".join(dict.fromkeys(m.hint for m in self.mistakes))


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is known of one failure: ranked explanations, best first; where it is wrong, if there are none."""

    explanations: tuple[Explanation, ...] = ()
    location: str = ""

    @property
    def text(self) -> str:
        """One or two sentences; '' if nothing is known."""
        if not self.explanations:
            return self.location
        best = self.explanations[0]
        if best.certain:
            return best.sentence
        return "perhaps " + ", or ".join(e.sentence for e in self.explanations[:3])


def diagnose(session: Session, problem: Problem, quantity: str) -> Diagnosis:
    """Why is a quantity wrong on a problem (small, or nothing is fitted)?"""
    observed = Observed(session, problem, quantity)
    if observed.overwritten:  # then what is computed later is of other operands
        return Diagnosis(location=f"the call overwrites {' and '.join(sorted(observed.overwritten))}")
    if observed.steady and observed.wrong:
        candidates = (
            observed.fitting(_singles(quantity))
            or observed.fitting((c for c in _singles(quantity) if c[0].switch), loosely=True)
            or observed.fitting(_pairs(observed))
        )
        if candidates:
            return Diagnosis(explanations=tuple(_ranked(candidates, quantity, enough=observed.enough)))
    return Diagnosis(location="" if quantity in FURTHER else localise(session, problem, quantity))


def _singles(quantity: str) -> Iterator[Candidate]:
    return ((m,) for m in CATALOGUE.values() if quantity in m.quantities and m.fresh is None)


def _pairs(observed: Observed) -> Iterator[Candidate]:
    """Pairs of switches that reproduce the first observation; of two that change nothing there, none is asked for."""
    k, quantity = observed.screen, observed.quantity
    problem, seen = observed.asked[k].problem, observed.results[k]
    single = [m for m in CATALOGUE.values() if quantity in m.quantities and m.switch]
    if not single:
        return
    start = observed.asked[k].begun(quantity)
    made = {m.name: switched(start, m) for m in single}
    right = start.result()
    idle = {m.name for m in single if same(result(made[m.name]), right)}
    matching = {m.name for m in single if same(rounded(made[m.name], problem), seen)} - idle
    for a, b in itertools.chain(itertools.combinations(single, 2), itertools.combinations(single[::-1], 2)):
        if a.name in idle or b.name in idle:
            if a.name in matching or b.name in matching:
                yield a, b
        elif same(rounded(switched(made[a.name], b), problem), seen):
            yield a, b


def _ranked(candidates: list[Candidate], quantity: str, *, enough: bool) -> Iterator[Explanation]:
    """The simplest first: single before double, then in the order of the catalogue."""
    seen = {frozenset(m.name for m in c): c for c in reversed(candidates)}
    order = list(CATALOGUE)
    ranked = sorted(seen.values(), key=lambda c: sorted(order.index(m.name) for m in c))
    for candidate in ranked:
        yield Explanation(mistakes=candidate, quantities=(quantity,), certain=enough and len(seen) == 1)
