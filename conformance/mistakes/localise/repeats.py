"""Does the same call give the same result?  If not, nothing else can be said with certainty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from conformance.mistakes.localise.looks import Look, Looks, same
from conformance.problem import Problem

__all__ = ["repeats"]

UNSTEADY = (
    "{q} differs from call to call on the same operands: uninitialised or out-of-bounds memory, or state"
)


def repeats(looks: Looks, problem: Problem) -> str:
    """Three calls of one problem, another one between them: what the results have to do with one another; '' if nothing."""
    other = problem.replace(seed=(problem.seed + 1) % 2**64)
    calls: list[Look] = []
    for p in (problem, problem, other, problem):
        new = looks.at if p == other else looks.again
        look = new(p) if looks.affords(p) else None
        if look is None or not look.fits or not look.got.size:
            return ""
        calls.append(look)
    q = calls[0].quantity
    adds = all(np.isfinite(look.got).all() for look in calls)
    if adds and all(
        not later.ok and later.gives(earlier.got + later.right) for earlier, later in pairwise(calls)
    ):
        return f"{q} adds up from call to call: each result is the one before plus the right one (4 calls)."
    if _stale(calls):
        return f"{q} is the right result of the call before, whose operands were others (4 calls)."
    first, second, _, third = calls
    unsteady = ~_equal(first, second) | ~_equal(first, third)
    return f"{UNSTEADY.format(q=q)} ({_where(unsteady, first)})." if unsteady.any() else ""


def _stale(calls: list[Look]) -> bool:
    """Is each result right for the operands of the call before?  Two of them were others."""
    told = not same(calls[1].right, calls[2].right)
    return told and all(later.gives(earlier.right) for earlier, later in pairwise(calls))


def _equal(a: Look, b: Look) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.isclose(a.got, b.got, rtol=0, atol=0, equal_nan=True)


def _where(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], look: Look) -> str:
    count = f"{int(mask.sum())} of {mask.size} elements in 3 calls"
    empty = look.expected.s == 0
    return f"{count}, all where the sum is empty" if empty.any() and not mask[~empty].any() else count
