"""Ways to add up products: each takes factors (a, b), both (terms, elements) in float64, and a format; it gives the sums.

Every step rounds once, to the format that the way keeps its sums in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import cast, flushed, multiplied, rounded, to_odd, toward_zero, two_sum

__all__ = [
    "Total",
    "ascending",
    "backwards",
    "blocked",
    "flushing",
    "fused",
    "in_order",
    "in_pieces",
    "kahan",
    "of_products",
    "pairwise",
    "shuffled",
    "split",
    "stored_narrow",
    "tensor_core",
    "truncated",
]

Floats = NDArray[np.float64]
Total = Callable[[Floats, Floats, str], Any]
"""(a, b, the dtype's code) -> sums (elements,), not yet rounded to the dtype."""


def of_products(add: Callable[[Any], Any], *, kept: str | None = None, inputs: str | None = None) -> Total:
    """Factors rounded to `inputs`, products rounded to `kept` (the dtype), and added up in it."""

    def total(a: Floats, b: Floats, code: str) -> Any:
        if inputs is not None:
            a, b = rounded(a, inputs), rounded(b, inputs)
        return add(multiplied(a, b, kept or code))

    return total


# ---- orders: products (terms, elements) to sums (elements,) in their own format ----


def in_order(p: Any) -> Any:
    """One after the other."""
    return np.add.accumulate(p, axis=0)[-1]


def backwards(p: Any) -> Any:
    """From the other end."""
    return in_order(p[::-1])


def shuffled(p: Any) -> Any:
    """In an order that has no rule, but is the same in every call."""
    return in_order(p[np.random.default_rng(len(p)).permutation(len(p))])


def ascending(p: Any) -> Any:
    """The smallest magnitudes first."""
    return in_order(np.take_along_axis(p, np.argsort(np.abs(p), axis=0, kind="stable"), axis=0))


def pairwise(p: Any) -> Any:
    """Halves are added to each other until one sum is left."""
    while len(p) > 1:
        half = len(p) // 2
        p = np.concatenate([p[:half] + p[half : 2 * half], p[2 * half :]])
    return p[0]


def blocked(p: Any) -> Any:
    """Sums of eight, then the sum of these."""
    return in_order(np.stack([in_order(p[k : k + 8]) for k in range(0, len(p), 8)]))


def split(p: Any) -> Any:
    """Split-K: four workers take every fourth product, their sums are added in pairs."""
    return pairwise(np.stack([in_order(p[k::4]) for k in range(min(4, len(p)))]))


def kahan(p: Any) -> Any:
    """One after the other, each with what the last addition lost (Kahan)."""
    total, lost = np.zeros_like(p[0]), np.zeros_like(p[0])
    for term in p:
        corrected = term - lost
        new = total + corrected
        lost = (new - total) - corrected
        total = new
    return total


# ---- ways that do not round products first, or round otherwise ----


def fused(a: Floats, b: Floats, code: str) -> Any:
    """Multiply and add in one rounding."""
    total = np.zeros(a.shape[1])
    for product in a * b:
        total = np.asarray(cast(to_odd(*two_sum(product, total)), code), np.float64)
    return total


def truncated(a: Floats, b: Floats, code: str) -> Any:
    """In float32; products and sums are rounded toward zero."""
    total = np.zeros(a.shape[1])
    for product in toward_zero(a * b, "f32"):
        total = toward_zero(to_odd(*two_sum(product, total)), "f32")
    return total


def flushing(a: Floats, b: Floats, code: str) -> Any:
    """One after the other; subnormal operands, products and sums become zero."""
    products = flushed(multiplied(flushed(a, code), flushed(b, code), code), code)
    total = np.zeros_like(products[0])
    for product in products:
        total = flushed(total + product, code)
    return total


def stored_narrow(narrow: str) -> Total:
    """In float32; after every four products the sum so far is stored in a narrow format."""

    def total(a: Floats, b: Floats, code: str) -> Any:
        products, so_far = multiplied(a, b, "f32"), np.zeros(a.shape[1], np.float32)
        for k in range(0, len(products), 4):
            so_far = cast(so_far + in_order(products[k : k + 4]), narrow).astype(np.float32)
        return so_far

    return total


def in_pieces(a: Floats, b: Floats, code: str) -> Any:
    """float32 by three products of bfloat16 (x3 modes): a = a1 + a2, b = b1 + b2, and a2 b2 is left out; sums in float32."""
    a1, b1 = rounded(a, "bf16"), rounded(b, "bf16")
    a2, b2 = rounded(a - a1, "bf16"), rounded(b - b1, "bf16")
    return in_order(np.concatenate([multiplied(*ab, "f32") for ab in ((a2, b1), (a1, b2), (a1, b1))]))


def tensor_core(*, block: int, extra: int, inputs: str | None = None) -> Total:
    """Blocks of exact products and the sum so far, aligned to the largest and cut off at 24 (+ extra) bits, as in GPUs.

    Fasi, Higham, Mikaitis, Pranesh: "Numerical behavior of NVIDIA tensor cores", 2021.
    """

    def total(a: Floats, b: Floats, code: str) -> Any:
        if inputs is not None:
            a, b = rounded(a, inputs), rounded(b, inputs)
        products, so_far = a * b, np.zeros(a.shape[1])
        for k in range(0, len(products), block):
            so_far = _aligned(np.concatenate([so_far[None], products[k : k + block]]), 24 + extra)
        return so_far

    return total


def _aligned(v: Floats, bits: int) -> Floats:
    """The sum of the rows of v, each cut off at the last of `bits` bits of the largest; float32, toward zero."""
    exponents = np.where(v == 0, -1100, np.frexp(v)[1])
    unit = exponents.max(axis=0) - bits
    cut = np.trunc(np.ldexp(v, -unit)).sum(axis=0)
    return np.where(np.isfinite(v).all(axis=0), toward_zero(np.ldexp(cut, unit), "f32"), v.sum(axis=0))
