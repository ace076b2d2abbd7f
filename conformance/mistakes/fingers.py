"""Counting on fingers: an element's right sum over the one that was computed, term under term.

dx[0,1] should be delta[0,0]*w[0,1] + delta[0,1]*w[0,0] = 3*2 + 5*1 = 11
got               delta[0,0]*w[1,0] + delta[0,1]*w[1,1] = 3*4 + 5*7 = 47

Short sums take a line each; of longer ones each term does, and those in the middle are added up.  A ``~`` stands where
the digits that are shown are not the whole number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.mistakes.page import WIDTH, Block, Names, apart, beside, shown
from conformance.mistakes.terms import Sum, Term
from conformance.problem import DType

__all__ = ["Told", "counted"]

MOST_TERMS = 8
"""Terms of a sum that are shown."""

Row = tuple[Term | None, ...]
"""A term of each sum; None where a sum has none that belongs there."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A sum to be told: what leads it, and what it is in the format in which it is stored."""

    head: str
    sum: Sum
    stored: float


def counted(names: Names, told: Sequence[Told], format_: DType) -> list[str]:
    """One or two sums, the right one first."""
    rows = _paired([t.sum.terms for t in told])
    sides = [_Side(t, [row[k] for row in rows], names, format_) for k, t in enumerate(told)]
    lines = _in_lines(sides)
    if len(rows) <= MOST_TERMS and max(map(len, lines)) <= WIDTH:
        return lines
    spans = list(_spans(rows))
    return beside([side.column(spans) for side in sides])


class _Side:
    """One sum beside another: terms that belong together have the same place."""

    def __init__(self, told: Told, terms: list[Term | None], names: Names, format_: DType) -> None:
        self.told, self.terms, self._format = told, terms, format_
        weights = {t.weight for t in terms if t}
        self._weight = (
            weights.pop() if len(weights) == 1 else 1.0
        )  # what all terms count alike is told once, behind
        self.symbols = ["" if t is None else names.term(t, weight=self._weight) for t in terms]
        self.numbers = ["" if t is None else self._number(t) for t in terms]

    def _number(self, t: Term) -> str:
        more = [] if t.weight == self._weight else [t.weight / self._weight]
        return "*".join(_bracketed(v) for v in (*more, *(f.value for f in t.factors)))

    def _plain(self, terms: Sequence[Term | None]) -> float:
        """What terms add up to, before what all of them count."""
        return math.fsum(t.product * (t.weight / self._weight) for t in terms if t)

    def equals(self, terms: Sequence[Term | None]) -> str:
        values = [v for t in terms if t for v in (t.weight / self._weight, *(f.value for f in t.factors))]
        return "=" if all(float(shown(v)) == v for v in (*values, self._plain(terms))) else "~"

    def result(self) -> str:
        """What the terms add up to, and what was done to that."""
        sum_ = self.told.sum
        steps = [shown(self._plain(self.terms)) if any(self.terms) else "0 (no product)"]
        if self._weight != 1:
            steps.append(f"{_scaled(self._weight)} {shown(self._plain(self.terms) * self._weight)}")
        if sum_.constant:
            steps.append(f"with {shown(sum_.constant)} added {shown(sum_.value)}")
        if not sum_.whole:
            steps.append(f"which became {shown(sum_.total)}")
        if self.told.stored != sum_.total:
            steps.append(f"in {self._format.name} {apart(self.told.stored, sum_.total)}")
        return ", ".join(steps)

    def column(self, spans: Sequence[slice]) -> Block:
        """A line a term; several in a span are added up."""
        cells = [self._cells(span) for span in spans]
        cells.append(("", "sum" if any(self.terms) else "", self.equals(self.terms), self.result()))
        symbols, numbers = (max(len(row[k]) for row in cells) for k in (0, 1))
        products = max((len(row[3]) for row in cells[:-1]), default=0)
        lines, plus = [self.told.head], " "
        for symbol, number, equals, product in cells:
            sign = plus if symbol else " "
            lines.append(
                f"  {sign} {symbol:{symbols}}  {number:>{numbers}} {equals} {product:>{products}}".rstrip()
            )
            plus = "+" if symbol else plus
        return lines

    def _cells(self, span: slice) -> tuple[str, str, str, str]:
        """The elements, their values, ``=``, their product."""
        terms = [t for t in self.terms[span] if t]
        if not terms:
            return "", "", "", ""
        one = span.stop - span.start == 1
        symbol = self.symbols[span.start] if one else f"... {len(terms)} more"
        return symbol, self.numbers[span.start] if one else "", self.equals(terms), shown(self._plain(terms))


# ---- what stands beside what ----
def _paired(sums: Sequence[Sequence[Term]]) -> list[Row]:
    """Rows of terms that belong together: of the same elements, or else of one element in common."""
    if len(sums) == 1:
        return [(t,) for t in sums[0]]
    right, left = sums[0], list(sums[1])
    met: dict[int, Term] = {}
    for shared in (_elements, lambda t: _elements(t)[:1], lambda t: _elements(t)[1:]):
        for k, t in enumerate(right):
            mate = next((other for other in left if shared(t) and shared(other) == shared(t)), None)
            if k not in met and mate:
                met[k] = mate
                left.remove(mate)
    return [(t, met.get(k)) for k, t in enumerate(right)] + [(None, t) for t in left]


def _elements(t: Term) -> list[tuple[str, tuple[int, ...]]]:
    return [(f.name.rstrip("'"), f.index) for f in t.factors]


def _spans(rows: list[Row]) -> Iterator[slice]:
    """Rows to be shown, one by one, and runs of those that are left out: what is alike goes first, from the middle."""
    order = sorted(range(len(rows)), key=lambda k: (_alike(rows[k]), min(k, len(rows) - 1 - k)))
    chosen = set(order if len(rows) <= MOST_TERMS else order[:MOST_TERMS])
    for shown_, run in itertools.groupby(range(len(rows)), key=lambda k: k in chosen):
        ks = list(run)
        yield from (slice(k, k + 1) for k in ks) if shown_ else [slice(ks[0], ks[-1] + 1)]


def _alike(row: Row) -> bool:
    return len({t and (t.factors, t.weight) for t in row}) == 1


def _in_lines(sides: Sequence[_Side]) -> list[str]:
    """A line a sum, places aligned."""
    head = max(len(side.told.head) for side in sides)
    lines = []
    for side in sides:
        told = [side.told.head.ljust(head)]
        if any(side.terms):
            equals = side.equals(side.terms)
            told += [_joined([s.symbols for s in sides], side.symbols), equals]
            numbers = _joined([s.numbers for s in sides], side.numbers)
            told += [numbers, equals] if numbers.strip() != side.result() else []
        lines.append(" ".join([*told, side.result()]))
    return lines


def _joined(all_cells: Sequence[list[str]], cells: list[str]) -> str:
    """Cells with plus signs between them, each as wide as the widest in its place."""
    text = ""
    for k, cell in enumerate(cells):
        width = max(len(other[k]) for other in all_cells)
        text += (" + " if cell and text.strip() else "   " if k else "") + cell.ljust(width)
    return text


# ---- numbers ----
def _bracketed(value: float) -> str:
    return f"({shown(value)})" if value < 0 else shown(value)


def _scaled(weight: float) -> str:
    by = 1 / weight
    return f"divided by {shown(by)}:" if by == int(by) and by > 1 else f"times {shown(weight)}:"
