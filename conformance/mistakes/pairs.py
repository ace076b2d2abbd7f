"""Two mistakes made together, in one implementation."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

from conformance.mistakes.mistake import Mistake
from conformance.mistakes.network import NetworkMistake
from conformance.mistakes.recipe import Recipe, computing

__all__ = ["drawn_pairs", "pair"]


def drawn_pairs(mistakes: Iterable[Mistake | NetworkMistake], count: int, *, seed: int) -> list[Mistake]:
    """`count` pairs of mistakes that are switches, or all if there are no more."""
    pairs = list(itertools.combinations([m for m in mistakes if isinstance(m, Mistake) and m.switch], 2))
    return [pair(a, b) for a, b in random.Random(seed).sample(pairs, min(count, len(pairs)))]


def pair(a: Mistake, b: Mistake) -> Mistake:
    """Both in one implementation; a before b where they concern the same quantity."""

    def switch(r: Recipe) -> Recipe:
        for m in (a, b):
            r = m.switch(r) if m.switch and r.quantity in m.quantities else r
        return r

    return Mistake(
        name=f"{a.name} + {b.name}",
        sentence=f"{a.sentence}; and {b.sentence}",
        hint=f"{a.hint}; {b.hint}",
        quantities=tuple(dict.fromkeys(a.quantities + b.quantities)),
        compute=computing(switch),
        switch=switch,
    )
