"""Whatever class can be declared, taken at its word: whatever it lets an implementation round is rounded."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance import Arithmetic
from conformance.problem import DTYPES

from .adapters import ByProducts, Honest
from .formats import FORMATS, flushed, rounded, to_odd, toward_zero, two_sum

__all__ = ["AnyClass"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Worded:
    """Sums as a class says: (a, b, the dtype's code) -> sums.

    every: after so many additions the sum is stored as a partial sum.  turned: from the other end?  fused: are products
    added before they are rounded?
    """

    arithmetic: Arithmetic
    every: int
    turned: bool
    fused: bool

    def __call__(self, a: Floats, b: Floats, code: str) -> Floats:
        a, b = (self._read(factor, code) for factor in (a, b))
        products = a * b if self.fused else self._rounded(a * b, code)
        total = np.zeros(a.shape[1])
        for k, product in enumerate(products[:: -1 if self.turned else 1]):
            total = self._rounded(self._exact(product, total, code), code)
            total = self._kept(total, self.arithmetic.partial_sums) if k % self.every == 0 else total
        return self._kept(total, code)

    def _read(self, factor: Floats, code: str) -> Floats:
        factor = flushed(factor, code) if self.arithmetic.flushes else factor
        return self._kept(factor, self.arithmetic.inputs)

    def _exact(self, a: Floats, b: Floats, code: str) -> Floats:
        """a + b, such that rounding it rounds once; as float64 rounds it where that is the accumulator."""
        return a + b if self._accumulator(code) == "f64" else to_odd(*two_sum(a, b))

    def _rounded(self, values: Floats, code: str) -> Floats:
        kept = self._accumulator(code)
        if kept != "f64" and self.arithmetic.truncates:
            values = toward_zero(values, kept)
        return self._kept(values, kept)

    def _kept(self, values: Floats, format_: str | None) -> Floats:
        if format_ is None:
            return values
        values = rounded(values, format_)
        return flushed(values, format_) if self.arithmetic.flushes else values

    def _accumulator(self, code: str) -> str:
        return self.arithmetic.accumulator or code


class AnyClass(ByProducts):
    """For each dtype a class, drawn by number, and sums to its letter."""

    def __init__(self, number: int) -> None:
        chance = random.Random(number)
        ways = {code: _drawn(chance, code) for code in DTYPES}
        super().__init__(
            "any-class",
            "whatever class is drawn, to the letter",
            lambda a, b, code: ways[code](a, b, code),
            {code: way.arithmetic for code, way in ways.items()},
        )

    def variant(self, number: int) -> Honest:
        return AnyClass(number)


def _drawn(chance: random.Random, code: str) -> Worded:
    formats = (None, None, *FORMATS)
    return Worded(
        arithmetic=Arithmetic(
            accumulator=chance.choice(formats),
            inputs=chance.choice((None, *formats)),
            partial_sums=chance.choice((None, *formats)),
            truncates=chance.random() < 0.3,
            flushes=chance.random() < 0.3,
        ),
        every=chance.randint(1, 3),
        turned=chance.random() < 0.5,
        fused=code != "f64" and chance.random() < 0.5,
    )
