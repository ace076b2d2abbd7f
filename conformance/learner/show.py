"""The step that is broken, on a page: what went wrong, counted on fingers where there are numbers to count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from conformance.adapter.session import TIME_LIMIT, Session
from conformance.engine.judgement import Judgement, Status
from conformance.escape import terminal
from conformance.learner.forms import named, sizes_in
from conformance.learner.quiet import Failed, place, tried
from conformance.learner.reading import Reading
from conformance.mistakes.explain import explained
from conformance.problem import Problem
from conformance.spec import REGISTRY

__all__ = ["broken", "to_read"]


def broken(
    session: Session, reading: Reading, quantity: str, judgement: Judgement, path: Path
) -> Iterator[str]:
    """What went wrong, in paragraphs."""
    problem = Problem.parse(judgement.problem)
    if judgement.status is Status.CRASHED:
        yield _crash(reading, problem, quantity, path)
    elif judgement.status is not Status.FAIL:
        yield f"{terminal(path.name)} on {problem}\n    {terminal(judgement.note)}"
    else:
        yield from _shapes(reading, judgement, problem)
        yield (explained(session, problem) or terminal(judgement.note)).rstrip("\n")


def _shapes(reading: Reading, judgement: Judgement, problem: Problem) -> Iterator[str]:
    """A wrong size, in the learner's own order of axes where that is not ours."""
    quantity = judgement.quantity
    own, form = reading.own(quantity), reading.form(quantity)
    if judgement.index is not None or own == form:
        return
    came, part = _again(reading, problem, quantity), _part(reading, quantity)
    if not isinstance(came, Failed):
        right = sizes_in(problem.geometry.shape_of(quantity) or (), own, form)
        got = np.shape(came[part][1])
        if got != right:
            yield f"{quantity} has shape {got} where {right} is right, in your order {named(LIKE[quantity], form)}."


LIKE = {"y": "y", "dx": "x", "dw": "w", "db": "b"}


def _part(reading: Reading, quantity: str) -> int:
    return reading.y_part if quantity == "y" else reading.gradients[quantity].part


def _crash(reading: Reading, problem: Problem, quantity: str, path: Path) -> str:
    """The exception, and the line of the learner's file that it came from."""
    came = _again(reading, problem, quantity)
    if not isinstance(came, Failed):
        return f"{terminal(path.name)} on {problem}\n    raised, but not when it was called again"
    file, line, text = place(came.error, path.resolve().parent)
    raised = terminal(f"{type(came.error).__name__}: {came.error}")
    told = [f"{terminal(path.name)} on {problem}", f"    raises {raised}"]
    return "\n".join(told + ([f"    in line {line} of {file}: {text}"] if file else []))


def _again(reading: Reading, problem: Problem, quantity: str) -> Any:
    """What comes back on a problem, as it is."""
    operands: dict[str, Any] = {name: np.array(a) for name, a in problem.operands.items()}
    if quantity == "y":
        del operands["delta"]
    values = reading.values(problem.geometry, **operands)
    ask = reading.way.forward if quantity == "y" else reading.way.backward
    return tried(lambda: ask(values), TIME_LIMIT)


def to_read(clause: str) -> str:
    """Where the clause is written."""
    known = REGISTRY[clause]
    return f"To read: `conformance spec {clause}`: {known.text}."
