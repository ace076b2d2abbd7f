"""What went wrong in a network?  The catalogue's mistakes fitted to cost, deltas, gradients and steps, all together.

A mistake explains what was observed only if it reproduces *every* tensor of *every* network put to the implementation, the
right ones too, to all but the last bits of the largest element (mistakes round in their own order).  First single mistakes
are tried, then pairs.  What fits is certain if nothing else of its kind does, the right way included, and enough networks
were put.  At a kink, sigma' is what was seen of the implementation, or else that from below.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.engine.networks import fitted_network, network_corpus
from conformance.errors import AdapterBroken
from conformance.mistakes.catalogue.network import NETWORK_MISTAKES
from conformance.mistakes.diagnose import Diagnosis, Explanation
from conformance.mistakes.network import Backpropagation, NetworkMistake
from conformance.mistakes.pairs import pair, pairs
from conformance.problem.network import NetworkProblem
from conformance.spec import NetworkQuestion, NotOffered, Raised, TimedOut
from conformance.spec.network import RATE

__all__ = ["diagnose_network"]

Array = NDArray[Any]
Named = Mapping[str, Array]
Results = tuple[Named, ...]
"""In the order in which they are computed: the cost, deltas, gradients, and parameters after a step."""
Candidate = tuple[NetworkMistake, ...]
Kinks = Mapping[str, float]

ENOUGH = 12
"""Networks that a mistake has to reproduce before it may be called certain; or all that the adapter offers."""
CLOSE = 2.0**12
"""Unit roundoffs of the largest element within which two tensors are taken for one."""


def diagnose_network(session: Session, problem: NetworkProblem) -> Diagnosis:
    """Why is a network wrong?"""
    observed = _Observed(session, problem)
    if not observed.answers:
        return Diagnosis()
    singles = observed.fitting([(), *((m,) for m in NETWORK_MISTAKES)])
    fitting = singles or observed.fitting(_pairs())
    if () in fitting:
        return Diagnosis()
    certain = observed.enough and len(fitting) == 1
    quantities = tuple(q for named in observed.seen[problem] for q in named)
    return Diagnosis(
        explanations=tuple(Explanation(mistakes=c, quantities=quantities, certain=certain) for c in fitting)
    )


@functools.cache
def _pairs() -> tuple[Candidate, ...]:
    return tuple(pairs(NETWORK_MISTAKES))


@functools.cache
def _way(candidate: Candidate) -> type[Backpropagation]:
    return functools.reduce(pair, candidate).way if candidate else Backpropagation


class _Observed:
    """What an implementation computed of some networks, the given one first."""

    def __init__(self, session: Session, problem: NetworkProblem) -> None:
        self._session = session
        self._pool = list(_telling(session, problem))
        self.seen: dict[NetworkProblem, Results] = {}
        self.answers = self._observe(problem)
        for near in self._pool if self.answers else ():
            self._observe(near)
        self._conventions = list(self._kinks())

    @property
    def enough(self) -> bool:
        """Were so many networks put to it that one explanation may be called certain?"""
        return len(self.seen) >= min(ENOUGH, 1 + len(self._pool))

    def _observe(self, p: NetworkProblem) -> bool:
        """Ask for everything that it computes of a network; False if it does not answer."""
        able, question = (
            self._session.capabilities.network,
            NetworkQuestion(network=p.network, operands=p.operands),
        )
        try:
            answer = self._session.network(question)
            seen = [{"cost": answer.cost}, _numbered("delta", answer.deltas), _tensors("", answer.gradients)]
            if able and able.step:
                moving = NetworkQuestion(network=p.network, operands=p.operands, rate=RATE)
                seen.append(_tensors("moved ", self._session.network(moving).params))
        except (Raised, NotOffered, TimedOut, AdapterBroken):
            return False
        self.seen[p] = tuple(seen)
        return True

    def _kinks(self) -> Iterator[Kinks]:
        """What sigma' may be at 0: that from below, and what was seen if it is another."""
        yield {}
        seen = dict(self._session.kinks)
        layers = [layer for p in self.seen for layer in p.network.layers]
        if any(seen.get(layer.word, layer.below) != layer.below for layer in layers):
            yield seen

    def fitting(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Those that reproduce everything."""
        return [
            c
            for c in candidates
            if any(all(self._explains(c, p, kinks) for p in self.seen) for kinks in self._conventions)
        ]

    def _explains(self, candidate: Candidate, p: NetworkProblem, kinks: Kinks) -> bool:
        """Does it reproduce what was seen of a network?"""
        seen = self.seen[p]
        with np.errstate(all="ignore"):
            predicted = _computed(_way(candidate)(p.network, p.operands, kinks))
            return all(_same(a, b, CLOSE * p.format.u) for a, b in zip(seen, predicted, strict=False))


def _telling(session: Session, problem: NetworkProblem) -> Iterator[NetworkProblem]:
    """Every other network of the corpus as the adapter offers it; each once."""
    near = (fitted_network(n.problem.replace(dtype=problem.dtype), session) for n in network_corpus())
    for p in dict.fromkeys(near):
        if p != problem and session.network_refusal(p) is None:
            yield p


def _computed(way: Backpropagation) -> Iterator[Named]:
    """Each when it is asked for: most candidates fail early."""
    yield {"cost": np.asarray(way.cost())}
    yield _numbered("delta", way.deltas)
    yield _tensors("", way.gradients)
    yield _tensors("moved ", way.stepped(RATE))


def _numbered(name: str, tensors: Iterable[Array]) -> dict[str, Array]:
    return {f"{name} {number}": a for number, a in enumerate(tensors, start=1)}


def _tensors(prefix: str, layers: Iterable[tuple[Array, Array | None]]) -> dict[str, Array]:
    """(w, b) of all layers by name."""
    ws, bs = zip(*layers, strict=True)
    return _numbered(f"{prefix}w", ws) | {
        name: b for name, b in _numbered(f"{prefix}b", bs).items() if b is not None
    }


def _same(a: Named, b: Named, share: float) -> bool:
    return a.keys() == b.keys() and all(_close(a[q], b[q], share) for q in a)


def _close(a: Array, b: Array, share: float) -> bool:
    if a.shape != b.shape or np.array_equal(a, b):
        return a.shape == b.shape
    with np.errstate(all="ignore"):
        a, b = a.astype(np.float64), b.astype(np.float64)
        reach = np.abs(a).max(initial=0.0)
        return bool(np.all((np.abs(a - b) <= share * reach) | (np.isnan(a) & np.isnan(b)) | (a == b)))
