"""The JAX adapter against the index sums, bit for bit, on every route."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_checks import (
    ALONE,
    METHODS,
    NETWORKS,
    check_network,
    check_operation,
    computed,
    definition,
    load,
)
from conformance import Geometry, Problem
from conformance.problem import dtype_of

pytest.importorskip("jax")

FILE = Path(__file__).parents[2] / "adapters" / "python-jax" / "adapter_jax.py"
ROUTES = ("nchw", "nhwc", "jit")
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:2x0:-1 d1x2 conv bias=untied"
LINES = [
    "1d n2 c3 m4 i7 k3 s2 p1:2",
    GROUPED,
    "2d n2 c3 m6 g3 i3x4 k4x2 s1x3 p2:1x1",
    "2d n1 c2 m3 i5x6 k5x6 conv",
    "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x-1:0 d2x1x3 bias=none",
]
EMPTY = "2d n0 c4 m6 g2 i5x4 k2x3 p1"


Jax = load(FILE).Jax


def check(adapter: Any, line: str) -> None:
    problem = Problem.parse(line)
    g, o = problem.geometry, problem.operands
    assert adapter.capabilities.refusal(g, problem.dtype) is None
    before = {name: a.copy() for name, a in o.items()}
    got = computed(adapter, g, x=o.x, w=o.w, b=o.b, delta=o.delta)
    expected = definition(g, o.x, o.w, o.b, o.delta)
    for name, right in expected.items():
        if right is None:
            assert got[name] is None
        else:
            assert got[name].dtype == problem.format.numpy
            np.testing.assert_array_equal(got[name].astype(np.float64), right, err_msg=f"{name} of {line}")
    for name, a in o.items():
        np.testing.assert_array_equal(a.astype(np.float64), before[name].astype(np.float64), err_msg=name)


@pytest.mark.parametrize("line", [*LINES, EMPTY])
@pytest.mark.parametrize(("route", "dtype"), [("nchw", "f64"), ("nhwc", "f32"), ("jit", "f64")])
def test_agrees_with_the_definition(route: str, dtype: str, line: str) -> None:
    check(Jax(route), f"{line} {dtype}")


@pytest.mark.parametrize(
    ("route", "dtype"), [("nchw", "f32"), ("nchw", "f16"), ("nhwc", "f64"), ("jit", "f32"), ("jit", "f16")]
)
def test_in_other_dtypes(route: str, dtype: str) -> None:
    check(Jax(route), f"{GROUPED} {dtype}")


@pytest.mark.parametrize("memory", ["fortran", "sliced", "reversed", "channels-last", "broadcast"])
@pytest.mark.parametrize("route", ROUTES)
def test_in_every_memory_layout(route: str, memory: str) -> None:
    check(Jax(route), f"{GROUPED} bf16 mem={memory}")


@pytest.mark.parametrize("route", ROUTES)
def test_refuses_shapes_that_do_not_fit(route: str) -> None:
    problem = Problem.parse("2d n2 c1 m1 i5x4 k2x3")
    g, o = problem.geometry, problem.operands
    nonsense = {
        "x": [(2, 2, 5, 4), (2, 1, 1, 4), (1, 5, 4)],
        "w": [(1, 2, 2, 3), (1, 1, 2)],
        "b": [(2,), (1, 1)],
        "delta": [(2, 1, 4, 3), (2, 2, 4, 2), (1, 1, 4, 2)],
    }
    for name, shape in ((name, shape) for name, shapes in nonsense.items() for shape in shapes):
        spoiled = {**dict(o.items()), name: np.ones(shape)}
        with pytest.raises((TypeError, ValueError)):  # GeometryError is a ValueError
            computed(Jax(route), g, **spoiled)


def pointwise(dtype: str) -> tuple[Geometry, dict[str, Any], dict[str, Any]]:
    """A geometry whose sums are matrix products, long ones; integers; the exact y, dx and dw, in float64."""
    g = Geometry(batch=2, channels=300, maps=300, size=(40, 9), kernel=(1, 1), bias="none")
    rng, kind = np.random.default_rng(0), dtype_of(dtype).numpy
    x, w, delta = (rng.integers(-11, 12, shape).astype(kind) for shape in (g.x_shape, g.w_shape, g.y_shape))
    wide_x, wide_w, wide_delta = (a.astype(np.float64) for a in (x, w[:, :, 0, 0], delta))
    exact = {
        "y": np.einsum("nchw,mc->nmhw", wide_x, wide_w, optimize=True),
        "dx": np.einsum("nmhw,mc->nchw", wide_delta, wide_w, optimize=True),
        "dw": np.einsum("nchw,nmhw->mc", wide_x, wide_delta, optimize=True)[:, :, None, None],
    }
    return g, {"x": x, "w": w, "b": None, "delta": delta}, exact


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("route", ROUTES)
def test_sums_in_float32_are_rounded_once(route: str, dtype: str) -> None:
    g, operands, exact = pointwise(dtype)
    got = computed(Jax(route), g, **operands)
    for name, right in exact.items():
        assert np.abs(right).max() > 2 ** dtype_of(dtype).p, "no sum needs rounding"
        once = right.astype(got[name].dtype).astype(np.float64)
        np.testing.assert_array_equal(got[name].astype(np.float64), once, err_msg=name)


def test_says_what_is_behind_it() -> None:
    assert set(Jax().versions()) == {"jax", "jaxlib"}
    assert set(Jax.routes) == set(ROUTES)


# ---- whole networks ----
@pytest.mark.parametrize("line", NETWORKS)
@pytest.mark.parametrize("route", ROUTES)
def test_networks_are_exact_where_nothing_rounds(route: str, line: str) -> None:
    check_network(Jax(route), line)


# ---- optional operations ----
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("route", "dtype"), [("nchw", "f64"), ("nhwc", "f32"), ("jit", "bf16")])
def test_operations_agree_with_the_definition(route: str, dtype: str, method: str, line: str) -> None:
    check_operation(Jax(route), method, f"{line} {dtype}")


@pytest.mark.parametrize("absent", ALONE)
@pytest.mark.parametrize("method", ["double_backward", "forward_mode"])
@pytest.mark.parametrize("route", ["nhwc", "jit"])
def test_directions_may_be_left_out(route: str, method: str, absent: str) -> None:
    check_operation(Jax(route), method, f"{GROUPED} f64", **dict.fromkeys(absent))


def test_an_empty_batch_in_operations() -> None:
    for method in METHODS:
        check_operation(Jax("nchw"), method, f"{EMPTY} f64")
