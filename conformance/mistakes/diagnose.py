"""What went wrong?  The catalogue fitted to what an implementation was seen to compute.

A mistake explains a quantity only if it reproduces *every* observed result of it, the right ones too, bit for bit.  First
single mistakes are tried, then again with room for rounding (a mean of which each term was divided: of integers, whatever
else it could be taken for is much farther off), then pairs.  While several fit, one more problem on which they differ is
put to the implementation.  What then still agrees cannot be told apart by anything that it offers: no name is certain.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.engine.corpus import corpus
from conformance.engine.fit import fitted
from conformance.engine.runner import case_of
from conformance.errors import AdapterBroken
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.localise import localise
from conformance.mistakes.mistake import Mistake, right
from conformance.mistakes.network import NetworkMistake
from conformance.mistakes.recipe import Recipe, recipe
from conformance.oracle import Arithmetic, Expectation
from conformance.problem import Problem
from conformance.problem.operations import FURTHER
from conformance.spec import Case, Misshapen, NotOffered, Raised, TimedOut

__all__ = ["Diagnosis", "Explanation", "diagnose"]

Array = NDArray[Any]

FIRST = 40
"""Problems that a candidate has to reproduce before it may be called certain; or all that the adapter offers."""
LARGEST = 3000
"""Multiplications of a problem that candidates are tried on."""
QUICK = 400
"""Multiplications of a problem on which thousands of pairs are tried."""
LITTLE = 2.0**-24
"""Unit roundoff up to which rounded sums of small integers cannot be taken for others."""
PATIENCE = 1.2
"""Seconds of this thread after which no further pair is tried; the first problems are put within a third of it."""


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
    observed = _Observed(session, problem, quantity)
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


Candidate = tuple[Mistake, ...]


class _Observed:
    """What an implementation computed on some problems, and what candidates would have."""

    def __init__(self, session: Session, problem: Problem, quantity: str) -> None:
        self._session, self.quantity = session, quantity
        self.overwritten: set[str] = set()
        self._end = time.thread_time() + PATIENCE
        self._pool = list(_telling(session, problem))
        self.problems: list[Problem] = []
        self.results: list[Array] = []
        self._loose = False
        self.steady = self._observe(problem, again=True)
        asked = time.thread_time() + PATIENCE / 3
        for near in self._pool:
            if time.thread_time() < asked:
                self._observe(near)

    @property
    def wrong(self) -> bool:
        """Is it wrong on the first problem?"""
        return bool(self.problems) and not self.explains((), 0)

    @property
    def screen(self) -> int:
        """An observation that is wrong, quick to compute, and in which many features meet."""
        wrong = [k for k in range(len(self.problems)) if not self.explains((), k)]
        quick = [k for k in wrong if self.problems[k].geometry.products <= QUICK] or wrong
        return max(quick, key=lambda k: _features(self.problems[k]))

    @property
    def enough(self) -> bool:
        """Were so many problems put to it, and all candidates tried, that one explanation may be called certain?"""
        return len(self.problems) >= min(FIRST, 1 + len(self._pool)) and not self.late

    @property
    def late(self) -> bool:
        return time.thread_time() > self._end

    def _observe(self, problem: Problem, *, again: bool = False) -> bool:
        """Put a problem to the implementation; False if it does not answer, or not twice the same."""
        case = case_of(self._session, problem)
        try:
            answer = case.call(self.quantity)
            self.overwritten |= set(answer.modified)
            got = _settled(case, self.quantity, answer.arrays[self.quantity])
            if again:
                twice = case.call(self.quantity, again=1).arrays[self.quantity]
                if not _same(_settled(case, self.quantity, twice), got):
                    return False
        except (Raised, NotOffered, TimedOut, Misshapen, AdapterBroken, KeyError):
            return False
        self.problems.append(problem)
        self.results.append(got)
        return True

    def explains(self, candidate: Candidate, k: int) -> bool:
        """Does it reproduce the k-th observation?"""
        predicted = _predicted(candidate, self.problems[k], self.quantity)
        return _same(predicted, self.results[k]) or (
            self._loose and predicted is not None and self._near(predicted, k)
        )

    def _near(self, predicted: Array, k: int) -> bool:
        p, got = self.problems[k], self.results[k]
        right = Expectation(p.geometry, p.operands, dtype=p.format, arithmetic=Arithmetic(), quantum=0.0)
        bound = right[self.quantity].bound
        return got.shape == predicted.shape == bound.shape and bool(np.all(np.abs(got - predicted) <= bound))

    def fitting(self, candidates: Iterable[Candidate], *, loosely: bool = False) -> list[Candidate]:
        """Those that reproduce everything, after further problems on which they differ.

        loosely: but for what sums may round, where that is little.
        """
        self._loose = loosely and self.problems[0].integers and self.problems[0].format.u <= LITTLE
        left = [c for c in candidates if all(self.explains(c, k) for k in range(len(self.problems)))]
        while len(left) > 1 and not self.late:
            telling = next((p for p in self._pool if p not in self.problems and self._differ(left, p)), None)
            if telling is None or not self._observe(telling):
                break
            left = [c for c in left if self.explains(c, -1)]
        return [c for c in left if self._confirmed(c)] if len(left) == 1 else left

    def _confirmed(self, candidate: Candidate) -> bool:
        """Does the only one left reproduce the other problems too?"""
        for problem in self._pool:
            if self.late:
                break
            if problem not in self.problems and self._observe(problem) and not self.explains(candidate, -1):
                return False
        return True

    def _differ(self, candidates: Sequence[Candidate], problem: Problem) -> bool:
        predicted = [_predicted(c, problem, self.quantity) for c in candidates]
        return any(not _same(predicted[0], other) for other in predicted[1:])


def _telling(session: Session, problem: Problem) -> Iterator[Problem]:
    """Small problems with the data of the given one on geometries of the corpus, as the adapter offers them.

    Those in which most features meet come first, whatever their rank.
    """
    named = [n for name in ("covering", "seed") for n in corpus(name)]
    near = [
        fitted(n.problem.replace(dtype=problem.dtype, fill=problem.fill, memory="c"), session) for n in named
    ]
    small = [p for p in dict.fromkeys(near) if p.geometry.batch and p.geometry.products <= LARGEST]
    offered = [p for p in small if p != problem and session.refusal(p.geometry, p.dtype) is None]
    yield from sorted(offered, key=lambda p: -_features(p))


def _features(p: Problem) -> int:
    g = p.geometry
    return sum(
        (
            max(g.stride) > 1,
            max(g.dilation) > 1,
            any(map(any, g.padding)),
            any(lo != hi for lo, hi in g.padding),
            g.groups > 1,
            g.channels > g.groups,
            g.maps > g.groups,
            g.batch > 1,
            len(set(g.kernel)) > 1,
            len(set(g.size)) > 1,
            len(set(g.dilation)) > 1,
            len(set(g.padding)) > 1,
            len(set(g.stride)) > 1,
            min(g.kernel) > 1,
            g.bias == "tied",
        )
    )


def _singles(quantity: str) -> Iterator[Candidate]:
    return ((m,) for m in CATALOGUE.values() if quantity in m.quantities and m.fresh is None)


def _pairs(observed: _Observed) -> Iterator[Candidate]:
    """Pairs of switches that reproduce the first observation; of two that change nothing there, none is asked for."""
    k, quantity = observed.screen, observed.quantity
    problem, result = observed.problems[k], observed.results[k]
    single = [m for m in CATALOGUE.values() if quantity in m.quantities and m.switch]
    if not single:
        return
    start = recipe(problem.geometry, problem.operands, quantity)
    made = {m.name: _switched(start, m) for m in single}
    right = start.result()
    changes = [m for m in single if not _same(_result(made[m.name]), right)]
    matching = {m.name for m in changes if _same(_rounded(made[m.name], problem), result)}
    for a, b in itertools.chain(itertools.combinations(single, 2), itertools.combinations(single[::-1], 2)):
        if observed.late:
            return
        idle = [m for m in (a, b) if m not in changes]
        if idle:
            if len(idle) == 1 and matching & {a.name, b.name}:
                yield a, b
        elif _same(_rounded(_switched(made[a.name], b), problem), result):
            yield a, b


def _switched(start: Recipe | None, m: Mistake) -> Recipe | None:
    """The recipe with one more switch; None where the two do not go together."""
    try:
        return None if start is None or m.switch is None else m.switch(start)
    except (ValueError, IndexError):
        return None


def _result(made: Recipe | None) -> Array | None:
    try:
        with np.errstate(all="ignore"):
            return None if made is None else made.result()
    except (ValueError, IndexError):
        return None


def _rounded(made: Recipe | None, problem: Problem) -> Array | None:
    result = _result(made)
    return result if result is None or problem.dtype == "f64" else problem.format.rounded(result)


def _predicted(candidate: Candidate, problem: Problem, quantity: str) -> Array | None:
    """What an implementation with these mistakes computes; in float64.  Without any: what is right."""
    if len(candidate) == 1:
        try:
            with np.errstate(all="ignore"):
                operands = problem.operands_of(quantity)
                return candidate[0].compute(problem.geometry, operands, quantity).astype(np.float64)
        except (ValueError, IndexError):
            return None
    if quantity in FURTHER:  # no recipe, so no pairs
        return right(problem.geometry, problem.further, quantity).astype(np.float64)
    made: Recipe | None = recipe(problem.geometry, problem.operands, quantity)
    for m in candidate:
        made = _switched(made, m)
    return _rounded(made, problem)


def _ranked(candidates: list[Candidate], quantity: str, *, enough: bool) -> Iterator[Explanation]:
    """The simplest first: single before double, then in the order of the catalogue."""
    seen = {frozenset(m.name for m in c): c for c in reversed(candidates)}
    order = list(CATALOGUE)
    ranked = sorted(seen.values(), key=lambda c: sorted(order.index(m.name) for m in c))
    for candidate in ranked:
        yield Explanation(mistakes=candidate, quantities=(quantity,), certain=enough and len(seen) == 1)


def _settled(case: Case, quantity: str, got: Array) -> Array:
    """In float64; what a transform computed of integers, rounded to integers."""
    return case.settled(quantity, got) if case.problem.integers else got.astype(np.float64)


def _same(a: Array | None, b: Array | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
