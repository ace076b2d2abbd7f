"""Two mistakes made together, in one implementation.

Two of layers, or two of optional operations, are two switches, one after the other.  Two of networks do different steps
otherwise; where both do one and the same, the second would only take the place of the first: they are no pair.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, overload

from conformance.mistakes.compound import begun
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.network import NetworkMistake
from conformance.mistakes.recipe import computing

__all__ = ["KINDS", "drawn_pairs", "pair", "pairs"]

KINDS = ("layers", "operations", "networks")
"""Where mistakes are made; both of a pair are of one kind."""

Either = Mistake | NetworkMistake
M = TypeVar("M", Mistake, NetworkMistake, Either)


def drawn_pairs(mistakes: Iterable[Either], count: int, *, seed: int) -> list[Either]:
    """`count` pairs, or all there are: equally many of each kind, while there are so many."""
    known = list(mistakes)
    kinds = [list(pairs(m for m in known if m.kind == kind)) for kind in KINDS]
    for of_kind in kinds:
        random.Random(seed).shuffle(of_kind)
    dealt = (two for turn in itertools.zip_longest(*kinds) for two in turn if two)
    return [pair(*two) for two in itertools.islice(dealt, count)]


def pairs(mistakes: Iterable[M]) -> Iterator[tuple[M, M]]:
    """Those of one kind that combine."""
    return ((a, b) for a, b in itertools.combinations(mistakes, 2) if _combine(a, b))


def _combine(a: Either, b: Either) -> bool:
    if isinstance(a, NetworkMistake) and isinstance(b, NetworkMistake):
        return not a.methods & b.methods
    return isinstance(a, Mistake) and isinstance(b, Mistake) and bool(a.switch and b.switch)


@overload
def pair(a: Mistake, b: Mistake) -> Mistake: ...
@overload
def pair(a: NetworkMistake, b: NetworkMistake) -> NetworkMistake: ...
@overload
def pair(a: Either, b: Either) -> Either: ...
def pair(a: Either, b: Either) -> Either:
    """Both in one implementation; a before b where they concern the same quantity.

    Raises:
        TypeError: one is made in networks, the other is not.
    """
    both: dict[str, Any] = {
        "name": f"{a.name} + {b.name}",
        "sentence": f"{a.sentence}; and {b.sentence}",
        "hint": f"{a.hint}; {b.hint}",
    }
    if isinstance(a, NetworkMistake) and isinstance(b, NetworkMistake):
        return NetworkMistake(**both, way=type(both["name"], (a.way, b.way), {}))
    if isinstance(a, Mistake) and isinstance(b, Mistake):
        return _switched(a, b, both)
    raise TypeError(f"{a.name} is made in {a.kind}, {b.name} in {b.kind}")


def _switched(a: Mistake, b: Mistake, both: dict[str, Any]) -> Mistake:
    def switch(made: Any) -> Any:
        for m in (a, b):
            made = m.switch(made) if m.switch and made.quantity in m.quantities else made
        return made

    quantities = tuple(dict.fromkeys(a.quantities + b.quantities))
    return Mistake(**both, quantities=quantities, compute=computing(switch, start=begun), switch=switch)
