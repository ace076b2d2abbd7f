"""Numbers rounded to a format, exactly, in each of the ways in which hardware and libraries do it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.arithmetic import EXPONENTS, PRECISION
from conformance.problem import DTYPES

__all__ = ["MODES", "contains", "digits", "once", "rounded"]

Floats = NDArray[np.float64]

_WHOLE: Mapping[str, Callable[[Fraction], int]] = {
    "nearest-even": round,
    "nearest-away": lambda v: math.floor(abs(v) + Fraction(1, 2)) * (1 if v > 0 else -1),
    "toward-zero": math.trunc,
    "up": math.ceil,
    "down": math.floor,
}
MODES = tuple(_WHOLE)
_WHOLE_ARRAYS: Mapping[str, Callable[[Floats], Floats]] = {
    "nearest-even": np.rint,
    "nearest-away": lambda v: np.copysign(np.floor(np.abs(v) + 0.5), v),
    "toward-zero": np.trunc,
    "up": np.ceil,
    "down": np.floor,
}


def rounded(value: Fraction, form: str, mode: str = "nearest-even") -> Fraction:
    """The number of a format (``tf32`` is one) that stands for a value with a finite binary expansion.

    Subnormal numbers are kept; the largest number is no limit here.

    >>> rounded(Fraction(257), "bf16"), rounded(Fraction(257), "bf16", "up")
    (Fraction(256, 1), Fraction(258, 1))
    """
    if not value:
        return value
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    step = Fraction(2) ** (max(exponent, EXPONENTS[form][0]) - PRECISION[form] + 1)
    return _WHOLE[mode](value / step) * step


def once(exact: Floats, form: str, mode: str = "nearest-even") -> Floats:
    """float64 values rounded once to a format, elementwise; only dtypes rounded to nearest overflow."""
    if mode == "nearest-even" and form in DTYPES:
        return DTYPES[form].rounded(exact)
    _, exponent = np.frexp(exact)
    unit = np.maximum(exponent - PRECISION[form], EXPONENTS[form][0] - PRECISION[form] + 1)
    values: Floats = np.ldexp(_WHOLE_ARRAYS[mode](np.ldexp(exact, -unit)), unit)
    return values


def digits(value: float, code: str) -> str:
    """A number with as many digits as tell those of its dtype apart."""
    return f"{value:.{17 if code == 'f64' else 9}g}"


def contains(wide: str, narrow: str) -> bool:
    """Is every number of one format one of another?"""
    lowest, highest = EXPONENTS[wide]
    return (
        PRECISION[wide] >= PRECISION[narrow]
        and lowest - PRECISION[wide] <= EXPONENTS[narrow][0] - PRECISION[narrow]
        and highest >= EXPONENTS[narrow][1]
    )
