"""The small integer problems on which readings are tried, what is right on them, and how near a result comes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import GeometryError
from conformance.learner.forms import reduced
from conformance.learner.limits import PADDINGS
from conformance.learner.reading import Reading
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry, Problem
from conformance.problem.geometry import CONVENTIONS

__all__ = [
    "CORRELATION", "PLAIN", "PROBES", "Meant", "expected", "fitting", "meanings", "meant", "near", "operands_of", "padded",
    "problem_of",
]  # fmt: skip

Array = NDArray[Any]

PLAIN = Geometry(batch=2, channels=4, maps=5, size=(8, 9), kernel=(3, 3))
"""No two axes of x, w and y that could be taken for one another have one size."""

PROBES = (
    PLAIN,
    replace(PLAIN, size=(8, 8)),
    replace(PLAIN, batch=1, size=(8, 8)),
    replace(PLAIN, batch=1, maps=1, size=(8, 8)),
    replace(PLAIN, batch=1, channels=1, size=(8, 8)),
    replace(PLAIN, batch=1, channels=1, maps=1, size=(8, 8)),
)
"""From the one that tells most to the one that is easiest to get right."""


@dataclass(frozen=True, kw_only=True)
class Meant:
    """What y may be meant to be: a convention, and what is always padded."""

    convention: str
    always: str


CORRELATION = Meant(convention="correlation", always="none")


def meanings() -> Iterator[Meant]:
    """All of them, the usual ones first: with stride 1 and an odd kernel, one padding stands for all that keep the size."""
    for always in ("none", "half", "full"):
        for convention in CONVENTIONS:
            yield Meant(convention=convention, always=always)


def padded(g: Geometry, always: str) -> Geometry:
    """The geometry with what is always padded; as it is, if that is nothing."""
    if always == "none":
        return g
    rule = PADDINGS[always]
    return replace(g, padding=tuple(rule(*axis) for axis in zip(g.size, g.kernel, g.stride, strict=True)))


@functools.lru_cache(maxsize=256)
def problem_of(g: Geometry) -> Problem:
    """The data of a probe."""
    return Problem(geometry=g, seed=1)


def operands_of(g: Geometry) -> dict[str, Any]:
    """Copies of x, w, b and delta, which may be written to."""
    return {name: np.array(a) for name, a in problem_of(g).operands.items()}


def meant(reading: Reading, probe: Geometry) -> Geometry:
    """The probe as a reading understands it."""
    limits = reading.limits
    g = replace(reduced(probe, reading.x, reading.w), **dict(limits.fixed))
    return replace(padded(g, limits.always), convention=limits.convention, bias=reading.bias)


@functools.lru_cache(maxsize=64)
def expected(g: Geometry) -> dict[str, Any]:
    """y, dx, dw and db."""
    results = Layer.of(g, problem_of(g).operands)
    return {q: getattr(results, q) for q in ("y", "dx", "dw", "db")}


def near(got: Array | None, right: Array) -> float:
    """3: the same integers.  1 to 2: the shape is right, and so is this share of the elements.  Less: the shape is wrong."""
    if got is None:
        return 0.0
    if got.shape != right.shape:
        return 0.5 if got.ndim == right.ndim else 0.1
    share = float(np.mean(np.rint(got.astype(np.float64)) == right)) if right.size else 1.0
    return 3.0 if share == 1 else 1 + share


def fitting(g: Geometry, **changes: Any) -> Geometry | None:
    """The geometry, changed; None if it is impossible."""
    try:
        return replace(g, **changes)
    except GeometryError:
        return None
