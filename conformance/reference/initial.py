"""Where descent starts: random weights of the right size, biases of 0.

All weights alike would stay alike: the maps would all learn the same.  Their size: z sums n = (C/G) * K products; with
variance 2/n of the weights, z^l has as large a variance as z^{l-1} had, if relu lets half of it through, and errors keep
theirs likewise on the way back.

Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015, equation 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["initial"]

Array = NDArray[Any]


def initial(
    rng: np.random.Generator, shape: Sequence[int], *, dtype: DTypeLike = np.float64
) -> tuple[Array, Array]:
    """Normally distributed w of this shape (M, C/G, *K), or (M, inputs) of a dense layer, and b (M,) of zeros."""
    products = math.prod(shape[1:])
    if len(shape) < 2 or not products:
        raise ValueError(f"w needs a shape (M, C/G, *K) without a 0, got {tuple(shape)}")
    w: Array = rng.standard_normal(shape) * math.sqrt(2 / products)
    return w.astype(dtype), np.zeros(shape[0], dtype)
