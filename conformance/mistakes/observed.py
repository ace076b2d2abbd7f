"""What an implementation computed on some problems, and what mistakes would have.

One of the optional operations with directions is also asked along one of them alone: implementations go other ways where
the others are None.
"""

from __future__ import annotations

import dataclasses
import functools
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
from conformance.mistakes.compound import Made, begun, rounded, same, switched
from conformance.mistakes.mistake import Mistake
from conformance.oracle import Arithmetic, FurtherExpectation
from conformance.problem import Operands, Problem
from conformance.problem.operations import CALL_OF, DIRECTIONS
from conformance.spec import Case, Misshapen, NotOffered, Raised, TimedOut
from conformance.spec.further import held

__all__ = ["Asked", "Candidate", "Observed"]

Array = NDArray[Any]
Candidate = tuple[Mistake, ...]

FIRST = 40
"""Problems that are put at first; a candidate has to reproduce so many, or all that the adapter offers, to be certain."""
LARGEST = 3000
"""Multiplications of a problem that candidates are tried on."""
QUICK = 400
"""Multiplications of a problem on which thousands of pairs are tried."""
LITTLE = 2.0**-24
"""Unit roundoff up to which rounded sums of small integers cannot be taken for others."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A problem as it is put to an implementation: directions that are held are None."""

    problem: Problem
    held: tuple[str, ...] = ()

    @property
    def without(self) -> dict[str, Any]:
        """What is changed of its operands."""
        return dict.fromkeys(self.held)

    def operands(self, quantity: str) -> Operands:
        return dataclasses.replace(self.problem.operands_of(quantity), **self.without)

    @functools.lru_cache(maxsize=256)  # noqa: B019  (of small problems)
    def begun(self, quantity: str) -> Made:
        """How the quantity is rightly computed."""
        return begun(self.problem.geometry, self.operands(quantity), quantity)


class Observed:
    """What an implementation computed of a quantity: first on the problem that shows it wrong, then on others."""

    def __init__(self, session: Session, problem: Problem, quantity: str) -> None:
        self._session, self.quantity = session, quantity
        self.overwritten: set[str] = set()
        first, *self._pool = _ways(problem, quantity)
        self._pool += _in_turn(_telling(session, problem), quantity)
        self.asked: list[Asked] = []
        self.results: list[Array] = []
        self._loose = False
        self.steady = self._observe(first, again=True)
        for near in self._pool:
            if len(self.asked) < FIRST:
                self._observe(near)

    @property
    def wrong(self) -> bool:
        """Is it wrong on the first problem?"""
        first = [k for k, asked in enumerate(self.asked) if asked.problem == self.asked[0].problem]
        return not all(self.explains((), k) for k in first)

    @property
    def screen(self) -> int:
        """An observation that is wrong, quick to compute, and in which many features meet."""
        wrong = [k for k in range(len(self.asked)) if not self.explains((), k)]
        quick = [k for k in wrong if self.asked[k].problem.geometry.products <= QUICK] or wrong
        return max(quick, key=lambda k: _features(self.asked[k].problem))

    @property
    def enough(self) -> bool:
        """Were so many problems put to it that one explanation may be called certain?"""
        return len(self.asked) >= min(FIRST, 1 + len(self._pool))

    def _observe(self, asked: Asked, *, again: bool = False) -> bool:
        """Put a problem to the implementation; False if it does not answer, or not twice the same."""
        case = case_of(self._session, asked.problem)
        try:
            answer = case.call(self.quantity, **asked.without)
            self.overwritten |= set(answer.modified)
            got = _settled(case, self.quantity, answer.arrays[self.quantity])
            if again:
                twice = case.call(self.quantity, again=1, **asked.without).arrays[self.quantity]
                if not same(_settled(case, self.quantity, twice), got):
                    return False
        except (Raised, NotOffered, TimedOut, Misshapen, AdapterBroken, KeyError):
            return False
        self.asked.append(asked)
        self.results.append(got)
        return True

    def explains(self, candidate: Candidate, k: int) -> bool:
        """Does it reproduce the k-th observation?"""
        predicted = _predicted(candidate, self.asked[k], self.quantity)
        return same(predicted, self.results[k]) or (
            self._loose and predicted is not None and self._near(predicted, k)
        )

    def _near(self, predicted: Array, k: int) -> bool:
        p, got, further = self.asked[k].problem, self.results[k], self.asked[k].operands(self.quantity)
        right = FurtherExpectation(
            p.geometry,
            p.operands,
            dtype=p.format,
            arithmetic=Arithmetic(),
            quantum=0.0,
            further=lambda: further,
        )
        bound = right[self.quantity].bound
        return got.shape == predicted.shape == bound.shape and bool(np.all(np.abs(got - predicted) <= bound))

    def fitting(self, candidates: Iterable[Candidate], *, loosely: bool = False) -> list[Candidate]:
        """Those that reproduce everything, after further problems on which they differ.

        loosely: but for what sums may round, where that is little.
        """
        first = self.asked[0].problem
        self._loose = loosely and first.integers and first.format.u <= LITTLE
        left = [c for c in candidates if all(self.explains(c, k) for k in range(len(self.asked)))]
        while len(left) > 1:
            telling = next((p for p in self._pool if p not in self.asked and self._differ(left, p)), None)
            if telling is None or not self._observe(telling):
                break
            left = [c for c in left if self.explains(c, -1)]
        return [c for c in left if self._confirmed(c)] if len(left) == 1 else left

    def _confirmed(self, candidate: Candidate) -> bool:
        """Does the only one left reproduce the other problems too?"""
        for asked in self._pool:
            if asked not in self.asked and self._observe(asked) and not self.explains(candidate, -1):
                return False
        return True

    def _differ(self, candidates: Sequence[Candidate], asked: Asked) -> bool:
        predicted = [_predicted(c, asked, self.quantity) for c in candidates]
        return any(not same(predicted[0], other) for other in predicted[1:])


def _ways(problem: Problem, quantity: str) -> Iterator[Asked]:
    """A problem as it is; and along one direction alone, if the quantity has directions."""
    yield Asked(problem=problem)
    if DIRECTIONS.keys() <= CALL_OF[quantity].reads.keys():
        yield Asked(problem=problem, held=held(problem))


def _in_turn(problems: Iterable[Problem], quantity: str) -> Iterator[Asked]:
    """Each problem in one of the ways, now in this one, now in that: both would take twice the time."""
    for number, problem in enumerate(problems):
        ways = list(_ways(problem, quantity))
        yield ways[number % len(ways)]


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


def _predicted(candidate: Candidate, asked: Asked, quantity: str) -> Array | None:
    """What an implementation with these mistakes computes; in float64.  Without any: what is right."""
    if len(candidate) == 1:
        try:
            with np.errstate(all="ignore"):
                g, operands = asked.problem.geometry, asked.operands(quantity)
                return candidate[0].compute(g, operands, quantity).astype(np.float64)
        except (ValueError, IndexError):
            return None
    made: Made | None = asked.begun(quantity)
    for m in candidate:
        made = switched(made, m)
    return rounded(made, asked.problem)


def _settled(case: Case, quantity: str, got: Array) -> Array:
    """In float64; what a transform computed of integers, rounded to integers."""
    return case.settled(quantity, got) if case.problem.integers else got.astype(np.float64)
