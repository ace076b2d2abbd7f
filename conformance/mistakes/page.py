"""Text on a page: arrays as small matrices, sums with their terms aligned.

An element is named by its indices, counted from 0; those of an axis of batch, channels or maps that has one entry are
left out, so that the second column of a lonely 2x2 kernel's first row is ``w[0,1]``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.localise.looks import axis_names
from conformance.mistakes.terms import Term
from conformance.problem import Geometry

__all__ = ["WIDTH", "Block", "Names", "apart", "beside", "matrices", "matrix", "shown"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = tuple[int, ...]
Block = list[str]

WIDTH = 100
"""Columns of a page."""
MOST_BLOCKS = 6
"""Matrices of one array that are shown."""
MOST_LINES = 16
"""Rows and columns of a matrix that are shown."""

_LIKE = {"x": "dx", "w": "dw", "b": "db", "delta": "y"}
"""The results that have the axes of an operand."""


def _unprimed(name: str) -> str:
    """Whose axes an array has; a bias that a mistake made of another is one as y sees it."""
    return "y" if name == "b'" else name.rstrip("'")


def shown(value: float) -> str:
    """A number in nine digits; integers without a point."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.9g}"


def apart(value: float, other: float) -> str:
    """A number, in all its digits where nine are those of the other one."""
    return shown(value) if shown(value) != shown(other) else repr(value)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What elements are called in one geometry."""

    g: Geometry

    def element(self, name: str, index: Sequence[int]) -> str:
        """``dx[0,1]``; ``b`` where there is one map."""
        kept = [i for i, keep in zip(index, self._kept(name, len(index)), strict=True) if keep]
        return f"{name}[{','.join(map(str, kept))}]" if kept else name

    def legend(self, names: Sequence[str]) -> str:
        """Which index is which, and what a prime means."""
        said = []
        for name in names:
            like = _unprimed(name)
            axes = axis_names(self.g, _LIKE.get(like, like))
            kept = ", ".join(itertools.compress(axes, self._kept(name, len(axes))))
            said.append(f"{name}[{kept}]" if kept else name)
        primed = [f"{name} is what was used for {name[:-1]}" for name in names if name.endswith("'")]
        return "; ".join([f"Indices count from 0: {', '.join(said)}", *primed]) + "."

    def term(self, term: Term, *, weight: float = 1.0) -> str:
        """The elements of a product, with what it counts beyond `weight`."""
        more = [] if term.weight == weight else [shown(term.weight / weight)]
        return "*".join([*more, *(self.element(f.name, f.index) for f in term.factors)])

    def _kept(self, name: str, count: int) -> list[bool]:
        like = _unprimed(name)
        shape, lonely = self.g.shape_of(like) or (), 1 if like in ("b", "db") else 2
        return [axis >= lonely or shape[axis] != 1 for axis in range(count)]


# ---- arrays ----
def matrices(
    names: Names,
    name: str,
    values: Floats,
    *,
    focus: Sequence[Index] = (),
    marked: Mask | None = None,
    stars: bool = True,
) -> list[Block]:
    """The matrices of an array (its last axes), each under its leading indices; if there are many, what matters.

    focus: places that have to be seen.  marked: mask of places that matter; `stars`: they get one.
    """
    before = values.ndim - min(values.ndim, 2 if names.g.rank > 1 and values.ndim > 1 else 1)
    places = [*focus, *([] if marked is None else map(tuple, np.argwhere(marked).tolist()))]
    matters = {at[:before] for at in places}
    leading = sorted(np.ndindex(values.shape[:before]), key=lambda at: at not in matters)
    blocks = []
    for at in sorted(leading[:MOST_BLOCKS]):
        inside = [place[before:] for place in focus if place[:before] == at]
        stars_at = marked[at] if marked is not None and stars else np.zeros(values[at].shape, bool)
        blocks.append(_matrix(names.element(name, at), values[at], stars_at, inside))
    if len(leading) > MOST_BLOCKS:
        blocks.append([f"and {len(leading) - MOST_BLOCKS} more"])
    return blocks


def matrix(title: str, values: Floats) -> Block:
    """An array of whatever shape as one matrix."""
    rows = values.reshape(-1, values.shape[-1]) if values.size and values.ndim else values.reshape(1, -1)
    return _matrix(title, rows, np.zeros(rows.shape, bool), [])


def _matrix(title: str, values: Floats, stars: Mask, inside: Sequence[Index]) -> Block:
    width = max((len(shown(v)) for v in values.flat), default=0) + 1
    most = [MOST_LINES, max(1, min(MOST_LINES, (WIDTH - 2) // (width + 1)))][-values.ndim :]
    spans = [_span(n, [p[axis] for p in inside], most[axis]) for axis, n in enumerate(values.shape)]
    cut = [
        f"{what} {s.start}-{s.stop - 1} of {n}"
        for s, n, what in zip(spans, values.shape, ("rows", "columns")[-values.ndim :], strict=True)
        if s.stop - s.start < n
    ]
    kept, starred = (np.atleast_2d(a[tuple(spans)]).tolist() for a in (values, stars))
    cells = [
        [shown(v) + ("*" if s else " ") for v, s in zip(*row, strict=True)]
        for row in zip(kept, starred, strict=True)
    ]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return [
        f"{title}{' (' + ', '.join(cut) + ')' if cut else ''}",
        *("  " + " ".join(cell.rjust(width) for cell in row).rstrip() for row in cells),
    ]


def _span(n: int, inside: list[int], most: int) -> slice:
    """Where a matrix is cut: what is in focus, and something before it."""
    first = max(0, min(min(inside, default=0) - min(2, most - 1), n - most))
    return slice(first, min(n, first + most))


def beside(blocks: Iterable[Block], *, gap: int = 4) -> list[str]:
    """Blocks next to one another, as many as a line holds; then the next line of them."""
    lines: list[str] = []
    for row in _rows(blocks, gap):
        widths = [max(map(len, block)) for block in row]
        height = max(map(len, row))
        padded = [[*block, *[""] * (height - len(block))] for block in row]
        across = (
            [p.ljust(w) for p, w in zip(parts, widths, strict=True)] for parts in zip(*padded, strict=True)
        )
        lines += [(" " * gap).join(parts).rstrip() for parts in across] + [""]
    return lines[:-1]


def _rows(blocks: Iterable[Block], gap: int) -> Iterator[list[Block]]:
    row: list[Block] = []
    for block in blocks:
        if row and sum(max(map(len, b)) + gap for b in [*row, block]) - gap > WIDTH:
            yield row
            row = []
        row.append(block)
    if row:
        yield row
