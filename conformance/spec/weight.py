"""Chapter WGT: dw.  Source: the seed's step 5, dC/dw = delta * sigma(ROT180(z))."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from conformance.oracle import Evidence, compare, identical, sizes
from conformance.spec.case import Case, named
from conformance.spec.forward import is_whole
from conformance.spec.inner import dot, inner_products
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "WGT-1",
    "dw equals the definition: the correlation of x with delta",
    equation="dw'[m,c,t] = sum_n sum_o delta[n,m,o] x~[n,c, o*s + t*d - p_lo]  (dw = dw' or ROT180(dw'))",
    source="output, step 5: dC/dw = delta^l * sigma(ROT180(z^{l-1}))",
    needs=["dw"],
    readers=[7, 13],
)
def equals_definition(case: Case) -> Iterator[Evidence]:
    if case.problem.integers:  # how real data may be rounded is said in chapter NUM
        yield compare(case["dw"], case.expected["dw"])


@clause(
    "WGT-2",
    "dw has the shape of w",
    equation="dw: (M, C/G, *K)",
    source="reader 7: a 9x9 input and a 5x5 delta make a 5x5 gradient",
    needs=["dw"],
    readers=[7],
)
def size_of_dw(case: Case) -> Iterator[Evidence]:
    yield sizes("dw", case.shape("dw"), case.g.w_shape)


@clause(
    "WGT-3",
    "dw is the adjoint of y in w",
    equation="<y - b, delta> = <w, dw>",
    source="chain rule: dC/dw = sum delta dz/dw",
    needs=["y", "dw"],
    falls_with=["FWD-1", "WGT-1"],
)
def adjoint(case: Case) -> Iterator[Evidence]:
    yield from inner_products(case, "dw", "w")


@clause(
    "WGT-4",
    "dw of a batch is the sum over its items, never the mean",
    equation="dw(x, delta) = sum_n dw(x[n], delta[n])",
    source="extension of the seed to batches: C sums over the items",
    needs=["dw"],
    variants=True,
    falls_with=["WGT-1"],
)
def sum_over_batch(case: Case) -> Iterator[Evidence]:
    g, o = case.g, case.operands
    if not case.exact or g.batch < 2:
        return
    first = case.ask("dw", dataclasses.replace(g, batch=1), x=o.x[:1], delta=o.delta[:1])
    rest = case.ask("dw", dataclasses.replace(g, batch=g.batch - 1), x=o.x[1:], delta=o.delta[1:])
    both = case.settled("dw", first) + case.settled("dw", rest)
    yield identical(
        "dw", case.settled("dw", case["dw"]), both, "dw of the batch against the sum over its items"
    )


@clause(
    "WGT-5",
    "dw depends on x and delta only, is linear in each, and is an exact finite difference in w",
    equation="dw(x, w', b', delta) = dw; dw(x+v, delta) = dw(x, delta) + dw(v, delta), also in delta; "
    "<f(w+u) - f(w), delta> = <dw, u>",
    source="output, step 5",
    needs=["dw"],
    variants=True,
    falls_with=["FWD-1", "WGT-1"],
)
def depends_on_x_and_delta(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    o = case.operands
    dw, u = case.settled("dw", case["dw"]), np.flip(o.w)
    other_b = None if o.b is None else np.flip(o.b) + o.b
    yield identical("dw", case.settled("dw", case.ask("dw", w=u, b=other_b)), dw, "dw with another w and b")
    for name, operand in (("x", o.x), ("delta", o.delta)):
        v = np.flip(operand)
        moved = case.settled("dw", case.ask("dw", **named(name, operand + v)))
        yield identical(
            "dw",
            moved,
            dw + case.settled("dw", case.ask("dw", **named(name, v))),
            f"dw is additive in {name}",
        )
    if case.has("y"):
        step = case.settled("y", case.ask("y", w=o.w + u)) - case.settled("y", case["y"])
        yield from dot("dw", (step, o.delta), (dw, u), "<f(w+u) - f(w), delta> against <dw, u>")


@clause(
    "WGT-6",
    "kernel = input: nothing is shared, dw is x scaled by delta",
    equation="K = I, p = 0  =>  dw'[m,c] = sum_n delta[n,m] x[n,c]",
    source="reader 16: errors correspond to a single weight each, no sums of deltas",
    needs=["dw"],
    falls_with=["WGT-1"],
    readers=[16],
)
def nothing_shared(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact or not is_whole(g):
        return
    dw = np.zeros(g.w_shape)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for n, m in np.ndindex(g.batch, g.maps):
        group = m // maps
        x = case.operands.x[n, group * channels : (group + 1) * channels].astype(np.float64)
        dw[m] += float(case.operands.delta[n, m].item()) * x
    dw = np.flip(dw, tuple(range(2, dw.ndim))) if g.convention == "convolution" else dw
    yield identical("dw", case.settled("dw", case["dw"]), dw, "x scaled by delta")
