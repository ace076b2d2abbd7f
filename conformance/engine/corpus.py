"""Named problems, one line each with its origin: what every run starts with.

``covering``  every pair of attribute classes (rank, dtype, stride, padding, ...): generated, see `covering`
``seed``      the post's own figures and every reader's case
``edges``     negative padding, axes with one position, counts beyond 256
``sizes``     sizes at which kernels are tiled and vectorised, one axis at a time
``layers``    convolution layers of real networks at their true sizes

A line is ``<id> <problem>``; the id, ``<set>/<name>`` or ``<network>/<layer>``, never changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import TypeVar

from conformance.errors import ConformanceError, HarnessError
from conformance.problem import Problem

__all__ = ["SETS", "Named", "corpus", "entries", "parse"]

P = TypeVar("P")

SETS = ("covering", "seed", "edges", "sizes", "layers")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A problem and where it comes from."""

    id: str
    problem: Problem


@functools.cache
def corpus(name: str) -> tuple[Named, ...]:
    """The problems of one set."""
    text = resources.files("conformance.engine").joinpath(f"corpus/{name}.txt").read_text(encoding="utf-8")
    return tuple(parse(text, f"{name}.txt"))


def parse(text: str, source: str) -> Iterator[Named]:
    """The problems of a corpus file of layers: see `entries`."""
    return (Named(id=id_, problem=problem) for id_, problem in entries(text, source, Problem.parse))


def entries(text: str, source: str, parsed: Callable[[str], P]) -> Iterator[tuple[str, P]]:
    """(id, problem) of each line of a corpus file; comments and empty lines are left out.

    Raises:
        HarnessError: a line that does not parse, or an id that stands twice.
    """
    met: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        id_, _, problem = entry.partition(" ")
        try:
            found = parsed(problem)
        except ConformanceError as error:
            raise HarnessError(f"{source}, line {number}: {error}") from error
        if id_ in met:
            raise HarnessError(f"{source}, line {number}: the id {id_!r} stands twice")
        met.add(id_)
        yield id_, found
