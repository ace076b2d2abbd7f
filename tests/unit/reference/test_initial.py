"""Random weights: of the right size, repeatable, biases of 0."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conformance.reference import initial


@pytest.mark.parametrize("shape", [(40, 10, 5, 5), (100, 100)])
def test_weights_have_the_variance_two_over_the_products_of_a_sum(shape: tuple[int, ...]) -> None:
    """W^2 n/2 has mean 1 and variance 2: the mean of N of them is 1 within 6 sqrt(2/N), but once in 5 * 10^8 seeds."""
    w, b = initial(np.random.default_rng(0), shape)
    products = math.prod(shape[1:])
    assert abs(np.mean(w**2) * products / 2 - 1) < 6 * math.sqrt(2 / w.size)
    assert abs(np.mean(w)) < 6 * math.sqrt(2 / products / w.size)
    assert (w.shape, b.shape) == (shape, shape[:1])
    assert not b.any()


def test_the_seed_decides_and_dtypes_differ_by_rounding_alone() -> None:
    w, _ = initial(np.random.default_rng(1), (2, 3, 2))
    narrow, b = initial(np.random.default_rng(1), (2, 3, 2), dtype=np.float32)
    other, _ = initial(np.random.default_rng(2), (2, 3, 2))
    np.testing.assert_array_equal(narrow, w.astype(np.float32), strict=True)
    assert b.dtype == np.float32
    assert not np.array_equal(w, other)


@pytest.mark.parametrize("shape", [(3,), (3, 0, 2)])
def test_a_shape_without_products_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"w needs a shape .* got \({str(shape)[1:-1]}\)"):
        initial(np.random.default_rng(0), shape)
