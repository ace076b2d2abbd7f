"""What the chapters of optional operations (TRN, SEC, JVP) have in common.

An operation that an adapter does not offer is UNSUPPORTED there, never a pass.  One that it offers owes what every call
owes: it carries the dtype, leaves its operands alone and shares no memory with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from conformance.oracle import Evidence, compare, identical, wrong
from conformance.oracle.operations import exact
from conformance.problem import Problem
from conformance.problem.operations import DIRECTIONS
from conformance.spec.case import Case
from conformance.spec.inner import Pair, dot

__all__ = ["balanced", "equal", "held", "never_rounds", "one_alone"]


def equal(case: Case, *quantities: str) -> Iterator[Evidence]:
    """Are results of an operation right?  Exactly where no sum can round, else within the proven bound."""
    for q in filter(case.has, quantities):
        answer, promised = case.call(q), case.problem.format
        got = case[q]
        for name in answer.modified:
            yield wrong(q, f"the call that computes {q} changed its operand {name}")
        if q in answer.shared:
            yield wrong(q, f"{q} shares memory with an operand")
        if got.dtype != promised.numpy:
            yield wrong(q, f"{q} has dtype {got.dtype}, the operands have {promised.name}")
        yield compare(got, case.expected[q])


def never_rounds(case: Case, *quantities: str) -> bool:
    """Are all of these exact in any order of summation, or a transform's so near that rounding gives the integers?"""
    if not (case.problem.integers and all(map(case.has, quantities))):
        return False
    expected = [case.expected[q] for q in quantities]
    return all(e.unrounded if e.direct else bool(np.all(e.bound < 0.5)) for e in expected)


def balanced(
    case: Case, quantity: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterator[Evidence]:
    """Are two sums of inner products equal?  Each is given as quantity -> what it is multiplied with."""

    def joined(side: Mapping[str, Any]) -> Pair:
        results = [case.settled(q, case[q]).ravel() for q in side]
        factors = [np.asarray(a, np.float64).ravel() for a in side.values()]
        return np.concatenate(results), np.concatenate(factors)

    words = [" + ".join(f"<{q}, {_NAMES.get(q, 'its operand')}>" for q in side) for side in (left, right)]
    if never_rounds(case, *left, *right):
        yield from dot(quantity, joined(left), joined(right), " against ".join(words))


def one_alone(case: Case, *quantities: str) -> Iterator[Evidence]:
    """The results for one of the directions u, v, r alone, the others being None.

    One a problem, its seed says which: each is a call of its own, which compilers answer slowly.
    """
    if not never_rounds(case, *quantities):
        return
    others: dict[str, Any] = dict.fromkeys(held(case.problem))
    (direction,) = DIRECTIONS.keys() - others.keys()
    for q in quantities:
        got = case.settled(q, case.ask(q, **others))
        right = exact(case.g, case.problem.further.replace(**others), q)
        yield identical(q, got, right, f"{q} of {direction} alone")


def held(problem: Problem) -> tuple[str, ...]:
    """The directions that are None where one of them is asked for alone: the problem's seed says which."""
    there = [name for name in DIRECTIONS if getattr(problem.further, name) is not None]
    return tuple(name for name in DIRECTIONS if name != there[problem.seed % len(there)])


_NAMES = {
    "y": "delta",
    "forward_mode.dy": "delta",
    "dx": "u",
    "dw": "v",
    "db": "r",
    "double_backward.dx": "x",
    "double_backward.dw": "w",
    "double_backward.ddelta": "delta",
}
