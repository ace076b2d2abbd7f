"""Step by step: what a layer computes, in the order in which its parts rest on one another.

Each step asks a few clauses on small integer problems, from one image and one kernel to batches, channels, strides and
padding.  The first step that is broken is the last one that is looked at: what follows would only repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status
from conformance.engine.runner import judge
from conformance.learner.reading import Reading
from conformance.problem import Geometry, Problem
from conformance.spec import REGISTRY

__all__ = ["STEPS", "Step", "Walked", "ladder", "offered", "walk"]

LADDER = (
    "i3x3 k2x2", "i4x4 k3x3", "i5x4 k2x3", "c2 i4x5 k2x2", "m3 i4x5 k2x2", "n2 i4x4 k3x3", "n2 c3 m4 i5x6 k3x2",
    "i5x5 k3x3 s2", "i6x6 k3x3 s2", "i7x8 k2x2 s3", "n2 c2 m3 i7x6 k3x2 s2",
    "i4x4 k3x3 p1", "i3x3 k2x2 p1", "n2 c2 m3 i5x4 k3x3 p2", "n2 c2 m3 i6x7 k3x2 s2 p1",
)  # fmt: skip
"""Geometries, from one image, one channel and one kernel upwards."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """quantity: what is looked at.  clauses: what it has to do, the size first.  biased: with a bias?"""

    name: str
    quantity: str
    clauses: tuple[str, ...]
    biased: bool = False

    @property
    def title(self) -> str:
        return self.name if self.quantity == "y" else f"{self.name} ({self.quantity})"


STEPS = (
    Step(name="shape", quantity="y", clauses=("FWD-2",)),
    Step(name="forward", quantity="y", clauses=("FWD-1",)),
    Step(name="bias", quantity="y", clauses=("FWD-2", "FWD-1"), biased=True),
    Step(name="delta", quantity="dx", clauses=("DEL-2", "DEL-1")),
    Step(name="weight gradient", quantity="dw", clauses=("WGT-2", "WGT-1")),
    Step(name="bias gradient", quantity="db", clauses=("BIA-1", "BIA-2"), biased=True),
)


@dataclass(frozen=True, kw_only=True)
class Walked:
    """A step that was made: on how many problems, and the judgement that broke it, if one did."""

    step: Step
    problems: int
    broken: Judgement | None = None


def ladder(reading: Reading, *, biased: bool) -> list[Problem]:
    """The problems of a step, brought to what the code takes."""
    bias = reading.bias if biased else "none"
    made = [Problem.parse(f"{line} bias={bias} seed={k}") for k, line in enumerate(LADDER, start=1)]
    near = [reading.limits.problem(problem, reading.dtype) for problem in made]
    unlike: dict[Geometry, Problem] = {}
    for problem in near:
        if problem is not None:
            unlike.setdefault(problem.geometry, problem)
    return list(unlike.values())


def walk(session: Session, reading: Reading) -> Iterator[Walked]:
    """The steps up to the first one that is broken."""
    for step in offered(reading):
        problems = ladder(reading, biased=step.biased)
        broken = next(_broken(session, step, problems), None)
        yield Walked(step=step, problems=len(problems), broken=broken)
        if broken is not None:
            return


def offered(reading: Reading) -> Iterator[Step]:
    """The steps of what it computes."""
    for step in STEPS:
        if (step.quantity in ("y", *reading.gradients)) and (reading.b is not None or not step.biased):
            yield step


def _broken(session: Session, step: Step, problems: list[Problem]) -> Iterator[Judgement]:
    clauses = [REGISTRY[id_] for id_ in step.clauses]
    for problem in problems:
        for judgement in judge(session, problem, f"step {step.name}", clauses):
            if judgement.status.failed or judgement.status is Status.BROKEN_ADAPTER:
                yield judgement
