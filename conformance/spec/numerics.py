"""Chapter NUM: what may be demanded of floating point (numerics.md), without a tuned tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, Grade, compare, wrong
from conformance.spec.algebra import VALUES
from conformance.spec.case import Case, named
from conformance.spec.footprint import footprint
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "NUM-1",
    "results carry the dtype of the operands; no silent down-cast",
    equation="dtype(y) = dtype(dx) = dtype(dw) = dtype(db) = dtype(x)",
    source="numerics: dtype of the call",
    needs=[],
)
def carries_dtype(case: Case) -> Iterator[Evidence]:
    promised = case.problem.format
    for q in case.offers:
        got = case.call(q).arrays[q].dtype
        if got == promised.numpy:
            yield Evidence(quantity=q, grade=Grade.EXACT)
        else:
            yield wrong(q, f"{q} has dtype {got}, the operands have {promised.name}")


@clause(
    "NUM-2",
    "exact data give exact results",
    equation="S <= 2^p units of the operands' lattice  =>  bitwise equality, in any order of summation",
    source="numerics: exact regime E1 (transforms whose bound is below 1/2: after rounding to integers)",
    needs=[],
    falls_with=VALUES,
)
def exact_data(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        expected = case.expected[q]
        transform = not expected.direct and case.problem.integers and bool(np.all(expected.bound < 0.5))
        if transform or (expected.direct and expected.unrounded):
            yield compare(case[q], expected)


@clause(
    "NUM-4",
    "real data stay within the proven bound of the declared arithmetic class",
    equation="|result - exact| <= E(n, S, u) element by element",
    source="numerics: proven bounds",
    needs=[],
    falls_with=VALUES,
)
def within_bound(case: Case) -> Iterator[Evidence]:
    for q in case.offers:
        expected = case.expected[q]
        if not (expected.direct and expected.unrounded):
            yield compare(case[q], expected)


@clause(
    "NUM-6",
    "a NaN or Inf reaches the results that read it, and no others",
    equation="must <= {non-finite results} <= may: through products alone, or also through zeros written to memory",
    source="numerics: NaN/Inf footprint (direct algorithms; transforms spread it)",
    needs=[],
    variants=True,
    falls_with=VALUES,
)
def special_values(case: Case) -> Iterator[Evidence]:
    if (
        not case.exact
        or case.arithmetic.algorithm != "direct"
        or case.problem.fill == "sparse"
        or not case.g.batch
    ):
        return
    for operand in ("x", "w", "delta"):
        clean = getattr(case.operands, operand)
        at = np.unravel_index((case.problem.seed * 7919 + clean.size // 2) % clean.size, clean.shape)
        index = tuple(int(i) for i in at)
        masks = footprint(case.g, operand, index)
        for special in (np.nan, np.inf):
            spoiled = np.array(clean)
            spoiled[index] = special
            for q in case.offers:
                if q != "y" or operand != "delta":
                    must, may = masks[q]
                    got = ~np.isfinite(case.ask(q, **named(operand, spoiled)).astype(np.float64))
                    yield _reach(q, got, must, may, f"{special} in {operand} at {index}")


def _reach(q: str, got: Any, must: Any, may: Any, note: str) -> Evidence:
    lost, spread = must & ~got, got & ~may
    if not (lost | spread).any():
        return Evidence(quantity=q, grade=Grade.EXACT)
    missing, bad = ("does not reach", lost) if lost.any() else ("also reaches", spread)
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return wrong(q, f"{note} {missing} {q} at {index} ({int(bad.sum())} elements)")
