"""Results that no rounding has touched, for whoever compares with them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformance.oracle import definition
from conformance.problem import Operands, Problem

Exact = tuple[dict[str, Any], Fraction]


def as_integers(problem: Problem) -> Exact:
    """y, dx and dw of a problem without a bias, as Python integers, and the unit they count."""
    scale = 2.0**problem.format.p
    scaled = {name: (a.astype(np.float64) * scale).astype(object) for name, a in problem.operands.items()}
    results = definition.compute(problem.geometry, Operands(**{"b": None, **scaled}))
    return {q: getattr(results, q) for q in ("y", "dx", "dw")}, Fraction(1, 2 ** (2 * problem.format.p))


@pytest.fixture
def exact_results() -> Callable[[Problem], Exact]:
    return as_integers
