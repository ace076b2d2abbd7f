"""Chapter TRN: the transposed convolution.  Source: the seed's step 4 read as a layer of its own.

The transposed convolution of a geometry maps what has the shape of y to what has the shape of x, with the same kernel w
(M, C/G, *K): its forward pass is the dx of the plain convolution, and the other way round.  Its x, b, delta and dx, dw, db
are those of a layer; what the stride leaves over in the plain x is its *output padding*, behind, as in frameworks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import Evidence, Expected, compare, identical, sizes
from conformance.oracle.vectorised import counts
from conformance.spec.case import Case
from conformance.spec.further import equal, never_rounds
from conformance.spec.inner import dot
from conformance.spec.registry import clause

__all__: list[str] = []

Array = NDArray[Any]


@clause(
    "TRN-1",
    "y of the transposed convolution is dx of the plain one, plus its bias, one a channel",
    equation="y[n,c,i] = b[c] + sum_{m: c in g(m)} sum_{t,o: o*s + t*d - p_lo = i} w'[m,c,t] x[n,m,o]",
    source="backpropagate the error, step 4, as a layer; deconvolution, fractionally strided convolution",
    needs=["transposed.y"],
)
def forward(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "transposed.y")


@clause(
    "TRN-2",
    "dx of the transposed convolution is the plain forward pass of its delta",
    equation="dx[n,m,o] = sum_{c in g(m)} sum_t w'[m,c,t] delta~[n,c, o*s + t*d - p_lo]",
    source="the transpose of the transpose",
    needs=["transposed.dx"],
)
def delta_before(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "transposed.dx")


@clause(
    "TRN-3",
    "dw of the transposed convolution is the correlation of its delta with its x",
    equation="dw'[m,c,t] = sum_n sum_o x[n,m,o] delta~[n,c, o*s + t*d - p_lo]",
    source="output, step 5: x and delta exchange their places",
    needs=["transposed.dw"],
)
def weights(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "transposed.dw")


@clause(
    "TRN-4",
    "output padding: what the stride leaves over belongs to y, behind, and where no product falls y is the bias alone",
    equation="y: (N, C, *I);  no (t, o) with o*s + t*d - p_lo = i  =>  y[n,c,i] = b[c]",
    source="reader 12: stride leaves a remainder",
    needs=["transposed.y"],
    falls_with=["TRN-1"],
    readers=[12],
)
def output_padding(case: Case) -> Iterator[Evidence]:
    evidence = sizes("transposed.y", case.shape("transposed.y"), case.g.x_shape)
    yield evidence
    expected = case.expected["transposed.y"]
    empty = counts(case.g)["dx"] == 0
    if evidence.ok and empty.any() and expected.direct:
        yield _bias_alone(case["transposed.y"], expected, empty)


def _bias_alone(y: Array, expected: Expected, empty: Array) -> Evidence:
    """Zero, or the bias, which some arithmetic rounds as it does other operands."""
    if expected.whole.g.bias == "none":
        got = np.where(empty, y.astype(np.float64), 0.0)
        evidence = identical("transposed.y", got, np.zeros_like(got))
    else:
        evidence = compare(y, expected, empty)
    return dataclasses.replace(evidence, note="" if evidence.ok else "positions on which no product falls")


@clause(
    "TRN-5",
    "the transposed convolution is the transpose of the plain one that the same implementation computes",
    equation="<y' - b', x> = <y - b, delta>  where y' is the transposed convolution of delta",
    source="definition of the transpose; DEL-3 across two functions",
    needs=["transposed.y", "y"],
    falls_with=["FWD-1", "TRN-1"],
)
def transpose(case: Case) -> Iterator[Evidence]:
    if not never_rounds(case, "transposed.y", "y"):
        return
    o, spatial = case.problem.further, (1,) * case.g.rank
    there = case.settled("transposed.y", case["transposed.y"])
    there = there if o.c is None else there - o.c.astype(np.float64).reshape(-1, *spatial)
    plain = case.settled("y", case["y"])
    if o.b is not None:
        plain = plain - o.b.astype(np.float64).reshape(
            -1, *(spatial if case.g.bias == "tied" else case.g.output)
        )
    yield from dot(
        "transposed.y",
        (there, o.x),
        (plain, o.delta),
        "<y' - b', x> of the transposed against <y - b, delta>",
    )


@clause(
    "TRN-6",
    "db of the transposed convolution is the sum of its delta over batch and positions",
    equation="db[c] = sum_n sum_i delta[n,c,i]",
    source="reader 8: and what about the update of biases?",
    needs=["transposed.db"],
    readers=[8],
)
def bias(case: Case) -> Iterator[Evidence]:
    yield from equal(case, "transposed.db")
