"""How far rounding may stray: proven bounds, per element, from n, S and the arithmetic class (numerics.md).

n is the number of products of an element, S the sum of their magnitudes, u a unit roundoff, gamma_n(u) = n u / (1 - n u).

Direct sums (any order, blocking, FMA; Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1): each
product suffers at most n roundings, so

    E_in   = ((1 + u_in)^2 (1 + gamma_n(u_acc)) - 1) S        operands rounded first (u_in = 0: E_acc = gamma_n(u_acc) S)
    E_part = gamma_n(u_part) (S + E_in)                       at most n partial sums stored in a narrow format
    E      = E_in + E_part + u_out (|exact| + E_in + E_part) + eta/2 (+ n eta of the accumulator, if products underflow)

FFT (normwise, per output map): a transform of length N by stages of radix 2 to 5 computes each stage as small sums; a
stage of radix r is a matrix F_r with || |F_r| || / ||F_r|| = sqrt(r), its complex sums of r products round to relative
sqrt(2) gamma_{r+2}, its twiddle factors add (sqrt(5) + 1) u.  For r = 2, 3, 4, 5 that is at most 12 u for each doubling of
the length, so three transforms (two forward, one back) and the complex product stay within

    sum_c ||x_c|| ||w_c|| ( (1 + 12 u)^(3 L) (1 + sqrt(5) u)(1 + gamma_C) - 1 ),    L = sum over axes of log2 N

gamma is void where n u >= 1: the bound is then infinite, which is no power, never a false alarm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.arithmetic import Arithmetic
from conformance.problem import DType, Geometry

__all__ = ["direct", "fft", "gamma", "oracle_error"]

Floats = NDArray[np.float64]

FFT_STAGE = 12.0
"""Unit roundoffs a doubling of the transform's length costs; derived above."""

ORACLE_U = 2.0**-53


def gamma(n: Any, u: float) -> Any:
    """n u / (1 - n u), infinite where n u >= 1; n an integer or an array."""
    nu = np.asarray(n, dtype=np.float64) * u
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nu < 1, nu / (1 - nu), np.inf)


def direct(exact: Floats, n: Any, s: Floats, *, dtype: DType, arithmetic: Arithmetic) -> Floats:
    """E for every element of a result of `dtype`; `exact`, `n` and `s` have its shape (or broadcast to it)."""
    u_acc = arithmetic.unit("accumulator", dtype.u)
    u_in, u_part = arithmetic.unit("inputs", 0.0), arithmetic.unit("partial_sums", 0.0)
    step, limit = arithmetic.range((dtype.smallest_subnormal, dtype.largest))
    n = np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        e = ((1 + u_in) ** 2 * (1 + gamma(n, u_acc)) - 1) * s
        if u_part:
            e = e + gamma(n, u_part) * (s + e)
        e = e + dtype.u * (np.abs(exact) + e) + (2 * n + 1) * step * np.maximum(1, np.sqrt(s))
        e = np.where(s == 0, 0.0, np.where(np.isnan(e), np.inf, e))  # S = 0: nothing to round
        overflows = (np.abs(exact) + e > dtype.largest) | (s + e > limit)
        return np.where(overflows & (s > 0), np.inf, e)  # then infinity is legal


def fft(exact: Floats, norms: Floats, g: Geometry, *, summed: int, dtype: DType) -> Floats:
    """E for a result computed by Fourier transforms; `norms` is the sum of ||a|| ||b|| over the `summed` pairs."""
    length = sum(math.log2(2 * (i + lo + hi + k)) for i, (lo, hi), k in _extents(g))
    u = dtype.u
    factor = math.expm1(3 * length * math.log1p(FFT_STAGE * u) + math.log1p(math.sqrt(5) * u))
    e = norms * ((1 + factor) * (1 + gamma(summed + 1, u)) - 1) * (1 + 2.0**-40)
    bound: Floats = e + 2 * u * (np.abs(exact) + e) + dtype.smallest_subnormal
    return bound


def _extents(g: Geometry) -> Any:
    """Per axis: input size, padding as far as it is positive, reach of the kernel: what a transform may have to hold."""
    pads = [(max(lo, 0), max(hi, 0)) for lo, hi in g.padding]
    return zip(g.size, pads, g.kernel_reach, strict=True)


def oracle_error(n: Any, s: Floats, quantum: float) -> Floats:
    """What the float64 oracle itself may be off: nothing where S <= 2^53 units of the lattice, else gamma_n(2^-53) S."""
    error: Floats = np.where(s <= 2.0**53 * quantum, 0.0, gamma(n, ORACLE_U) * s)
    return error
