r"""The data of a problem: values drawn from the raw bits of a counter-based generator.

Bits: Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key
(seed, 0) and a counter that starts at 1; its words are dealt, in order, to the elements of x, w, b (if there is one)
and delta, each in C order.  Raw bits and integer arithmetic only, so any language repeats them and no NumPy version
changes them.

Regimes (numerics.md): each finds mistakes that the others cannot.

* ``small``   non-zero integers, of an amplitude that keeps every sum S within the precision of the dtype: results are exact
              in whatever order and precision they are summed.  Sees every mistake of geometry; blind to precision.
* ``unit``    the same with amplitude 1: what findings are shrunk to.
* ``sparse``  ``small`` with about one value in four exactly zero.
* ``real``    full mantissas, 1/2 <= \\|a\\| < 1, random signs: judged by the proven bound.  Sees lost precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem.dtypes import DType

__all__ = ["FILLS", "INTEGER_FILLS", "amplitude", "bits", "draw"]

FILLS = ("small", "real", "sparse", "unit")
INTEGER_FILLS = ("small", "sparse", "unit")

LARGEST_AMPLITUDE = 9
"""One digit: a learner can still follow the sums on fingers."""

HEADROOM = 4
"""Clauses on linearity add operands (x + v, w + u): S grows to at most four times."""


def bits(seed: int, count: int) -> NDArray[np.uint64]:
    """The first `count` 64-bit words of Philox4x64-10 with key (seed, 0)."""
    return np.random.Philox(key=np.array([seed, 0], dtype=np.uint64)).random_raw(count)


def amplitude(fill: str, dtype: DType, summands: int) -> int:
    """The largest integer that `fill` draws, for sums of at most `summands` products.

    The largest a <= 9 with HEADROOM * (summands * a^2 + a) <= 2^p; at least 1.
    """
    if fill == "unit":
        return 1
    room = 2**dtype.p // HEADROOM
    return max(1, min(LARGEST_AMPLITUDE, math.isqrt(max(room - LARGEST_AMPLITUDE, 0) // max(summands, 1))))


def draw(fill: str, count: int, *, dtype: DType, seed: int, summands: int) -> NDArray[Any]:
    """`count` values of `dtype`, flat; the same bits on every machine."""
    raw = bits(seed, count)
    if fill == "real":
        mantissa = (raw >> np.uint64(65 - dtype.p)).astype(np.float64) + 2.0 ** (dtype.p - 1)
        values = np.where(raw & np.uint64(1), -mantissa, mantissa) * 2.0**-dtype.p
    else:
        values = _integers(raw, amplitude(fill, dtype, summands))
        if fill == "sparse":
            values[(raw >> np.uint64(62)) == 0] = 0
    return values.astype(dtype.numpy)


def _integers(raw: NDArray[np.uint64], a: int) -> NDArray[Any]:
    """Words to the non-zero integers -a..-1, 1..a."""
    values = (raw % np.uint64(2 * a)).astype(np.int64) - a
    values[values >= 0] += 1
    return values
