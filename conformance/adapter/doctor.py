"""Is the ADAPTER wired rightly?  Asked before the implementation is judged.

A wiring fault looks like a mistake of the implementation and is none: results in the wrong order, an axis order or a
convention other than the one declared.  The doctor finds these on one plain problem, and only where it is certain: all
results are right *once the wiring is undone*.  Anything else is for the clauses to judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, Geometry, Problem
from conformance.spec import NotOffered, Question, Raised, TimedOut

__all__ = ["Remark", "examine"]


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One thing the doctor saw.  `ok` is False for a fault of the adapter."""

    check: str
    ok: bool
    text: str


def examine(session: Session) -> Iterator[Remark]:
    """Remarks in the order of the checks; a fault of the adapter is the last one."""
    yield Remark(check="loads", ok=True, text=f"{session.name} loads; " + _libraries(session))
    problem = _plain(session)
    if problem is None:
        yield Remark(
            check="claims", ok=True, text="it offers none of the doctor's plain problems: wiring not checked"
        )
        return
    yield Remark(check="claims", ok=True, text=f"examined on {problem}")
    try:
        got = _results(session, problem)
    except AdapterBroken as fault:
        yield Remark(check="contract", ok=False, text=str(fault))
        return
    except TimedOut as late:
        yield Remark(check="contract", ok=True, text=f"{late}: that is for the clauses to judge")
        return
    except NotOffered as reason:
        yield Remark(
            check="contract", ok=True, text=f"it declines a plain problem while computing ({reason})"
        )
        return
    except Raised as raised:
        text = f"it raises on a plain problem ({raised}): that is for the clauses to judge"
        yield Remark(check="contract", ok=True, text=text)
        return
    yield Remark(check="contract", ok=True, text=f"results come back as arrays: {', '.join(got)}")
    wiring = list(_wiring(session, problem, got))
    yield from wiring
    if all(remark.ok for remark in wiring):
        yield from _unclaimed(session, problem)


def _wiring(session: Session, problem: Problem, got: dict[str, Any]) -> Iterator[Remark]:
    right = _right(problem)
    for fault in (_swapped(got, right), _layout(got, right), _convention(problem, got, right)):
        if fault:
            yield Remark(check="wiring", ok=False, text=f"{session.name}: {fault}")
            return
    text = "order of results, layouts and convention are as declared"
    if not all(_same(got[q], right[q]) for q in got):
        text = "no wiring fault found; results are not all right, which is for the clauses to judge"
    yield Remark(check="wiring", ok=True, text=text)


def _swapped(got: dict[str, Any], right: dict[str, Any]) -> str | None:
    """Gradients that are right, but returned in another order."""
    names = [q for q in ("dx", "dw", "db") if q in got]
    for order in itertools.permutations(names):
        if order != tuple(names) and all(_same(got[q], right[r]) for q, r in zip(names, order, strict=True)):
            return f"backward returns ({', '.join(order)}) where ({', '.join(names)}) is expected"
    return None


def _layout(got: dict[str, Any], right: dict[str, Any]) -> str | None:
    """A result that is right, but with its axes in another order."""
    for q, value in got.items():
        if q != "db" and not _same(value, right[q]):
            for order in itertools.permutations(range(right[q].ndim)):
                spatial = [axis for axis in order if axis > 1]
                if spatial == sorted(spatial) and _same(value, right[q].transpose(order)):
                    needed = "x_layout" if q in ("y", "dx") else "w_layout"
                    return f"{q} is right with its axes in the order {order}: the declared {needed} does not hold"
    return None


def _convention(problem: Problem, got: dict[str, Any], right: dict[str, Any]) -> str | None:
    """All results are those of the other convention."""
    other = "convolution" if problem.geometry.convention == "correlation" else "correlation"
    turned = _right(problem.replace(geometry=replace(problem.geometry, convention=other)))
    if all(_same(got[q], right[q]) for q in got) or not all(_same(got[q], turned[q]) for q in got):
        return None
    return f"it declares {problem.geometry.convention}, but everything it computes is {other}: declare convention={other!r}"


def _unclaimed(session: Session, problem: Problem) -> Iterator[Remark]:
    """Features that are not claimed and yet come out right."""
    g, able = problem.geometry, session.capabilities
    trials: dict[str, tuple[bool, dict[str, Any]]] = {
        "stride": (not able.stride, {"stride": (2,)}),
        "dilation": (not able.dilation, {"dilation": (2,)}),
        "groups": (not able.groups, {"groups": 2, "channels": 4, "maps": 6}),
        "symmetric padding": (able.padding == "none", {"padding": ((1, 1),)}),
        "asymmetric padding": (able.padding in ("none", "symmetric"), {"padding": ((2, 1),)}),
        "an empty batch": (not able.empty_batch, {"batch": 0}),
    }
    for what, (unclaimed, change) in trials.items():
        if unclaimed and _right_on(session, problem, replace(g, **change)):
            yield Remark(
                check="claims",
                ok=True,
                text=f"{what} works on the doctor's problem, though it is not claimed",
            )


def _right_on(session: Session, problem: Problem, g: Geometry) -> bool:
    try:
        got = _results(session, problem.replace(geometry=g), claimed=False)
    except (AdapterBroken, Raised, NotOffered, TimedOut):
        return False
    right = _right(problem.replace(geometry=g))
    return all(_same(got[q], right[q]) for q in got)


def _plain(session: Session) -> Problem | None:
    """The first plain problem that is offered: distinct sizes before square ones, with a bias before without."""
    able = session.capabilities
    dtype = next(d for d in DTYPES if d in able.dtypes)
    shapes = (((9, 8, 7), (3, 2, 2)), ((8, 8, 8), (3, 3, 3)))
    for (size, kernel), (n, c, m), bias in itertools.product(
        shapes, ((2, 3, 5), (1, 1, 1)), ("tied", "none", "untied")
    ):
        for rank, convention in itertools.product(sorted(able.ranks, key=(2, 1, 3).index), able.conventions):
            g = Geometry(
                batch=n,
                channels=c,
                maps=m,
                size=size[:rank],
                kernel=kernel[:rank],
                bias=bias,
                convention=convention,
            )
            if session.refusal(g, dtype) is None:
                return Problem(geometry=g, dtype=dtype, seed=1)
    return None


def _results(session: Session, problem: Problem, *, claimed: bool = True) -> dict[str, Any]:
    ask = session.answer if claimed else session.put
    got: dict[str, Any] = {}
    for backward, part in ((False, {"y"}), (True, {"dx", "dw", "db"})):
        if part & session.capabilities.quantities:
            question = Question(
                geometry=problem.geometry, operands=problem.operands, memory="c", backward=backward
            )
            got |= ask(question).arrays
    return got


def _right(problem: Problem) -> dict[str, Any]:
    layer = Layer.of(problem.geometry, problem.operands)
    return {q: getattr(layer, q) for q in ("y", "dx", "dw", "db")}


def _same(got: Any, right: Any) -> bool:
    return got.shape == right.shape and np.array_equal(np.rint(got.astype(np.float64)), right)


def _libraries(session: Session) -> str:
    versions = session.versions()
    return (
        ", ".join(f"{name} {version}" for name, version in versions.items()) or "no library versions stated"
    )
