"""How far a NaN reaches: the results that read it, those that meet it through zeros written to memory, or more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench
from conformance.problem import Geometry
from conformance.spec.footprint import footprint

__all__ = ["footprints"]

Mask = NDArray[np.bool_]

LEVELS = ("reads only", "through zeros", "further", "swallowed")


def footprints(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """(quantity, value, evidence): how far a NaN in each operand reaches where there are borders, stride and dilation."""
    g = bench.geometry("borders")
    worst: dict[str, tuple[int, str]] = {}
    for operand in ("x", "w", "delta"):
        shape = g.shape_of(operand) or ()
        index = (0, 0, *((size // 2 if operand == "x" else 0) for size in shape[2:]))
        given: dict[str, Any] = {name: np.ones(g.shape_of(name) or ()) for name in ("x", "w", "delta")}
        given[operand][index] = np.nan
        masks = footprint(g, operand, index)
        for q, result in _both_ways(bench, g, given, operand).items():
            must, may = masks[q]
            got = np.isnan(result.astype(np.float64))
            seen = f"a NaN in {operand} at {index} reaches {_reached(got, must, may)} ({bench.line(g)})"
            worst[q] = max(worst.get(q, (-1, "")), (_level(got, must, may), seen), key=lambda w: w[0])
    for q, (level, seen) in worst.items():
        yield q, LEVELS[level], seen


def _level(got: Mask, must: Mask, may: Mask) -> int:
    """Index into LEVELS."""
    if (must & ~got).any():
        return 3
    return 2 if (got & ~may).any() else int((got & ~must).any())


def _reached(got: Mask, must: Mask, may: Mask) -> str:
    """The numbers of results, by how they meet it."""
    parts = [f"{int((got & must).sum())} of {int(must.sum())} results that read it"]
    through, further = int((got & may & ~must).sum()), int((got & ~may).sum())
    parts += [f"{through} of {int((may & ~must).sum())} that meet it through zeros"] if through else []
    parts += [f"{further} others"] if further else []
    return ", ".join(parts)


def _both_ways(bench: Bench, g: Geometry, given: dict[str, Any], operand: str) -> dict[str, Any]:
    """The results that the operand takes part in."""
    forward = {} if operand == "delta" else bench.ask(g, x=given["x"], w=given["w"])
    part = {"x": ("y", "dw"), "w": ("y", "dx"), "delta": ("dx", "dw", "db")}[operand]
    return {q: a for q, a in itertools.chain(forward.items(), bench.ask(g, **given).items()) if q in part}
