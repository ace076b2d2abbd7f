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
from conformance.adapter.probe.rounding import rounded
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
    """terms: by place.  exact: their sum.  got: what came back, in the format `out`."""

    terms: Mapping[int, float]
    exact: Fraction
    got: float
    out: str

    def once(self, mode: str = "nearest-even") -> float:
        """The exact sum, rounded once."""
        return float(rounded(self.exact, self.out, mode))

    @property
    def right(self) -> bool:
        return self.got == self.once()

    def __str__(self) -> str:
        """As a sum of powers of two, and what came back."""
        shown = [_power(v) for v in self.terms.values()]
        if len(shown) > 4:
            shown = [shown[0], f"{len(shown) - 1} x {shown[1]}"]
        return f"{' + '.join(shown)} came back as {self.got:.17g}"


def _power(v: float) -> str:
    mantissa, exponent = math.frexp(v)
    odd = Fraction(mantissa).numerator
    exponent -= Fraction(mantissa).denominator.bit_length() - 1
    power = "1" if exponent == 0 else f"2^{exponent}"
    return power if odd == 1 else f"-{power}" if odd == -1 else f"{odd} 2^{exponent}"


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
        results = bench.ask(g, **_operands(bench, g, quantity, {name: (sums[name], s) for name, s in asked.items()}))
        for name, (target, _) in asked.items():
            result = results[quantity]
            got[name] = Chain(
                terms=sums[name],
                exact=_exact(sums[name], _scale(bench.format)),
                got=float(result[target]),
                out=dtype_of(result.dtype).code,
            )
    return got


def _sums(dtype: DType, places: int) -> dict[str, dict[int, float]]:
    """Terms by place, as far as `places` reach.

    control           a sum that needs 24 bits (float64: 53) on its way, and no more
    grows, falls      one that is nearer to the next number than to T, if sums are rounded to nearest
    wide              a tie, unless the sum is kept in more bits than that
    chain             1 and as many u as there are places
    small operand, small operand grown, small result        subnormal numbers
    overflow          twice the largest number
    """
    kept = max(dtype.p, 24)
    tie = {1: TOP * dtype.u} if dtype.p < kept else {}
    beyond = kept + 4 if tie else 2 * kept + 2
    grows = {0: TOP, **tie, 2: 1.5 * TOP * 2.0**-kept}
    eta = dtype.smallest_subnormal
    sums = {
        "control": {0: TOP, **tie, 2: TOP * 2.0 ** (1 - kept)},
        "grows": grows,
        "falls": {k: -v for k, v in grows.items()},
        "wide": {0: TOP, 1: TOP * dtype.u, 2: TOP * 2.0**-beyond},
        "chain": {k: dtype.u if k else 1.0 for k in range(places) if k not in (SMALL, LARGE)},
        "small operand": {0: 3 * eta},
        "small operand grown": {LARGE: 3 * eta},
        "small result": {SMALL: 6 * (eta / _scale(dtype))},
        "overflow": {0: dtype.largest, 1: dtype.largest},
    }
    return {name: terms for name, terms in sums.items() if max(terms) < places}


def _scale(dtype: DType) -> float:
    """A power of two whose square is about the smallest subnormal number."""
    return float(2.0 ** (round(math.log2(dtype.smallest_subnormal)) // 2))


def _exact(terms: Mapping[int, float], scale: float) -> Fraction:
    factors = {SMALL: Fraction(scale), LARGE: 1 / Fraction(scale)}
    return sum((Fraction(v) * factors.get(k, 1) for k, v in terms.items()), Fraction(0))


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
    scale = _scale(bench.format)
    for terms, (_, places) in asked.values():
        for k, (at_own, at_other) in enumerate(places):
            own[at_own] = terms.get(k, 0.0)
            other[at_other] = {SMALL: scale, LARGE: 1 / scale}.get(k, 1.0)
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
