"""Is the ADAPTER wired rightly?  Asked before the implementation is judged.

A wiring fault looks like a mistake of the implementation and is none: results in the wrong order, an axis order or a
convention other than the one declared.  The doctor finds these on one plain problem, and only where it is certain: all
results are right *once the wiring is undone*.  Anything else is for the clauses to judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.adapter.doctor_network import network_fault, plain_network
from conformance.adapter.plain import features, plain, results, right, same, turned
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.oracle.operations import exact
from conformance.problem import Geometry, Problem
from conformance.problem.operations import CALLS
from conformance.spec import NotOffered, Question, Raised, TimedOut
from conformance.spec.case import GRADIENTS

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
    problem = plain(session)
    if problem is None:
        yield Remark(
            check="claims", ok=True, text="it offers none of the doctor's plain problems: wiring not checked"
        )
        return
    yield Remark(check="claims", ok=True, text=f"examined on {problem}")
    try:
        got = results(session, problem)
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
    parts = (
        _wiring(session, problem, got),
        _operations(session, problem),
        _unclaimed(session, problem),
        _networks(session),
    )
    for part in parts:
        for remark in part:
            yield remark
            if not remark.ok:
                return


def _wiring(session: Session, problem: Problem, got: dict[str, Any]) -> Iterator[Remark]:
    expected = right(problem)
    for fault in (_swapped(got, expected), _layout(got, expected), _convention(problem, got, expected)):
        if fault:
            yield Remark(check="wiring", ok=False, text=f"{session.name}: {fault}")
            return
    text = "order of results, layouts and convention are as declared"
    if not all(same(got[q], expected[q]) for q in got):
        text = "no wiring fault found; results are not all right, which is for the clauses to judge"
    yield Remark(check="wiring", ok=True, text=text)


def _networks(session: Session) -> Iterator[Remark]:
    """What is offered of whole networks, on a plain one."""
    problem = plain_network(session.capabilities, session.network_refusal)
    if problem is None:
        return
    try:
        fault = network_fault(session, problem)
    except AdapterBroken as broken:
        yield Remark(check="network", ok=False, text=str(broken))
    except (NotOffered, Raised, TimedOut) as refusal:
        yield Remark(
            check="network",
            ok=True,
            text=f"{problem} is not answered ({refusal}): that is for the clauses to judge",
        )
    else:
        text = f"{session.name}: {fault}" if fault else f"no wiring fault of the network found on {problem}"
        yield Remark(check="network", ok=not fault, text=text)


def _operations(session: Session, problem: Problem) -> Iterator[Remark]:
    """Do the methods of the optional operations that are declared exist, and give what the protocol asks for?"""
    for call in CALLS.values():
        if call.operation not in session.capabilities.operations:
            continue
        asked = Question(geometry=problem.geometry, operands=problem.further, memory="c", method=call.method)
        try:
            got = session.answer(asked).arrays
        except AdapterBroken as fault:
            yield Remark(check="contract", ok=False, text=str(fault))
            return
        except (NotOffered, Raised, TimedOut) as refusal:
            text = f"{call.method} of a plain problem: {refusal}; that is for the clauses to judge"
            yield Remark(check="operations", ok=True, text=text)
            continue
        expected = {q: exact(problem.geometry, problem.further, q) for q in got}
        fault_ = _swapped(got, expected, list(got), call.method)
        text = f"{session.name}: {fault_}" if fault_ else f"{call.method} gives {', '.join(got)}"
        yield Remark(check="operations", ok=not fault_, text=text)


def _swapped(
    got: dict[str, Any], expected: dict[str, Any], among: Sequence[str] = GRADIENTS, method: str = "backward"
) -> str | None:
    """Results that are right, but returned in another order."""
    names = [q for q in among if q in got]
    for order in itertools.permutations(names):
        if order != tuple(names) and all(
            same(got[q], expected[r]) for q, r in zip(names, order, strict=True)
        ):
            return f"{method} returns ({', '.join(order)}) where ({', '.join(names)}) is expected"
    return None


def _layout(got: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """A result that is right, but with its axes in another order."""
    for q, value in got.items():
        if q != "db" and not same(value, expected[q]):
            for order in itertools.permutations(range(expected[q].ndim)):
                spatial = [axis for axis in order if axis > 1]
                if spatial == sorted(spatial) and same(value, expected[q].transpose(order)):
                    needed = "x_layout" if q in ("y", "dx") else "w_layout"
                    return f"{q} is right with its axes in the order {order}: the declared {needed} does not hold"
    return None


def _convention(problem: Problem, got: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """All results are those of the other convention."""
    other = turned(problem)
    opposite = right(other)
    if all(same(got[q], expected[q]) for q in got) or not all(same(got[q], opposite[q]) for q in got):
        return None
    name = other.geometry.convention
    return f"it declares {problem.geometry.convention}, but everything it computes is {name}: declare convention={name!r}"


def _unclaimed(session: Session, problem: Problem) -> Iterator[Remark]:
    """Features that are not claimed and yet come out right."""
    for what, (claimed, change) in features(session.capabilities).items():
        if not claimed and _right_on(session, problem, replace(problem.geometry, **change)):
            yield Remark(
                check="claims",
                ok=True,
                text=f"{what} works on the doctor's problem, though it is not claimed",
            )


def _right_on(session: Session, problem: Problem, g: Geometry) -> bool:
    try:
        got = results(session, problem.replace(geometry=g), claimed=False)
    except (AdapterBroken, Raised, NotOffered, TimedOut):
        return False
    expected = right(problem.replace(geometry=g))
    return all(same(got[q], expected[q]) for q in got)


def _libraries(session: Session) -> str:
    versions = session.versions()
    return (
        ", ".join(f"{name} {version}".rstrip() for name, version in versions.items())
        or "no library versions stated"
    )
