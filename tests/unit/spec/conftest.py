"""One implementation in miniature that conforms, and the way in which clauses see an implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic
from conformance.oracle.operations import exact
from conformance.oracle.vectorised import Layer
from conformance.problem import QUANTITIES, Geometry, Operands, Problem, dtype_of
from conformance.problem.operations import FURTHER, Call, shape_of
from conformance.spec import Answer, Case, Question, Raised

Results = dict[str, Any]
Implementation = Callable[[Geometry, Operands, bool], Results]
Operation = Callable[[Geometry, Operands, Call], Results]


def computed_right(g: Geometry, o: Operands, backward: bool) -> Results:
    """y, or dx, dw and db, in the dtype of x; refuses operands that do not fit."""
    g.check(x=o.x, w=o.w, b=o.b, **({"delta": o.delta} if backward else {}))
    delta = o.delta if backward else np.zeros(g.y_shape)
    with np.errstate(all="ignore"):
        layer = Layer(g, o.x, o.w, o.b, delta)
        results = {"dx": layer.dx, "dw": layer.dw, "db": layer.db} if backward else {"y": layer.y}
        return {q: np.array(a).astype(o.x.dtype) for q, a in results.items() if a is not None}


def right_operation(g: Geometry, o: Operands, call: Call) -> Results:
    """The results of an optional operation, in the dtype of x."""
    there = [q for q in map(call.quantity, call.gives) if shape_of(g, q) is not None]
    return {q: dtype_of(o.x.dtype).rounded(exact(g, o, q)).astype(o.x.dtype) for q in there}


def answering(
    implementation: Implementation, operation: Operation = right_operation
) -> Callable[[Question], Answer]:
    """What a run does with an implementation: fresh operands, then a look at what became of them."""

    def answer(question: Question) -> Answer:
        operands = question.operands.in_memory(question.memory)
        before = {name: a.tobytes() for name, a in operands.items()}
        try:
            if question.method:
                arrays = operation(question.geometry, operands, question.call)
            else:
                arrays = implementation(question.geometry, operands, question.backward)
        except ValueError as error:
            raise Raised(type(error).__name__, str(error)) from None
        return Answer(
            arrays=arrays,
            modified=tuple(name for name, a in operands.items() if a.tobytes() != before[name]),
            shared=tuple(
                q for q, a in arrays.items() if any(np.shares_memory(a, o) for _, o in operands.items())
            ),
        )

    return answer


def a_case(
    line: str,
    implementation: Implementation = computed_right,
    *,
    operation: Operation = right_operation,
    arithmetic: Arithmetic | dict[str, Arithmetic] | None = None,
    offered: frozenset[str] = frozenset((*QUANTITIES, *FURTHER)),
    claims: Callable[[Geometry], bool] = lambda g: True,
    asked: list[Question] | None = None,
) -> Case:
    """A problem line put to an implementation; every question is appended to `asked`."""
    answer = answering(implementation, operation)

    def recorded(question: Question) -> Answer:
        if asked is not None:
            asked.append(question)
        return answer(question)

    return Case(
        Problem.parse(line), recorded, arithmetic=arithmetic or Arithmetic(), offered=offered, claims=claims
    )


@pytest.fixture
def right() -> Implementation:
    return computed_right


@pytest.fixture(name="right_operation")
def operation_that_is_right() -> Operation:
    return right_operation


@pytest.fixture
def case_of() -> Callable[..., Case]:
    return a_case
