"""Chapter JVP: forward mode.  Source: the seed's equation for z, differentiated along directions u, v, r of x, w, b."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.oracle import Evidence
from conformance.spec.case import Case
from conformance.spec.further import balanced, equal, one_alone
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "JVP-1",
    "the derivative of y along u, v, r is conv(u, w) + conv(x, v) + r",
    equation="dy[n,m,o] = r[m] + sum_{c in g(m)} sum_t (w'[m,c,t] u~[n,c,..] + v'[m,c,t] x~[n,c,..])",
    source="y is linear in x, in w and in b: the product rule",
    needs=["forward_mode.dy"],
)
def product_rule(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "forward_mode.dy")


@clause(
    "JVP-2",
    "forward mode is the transpose of the backward pass of the same implementation",
    equation="<dy, delta> = <dx, u> + <dw, v> + <db, r>",
    source="(J t) . delta = t . (J^T delta)",
    needs=["forward_mode.dy", "dx", "dw"],
    falls_with=("DEL-1", "WGT-1", "BIA-1", "BIA-2", "JVP-1"),
)
def transpose(case: Case) -> Iterator[Evidence]:
    o = case.problem.further
    if case.has("db") or case.g.bias == "none":
        right = {"dx": o.u, "dw": o.v, **({"db": o.r} if case.has("db") else {})}
        yield from balanced(case, "forward_mode.dy", {"forward_mode.dy": o.delta}, right)


@clause(
    "JVP-3",
    "a direction of x, of w or of b alone gives its own term",
    equation="dy(u) = conv(u, w);  dy(v) = conv(x, v);  dy(r) = r",
    source="dy is linear in (u, v, r); implementations go other ways where an operand is held",
    needs=["forward_mode.dy"],
    variants=True,
    falls_with=["JVP-1"],
)
def alone(case: Case) -> Iterator[Evidence]:
    yield from one_alone(case, "forward_mode.dy")
