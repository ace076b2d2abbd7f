"""A result written out: the products of which one element is the sum, as a `Recipe` adds them up.

Which operands meet stands in the recipe's relations.  What its switches did to operands (transposed, halved, one map for
all) and to the sum (a mean, rows exchanged) are functions; they are probed with arrays that hold a single one.  If that
reproduces what the function did to the data themselves, every term can be told in the operands as they were given;
else the operand is written with a prime (``delta'``), or the sum with what became of it.

>>> from conformance.mistakes.recipe import recipe
>>> from conformance.problem import Problem
>>> p = Problem.parse("i1x3 k1x2 bias=none seed=18")
>>> [str(t) for t in written(recipe(p.geometry, p.operands, "dx"), (0, 0, 0, 1)).terms]
['delta[0, 0, 0, 0]*w[0, 0, 0, 1]', 'delta[0, 0, 0, 1]*w[0, 0, 0, 0]']
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch

__all__ = ["Factor", "Sum", "Term", "made_by", "written"]

Index = tuple[int, ...]
Weighted = list[tuple[float, "Factor"]]

MOST_PROBES = 4096
"""Elements of an array beyond which a function of it is not probed."""
ROUNDED = 2.0**-44
"""What sums of fewer than 2^8 parts, each rounded in float64, may be off; relative to the parts."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """An element of an operand; a name with a prime is what a mistake made of that operand."""

    name: str
    index: Index
    value: float

    def __str__(self) -> str:
        return f"{self.name}{list(self.index)}"


@dataclass(frozen=True, kw_only=True)
class Term:
    """A product of one or two operands' elements, counted `weight` times."""

    factors: tuple[Factor, ...]
    weight: float = 1.0

    @property
    def product(self) -> float:
        """What it is, counted once."""
        return math.prod(f.value for f in self.factors)

    @property
    def value(self) -> float:
        return self.weight * self.product

    def __str__(self) -> str:
        return "*".join(map(str, self.factors))


@dataclass(frozen=True, kw_only=True)
class Sum:
    """An element of a result: terms and a constant.

    total: what the element is; where terms and constant do not make it up, a step that is no sum made it of them.
    """

    terms: tuple[Term, ...]
    constant: float
    total: float

    @property
    def value(self) -> float:
        return math.fsum([*(t.value for t in self.terms), self.constant])

    @property
    def whole(self) -> bool:
        """Do the terms make up all of it, but for the rounding of weights such as 1/3?"""
        return _close(self.value, self.total, [t.value for t in self.terms])


def made_by(start: Recipe, switches: Iterable[Switch]) -> Recipe:
    """The recipe after all switches."""
    return functools.reduce(lambda made, switch: switch(made), switches, start)


def written(start: Recipe, index: Index, switches: Sequence[Switch] = ()) -> Sum:
    """The element at `index` of what a recipe with these switches computes.

    start: the right recipe, which knows the operands as they were given.
    """
    made = made_by(start, switches)
    final = made.result()
    weights, constant = _through_finish(made, index, final)
    operands = _Operands(start, made, switches)
    merged: dict[tuple[Factor, ...], float] = {}
    for element, weight in weights.items():
        for count, names in _PRODUCTS[made.quantity](made, element):
            for chosen in itertools.product(*(operands.at(name, at) for name, at in names)):
                factors = tuple(factor for _, factor in chosen)
                more = weight * count * math.prod(w for w, _ in chosen)
                merged[factors] = merged.get(factors, 0.0) + more
    terms = tuple(Term(factors=factors, weight=w) for factors, w in merged.items() if w)
    return Sum(terms=terms, constant=constant, total=float(final[index]))


# ---- what became of the sum ----
def _through_finish(made: Recipe, index: Index, final: Floats) -> tuple[dict[Index, float], float]:
    """({element of the plain sum: its weight in the final element}, what is added to it).

    If the steps are not linear: the plain element itself.
    """
    plain = made.replace(finish=()).result()
    if not made.finish:
        return {index: 1.0}, 0.0

    def finished(values: Floats) -> float:
        return float(functools.reduce(lambda out, step: step(out), made.finish, values)[index])

    if plain.size <= MOST_PROBES:
        constant = finished(np.zeros(plain.shape))
        weights = {j: w for j, unit in _units(plain.shape) if (w := finished(unit) - constant)}
        parts = [w * plain[j] for j, w in weights.items()]
        if _close(math.fsum([*parts, constant]), float(final[index]), parts):
            return weights, constant
    return ({index: 1.0} if _inside(index, plain.shape) else {}), 0.0


# ---- which operands meet ----
Named = tuple[tuple[str, Index], ...]


def _products_y(r: Recipe, at: Index) -> Iterator[tuple[float, Named]]:
    n, m, *o = at
    for count, ((nx, _), (_, k, c), *axes) in _meeting(r, {1: n}, {0: m}, [{0: a} for a in o]):
        yield count, (("x", (nx, c, *(i for _, _, i in axes))), ("w", (m, k, *(t for _, t, _ in axes))))
    if r.g.bias != "none":
        yield 1.0, (("bias", at),)


def _products_dx(r: Recipe, at: Index) -> Iterator[tuple[float, Named]]:
    n, c, *i = at
    for count, ((_, ny), (m, k, _), *axes) in _meeting(r, {0: n}, {2: c}, [{2: a} for a in i]):
        yield count, (("delta", (ny, m, *(o for o, _, _ in axes))), ("w", (m, k, *(t for _, t, _ in axes))))


def _products_dw(r: Recipe, at: Index) -> Iterator[tuple[float, Named]]:
    m, k, *t = at
    for count, ((nx, ny), (_, _, c), *axes) in _meeting(r, {}, {0: m, 1: k}, [{1: a} for a in t]):
        yield count, (("x", (nx, c, *(i for _, _, i in axes))), ("delta", (ny, m, *(o for o, _, _ in axes))))


def _products_db(r: Recipe, at: Index) -> Iterator[tuple[float, Named]]:
    m, *o = at
    positions = [tuple(o)] if r.g.bias == "untied" else list(np.ndindex(r.delta.shape[2:]))
    for n, position in itertools.product(range(len(r.delta)), positions):
        yield 1.0, (("delta", (n, m, *position)),)


_PRODUCTS: dict[str, Callable[[Recipe, Index], Iterator[tuple[float, Named]]]] = {
    "y": _products_y,
    "dx": _products_dx,
    "dw": _products_dw,
    "db": _products_db,
}
"""(count, the elements that are multiplied) of each product in an element of the plain sum."""

Fixed = dict[int, int]


def _meeting(
    r: Recipe, item: Fixed, channel: Fixed, axes: list[Fixed]
) -> Iterator[tuple[float, tuple[Index, ...]]]:
    """(count, ((n of x, n of y), (m, k, c), (o, t, i) of each axis)) of all that meets, with some indices fixed."""
    relations = (r.items, r.channels, *r.axes)
    found = [_nonzero(a, fixed) for a, fixed in zip(relations, (item, channel, *axes), strict=True)]
    for chosen in itertools.product(*found):
        count = math.prod(a[at] for a, at in zip(relations, chosen, strict=True))
        yield float(count), chosen


def _nonzero(a: Floats, fixed: Fixed) -> list[Index]:
    at = np.argwhere(a)
    kept = at[np.all([at[:, axis] == value for axis, value in fixed.items()], axis=0)] if fixed else at
    return [tuple(row) for row in kept.tolist()]


# ---- what became of an operand ----
class _Operands:
    """From elements of the operands that a recipe uses to those that were given, each with its weight."""

    def __init__(self, start: Recipe, made: Recipe, switches: Sequence[Switch]) -> None:
        self._start, self._made, self._switches = start, made, switches
        self._known: dict[str, Callable[[Index], Weighted]] = {}

    def at(self, name: str, index: Index) -> Weighted:
        """What stands at an index of x, w, delta, or (by an index of y) of the bias."""
        if name not in self._known:
            self._known[name] = self._traced(name)
        return self._known[name](index)

    def _traced(self, name: str) -> Callable[[Index], Weighted]:
        given, used = (self._seen(name, getattr(r, name)) for r in (self._start, self._made))
        if given.shape == used.shape and np.array_equal(given, used, equal_nan=True):
            return lambda at: [(1.0, self._given(name, at))]
        rows = self._probed(name, used)
        if rows is None:
            shown = f"{_SHOWN.get(name, name)}'"
            return lambda at: [(1.0, Factor(name=shown, index=at, value=float(used[at])))]
        return lambda at: [(w, self._given(name, j)) for j, row in rows if (w := float(row[at]))]

    def _probed(self, name: str, used: Floats) -> list[tuple[Index, Floats]] | None:
        """What each element of the given operand alone becomes; None if the switches are not linear in it."""
        given: Floats = getattr(self._start, name)
        if given.size > MOST_PROBES // 4 or np.any(self._becomes(name, np.zeros(given.shape))):
            return None
        rows = [(j, self._becomes(name, unit)) for j, unit in _units(given.shape)]
        again = np.sum([given[j] * row for j, row in rows], axis=0)
        return rows if np.allclose(again, used, rtol=ROUNDED, atol=0) else None

    def _becomes(self, name: str, values: Floats) -> Floats:
        made = made_by(self._start.replace(**{name: values}), self._switches)
        return self._seen(name, getattr(made, name))

    def _seen(self, name: str, values: Floats) -> Floats:
        """The bias as y sees it."""
        return np.broadcast_to(values, self._made.g.y_shape) if name == "bias" else values

    def _given(self, name: str, at: Index) -> Factor:
        """An element of an operand as it was given; of the bias by an index of y, or of itself."""
        values: Floats = getattr(self._start, name)
        if name == "bias":
            at = at[-values.ndim :] if self._start.g.bias == "untied" else (at[-values.ndim],)
            values = values.reshape(values.shape[: len(at)])
        return Factor(name=_SHOWN.get(name, name), index=at, value=float(values[at]))


_SHOWN = {"bias": "b"}


def _units(shape: Index) -> Iterator[tuple[Index, Floats]]:
    """Arrays that hold a single one, and where."""
    for j in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[j] = 1.0
        yield j, unit


def _inside(index: Index, shape: Index) -> bool:
    return len(index) == len(shape) and all(i < n for i, n in zip(index, shape, strict=True))


def _close(a: float, b: float, parts: Sequence[float]) -> bool:
    """Equal, but for the rounding of a sum of these parts in float64."""
    return a == b or abs(a - b) <= ROUNDED * math.fsum(map(abs, [*parts, b]))
