"""The JAX adapter against the index sums, bit for bit, on every route."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Geometry, Problem

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


def load() -> Any:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[FILE.stem] = module
    spec.loader.exec_module(module)
    return module


Jax = load().Jax


def definition(g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> dict[str, Any]:
    """y, dx, dw and db as index sums in float64: o s + t d - p_lo = i."""
    x, w, delta = (a.astype(np.float64) for a in (x, w, delta))
    y, dx, dw = np.zeros(g.y_shape), np.zeros(g.x_shape), np.zeros(g.w_shape)
    for n, m, *o in np.ndindex(*g.y_shape):
        for c, *t in np.ndindex(*g.w_shape[1:]):
            i = [a * s + e * d - lo for a, s, e, d, (lo, _) in zip(o, g.stride, t, g.dilation, g.padding, strict=True)]
            if all(0 <= a < size for a, size in zip(i, g.size, strict=True)):
                rotated = [k - 1 - e for k, e in zip(g.kernel, t, strict=True)]
                here = (n, m // (g.maps // g.groups) * (g.channels // g.groups) + c, *i)
                tap = (m, c, *(rotated if g.convention == "convolution" else t))
                y[(n, m, *o)] += w[tap] * x[here]
                dx[here] += w[tap] * delta[(n, m, *o)]
                dw[tap] += x[here] * delta[(n, m, *o)]
    if b is None:
        return {"y": y, "dx": dx, "dw": dw, "db": None}
    y += b.astype(np.float64).reshape(b.shape + (1,) * (g.rank + 1 - b.ndim))
    return {"y": y, "dx": dx, "dw": dw, "db": delta.sum(0) if g.bias == "untied" else delta.sum((0, *range(2, g.rank + 2)))}


def arranged(a: Any, last: bool) -> Any:
    """x, y and delta from N, C, spatial to N, spatial, C."""
    return np.moveaxis(a, 1, -1) if last else a


def computed(adapter: Any, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> dict[str, Any]:
    """Hand over in the declared layouts, and rearrange the results back."""
    last = adapter.capabilities.x_layout == "NHWC"
    x, delta = arranged(x, last), arranged(delta, last)
    w = np.moveaxis(w, (0, 1), (-1, -2)) if last else w
    y = adapter.forward(g, x, w, b)
    dx, dw, db = adapter.backward(g, x, w, b, delta)
    for result, operand in itertools.product((y, dx, dw, db), (x, w, b, delta)):
        assert result is None or operand is None or not np.shares_memory(result, operand)
    y, dx = (np.moveaxis(a, -1, 1) if last else a for a in (y, dx))
    return {"y": y, "dx": dx, "dw": np.moveaxis(dw, (-1, -2), (0, 1)) if last else dw, "db": db}


def check(adapter: Any, line: str) -> None:
    problem = Problem.parse(line)
    g, o = problem.geometry, problem.operands
    assert adapter.capabilities.refusal(g, problem.dtype) is None
    before = {name: a.copy() for name, a in o.items()}
    got, expected = computed(adapter, g, o.x, o.w, o.b, o.delta), definition(g, o.x, o.w, o.b, o.delta)
    for name, right in expected.items():
        if right is None:
            assert got[name] is None
        else:
            assert got[name].dtype == problem.format.numpy
            np.testing.assert_array_equal(got[name].astype(np.float64), right, err_msg=f"{name} of {line}")
    for name, a in o.items():
        np.testing.assert_array_equal(a.astype(np.float64), before[name].astype(np.float64), err_msg=name)


@pytest.mark.parametrize("line", [*LINES, EMPTY])
@pytest.mark.parametrize("route", ROUTES)
def test_agrees_with_the_definition(route: str, line: str) -> None:
    check(Jax(route), line)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("route", ROUTES)
def test_in_every_dtype(route: str, dtype: str) -> None:
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
        with pytest.raises(Exception, match="."):
            computed(Jax(route), g, **spoiled)


@pytest.mark.parametrize(("dtype", "amplitude"), [("f16", 9), ("bf16", 9)])
def test_declared_arithmetic(dtype: str, amplitude: int) -> None:
    """y without a bias, dx and dw are sums in float32, rounded once: also where they do not fit the dtype."""
    g = Geometry(batch=4, channels=64, maps=64, size=(9, 8), kernel=(3, 3), bias="none")
    kind = Problem(geometry=g, dtype=dtype).format.numpy
    rng = np.random.default_rng(0)
    x, w, delta = (rng.integers(-amplitude, amplitude + 1, s).astype(kind) for s in (g.x_shape, g.w_shape, g.y_shape))
    got = computed(Jax(), g, x, w, None, delta)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), axis=(2, 3))
    full = np.pad(delta.astype(np.float64), ((0, 0), (0, 0), (2, 2), (2, 2)))
    full = np.lib.stride_tricks.sliding_window_view(full, (3, 3), axis=(2, 3))[..., ::-1, ::-1]
    wide = w.astype(np.float64)
    exact = {
        "y": np.einsum("nchwij,mcij->nmhw", windows, wide, optimize=True),
        "dx": np.einsum("nmhwij,mcij->nchw", full, wide, optimize=True),
        "dw": np.einsum("nchwij,nmhw->mcij", windows, delta.astype(np.float64), optimize=True),
    }
    assert max(np.abs(a).max() for a in exact.values()) > 2 ** Problem(geometry=g, dtype=dtype).format.p
    for name, right in exact.items():
        np.testing.assert_array_equal(got[name].astype(np.float64), right.astype(kind).astype(np.float64), err_msg=name)


def test_says_what_is_behind_it() -> None:
    assert set(Jax().versions()) == {"jax", "jaxlib"}
    assert set(Jax.routes) == set(ROUTES)
