"""Chapter BIA: db.  Source: readers 8 and 14, who asked for the update of biases and what a bias per position means."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.oracle import Evidence, compare, identical
from conformance.spec.case import Case
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "BIA-1",
    "db of a tied bias is the sum of delta over batch and positions",
    equation="db[m] = sum_n sum_o delta[n,m,o]",
    source="reader 8: and what about the update of biases?",
    needs=["db"],
    readers=[8, 14],
)
def tied(case: Case) -> Iterator[Evidence]:
    if case.g.bias == "tied" and case.problem.integers:
        yield compare(case["db"], case.expected["db"])


@clause(
    "BIA-2",
    "db of an untied bias is delta summed over the batch alone",
    equation="db[m,o] = sum_n delta[n,m,o]",
    source="the seed's b_{x,y}; readers 8 and 14",
    needs=["db"],
    feature="bias untied",
    falls_with=["BIA-1"],
    readers=[8, 14],
)
def untied(case: Case) -> Iterator[Evidence]:
    if case.g.bias == "untied" and case.problem.integers:
        yield compare(case["db"], case.expected["db"])


@clause(
    "BIA-3",
    "db depends on delta only",
    equation="db(x', w', b', delta) = db(x, w, b, delta)",
    source="reader 8: dC/db = delta",
    needs=["db"],
    variants=True,
    falls_with=["BIA-1", "BIA-2"],
    readers=[8],
)
def depends_on_delta(case: Case) -> Iterator[Evidence]:
    o = case.operands
    if case.exact and o.b is not None and case.has("db"):
        elsewhere = case.ask("db", x=np.flip(o.x), w=np.flip(o.w), b=np.flip(o.b) + o.b)
        yield identical("db", elsewhere, case["db"], "db with another x, w and b")
