"""Rounding, once: the nearest number, the one toward zero, and what makes a sum in float64 round as if it were exact.

Products of float32, float16 and bfloat16 are exact in float64; the sum of two of its numbers is exact as a pair (`two_sum`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem import DTYPES, DType

__all__ = ["FORMATS", "cast", "flushed", "multiplied", "rounded", "to_odd", "toward_zero", "two_sum"]

Floats = NDArray[np.float64]

TF32 = DType(
    code="tf32",
    name="TensorFloat-32",
    numpy=np.dtype(np.float32),
    p=11,
    largest=(2.0 - 2.0**-10) * 2.0**127,
    smallest_normal=2.0**-126,
    smallest_subnormal=2.0**-136,
)
FORMATS = {**DTYPES, "tf32": TF32}


def cast(values: Any, code: str) -> Any:
    """float64 values (or narrower) as an array of a dtype, each the nearest of its numbers."""
    wide = np.asarray(values, np.float64)
    return (rounded(wide, code) if code == "bf16" else wide).astype(DTYPES[code].numpy)


def rounded(values: Floats, code: str) -> Floats:
    """The nearest numbers of a format, as float64."""
    return FORMATS[code].rounded(values)


def toward_zero(values: Floats, code: str) -> Floats:
    """The next numbers of a format toward zero, as float64."""
    f = FORMATS[code]
    unit = np.maximum(np.frexp(values)[1] - f.p, round(math.log2(f.smallest_subnormal)))
    cut = np.ldexp(np.trunc(np.ldexp(values, -unit)), unit)
    return np.where(np.isfinite(values), np.clip(cut, -f.largest, f.largest), values)


def multiplied(a: Floats, b: Floats, code: str) -> Any:
    """Products, as an array of a dtype."""
    return cast(a * b, code)


def flushed(values: Any, code: str) -> Any:
    """Zero for subnormal numbers of a format."""
    small = np.abs(values) < FORMATS[code].smallest_normal
    return np.where(small, values.dtype.type(0), values)


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(s, e): s = fl(a + b) and e, what its rounding lost; s + e = a + b exactly (Knuth)."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def to_odd(s: Floats, e: Floats) -> Floats:
    """s + e rounded to odd: rounding it again, to at most 51 bits, is rounding s + e once (Boldo and Melquiond, 2008)."""
    bits = s.copy().view(np.int64)
    away = np.where((e > 0) == (s > 0), 1, -1)
    inexact = np.isfinite(e) & (e != 0) & (bits % 2 == 0)
    return np.where(inexact, bits + away, bits).view(np.float64)
