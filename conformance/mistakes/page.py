"""Text on a page: arrays as small matrices, sums with their terms aligned.

An element is named by its indices, counted from 0; those of an axis of batch, channels or maps that has one entry are
left out, so that the second column of a lonely 2x2 kernel's first row is ``w[0,1]``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.localise.looks import axis_names
from conformance.mistakes.terms import Factor, Sum, Term
from conformance.problem import Geometry

__all__ = ["Names", "WIDTH", "aligned", "beside", "matrices", "shown"]

Floats = NDArray[np.float64]
Index = tuple[int, ...]
Block = list[str]

WIDTH = 100
"""Columns of a page."""
MOST_BLOCKS = 6
"""Matrices of one array that are shown."""
MOST_LINES = 16
"""Rows and columns of a matrix that are shown."""
MOST_TERMS = 8
"""Terms of a sum that are shown."""

_LIKE = {"x": "dx", "w": "dw", "b": "db", "delta": "y"}


def shown(value: float) -> str:
    """A number in nine digits; integers without a point."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.9g}"


@dataclass(frozen=True, kw_only=True)
class Names:
    """What elements are called in one geometry."""

    g: Geometry

    def element(self, name: str, index: Sequence[int]) -> str:
        """``dx[0,1]``; ``b`` where there is one map."""
        kept = [i for i, keep in zip(index, self._kept(name, len(index)), strict=True) if keep]
        return f"{name}[{','.join(map(str, kept))}]" if kept else name

    def legend(self, names: Iterable[str]) -> str:
        """Which index is which."""
        axes = {name: axis_names(self.g, _LIKE.get(name, name)) for name in names}
        said = (
            f"{name}[{', '.join(itertools.compress(a, self._kept(name, len(a))))}]" for name, a in axes.items()
        )
        return f"Indices count from 0: {', '.join(said).replace('[]', '')}."

    def term(self, term: Term, *, weight: float) -> str:
        """The elements of a product, with what it counts beyond `weight`."""
        more = [] if term.weight == weight else [shown(term.weight / weight)]
        return "*".join([*more, *(self.element(f.name, f.index) for f in term.factors)])

    def _kept(self, name: str, count: int) -> list[bool]:
        shape = self.g.shape_of(name.rstrip("'")) or ()
        lonely = 1 if name.rstrip("'") in ("b", "db") else 2
        return [axis >= lonely or shape[axis] != 1 for axis in range(count)]


# ---- arrays ----
def matrices(
    names: Names, name: str, values: Floats, *, marked: NDArray[Any] | None = None, focus: Iterable[Index] = ()
) -> list[tuple[Index, Block]]:
    """Each matrix of an array (its last axes), under its leading indices; those of `focus` first.

    marked: mask of places that get a ``*``.  A matrix that is too large is cut to what is in focus.
    """
    plane = 1 if name.rstrip("'") in ("b", "db") and values.ndim == 1 else min(values.ndim, 2 if names.g.rank > 1 else 1)
    places = list(focus)
    leading = list(np.ndindex(values.shape[: values.ndim - plane]))
    wanted = {at[: values.ndim - plane] for at in places}
    chosen = sorted(sorted(leading, key=lambda at: at not in wanted)[:MOST_BLOCKS])
    blocks = []
    for at in chosen:
        inside = [p[len(at) :] for p in places if p[: len(at)] == at]
        title = names.element(name, at) if at else name
        blocks.append((at, _matrix(title, values[at], None if marked is None else marked[at], inside)))
    return blocks


def _matrix(title: str, values: Floats, marked: NDArray[Any] | None, inside: list[Index]) -> Block:
    spans = [_span(n, [p[axis] for p in inside]) for axis, n in enumerate(values.shape)]
    cut = [
        f"{what} {s.start}-{s.stop - 1} of {n}"
        for s, n, what in zip(spans, values.shape, ("rows", "columns")[-values.ndim :], strict=True)
        if s.stop - s.start < n
    ]
    rows = np.atleast_2d(values[tuple(spans)])
    stars = np.zeros(rows.shape, bool) if marked is None else np.atleast_2d(marked[tuple(spans)])
    cells = [[shown(v) + ("*" if s else " ") for v, s in zip(r, m, strict=True)] for r, m in zip(rows, stars, strict=True)]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return [
        f"{title}{' (' + ', '.join(cut) + ')' if cut else ''}",
        *("  " + " ".join(cell.rjust(width) for cell in row).rstrip() for row in cells),
    ]


def _span(n: int, inside: list[int]) -> slice:
    """Where a matrix is cut: what is in focus, and something around it."""
    first = max(0, min(min(inside, default=0) - 2, n - MOST_LINES))
    return slice(first, min(n, first + MOST_LINES))


def beside(blocks: Sequence[Block], *, gap: int = 4) -> list[str]:
    """Blocks next to one another, as many as a line holds; then the next line of them."""
    lines: list[str] = []
    for row in _rows(blocks, gap):
        widths = [max(map(len, block)) for block in row]
        height = max(map(len, row))
        padded = [[*block, *[""] * (height - len(block))] for block in row]
        for parts in zip(*padded, strict=True):
            lines.append((" " * gap).join(p.ljust(w) for p, w in zip(parts, widths, strict=True)).rstrip())
        lines.append("")
    return lines[:-1]


def _rows(blocks: Sequence[Block], gap: int) -> Iterator[list[Block]]:
    row: list[Block] = []
    for block in blocks:
        if row and sum(max(map(len, b)) + gap for b in [*row, block]) - gap > WIDTH:
            yield row
            row = []
        row.append(block)
    if row:
        yield row
