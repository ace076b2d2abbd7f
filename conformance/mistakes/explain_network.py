"""What is wrong with a network on a page: the first wrong quantity in the order of the algorithm, counted on fingers.

The cost comes first, then the deltas from the last layer down, then gradients, then the step.  Of the first that is wrong
the worst element is written out, from the right deltas and activations, whatever else is wrong behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.engine.runner import network_case
from conformance.errors import UserError
from conformance.mistakes.diagnose_network import diagnose_network
from conformance.mistakes.fingers import Told, counted
from conformance.mistakes.page import Names, apart, shown
from conformance.mistakes.recipe import recipe
from conformance.mistakes.terms import written
from conformance.oracle import Evidence, within
from conformance.oracle.network import Right
from conformance.problem import Operands
from conformance.problem.network import NetworkProblem
from conformance.spec import NetworkCase, NotOffered, Raised, TimedOut
from conformance.spec.network import RATE

__all__ = ["explained_network"]

Index = tuple[int, ...]
Array = NDArray[np.float64]


def explained_network(session: Session, problem: NetworkProblem) -> str | None:
    """The page of the first fault of a network; None if nothing is wrong.

    Raises:
        UserError: the network is not offered.
    """
    refusal = session.network_refusal(problem)
    if refusal:
        raise UserError(f"{session.name} does not offer this problem: {refusal}")
    case = network_case(session, problem)
    try:
        seen = next(((right, e) for right, e in _compared(session, case) if not e.ok), None)
    except NotOffered as reason:
        raise UserError(f"{session.name} does not offer this problem: {reason}") from None
    except (Raised, TimedOut) as raised:
        return f"{session.name} on {problem}\n\nnetwork answers with {raised}\n"
    if seen is None:
        return None
    known = diagnose_network(session, problem)
    told = [f"{session.name} on {problem}", "\n".join(_told(case, *seen))]
    told += [f"What was done: {known.text}."] if known.text else []
    if known.explanations and known.explanations[0].certain:
        told.append(f"To mend it: {known.explanations[0].hint}.")
    return "\n\n".join(told) + "\n"


def _compared(session: Session, case: NetworkCase) -> Iterator[tuple[Right, Evidence]]:
    """Every tensor against what is right, in the order of the algorithm."""
    own, expected, able = case.own, case.expected, session.capabilities.network
    yield _against(own.cost, expected.cost)
    for got, right in list(zip(own.deltas, expected.deltas, strict=True))[::-1]:
        yield _against(got, right)
    yield from _each(own.gradients, expected.gradients)
    if able and able.step:
        yield from _each(case.stepped(RATE), expected.stepped(RATE))


def _each(
    got: Iterable[tuple[Any, Any]], right: Iterable[tuple[Right, Right | None]]
) -> Iterator[tuple[Right, Evidence]]:
    for gots, rights in zip(got, right, strict=True):
        for g, r in zip(gots, rights, strict=True):
            if g is not None and r is not None:
                yield _against(g, r)


def _against(got: Array, right: Right) -> tuple[Right, Evidence]:
    q = right.quantity
    return right, within(q, got, right.exact, right.bound, certificate=right.certain, note=q)


# ---- counting ----
def _told(case: NetworkCase, right: Right, e: Evidence) -> Iterator[str]:
    """What is wrong, where, and how the right value comes about."""
    where = f"Layer {right.layer} of {len(case.net.layers)}" if right.layer else "The cost"
    if e.index is None and right.exact.ndim:
        yield f"{where}, {e.note}"
        return
    index = e.index or ()
    value, got = float(right.exact[index]), float("nan") if e.got is None else float(e.got)
    name = _name(case, right, index)
    yield f"{where}: {name} should be {shown(value)}, got {apart(got, value)}."
    yield from _sum(case, right, index)


def _name(case: NetworkCase, right: Right, index: Index) -> str:
    if not right.layer:
        return "C"
    return Names(g=case.net.layers[right.layer - 1].geometry).element(right.quantity, index)


def _sum(case: NetworkCase, right: Right, index: Index) -> Iterator[str]:
    number, last, whole = right.layer, len(case.net.layers), case.expected.right
    if right.quantity == "dw":
        yield f"x is a^{number - 1}, delta is delta^{number}; both are right here:"
        yield from _fingers(case, number, "dw", index)
    elif right.quantity == "db":
        yield f"delta is delta^{number}; it is right here:"
        yield from _fingers(case, number, "db", index)
    elif right.quantity == "delta" and number < last:
        yield f"dx is dC/da^{number}, of delta^{number + 1} and w^{number + 1}; both are right here:"
        yield from _fingers(case, number + 1, "dx", index)
        yield f"times sigma'(z^{number}) = {_at(whole.slope(number), index)}"
    elif right.quantity == "delta":
        error = f"{_at(whole.a[-1], index)} - {_at(whole.target, index)}"
        if case.net.cost == "quadratic":
            yield f"(a - t)*sigma'(z^{number}) = ({error})*{_at(whole.slope(number), index)}"
        else:
            yield f"a - t = {error}"
    elif right.quantity in ("w", "b"):
        yield _step(case, right, index)


def _step(case: NetworkCase, right: Right, index: Index) -> str:
    """A parameter after the step."""
    layer, kind = right.layer - 1, "wb".index(right.quantity)
    before, gradient = case.operands.params[layer][kind], case.expected.gradients[layer][kind]
    if before is None or gradient is None:
        return ""
    moved = f"{_at(before, index)} - {shown(RATE)}*{_at(gradient.exact, index)}"
    return f"after a step, {right.quantity} - rate*d{right.quantity} is {moved}"


def _fingers(case: NetworkCase, number: int, quantity: str, index: Index) -> list[str]:
    """An element of a layer's convolution as its sum, of the right activations and deltas."""
    layer, right = case.net.layers[number - 1].geometry, case.expected.right
    operands = Operands(
        x=right.a[number - 1].astype(np.float64),
        w=right.params[number - 1][0].astype(np.float64),
        b=None,
        delta=right.deltas[number - 1].astype(np.float64),
    )
    names, sum_ = Names(g=layer), written(recipe(layer, operands, quantity), index)
    told = Told(head=f"{names.element(quantity, index)} is", sum=sum_, stored=sum_.total)
    return counted(names, [told], case.problem.format)


def _at(array: Array, index: Index) -> str:
    value = float(array[index])
    return f"({shown(value)})" if value < 0 else shown(value)
