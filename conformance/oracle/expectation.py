"""What is right for one set of operands: exact value, n and S of every element, each computed when it is needed."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import bounds, transforms
from conformance.oracle.arithmetic import PRECISION, Arithmetic
from conformance.oracle.vectorised import Layer, counts
from conformance.problem import QUANTITIES, DType, Geometry, Operands

__all__ = ["Expectation", "Expected"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FACTORS = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("x", "delta"), "db": ("delta",)}


class Expectation:
    """The right results of one convolution in one dtype and arithmetic class: `expectation["dx"]` is an `Expected`.

    arithmetic: one class, or one a quantity.  quantum: the lattice of the operands (1 for integers); 0 if they are on
    none.  amplitude: a magnitude that no operand exceeds, if one is known.  independent: are the operands random mantissas
    and signs, so that roundings are independent (`Expected.probable`)?
    """

    def __init__(
        self,
        g: Geometry,
        operands: Operands,
        *,
        dtype: DType,
        arithmetic: Arithmetic | Mapping[str, Arithmetic],
        quantum: float,
        amplitude: float | None = None,
        independent: bool = False,
    ) -> None:
        self._amplitude, self.independent = amplitude, independent
        self.g, self.operands = g, operands
        self.dtype, self.quantum = dtype, quantum
        self.arithmetic = (
            dict.fromkeys(QUANTITIES, arithmetic) if isinstance(arithmetic, Arithmetic) else arithmetic
        )
        self.layer = Layer.of(g, operands)
        self._known: dict[str, Expected] = {}

    def __getitem__(self, quantity: str) -> Expected:
        """One of y, dx, dw, db."""
        if quantity not in self._known:
            self._known[quantity] = self._made(quantity)
        return self._known[quantity]

    def _made(self, quantity: str) -> Expected:
        return Expected(self, quantity)

    @functools.cached_property
    def largest(self) -> dict[str, float]:
        """The largest magnitude in each operand, or what it cannot exceed."""
        if self._amplitude is not None:
            return dict.fromkeys(("x", "w", "b", "delta"), self._amplitude)
        return {
            name: float(np.max(np.abs(a.astype(np.float64)), initial=0)) for name, a in self.operands.items()
        }

    @functools.cached_property
    def smallest(self) -> dict[str, float]:
        """The smallest magnitude other than zero in each operand."""
        return {name: _smallest(a.astype(np.float64)) for name, a in self.operands.items()}

    @functools.cached_property
    def dense(self) -> bool:
        """Is no element of x, w or delta zero?"""
        return all(np.all(a) for name, a in self.operands.items() if name != "b")

    @functools.cached_property
    def present(self) -> Layer:
        """The layer of ones where operands are not zero: its results count the products that matter."""
        o = self.operands
        b = None if o.b is None else o.b != 0
        return Layer(self.g, o.x != 0, o.w != 0, b, o.delta != 0)

    @functools.cached_property
    def magnitudes(self) -> Layer:
        return self.layer.magnitudes()


class Expected:
    """One quantity's right values."""

    def __init__(self, whole: Expectation, quantity: str) -> None:
        self.whole, self.quantity = whole, quantity
        self.arithmetic = whole.arithmetic[quantity]
        self.exact: Floats = getattr(whole.layer, quantity)
        self.n = counts(whole.g)[quantity]

    @functools.cached_property
    def s(self) -> Floats:
        """S, the sum of the magnitudes of the products, element by element; not below the true one."""
        magnitudes: Floats = getattr(self.whole.magnitudes, self.quantity)
        return magnitudes * (1 + self.n * 2.0**-51)

    @property
    def direct(self) -> bool:
        """Is it computed as plain sums, in whatever order?  A bias gradient always is."""
        return self.arithmetic.algorithm == "direct" or self.quantity == "db"

    @property
    def quantum(self) -> float:
        """The unit of which every value is a multiple."""
        return self.whole.quantum ** len(_FACTORS[self.quantity])

    @property
    def least(self) -> float:
        """The smallest product that is not zero."""
        return math.prod(self.whole.smallest[name] for name in _FACTORS[self.quantity])

    # ---- exact regimes ----
    @functools.cached_property
    def unrounded(self) -> bool:
        """Does every element lie in the exact regime: S <= 2^p units, so that no sum in any order can round?"""
        return bool(np.all(self.settled))

    @functools.cached_property
    def settled(self) -> Mask:
        """Where the result must be exact: S <= 2^p units, p the precision of the narrowest format on the way."""
        return self.within(self.precision)

    @functools.cached_property
    def rounded_once(self) -> Mask:
        """Where the result must be the exact value rounded once: no sum can round, however narrow the dtype is."""
        settled = self.within(self._kept)
        a, p = self.arithmetic, self.whole.dtype.p
        stored = (a.accumulator or self.whole.dtype.code, a.partial_sums)
        bits = [PRECISION[f] for f in stored if f is not None]
        whole = all(kept == p or kept >= 2 * p for kept in bits)  # rounded to the dtype, or exact until then
        if a.inputs is not None or a.truncates or not whole:
            return settled
        least, most = self._normal
        normal = (self.s == 0) | ((self.s >= least) & (self.s <= most))
        return np.asarray(settled | (self.single & normal))

    @functools.cached_property
    def _normal(self) -> tuple[float, float]:
        """(smallest normal, largest number) of all formats on the way."""
        as_flushed = dataclasses.replace(self.arithmetic, flushes=True)
        return as_flushed.range((self.whole.dtype.smallest_normal, self.whole.dtype.largest))

    @functools.cached_property
    def single(self) -> Mask:
        """Where at most one product is not zero, and neither it nor its operands are subnormal: it is rounded once."""
        smallest = min((self.whole.smallest[name] for name in _FACTORS[self.quantity]), default=0.0)
        normal = self.whole.dtype.smallest_normal
        if (self.whole.dense and not self._few) or 0 < smallest < normal:
            return np.zeros(self.exact.shape, bool)
        terms: Floats = getattr(self.whole.present, self.quantity)
        return np.asarray((terms <= 1) & ((self.s >= normal) | (self.s == 0)))

    @property
    def _few(self) -> bool:
        """May any element have but one term?"""
        return bool(self.n.size) and int(self.n.min()) <= 1

    @property
    def precision(self) -> int:
        """The bits that the narrowest format on the way keeps, the result's included."""
        return min(self._kept, self.whole.dtype.p)

    @property
    def _kept(self) -> int:
        """The bits that the narrowest format of the sums keeps."""
        a = self.arithmetic
        formats = [
            f for f in (a.accumulator or self.whole.dtype.code, a.inputs, a.partial_sums) if f is not None
        ]
        return min(PRECISION[f] for f in formats)

    def within(self, bits: int) -> Mask:
        """Where S <= 2^bits units, nothing overflows, and the unit itself is a number that is kept.

        First by a cheap ceiling of S (largest n times the largest magnitudes), then by S itself.
        """
        least, most = self._range
        limit = min(2.0 ** min(bits, 53) * self.quantum, most)
        if not self.quantum or self.quantum < least:
            return np.zeros(self.exact.shape, bool)
        if self._ceiling <= limit:
            return np.ones(self.exact.shape, bool)
        return self.s <= limit

    @functools.cached_property
    def _range(self) -> tuple[float, float]:
        """(least unit that is kept exactly, largest sum that does not overflow) of all formats on the way."""
        kept = (
            self.whole.dtype.smallest_normal
            if self.arithmetic.flushes
            else self.whole.dtype.smallest_subnormal
        )
        return self.arithmetic.range((kept, self.whole.dtype.largest))

    @functools.cached_property
    def _ceiling(self) -> float:
        """A number that no S exceeds."""
        if not self.exact.size:
            return 0.0
        ceiling = float(self.n.max()) * math.prod(
            self.whole.largest[name] for name in _FACTORS[self.quantity]
        )
        biased = self.quantity == "y" and self.whole.operands.b is not None
        return ceiling + (self.whole.largest["b"] if biased else 0.0)

    # ---- bounds ----
    @functools.cached_property
    def bound(self) -> Floats:
        """How far a correct implementation of the arithmetic class may be from `exact`."""
        reference = bounds.oracle_error(self.n, self.s, self.quantum)
        own = self._direct_bound() if self.direct else self._direct_bound() + transforms.bound(self)
        return reference + np.where(self.may_overflow, np.inf, own)

    @functools.cached_property
    def probable(self) -> Floats:
        """How far independent roundings are believed to take it; at most `bound`, which it is where they are not."""
        if not self.whole.independent:
            return self.bound
        reference = bounds.oracle_error(self.n, self.s, self.quantum)
        return np.minimum(self.bound, reference + self._direct_bound(probable=True))

    def _direct_bound(self, *, probable: bool = False) -> Floats:
        whole = self.whole
        return self.lost_inputs + bounds.direct(
            self.exact, self.n, self.s, dtype=whole.dtype, arithmetic=self.arithmetic, probable=probable
        )

    @property
    def lost_inputs(self) -> Floats:
        """What operands lose that underflow before they are multiplied: a step of each, times the other operand."""
        a = self.arithmetic
        if a.inputs is None and not a.flushes:
            return np.zeros(1)
        step = a.range((self._range[0] if a.flushes else 0.0, math.inf))[0]
        others = sum(self.whole.largest[name] for name in _FACTORS[self.quantity])
        return np.asarray(self.n * step * (others + step))

    @functools.cached_property
    def may_overflow(self) -> Mask:
        """Where a sum may legally overflow, so that infinity and NaN are no mistake."""
        limit = self._range[1]
        reached = self.s * (1 + 2.0**-5) > limit
        return reached if self.direct else reached | transforms.may_overflow(self)

    @property
    def certificate(self) -> float:
        """The power certificate: the share of elements in which a product added, dropped or moved is certain to be seen."""
        if self.direct and self.whole.dense and self.unrounded:
            return float(self.reads.any())
        return float(np.mean(self.certain)) if self.certain.size else 0.0

    @functools.cached_property
    def certain(self) -> Mask:
        """Where a wrong product is certain to be seen: where what is allowed stays below half the smallest product."""
        read = self.reads if self.whole.dense else self.reads & (self.s > 0)
        off = self.bound
        if self.direct:
            rounding = 2 * self.whole.dtype.u * np.abs(self.exact) + self.whole.dtype.smallest_subnormal
            off = np.where(self.settled, 0.0, np.where(self.rounded_once, rounding, off))
        return np.asarray(read & (2 * off < self.least))

    @property
    def reads(self) -> Mask:
        """Where any product is read at all."""
        return np.asarray(self.n > (self.quantity == "y" and self.whole.g.bias != "none"))


def _smallest(a: Floats) -> float:
    nonzero = np.abs(a[a != 0])
    return float(nonzero.min()) if nonzero.size else 0.0
