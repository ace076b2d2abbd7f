"""The bundled transposed convolution and second derivatives: by hand, and what they refuse (agreement binds the rest)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.reference import directional, second_order, transposed, transposed_gradients

PLAIN: dict[str, Any] = {"stride": (2,), "padding": ((0, 0),), "dilation": (1,)}
X, W = np.array([[[1.0, 10.0]]]), np.array([[[2.0, 3.0, 5.0]]])


def test_every_input_lays_the_kernel_down_once() -> None:
    """Two kernels, two apart: 2 3 5 and 20 30 50 meet in the middle; what the stride leaves over is the bias alone."""
    y = transposed(X, W, np.array([100.0]), size=(6,), **PLAIN)
    np.testing.assert_array_equal(y[0, 0], [102, 103, 125, 130, 150, 100])


def test_its_gradients_by_hand() -> None:
    delta = np.array([[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]])
    dx, dw, db = transposed_gradients(X, W, np.array([100.0]), delta, **PLAIN)
    np.testing.assert_array_equal(dx[0, 0], [2 * 1 + 3 * 2 + 5 * 3, 2 * 3 + 3 * 4 + 5 * 5])
    np.testing.assert_array_equal(dw[0, 0], [1 + 30, 2 + 40, 3 + 50])
    np.testing.assert_array_equal(db, [21])  # type: ignore[arg-type]


def test_second_derivatives_by_hand() -> None:
    x, w, delta = np.array([[[3.0, 4.0]]]), np.array([[[2.0]]]), np.array([[[5.0, 7.0]]])
    options: dict[str, Any] = {**PLAIN, "stride": (1,)}
    u, v, r = np.array([[[1.0, 10.0]]]), np.array([[[100.0]]]), np.array([1000.0])
    by_x, by_w, by_delta = second_order(x, w, delta, u, v, r, **options)
    np.testing.assert_array_equal(by_x[0, 0], [500, 700])
    np.testing.assert_array_equal(by_w[0, 0], [1 * 5 + 10 * 7])
    np.testing.assert_array_equal(by_delta[0, 0], [2 * 1 + 3 * 100 + 1000, 2 * 10 + 4 * 100 + 1000])
    np.testing.assert_array_equal(directional(x, w, u, v, r, **options), by_delta)


def test_a_direction_that_is_none_is_zero() -> None:
    w = np.array([[[2.0, 3.0]]])
    delta = np.ones((1, 1, 1))
    by_x, by_w, by_delta = second_order(X, w, delta, None, None, np.array([7.0]), **PLAIN)
    assert not by_x.any()
    assert not by_w.any()
    np.testing.assert_array_equal(by_delta, [[[7]]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_keep_the_dtype(dtype: Any) -> None:
    x, w, b = X.astype(dtype), W.astype(dtype), np.ones(1, dtype)
    y = transposed(x, w, b, size=(6,), **PLAIN)
    assert y.dtype == dtype
    assert {a.dtype for a in transposed_gradients(x, w, b, y, **PLAIN) if a is not None} == {np.dtype(dtype)}


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="delta has shape"):
        transposed(X, W, size=(9,), **PLAIN)
    for b in (np.ones(2), np.ones((1, 6))):
        with pytest.raises(ValueError, match=r"b has shape .* but y has 1 channels"):
            transposed(X, W, b, size=(6,), **PLAIN)
