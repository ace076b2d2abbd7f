"""Rounding, once: the nearest number, the one toward zero, and what makes a sum of float64 round as if it were exact.

Products of float32, float16 and bfloat16 are exact in float64; sums of two of its numbers are exact as a pair (`two_sum`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem import DTYPES, DType

__all__ = ["TF32", "cast", "flushed", "multiplied", "rounded", "to_odd", "toward_zero", "two_sum"]

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


def cast(values: Any, code: str) -> Any:
    """float64 values (or narrower) as an array of a format, each the nearest of its numbers."""
    wide = np.asarray(values, np.float64)
    dtype = DTYPES[code]
    return (dtype.rounded(wide) if code == "bf16" else wide).astype(dtype.numpy)


def rounded(values: Floats, code: str) -> Floats:
    """The same as float64; `tf32` is a format too."""
    return (TF32 if code == "tf32" else DTYPES[code]).rounded(values)


def multiplied(a: Floats, b: Floats, code: str) -> Any:
    """Products, rounded to a format."""
    return cast(a * b, code)


def flushed(values: Any, code: str) -> Any:
    """Zero for subnormal numbers of a format."""
    small = np.abs(values) < DTYPES[code].smallest_normal
    return np.where(small, values.dtype.type(0), values)


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(s, e): s = fl(a + b) and e, what its rounding lost; s + e = a + b exactly (Knuth)."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def to_odd(s: Floats, e: Floats) -> Floats:
    """s + e rounded to odd: rounding it again, to a format of at most 51 bits, is rounding s + e once (Boldo, Melquiond)."""
    bits = s.copy().view(np.int64)
    away = np.where((e > 0) == (s > 0), 1, -1)
    inexact = np.isfinite(e) & (e != 0) & (bits % 2 == 0)
    return np.where(inexact, bits + away, bits).view(np.float64)


def toward_zero(s: Floats, e: Any = 0.0) -> Floats:
    """s + e (|e| at most half a unit of s) rounded to float32 toward zero, as float64."""
    near = s.astype(np.float32).astype(np.float64)
    beyond = (np.abs(near) > np.abs(s)) | ((near == s) & (e * s < 0))
    return np.where(beyond, np.nextafter(near.astype(np.float32), np.float32(0)), near).astype(np.float64)
