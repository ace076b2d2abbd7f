"""Chapter HYG: what every call owes its caller, whatever it computes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from conformance.oracle import Evidence, Grade, identical, wrong
from conformance.problem.memory import REARRANGEMENTS
from conformance.spec.algebra import VALUES
from conformance.spec.case import Case, named
from conformance.spec.registry import Severity, clause

__all__: list[str] = []


@clause(
    "HYG-1",
    "operands are left unmodified; results share no memory with them",
    equation="x, w, b, delta after the call = before; no result overlaps an operand",
    source="hygiene",
    needs=[],
)
def operands_untouched(case: Case) -> Iterator[Evidence]:
    for q in case.offers[:1] + case.offers[-1:]:
        answer = case.call(q)
        for name in answer.modified:
            yield wrong(q, f"{'forward' if q == 'y' else 'backward'} changed its operand {name}")
        for name in answer.shared:
            yield wrong(name, f"{name} shares memory with an operand")
        if not (answer.modified or answer.shared):
            yield Evidence(quantity=q, grade=Grade.EXACT)


@clause(
    "HYG-2",
    "the same call twice gives the same bits",
    equation="f(x, w, b, delta) = f(x, w, b, delta), bitwise, on real data too",
    source="hygiene",
    severity=Severity.SHOULD,
    needs=[],
    variants=True,
    falls_with=["HYG-3", "HYG-5"],
)
def repeatable(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        second = case.ask(q, again=1)
        yield identical(q, second, case[q], f"{q} of the same call, made twice")


@clause(
    "HYG-3",
    "no state leaks from call to call: the second backward does not add to the first",
    equation="f(A); f(B); f(A) gives the first f(A), bitwise on exact data",
    source="hygiene; frameworks accumulate gradients",
    needs=[],
    variants=True,
)
def no_state(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    o = case.operands
    for q in case.offers:
        first = case[q]
        case.call(q, again=2, x=np.flip(o.x), delta=np.flip(o.delta))
        third = case.ask(q, again=2)
        yield identical(
            q, case.settled(q, third), case.settled(q, first), f"{q} before and after a call on other data"
        )


@clause(
    "HYG-4",
    "any memory layout of the same values gives the same results",
    equation="f(copies in Fortran order, sliced, reversed, channels-last, broadcast) = f(C-ordered copies)",
    source="hygiene",
    needs=[],
    variants=True,
    falls_with=["HYG-1"],
)
def any_memory(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    others = ("c",) if case.problem.memory != "c" else tuple(REARRANGEMENTS)
    for q in case.offers:
        own = case.settled(q, case[q])
        for memory in others:
            other = case.settled(q, case.ask(q, memory=memory))
            yield identical(
                q, other, own, f"{q} of operands in memory {memory} against {case.problem.memory}"
            )


@clause(
    "HYG-5",
    "every element of every result is written",
    equation="results do not depend on what fresh memory held",
    source="hygiene",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def all_written(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    for part in (case.offers[: case.has("y")], case.offers[case.has("y") :]):
        own = {q: case.settled(q, case[q]) for q in part}
        spoil = sizes(case, *part)
        for q in part:
            yield identical(
                q,
                case.settled(q, case.ask(q, again=3, spoil=spoil)),
                own[q],
                f"{q} when fresh memory held NaN",
            )


def sizes(case: Case, *quantities: str) -> tuple[int, ...]:
    """The numbers of elements of some results: of blocks to be spoiled, so that the next results may get them."""
    return tuple(sorted({math.prod(case.g.shape_of(q) or ()) for q in quantities}))


@clause(
    "HYG-6",
    "mismatched shapes are an error at once: not garbage, not a crash",
    equation="x, w, b or delta of another size than the geometry gives  =>  an exception",
    source="hygiene",
    needs=[],
    variants=True,
)
def refuses_nonsense(case: Case) -> Iterator[Evidence]:
    for name, shape, what in _nonsense(case) if case.g.batch else []:
        backward = name == "delta"
        q = next((q for q in case.offers if (q != "y") == backward), None)
        if q is None:
            continue
        ones = np.ones(shape, case.problem.format.numpy)
        if case.refusal(backward=backward, **named(name, ones)):
            yield Evidence(quantity=q, grade=Grade.EXACT)
        else:
            yield wrong(q, f"{what} was accepted without an error")


def _nonsense(case: Case) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """(operand, shape, what is wrong with it).

    One too many of everything; one where broadcasting would make many; as many elements as there should be, but on
    exchanged axes, which a reshape would take for the right ones.
    """
    g, b = case.g, case.operands.b
    channels, depth, last = (
        g.channels + g.groups,
        g.channels // g.groups + 1,
        (*g.output[:-1], g.output[-1] + 1),
    )
    yield "x", (g.batch, channels, *g.size), f"x with {channels} channels where the kernel takes {g.channels}"
    yield "w", (g.maps, depth, *g.kernel), f"w with {depth} channels a group where x has {depth - 1}"
    yield "delta", (g.batch, g.maps, *last), f"delta of size {last} where y has {g.output}"
    if g.batch > 1:
        yield "delta", (1, *g.y_shape[1:]), f"delta of 1 item where y has {g.batch}"
    for exchanged in {(g.maps, g.batch, *g.output), (g.batch, g.maps, *g.output[::-1])} - {g.y_shape}:
        yield "delta", exchanged, f"delta of shape {exchanged} where y has {g.y_shape}"
    if b is not None:
        yield "b", (g.maps + 1, *b.shape[1:]), f"a bias for {g.maps + 1} maps where there are {g.maps}"
        if g.maps > 1:
            yield "b", (1, *b.shape[1:]), f"a bias for 1 map where there are {g.maps}"


@clause(
    "HYG-7",
    "empty batch gives empty y and dx, zero dw and db",
    equation="N = 0  =>  y: (0, M, *O), dx: (0, C, *I), dw = 0, db = 0",
    source="hygiene; empty sums are zero",
    needs=[],
    feature="an empty batch",
    variants=True,
    falls_with=["DEL-1", "WGT-1", "BIA-1", "BIA-2"],
)
def empty_batch(case: Case) -> Iterator[Evidence]:
    g, o = dataclasses.replace(case.g, batch=0), case.operands
    if not case.claims(g):
        return
    for q in case.offers:
        empty = case.ask(q, g, x=o.x[:0], delta=o.delta[:0])
        yield identical(q, empty, np.zeros(g.shape_of(q) or ()), f"{q} of an empty batch")
