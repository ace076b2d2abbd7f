"""What went wrong in a network?  The catalogue's mistakes fitted to cost, deltas, gradients and steps, all together.

A mistake explains what was observed only if it reproduces *every* tensor of *every* network put to the implementation, the
right ones too, to all but the last bits of the largest element (mistakes round in their own order).  It is certain if
nothing else in the catalogue does, the right way included, and enough networks were put.  At a kink, sigma' is what
was seen of the implementation, or else that from below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.engine.networks import fitted_network, network_corpus
from conformance.errors import AdapterBroken
from conformance.mistakes.catalogue.network import NETWORK_MISTAKES
from conformance.mistakes.diagnose import Diagnosis, Explanation
from conformance.mistakes.network import Backpropagation
from conformance.problem.network import NetworkOperands, NetworkProblem
from conformance.spec import NetworkQuestion, NotOffered, Raised, TimedOut
from conformance.spec.network import RATE

__all__ = ["diagnose_network"]

Array = NDArray[Any]
Results = Mapping[str, Array]

ENOUGH = 12
"""Networks that a mistake has to reproduce before it may be called certain; or all that the adapter offers."""
CLOSE = 2.0**12
"""Unit roundoffs of the largest element within which two tensors are taken for one."""


def diagnose_network(session: Session, problem: NetworkProblem) -> Diagnosis:
    """Why is a network wrong?"""
    pool = list(_telling(session, problem))
    observed: dict[NetworkProblem, Results] = {}
    ways: dict[str, type[Backpropagation]] = {"": Backpropagation} | {m.name: m.way for m in NETWORK_MISTAKES}
    conventions: tuple[dict[str, float], ...] = ({}, dict(session.kinks))
    left = [(name, way, kinks) for name, way in ways.items() for kinks in conventions]
    for p in pool:
        seen = _observed(session, p)
        if seen is None:
            if p == problem:
                return Diagnosis()
            continue
        observed[p] = seen
        left = [one for one in left if _same(_predicted(one[1], p, seen, one[2]), seen, p)]
        if not left:
            return Diagnosis()
    names = {name for name, _, _ in left}
    fitting = [m for m in NETWORK_MISTAKES if m.name in names]
    if "" in names or not fitting:
        return Diagnosis()
    enough = len(observed) >= min(ENOUGH, len(pool))
    quantities = tuple(next(iter(observed.values())))
    return Diagnosis(
        explanations=tuple(
            Explanation(mistakes=(m,), quantities=quantities, certain=enough and len(fitting) == 1)
            for m in fitting
        )
    )


def _telling(session: Session, problem: NetworkProblem) -> Iterator[NetworkProblem]:
    """The problem itself, then every network of the corpus as the adapter offers it; each once."""
    near = (fitted_network(n.problem.replace(dtype=problem.dtype), session) for n in network_corpus())
    for p in dict.fromkeys([problem, *near]):
        if session.network_refusal(p) is None:
            yield p


def _observed(session: Session, p: NetworkProblem) -> Results | None:
    """Everything that the implementation computes of a problem; None if it does not answer."""
    able, question = session.capabilities.network, NetworkQuestion(network=p.network, operands=p.operands)
    try:
        answer = session.network(question)
        seen = _named("", answer.cost, answer.deltas, answer.gradients)
        if able and able.step:
            moved = session.network(NetworkQuestion(network=p.network, operands=p.operands, rate=RATE)).params
            seen |= _pairs("moved ", moved)
    except (Raised, NotOffered, TimedOut, AdapterBroken):
        return None
    return seen


def _predicted(
    way: type[Backpropagation], p: NetworkProblem, like: Results, kinks: Mapping[str, float]
) -> Results:
    """The same of one way to do it."""
    operands: NetworkOperands = p.operands
    with np.errstate(all="ignore"):
        made = way(p.network, operands, kinks)
        found = _named("", made.cost(), made.deltas, made.gradients)
        return found | (
            _pairs("moved ", made.stepped(RATE)) if any(q.startswith("moved") for q in like) else {}
        )


def _named(prefix: str, cost: Any, deltas: Any, gradients: Any) -> dict[str, Array]:
    named = {f"{prefix}cost": np.asarray(cost)}
    named |= {f"{prefix}delta {number}": delta for number, delta in enumerate(deltas, start=1)}
    return named | _pairs(prefix, gradients)


def _pairs(prefix: str, pairs: Any) -> dict[str, Array]:
    named: dict[str, Array] = {}
    for number, (w, b) in enumerate(pairs, start=1):
        named |= {f"{prefix}w {number}": w} | ({} if b is None else {f"{prefix}b {number}": b})
    return named


def _same(a: Results, b: Results, p: NetworkProblem) -> bool:
    return a.keys() == b.keys() and all(_close(a[q], b[q], CLOSE * p.format.u) for q in a)


def _close(a: Array, b: Array, share: float) -> bool:
    if a.shape != b.shape:
        return False
    with np.errstate(all="ignore"):
        a, b = a.astype(np.float64), b.astype(np.float64)
        reach = np.abs(a).max(initial=0.0)
        return bool(np.all((np.abs(a - b) <= share * reach) | (np.isnan(a) & np.isnan(b)) | (a == b)))
