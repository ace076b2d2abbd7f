"""The hunt for false alarms: honest implementations, problems without end, and not one verdict against them.

A batch is one implementation and problems that Hypothesis draws from the batch's number: batches take turns through the
catalogue.  Each whole batch becomes one JSON line of the state file, and a hunt that was stopped goes on after the last.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from hypothesis import HealthCheck, Phase, given, seed, settings
from tabulate import tabulate

from conformance import Arithmetic
from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status
from conformance.engine.runner import judge
from conformance.engine.strategies import problems
from conformance.oracle import Grade
from conformance.oracle.arithmetic import PRECISION
from conformance.problem import Problem
from conformance.problem.fills import FILLS
from conformance.spec import REGISTRY, Severity, matching

from .adapters import Honest
from .catalogue import HONEST

__all__ = ["Tally", "asked", "declared", "hunt", "judged", "main"]

LARGEST = 1500
"""Multiplications of a forward pass."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """What became of a batch: number of judgements by status (and of grade SUSPICIOUS, and DECLARED), and its alarms.

    DECLARED: a recommendation that the implementation's own class says it does not follow.  nearest: the largest error in
    units of its bound that was no alarm.
    """

    batch: int
    size: int
    implementation: str
    counts: Mapping[str, int]
    nearest: float
    alarms: tuple[str, ...]

    @classmethod
    def of(cls, batch: int, size: int, implementation: Honest) -> Tally:
        """The batch of that number, judged."""
        counts: Counter[str] = Counter()
        alarms, nearest = [], 0.0
        implementation = implementation.variant(batch)
        for j in judged(implementation, asked(implementation, size, batch)):
            status = "DECLARED" if declared(j, implementation) else str(j.status)
            counts["judgements"] += 1
            counts[status] += 1
            counts["SUSPICIOUS"] += j.grade == Grade.SUSPICIOUS.name
            if status not in ("PASS", "WEAK", "DECLARED"):
                alarms.append(said(j))
            elif status != "DECLARED":
                nearest = max(nearest, j.error_over_bound)
        return cls(
            batch=batch,
            size=size,
            implementation=implementation.name,
            counts=dict(counts),
            nearest=nearest,
            alarms=tuple(alarms),
        )


def asked(implementation: Honest, count: int, number: int) -> list[Problem]:
    """`count` small problems that show what an implementation does; half of them on the fills in turn."""
    found: list[Problem] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(problems(implementation.focus, offered=lambda g, _: g.products <= LARGEST))
    def collect(problem: Problem) -> None:
        fill = problem.fill if len(found) % 2 else FILLS[(number + len(found) // 2) % len(FILLS)]
        found.append(problem.replace(fill=fill))

    collect()
    return list(dict.fromkeys(found))


def judged(implementation: Honest, of: list[Problem], only: str = "*") -> Iterator[Judgement]:
    """All judgements of the problems, by the clauses whose needs it offers."""
    session = Session(implementation, implementation.name)
    offered = session.capabilities.offered
    clauses = [c for c in matching(only) if set(c.needs) <= offered]
    for problem in of:
        yield from judge(session, problem, "given", clauses)


def declared(judgement: Judgement, implementation: Honest) -> bool:
    """Does the class that an implementation declares say that it does not follow the recommendation that failed?"""
    if judgement.status is not Status.FAIL or REGISTRY[judgement.clause].severity is not Severity.SHOULD:
        return False
    dtype = Problem.parse(judgement.problem).dtype
    classes = implementation.capabilities.arithmetic_of(dtype) or {}
    return judgement.clause == "NUM-3" and _narrow(classes[judgement.quantity], dtype)


def _narrow(arithmetic: Arithmetic, dtype: str) -> bool:
    """Does it round operands or sums to less than float32 (or the dtype), or not to nearest?"""
    formats = (arithmetic.accumulator or dtype, arithmetic.inputs, arithmetic.partial_sums)
    kept = min(PRECISION[f] for f in formats if f is not None)
    return kept < max(PRECISION["f32"], PRECISION[dtype]) or arithmetic.truncates


def said(j: Judgement) -> str:
    """An alarm in one line."""
    where = (
        f"{j.quantity}{list(j.index or ())}: {j.got} for {j.expected}, {j.error_over_bound:.3g} of the bound"
    )
    return f"{j.adapter} {j.clause} {j.status.value} {j.problem}  {where} {j.note}".rstrip()


# ---- the hunt ----


def hunt(judgements: int, *, size: int, state: Path | None) -> Iterator[Tally]:
    """Whole batches until there are so many judgements, those of the state file first."""
    ways, total, number = list(HONEST.values()), 0, 0
    for tally in _known(state, size):
        yield tally
        total, number = total + tally.counts["judgements"], tally.batch + 1
    while total < judgements:
        tally = Tally.of(number, size, ways[number % len(ways)])
        if state is not None:
            with state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(tally)) + "\n")
        yield tally
        total, number = total + tally.counts["judgements"], number + 1


def _known(state: Path | None, size: int) -> list[Tally]:
    """The whole batches of a state file; what was cut off in the middle of writing is cut out of it.

    Raises:
        ValueError: it is of a hunt with batches of another size, or another catalogue.
    """
    if state is None or not state.exists():
        return []
    whole = [line for line in state.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
    state.write_text("".join(whole), "utf-8")
    tallies = [Tally(**{**fields, "alarms": tuple(fields["alarms"])}) for fields in map(json.loads, whole)]
    names = list(HONEST)
    for number, tally in enumerate(tallies):
        if (tally.batch, tally.size, tally.implementation) != (number, size, names[number % len(names)]):
            raise ValueError(f"{state}: batch {number} is of another hunt; name another file")
    return tallies


COLUMNS = ("judgements", "PASS", "WEAK", "SUSPICIOUS", "DECLARED")


def table(tallies: list[Tally]) -> str:
    """One row an implementation."""
    rows: list[list[Any]] = []
    for name in HONEST:
        own = [t for t in tallies if t.implementation == name]
        counts: Counter[str] = sum((Counter(t.counts) for t in own), Counter())
        nearest = max((t.nearest for t in own), default=0.0)
        rows.append([name, *(counts[c] for c in COLUMNS), sum(len(t.alarms) for t in own), nearest])
    *numbers, nearest_ones = list(zip(*rows, strict=True))[1:]
    rows.append(["all", *map(sum, numbers), max(nearest_ones)])
    return tabulate(rows, headers=["implementation", *COLUMNS, "alarms", "nearest"], floatfmt=".2g")


@click.command()
@click.option("--judgements", default=200_000, show_default=True, help="Stop after so many.")
@click.option("--batch", default=50, show_default=True, help="Problems a batch.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Append batches to this file, and go on after its last."
)
def main(judgements: int, batch: int, state: Path | None) -> None:
    """Hunts for false alarms of the suite on honest implementations; exit code 1 if there is any."""
    tallies = []
    for tally in hunt(judgements, size=batch, state=state):
        tallies.append(tally)
        for alarm in tally.alarms:
            click.echo(alarm)
    click.echo(table(tallies))
    sys.exit(any(t.alarms for t in tallies))
