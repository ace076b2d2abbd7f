"""Chapter ALG: what symmetry demands of all four quantities at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, identical
from conformance.problem import Geometry
from conformance.spec.case import Case
from conformance.spec.registry import clause

__all__: list[str] = []

VALUES = ("FWD-1", "DEL-1", "WGT-1", "BIA-1", "BIA-2")


@clause(
    "ALG-1",
    "permuting batch items, maps or channels (within the rules of groups) permutes the results",
    equation="reversing n in x, delta; m in w, b, delta; c in x, w  reverses the same axes of y, dx, dw, db",
    source="sums do not know the order of their indices",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def permutation(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    o = case.operands
    turned: dict[str, Any] = {"x": o.x[::-1, ::-1], "w": o.w[::-1, ::-1], "delta": o.delta[::-1, ::-1]}
    turned |= {} if o.b is None else {"b": o.b[::-1]}
    for q in case.offers:
        back = case.settled(q, case.ask(q, **turned))
        back = back[::-1] if q == "db" else back[::-1, ::-1]
        yield identical(
            q, back, case.settled(q, case[q]), f"{q} of reversed items, maps and channels, reversed back"
        )


@clause(
    "ALG-2",
    "scaling an operand by a power of two scales the results bitwise",
    equation="y(2^k x, w, 2^k b) = 2^k y, dw(2^k x) = 2^k dw, dx unchanged; likewise in w and delta",
    source="multiplication by a power of two is exact while nothing overflows or underflows",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def power_of_two(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    o, dtype = case.operands, case.problem.format.numpy
    for k, name, scaled in ((3, "x", ("y", "dw")), (-2, "w", ("y", "dx")), (1, "delta", ("dx", "dw", "db"))):
        factor = np.asarray(2.0**k, dtype)
        changes: dict[str, Any] = {name: getattr(o, name) * factor}
        if name != "delta" and o.b is not None:
            changes["b"] = o.b * factor
        for q in case.offers:
            power = 2.0**k if q in scaled else 1.0
            got = case.settled(q, case.ask(q, **changes) / np.asarray(power, dtype))
            yield identical(q, got, case.settled(q, case[q]), f"{q} with {name} scaled by 2^{k}, scaled back")


@clause(
    "ALG-3",
    "dilation d equals a plain convolution with the zero-stuffed kernel; padding equals explicit zeros",
    equation="conv(x, w, d) = conv(x, stuff(w, d), 1); conv(x, w, p) = conv(pad(x, p), w, 0); the same for gradients",
    source="definitions of dilation and padding",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def explicit_zeros(case: Case) -> Iterator[Evidence]:
    g, o = case.g, case.operands
    if not case.exact:
        return
    if max(g.dilation) > 1:
        taps: tuple[Any, ...] = (..., *(slice(None, None, d) for d in g.dilation))
        w = np.zeros((*o.w.shape[:2], *g.kernel_reach), o.w.dtype)
        w[taps] = o.w
        plain = dataclasses.replace(g, kernel=g.kernel_reach, dilation=(1,))
        yield from _same(case, plain, {"w": w}, {"dw": taps}, "with the zeros between the taps written out")
    if any(map(any, g.padding)):
        x, inner = _written_out(g, o.x)
        plain = dataclasses.replace(g, size=g.padded_size, padding=((0, 0),))
        yield from _same(case, plain, {"x": x}, {"dx": inner}, "with the padding written out")


def _same(
    case: Case, plain: Geometry, changes: dict[str, Any], parts: dict[str, Any], note: str
) -> Iterator[Evidence]:
    """Do a geometry and its plainer form agree, on the part of a gradient that both have?"""
    if not case.claims(plain):
        return
    for q in case.offers:
        plainly = case.settled(q, case.ask(q, plain, **changes))
        own = case.settled(q, case[q])
        if q in parts:
            plainly = plainly[parts[q]]
            own = own if q == "dw" else own[(..., *case.g.kept)]
        yield identical(q, own, plainly, f"{q} {note}")


def _written_out(g: Geometry, x: Any) -> tuple[Any, Any]:
    """x with its padding written out as zeros (or cropped), and where x's own elements stand in it."""
    padded = np.zeros((*x.shape[:2], *g.padded_size), x.dtype)
    inner = (..., *g.inner)
    padded[inner] = x[(..., *g.kept)]
    return padded, inner
