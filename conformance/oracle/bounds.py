"""How far rounding may stray: proven bounds, per element, from n, S and the arithmetic class (README.md has the proofs).

n is the number of products of an element, S the sum of their magnitudes, u a unit roundoff, gamma_n(u) = n u / (1 - n u).

Direct sums (any order, blocking, FMA):

    E_in   = ((1 + u_in)^2 (1 + gamma_n(u_acc)) - 1) S        operands rounded first (u_in = 0: E_acc = gamma_n(u_acc) S)
    E_part = gamma_n(u_part) (S + E_in)                       at most n partial sums stored in a narrow format
    E      = E_in + E_part + u_out (|exact| + E_in + E_part) + (2n + 1) underflows

Sums that round toward zero, or whose terms are cut off when they are aligned: gamma_2n(2 u_acc) for gamma_n(u_acc).
The same with at most LAMBDA sqrt(n) roundings for n is *probable*, not proven: errors that are independent stay within.

FFT and Winograd are bounded for a whole map: norms or largest magnitudes of operands, times what transforms amplify.

gamma is void where n u >= 1: the bound is then infinite, which is no power, never a false alarm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.arithmetic import Arithmetic
from conformance.problem import DType, Geometry

__all__ = ["direct", "extents", "fft", "gamma", "oracle_error", "winograd"]

Floats = NDArray[np.float64]

FFT_STAGE = 16.0
"""Unit roundoffs a doubling of the transform's length costs (README.md)."""

LAMBDA = 9.0
"""Standard deviations (of a sum of roundings) beyond which a deviation is not believed to be chance."""

ORACLE_U = 2.0**-53


def gamma(n: Any, u: float) -> Any:
    """n u / (1 - n u), infinite where n u >= 1; n an integer or an array."""
    nu = np.asarray(n, dtype=np.float64) * u
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nu < 1, nu / (1 - nu), np.inf)


def direct(
    exact: Floats, n: Any, s: Floats, *, dtype: DType, arithmetic: Arithmetic, probable: bool = False
) -> Floats:
    """E for every element of a result of `dtype`; `exact`, `n` and `s` have its shape (or broadcast to it).

    probable: what independent roundings are expected to keep within, instead of what is proven.
    """
    u_acc = arithmetic.unit("accumulator", dtype.u)
    u_in, u_part = arithmetic.unit("inputs", 0.0), arithmetic.unit("partial_sums", 0.0)
    step, limit = arithmetic.range(
        (dtype.smallest_normal if arithmetic.flushes else dtype.smallest_subnormal, dtype.largest)
    )
    n = np.asarray(n, dtype=np.float64)
    roundings = np.minimum(n, LAMBDA * np.sqrt(n)) if probable else n
    summed = gamma(2 * roundings, 2 * u_acc) if arithmetic.truncates else gamma(roundings, u_acc)
    with np.errstate(invalid="ignore", over="ignore"):
        e = ((1 + u_in) ** 2 * (1 + summed) - 1) * s
        if u_part:
            e = e + gamma(roundings, u_part) * (s + e)
        e = e + dtype.u * (np.abs(exact) + e) + (2 * n + 1) * step * (1 + summed)
        e = np.where(s == 0, 0.0, np.where(np.isnan(e), np.inf, e))  # S = 0: nothing to round
        overflows = (np.abs(exact) + e > dtype.largest) | (s + e > limit)
        return np.where(overflows & (s > 0), np.inf, e)  # then infinity is legal


def fft(
    exact: Floats, norms: Floats, g: Geometry, *, summed: int, dtype: DType, u: float | None = None
) -> Floats:
    """E for a result computed by Fourier transforms; `norms` is the sum of ||a|| ||b|| over the `summed` pairs.

    u: unit roundoff of the transforms, if it is not the dtype's.
    """
    length = sum(math.log2(extent) for extent in extents(g))
    u = dtype.u if u is None else u
    factor = math.expm1(3 * length * math.log1p(FFT_STAGE * u) + math.log1p(math.sqrt(5) * u))
    e = norms * ((1 + factor) * (1 + gamma(summed + 1, u)) - 1) * (1 + 2.0**-40)
    bound: Floats = e + 2 * dtype.u * (np.abs(exact) + e) + dtype.smallest_subnormal
    return bound


def winograd(
    exact: Floats, amplified: Floats, roundings: int, *, dtype: DType, arithmetic: Arithmetic
) -> Floats:
    """E for a result whose products reach it through Winograd's transforms, `amplified` in sum, after `roundings`."""
    u_acc, u_in = arithmetic.unit("accumulator", dtype.u), arithmetic.unit("inputs", 0.0)
    summed = gamma(2 * roundings, 2 * u_acc) if arithmetic.truncates else gamma(roundings, u_acc)
    e = ((1 + u_in) ** 2 * (1 + summed) - 1) * amplified * (1 + 2.0**-40)
    if arithmetic.partial_sums:
        e = e + gamma(roundings, arithmetic.unit("partial_sums", 0.0)) * (amplified + e)
    bound: Floats = e + dtype.u * (np.abs(exact) + e)
    return bound


def extents(g: Geometry) -> list[int]:
    """Per axis: the length that a transform of a whole map may have, a power of two at most doubling it."""
    pads = (max(lo, 0) + max(hi, 0) for lo, hi in g.padding)
    return [2 * (i + p + k) for i, p, k in zip(g.size, pads, g.kernel_reach, strict=True)]


def oracle_error(n: Any, s: Floats, quantum: float) -> Floats:
    """What the float64 oracle itself may be off: nothing where S <= 2^53 units of the lattice, else gamma_n(2^-53) S."""
    error: Floats = np.where(s <= 2.0**53 * quantum, 0.0, gamma(n, ORACLE_U) * s)
    return error
