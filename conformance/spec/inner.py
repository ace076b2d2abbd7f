"""Inner products of exact data: what the adjoint and finite-difference clauses compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, identical
from conformance.spec.case import Case

__all__ = ["dot", "inner_products"]

Pair = tuple[Any, Any]


def dot(quantity: str, left: Pair, right: Pair, note: str) -> Iterator[Evidence]:
    """Are two inner products of integers equal?  Nothing if the sums could round even in float64."""
    (left_value, left_sum), (right_value, right_sum) = _sum(*left), _sum(*right)
    if not any(math.isfinite(total) and total > 2.0**53 for total in (left_sum, right_sum)):
        yield identical(quantity, np.array(left_value), np.array(right_value), note)


def inner_products(case: Case, quantity: str, operand: str) -> Iterator[Evidence]:
    """<y - b, delta> against <operand, its gradient>."""
    if not case.exact:
        return
    gradient = case[quantity]
    value = getattr(case.operands, operand)
    y = case.settled("y", case["y"])
    b = case.operands.b
    if b is not None:
        b = b.astype(np.float64)
        y = y - (b if case.g.bias == "untied" else b.reshape(-1, *(1,) * case.g.rank))
    settled = case.settled(quantity, gradient)
    yield from dot(
        quantity,
        (y, case.operands.delta),
        (value, settled),
        f"<y - b, delta> against <{operand}, {quantity}>",
    )


def _sum(a: Any, b: Any) -> tuple[float, float]:
    with np.errstate(invalid="ignore", over="ignore"):  # results may be anything
        products = np.asarray(a, np.float64) * np.asarray(b, np.float64)
        return float(products.sum()), float(np.abs(products).sum())
