"""Chapter DEL: dx, the delta of the layer before.  Source: the seed's step 4, backpropagate the error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, compare, identical, sizes
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry
from conformance.spec.case import Case, named
from conformance.spec.inner import dot, inner_products
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "DEL-1",
    "dx equals the definition: the full convolution of delta with ROT180 of the kernel",
    equation="dx[n,c,i] = sum_{m: c in g(m)} sum_{t,o: o*s + t*d - p_lo = i} w'[m,c,t] delta[n,m,o]",
    source="backpropagate the error, step 4: delta^l = delta^{l+1} * ROT180(w^{l+1})",
    needs=["dx"],
    readers=[7, 10, 11],
)
def equals_definition(case: Case) -> Iterator[Evidence]:
    if case.problem.integers:  # how real data may be rounded is said in chapter NUM
        yield compare(case["dx"], case.expected["dx"])


@clause(
    "DEL-2",
    "dx has the shape of x; positions that no output reads get exactly 0",
    equation="no (t, o) with o*s + t*d - p_lo = i  =>  dx[n,c,i] = 0",
    source="reader 12: stride leaves a remainder",
    needs=["dx"],
    falls_with=["DEL-1"],
    readers=[12],
)
def size_of_dx(case: Case) -> Iterator[Evidence]:
    evidence = sizes("dx", case.shape("dx"), case.g.x_shape)
    yield evidence
    expected = case.expected["dx"]
    unread = expected.n == 0
    if evidence.ok and unread.any() and expected.direct:
        dx = np.where(unread, case["dx"].astype(np.float64), 0)
        yield identical("dx", dx, np.zeros_like(dx), "positions no output reads")


@clause(
    "DEL-3",
    "dx is the adjoint of y in x",
    equation="<y - b, delta> = <x, dx>",
    source="chain rule: delta^l = sum dC/dz^{l+1} dz^{l+1}/dz^l",
    needs=["y", "dx"],
    falls_with=["FWD-1", "DEL-1"],
)
def adjoint(case: Case) -> Iterator[Evidence]:
    yield from inner_products(case, "dx", "x")


@clause(
    "DEL-4",
    "exact finite difference: a step v in x moves <y, delta> by <dx, v>",
    equation="<f(x+v) - f(x), delta> = <dx, v>, bitwise on integers (f is linear: no step size, no tolerance)",
    source="definition of delta^l as dC/dz^l",
    needs=["y", "dx"],
    variants=True,
    falls_with=["FWD-1", "DEL-1"],
)
def finite_difference(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    v, delta = np.flip(case.operands.x), case.operands.delta
    step = case.settled("y", case.ask("y", x=case.operands.x + v)) - case.settled("y", case["y"])
    yield from dot(
        "dx", (step, delta), (case.settled("dx", case["dx"]), v), "<f(x+v) - f(x), delta> against <dx, v>"
    )


@clause(
    "DEL-5",
    "dx depends on w and delta only, and is linear in each",
    equation="dx(x', w, b', delta) = dx(x, w, b, delta); dx(w, delta+e) = dx(w, delta) + dx(w, e); the same in w",
    source="backpropagate the error, step 4",
    needs=["dx"],
    variants=True,
    falls_with=["DEL-1"],
)
def depends_on_w_and_delta(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    o = case.operands
    dx = case.settled("dx", case["dx"])
    other_b = None if o.b is None else np.flip(o.b) + o.b
    elsewhere = case.settled("dx", case.ask("dx", x=np.flip(o.x), b=other_b))
    yield identical("dx", elsewhere, dx, "dx with another x and b")
    for name, operand in (("delta", o.delta), ("w", o.w)):
        v = np.flip(operand)
        moved = case.settled("dx", case.ask("dx", **named(name, operand + v)))
        yield identical(
            "dx",
            moved,
            dx + case.settled("dx", case.ask("dx", **named(name, v))),
            f"dx is additive in {name}",
        )


@clause(
    "DEL-6",
    "stride s: dx equals the stride-1 full convolution of the zero-stuffed delta",
    equation="dx = forward(stuff(delta, s), ROT180(w) with maps and channels swapped, stride 1, full)",
    source="reader 12: the reverse convolution does not use the stride; delta is stuffed with s - 1 zeros",
    needs=["y", "dx"],
    variants=True,
    falls_with=["FWD-1", "DEL-1"],
    readers=[7, 11, 12],
)
def full_convolution(case: Case) -> Iterator[Evidence]:
    if not (case.exact and case.g.batch):
        return
    g, stuffed, w = transposed(case.g, case.operands.delta, case.operands.w)
    if not case.claims(g):
        return
    full = case.settled(
        "y", case.ask("y", g, x=stuffed, w=w, b=None, delta=np.zeros(g.y_shape, stuffed.dtype))
    )
    dx = np.zeros(case.g.x_shape)
    dx[(..., *case.g.kept)] = full[(..., *case.g.inner)]
    yield identical("dx", case.settled("dx", case["dx"]), dx, "dx against the full convolution of delta")


def transposed(g: Geometry, delta: Any, w: Any) -> tuple[Geometry, Any, Any]:
    """The plain stride-1 convolution that computes dx: its geometry, its x (delta, stuffed and padded) and its w.

    Its convention is g's own: true convolution with ROT180(w) for convolution, correlation with ROT180(w) likewise.
    """
    stuffed = np.zeros(
        (*delta.shape[:2], *((n - 1) * s + 1 for n, s in zip(g.output, g.stride, strict=True))), delta.dtype
    )
    every: list[Any] = [slice(None, None, s) for s in g.stride]
    stuffed[..., *every] = delta
    full = [reach - 1 for reach in g.kernel_reach]
    stuffed = np.pad(stuffed, ((0, 0), (0, 0), *((p, p + r) for p, r in zip(full, g.remainder, strict=True))))
    grouped = w.reshape(g.groups, g.maps // g.groups, *w.shape[1:]).swapaxes(1, 2)
    swapped = grouped.reshape(g.channels, g.maps // g.groups, *g.kernel)
    plain = dataclasses.replace(
        g,
        channels=g.maps,
        maps=g.channels,
        size=stuffed.shape[2:],
        stride=(1,),
        padding=((0, 0),),
        bias="none",
    )
    return plain, stuffed, np.ascontiguousarray(np.flip(swapped, tuple(range(2, w.ndim))))


@clause(
    "DEL-7",
    "dx sums over all maps of the group, and over no other",
    equation="dx(delta) = dx(delta of map m alone) + dx(the rest); a map reaches the channels of its group only",
    source="reader 19: a 1-deep delta against a 10-deep kernel gives a 10-deep dx",
    needs=["dx"],
    variants=True,
    falls_with=["DEL-1"],
    readers=[19],
)
def sums_over_maps(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact:
        return
    alone = np.zeros_like(case.operands.delta)
    alone[:, -1] = case.operands.delta[:, -1]
    one = case.settled("dx", case.ask("dx", delta=alone))
    right = Layer.of(g, case.operands.replace(delta=alone)).dx
    yield identical("dx", one, right, "the last map's delta alone")
    rest = case.settled("dx", case.ask("dx", delta=case.operands.delta - alone))
    yield identical(
        "dx", case.settled("dx", case["dx"]), one + rest, "the last map's delta and the rest, added"
    )
    others = one[:, : g.channels - g.channels // g.groups]
    if others.size:
        yield identical(
            "dx", others, np.zeros_like(others), "the last map's delta in channels of other groups"
        )
