"""Chapter SEC: the derivatives of the backward pass.  Source: the seed's steps 4 and 5, differentiated once more.

With directions u, v, r of the shapes of x, w, b let L = <dx, u> + <dw, v> + <db, r>.  Because dx = dx(delta, w), dw = dw(x,
delta) and db = db(delta) are linear in each of their operands, the derivatives of L are convolutions again:

    by x: dx(delta, v)        by w: dw(u, delta)        by delta: conv(u, w) + conv(x, v) + r
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.oracle import Evidence
from conformance.spec.case import Case
from conformance.spec.further import balanced, equal, one_alone
from conformance.spec.registry import clause

__all__: list[str] = []

L = "<dx, u> + <dw, v> + <db, r>"
VALUES = ("SEC-1", "SEC-2", "SEC-3")


@clause(
    "SEC-1",
    f"the derivative of L = {L} by x is dx of the kernel v",
    equation="dL/dx[n,c,i] = sum_{m: c in g(m)} sum_{t,o: o*s + t*d - p_lo = i} v'[m,c,t] delta[n,m,o]",
    source="<dw, v> = <conv(x, v), delta>; dx and db do not depend on x",
    needs=["double_backward.dx"],
)
def by_x(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "double_backward.dx")


@clause(
    "SEC-2",
    f"the derivative of L = {L} by w is dw of the input u",
    equation="dL/dw'[m,c,t] = sum_n sum_o delta[n,m,o] u~[n,c, o*s + t*d - p_lo]",
    source="<dx, u> = <conv(u, w), delta>; dw and db do not depend on w",
    needs=["double_backward.dw"],
)
def by_w(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "double_backward.dw")


@clause(
    "SEC-3",
    f"the derivative of L = {L} by delta is conv(u, w) + conv(x, v) + r",
    equation="dL/ddelta[n,m,o] = r[m] + sum_{c in g(m)} sum_t (w'[m,c,t] u~[n,c,..] + v'[m,c,t] x~[n,c,..])",
    source="dx, dw and db are linear in delta",
    needs=["double_backward.ddelta"],
)
def by_delta(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "double_backward.ddelta")


@clause(
    "SEC-4",
    "u, v and r alone give their own terms, and nothing elsewhere",
    equation="u: (0, dw(u, delta), conv(u, w));  v: (dx(delta, v), 0, conv(x, v));  r: (0, 0, r)",
    source="L is a sum; implementations go other ways where a gradient is not asked for",
    needs=["double_backward.dx", "double_backward.dw", "double_backward.ddelta"],
    variants=True,
    falls_with=VALUES,
)
def alone(case: Case) -> Iterator[Evidence]:
    yield from one_alone(case, "double_backward.dx", "double_backward.dw", "double_backward.ddelta")


@clause(
    "SEC-5",
    "the second backward pass differentiates the first one of the same implementation",
    equation=f"<dL/ddelta, delta> = {L};  <dL/dx, x> = <dw, v>;  <dL/dw, w> = <dx, u>",
    source="Euler: L is linear in delta, <dw, v> in x, <dx, u> in w",
    needs=["double_backward.dx", "double_backward.dw", "double_backward.ddelta", "dx", "dw"],
    falls_with=("DEL-1", "WGT-1", "BIA-1", "BIA-2", *VALUES),
)
def of_the_first(case: Case) -> Iterator[Evidence]:
    o = case.problem.further
    whole = {"dx": o.u, "dw": o.v, **({"db": o.r} if case.has("db") else {})}
    if case.has("db") or case.g.bias == "none":
        yield from balanced(case, "double_backward.ddelta", {"double_backward.ddelta": o.delta}, whole)
    yield from balanced(case, "double_backward.dx", {"double_backward.dx": o.x}, {"dw": o.v})
    yield from balanced(case, "double_backward.dw", {"double_backward.dw": o.w}, {"dx": o.u})
