"""What is right for one set of operands: exact value, n and S of every element, each computed when it is needed."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import bounds
from conformance.oracle.arithmetic import PRECISION, Arithmetic
from conformance.oracle.vectorised import Layer, counts
from conformance.problem import DType, Geometry, Operands

__all__ = ["Expectation", "Expected"]

Floats = NDArray[np.float64]

_FACTORS = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("x", "delta"), "db": ("delta",)}


class Expectation:
    """The right results of one convolution in one dtype and arithmetic class: `expectation["dx"]` is an `Expected`.

    quantum: the lattice of the operands (1 for integers); 0 if they are on none.  amplitude: a magnitude that no operand
    exceeds, if one is known.
    """

    def __init__(
        self,
        g: Geometry,
        operands: Operands,
        *,
        dtype: DType,
        arithmetic: Arithmetic,
        quantum: float,
        amplitude: float | None = None,
    ) -> None:
        self._amplitude = amplitude
        self.g, self.operands = g, operands
        self.dtype, self.arithmetic, self.quantum = dtype, arithmetic, quantum
        self.layer = Layer.of(g, operands)
        self._known: dict[str, Expected] = {}

    def __getitem__(self, quantity: str) -> Expected:
        """One of y, dx, dw, db."""
        if quantity not in self._known:
            self._known[quantity] = Expected(self, quantity)
        return self._known[quantity]

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
    def magnitudes(self) -> Layer:
        return self.layer.magnitudes()

    @property
    def precision(self) -> int:
        """The bits that the narrowest format on the way keeps: sums of at most 2^precision units never round."""
        formats = (self.arithmetic.accumulator, self.arithmetic.inputs, self.arithmetic.partial_sums)
        return min(self.dtype.p, *(PRECISION[f] for f in formats if f is not None), 53)


class Expected:
    """One quantity's right values."""

    def __init__(self, whole: Expectation, quantity: str) -> None:
        self.whole, self.quantity = whole, quantity
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
        return self.whole.arithmetic.algorithm == "direct" or self.quantity == "db"

    @property
    def quantum(self) -> float:
        """The unit of which every value is a multiple."""
        return self.whole.quantum ** len(_FACTORS[self.quantity])

    @functools.cached_property
    def unrounded(self) -> bool:
        """Does every element lie in the exact regime: S <= 2^p units, so that no sum in any order can round?

        First by a cheap ceiling of S (largest n times the largest magnitudes), then by S itself.
        """
        limit = 2.0**self.whole.precision * self.quantum
        if not self.exact.size:
            return True
        if not limit:
            return False
        ceiling = float(self.n.max()) * math.prod(
            self.whole.largest[name] for name in _FACTORS[self.quantity]
        )
        if self.quantity == "y" and self.whole.operands.b is not None:
            ceiling += self.whole.largest["b"]
        return ceiling <= limit or bool(np.all(self.s <= limit))

    @functools.cached_property
    def bound(self) -> Floats:
        """How far a correct implementation of the arithmetic class may be from `exact`."""
        whole = self.whole
        reference = bounds.oracle_error(self.n, self.s, self.quantum)
        if not self.direct:
            norms, summed = self._norms()
            return bounds.fft(self.exact, norms, whole.g, summed=summed, dtype=whole.dtype) + reference
        direct = bounds.direct(self.exact, self.n, self.s, dtype=whole.dtype, arithmetic=whole.arithmetic)
        return reference + direct + self._lost_inputs

    @property
    def _lost_inputs(self) -> Floats:
        """What inputs rounded to a narrow format lose where they underflow: step/2 of each, times the other operand."""
        if self.whole.arithmetic.inputs is None:
            return np.zeros(1)
        step = Arithmetic(inputs=self.whole.arithmetic.inputs).range((0.0, math.inf))[0]
        others = sum(self.whole.largest[name] for name in _FACTORS[self.quantity])
        return np.asarray(self.n * step * (others + step))

    @property
    def may_overflow(self) -> NDArray[np.bool_]:
        """Where a sum may legally overflow, so that infinity and NaN are no mistake."""
        limit = self.whole.arithmetic.range((0.0, self.whole.dtype.largest))[1]
        return np.asarray(self.s * (1 + 2.0**-5) > limit)

    @functools.cached_property
    def certificate(self) -> float:
        """The power certificate: the share of elements in which a product added, dropped or moved is certain to be seen.

        In the exact regime all of them, if any product is read at all; else those whose bound is below half the
        smallest product.
        """
        read = self.n > (self.quantity == "y" and self.whole.g.bias != "none")
        if not read.any():
            return 0.0
        if self.unrounded and self.direct:
            return 1.0
        least = math.prod(self.whole.smallest[name] for name in _FACTORS[self.quantity])
        return float(np.mean(read & (2 * self.bound < least)))

    def _norms(self) -> tuple[Floats, int]:
        """Sum of ||a|| ||b|| over the pairs that an element's transforms sum, spatial axes kept as 1; and their number."""
        g, o = self.whole.g, self.whole.operands
        x, w, delta = (_norm(a, g.rank) for a in (o.x, o.w, o.delta))  # (N, C), (M, C/G), (N, M)
        x = x.reshape(g.batch, g.groups, g.channels // g.groups)
        w = w.reshape(g.groups, g.maps // g.groups, g.channels // g.groups)
        delta = delta.reshape(g.batch, g.groups, g.maps // g.groups)
        pairs = {
            "y": (np.einsum("ngc,gmc->ngm", x, w), (g.batch, g.maps), g.channels // g.groups),
            "dx": (np.einsum("ngm,gmc->ngc", delta, w), (g.batch, g.channels), g.maps // g.groups),
            "dw": (np.einsum("ngc,ngm->gmc", x, delta), (g.maps, g.channels // g.groups), g.batch),
        }
        norms, shape, summed = pairs[self.quantity]
        return norms.reshape(*shape, *(1,) * g.rank), summed


def _norm(a: Any, rank: int) -> Floats:
    norms: Floats = np.sqrt((a.astype(np.float64) ** 2).sum(axis=tuple(range(a.ndim - rank, a.ndim))))
    return norms


def _smallest(a: Floats) -> float:
    nonzero = np.abs(a[a != 0])
    return float(nonzero.min()) if nonzero.size else 0.0
