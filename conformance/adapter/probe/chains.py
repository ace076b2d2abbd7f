"""Sums of a few chosen terms: one element of a result, everything else zero.

Each row is such a sum, T + T u + ...; its terms stand in one operand, and the other is 1, but for one place where it is very
small and one where it is very large.  Rows are told apart by the map (for dx: by the channel), so one call serves many.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from conformance.adapter.probe.bench import Bench
from conformance.adapter.probe.rounding import digits, rounded
from conformance.oracle.definition import products
from conformance.problem import DType, Geometry, dtype_of
from conformance.spec import NotOffered

__all__ = ["TOP", "Chain", "chains"]

SMALL, LARGE = 3, 4
"""The places where the other operand is not 1."""

TOP = 2.0**14
"""The largest term T: with it, float16 holds T 2^-28 as well."""

Index = tuple[int, ...]
Spot = tuple[Index, list[tuple[Index, Index]]]
"""Where a sum comes back, and the (own, other) places of its terms, in order."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """terms: by place, each times its factor (1 where there is none).  got: what came back, in the format `out`."""

    terms: Mapping[int, float]
    factors: Mapping[int, float]
    got: float
    out: str

    @property
    def once(self) -> float:
        """The exact sum, rounded once."""
        products = (Fraction(v) * Fraction(self.factors.get(k, 1)) for k, v in self.terms.items())
        return float(rounded(sum(products, Fraction(0)), self.out))

    @property
    def right(self) -> bool:
        return self.got == self.once

    def __str__(self) -> str:
        """As a sum of powers of two, and what came back."""
        shown = [
            _power(v) + (f" * {_power(self.factors[k])}" if k in self.factors else "")
            for k, v in self.terms.items()
        ]
        if len(shown) > 4:
            shown = [shown[0], f"{len(shown) - 1} * {shown[1]}"]
        return f"{' + '.join(shown).replace('+ -', '- ')} came back as {digits(self.got, self.out)}"


def _power(v: float) -> str:
    """v as an odd integer times a power of two."""
    exact = Fraction(v)
    low = (exact.numerator & -exact.numerator).bit_length() - exact.denominator.bit_length()
    odd, power = int(exact / Fraction(2) ** low), "1" if low == 0 else f"2^{low}"
    return power if odd == 1 else f"-{power}" if odd == -1 else f"{odd} * {power}"


def chains(bench: Bench, quantity: str) -> dict[str, Chain]:
    """What came back for each of `_sums` for which there is room, by name.

    Raises what `Bench.ask` raises, and NotOffered where the quantity sums too few terms in every geometry.
    """
    g = _geometry(bench, quantity)
    spots = _spots(g, quantity)
    sums = _sums(bench.format, len(spots[0][1]))
    if quantity == "db":  # its terms have no factors
        sums = {name: terms for name, terms in sums.items() if not {SMALL, LARGE} & set(terms)}
    got: dict[str, Chain] = {}
    names = list(sums)
    for start in range(0, len(names), len(spots)):
        asked = dict(zip(names[start:], spots, strict=False))
        results = bench.ask(
            g, **_operands(bench, g, quantity, {name: (sums[name], s) for name, s in asked.items()})
        )
        for name, (target, _) in asked.items():
            result = results[quantity]
            got[name] = Chain(
                terms=sums[name],
                factors=_factors(bench.format),
                got=float(result[target]),
                out=dtype_of(result.dtype).code,
            )
    return got


def _sums(dtype: DType, places: int) -> dict[str, dict[int, float]]:
    """Terms by place, as far as `places` reach.

    one               T alone
    control           a sum that needs 24 bits (float64: 53) on its way, and no more
    grows, falls      one that is nearer to the next number than to T, if sums are rounded to nearest
    wide              a tie, unless the sum is kept in more bits than that
    chain             1 and as many u as there are places
    small operand, small operand grown, small result        subnormal numbers of two bits
    overflow          twice the largest number
    """
    kept = max(dtype.p, 24)
    tie = {1: TOP * dtype.u} if dtype.p < kept else {}
    beyond = kept + 4 if tie else 2 * kept + 2
    grows = {0: TOP, **tie, 2: 1.5 * TOP * 2.0**-kept}
    small = 0.75 * dtype.smallest_normal
    sums = {
        "one": {0: TOP},
        "control": {0: TOP, **tie, 2: TOP * 2.0 ** (1 - kept)},
        "grows": grows,
        "falls": {k: -v for k, v in grows.items()},
        "wide": {0: TOP, 1: TOP * dtype.u, 2: TOP * 2.0**-beyond},
        "chain": {k: dtype.u if k else 1.0 for k in range(places) if k not in (SMALL, LARGE)},
        "small operand": {0: small},
        "small operand grown": {LARGE: small},
        "small result": {SMALL: small / _scale(dtype)},
        "overflow": {0: dtype.largest, 1: dtype.largest},
    }
    return {name: terms for name, terms in sums.items() if max(terms) < places}


def _scale(dtype: DType) -> float:
    """A power of two whose square is about the smallest subnormal number."""
    return float(2.0 ** (round(math.log2(dtype.smallest_subnormal)) // 2))


def _factors(dtype: DType) -> dict[int, float]:
    """The other operand, by place, where it is not 1."""
    return {SMALL: _scale(dtype), LARGE: 1 / _scale(dtype)}


def _geometry(bench: Bench, quantity: str) -> Geometry:
    """The first in which sums have room for all places."""
    for kind in ("channels", "taps", "batch", "plane"):
        try:
            g = bench.geometry(kind)
        except NotOffered:
            continue
        if quantity in (() if g.bias == "none" and quantity == "db" else bench.quantities) and (
            len(_spots(g, quantity)[0][1]) > LARGE
        ):
            return g
    raise NotOffered(f"{quantity} sums fewer than {LARGE + 1} terms in all geometries that are offered")


_ROLES = {"y": ("w", "x"), "dx": ("w", "delta"), "dw": ("delta", "x"), "db": ("delta", "x")}
"""The operand that holds the terms, and the other."""


def _operands(
    bench: Bench, g: Geometry, quantity: str, asked: Mapping[str, tuple[Mapping[int, float], Spot]]
) -> dict[str, Any]:
    arrays = {name: np.zeros(g.shape_of(name) or ()) for name in _ROLES[quantity]}
    own, other = arrays.values()
    factors = _factors(bench.format)
    for terms, (_, places) in asked.values():
        for k, (at_own, at_other) in enumerate(places):
            own[at_own] = terms.get(k, 0.0)
            other[at_other] = factors.get(k, 1.0)
    return arrays


@functools.lru_cache(maxsize=64)
def _spots(g: Geometry, quantity: str) -> list[Spot]:
    """One for each map (dx: channel) of the first item, at the first position (tap; dx: in the middle)."""
    middle, first = tuple(size // 2 for size in g.size), (0,) * g.rank
    found: dict[Index, list[tuple[Index, Index]]] = {}
    for at_x, at_w, at_y in products(g):
        target, chosen, own, other = {
            "y": (at_y, at_y[0] == 0 and at_y[2:] == first, at_w, at_x),
            "dx": (at_x, at_x[0] == 0 and at_x[2:] == middle, at_w, at_y),
            "dw": (at_w, at_w[1:] == (0, *first), at_y, at_x),
            "db": (
                at_y[1:] if g.bias == "untied" else at_y[1:2],
                at_w[1:] == (0, *first) and (g.bias == "tied" or at_y[2:] == first),
                at_y,
                at_x,
            ),
        }[quantity]
        if chosen:
            found.setdefault(target, []).append((own, other))
    return list(found.items())
