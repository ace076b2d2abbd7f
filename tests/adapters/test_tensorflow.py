"""The TensorFlow adapter against the index sums, bit for bit, on every route."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
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
from conformance import Geometry, Problem, Unsupported
from conformance.problem import dtype_of

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # before the import
tf = pytest.importorskip("tensorflow")

FILE = Path(__file__).parents[2] / "adapters" / "python-tensorflow" / "adapter_tensorflow.py"
ONEDNN = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
ROUTES = ("onednn",) if ONEDNN else ("eager", "raw-ops", "xla")
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:2x0:-1 d1x2 conv bias=untied"
UNTIED_3D = "3d n2 c2 m3 i3x4x5 k2x3x1 p1x2x-1:0 d2x1x3 bias=untied"
LINES = [
    "1d n2 c3 m4 i7 k3 s2 p1:2",
    "1d n2 c3 m4 i9 k2 d3 conv bias=untied",
    "1d n2 c4 m6 g2 i7 k3 s2 d2",
    "2d n2 c3 m4 i6x5 k3x2 s2x1 p1:2x0:1 conv bias=untied",
    "2d n2 c3 m4 i6x5 k3x2 p1:2x0:-1 d1x2 bias=untied",
    GROUPED,
    "2d n2 c3 m6 g3 i3x4 k4x2 s1x3 p2:1x1",
    "2d n2 c3 m2 i3x4 k2x1 s3x2 p4:5x0:3 bias=none",
    "2d n1 c2 m3 i5x6 k5x6 conv",
    "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x-1:0 bias=none",
    UNTIED_3D,
    "3d n2 c4 m2 g2 i3x4x5 k2x3x1 s1x2x1 p1x1x0 d2x1x2 conv",
]
EMPTY = "2d n0 c4 m6 i5x4 k2x3 p1"
WRONG = {
    ("xla", UNTIED_3D): "the shape inferred for Conv3D swaps the dilations of the last two axes",
}
DTYPES = ("f32",) if ONEDNN else ("f64", "f32", "f16", "bf16")
PLAIN = "2d n2 c3 m4 i6x5 k3x2 s2x1 p1:2x0:1 conv bias=untied"


TensorFlow = load(FILE).TensorFlow


def offered(adapter: Any, line: str) -> bool:
    problem = Problem.parse(line)
    refused = adapter.capabilities.refusal(problem.geometry, problem.dtype)
    return not (refused or adapter.unsupported(problem.geometry, problem.format.name))


def check(adapter: Any, line: str) -> None:
    problem = Problem.parse(line)
    g, o = problem.geometry, problem.operands
    assert offered(adapter, line)
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("line", [*LINES, EMPTY])
@pytest.mark.parametrize("route", ROUTES)
def test_agrees_with_the_definition(
    route: str, line: str, dtype: str, request: pytest.FixtureRequest
) -> None:
    adapter = TensorFlow(route)
    if not offered(adapter, f"{line} {dtype}"):
        pytest.skip("not claimed")
    if route == "xla" and dtype != "f32" and line != GROUPED:
        pytest.skip("compiled in float32: it takes its time")
    if (route, line) in WRONG:
        request.applymarker(pytest.mark.xfail(reason=WRONG[route, line], strict=True))
    check(adapter, f"{line} {dtype}")


def test_every_line_is_offered_somewhere() -> None:
    for line in LINES:
        assert any(offered(TensorFlow(route), f"{line} f32") for route in ROUTES) or ONEDNN, line


@pytest.mark.parametrize("memory", ["fortran", "sliced", "reversed", "channels-last", "broadcast"])
@pytest.mark.parametrize("route", ROUTES)
def test_in_every_memory_layout(route: str, memory: str) -> None:
    check(TensorFlow(route), f"{PLAIN} {DTYPES[-1]} mem={memory}")


@pytest.mark.parametrize(
    "line",
    [
        "2d n2 c1 m1 i5x4 k2x3",
        "2d n2 c2 m2 g2 i5x4 k2x3",
        "2d n2 c1 m1 i2x3 k2x3 bias=untied",
        "3d n2 c1 m1 i2x5x4 k1x2x3",
    ],
)
@pytest.mark.parametrize("route", ROUTES)
def test_refuses_shapes_that_do_not_fit(route: str, line: str) -> None:
    problem, adapter = Problem.parse(f"{line} f32"), TensorFlow(route)
    if not offered(adapter, str(problem)):
        pytest.skip("not claimed")
    g, o = problem.geometry, problem.operands
    nonsense = {
        "x": [(2, 2 * g.channels, *g.size), (2, g.channels, *g.size[:-1], 1), (2, g.channels, *g.size[1:])],
        "w": [(g.maps, 1 + g.channels // g.groups, *g.kernel), (g.maps, 1, *g.kernel[1:])],
        "b": [(g.maps + 1,), (g.maps, 1)],
        "delta": [(2, g.maps, *g.output[:-1], 3), (2, g.maps + 1, *g.output), (1, g.maps, *g.output)],
    }
    for name, shape in ((name, shape) for name, shapes in nonsense.items() for shape in shapes):
        spoiled = {**dict(o.items()), name: np.ones(shape, np.float32)}
        with pytest.raises((ValueError, tf.errors.OpError)):  # GeometryError is a ValueError
            computed(adapter, g, **spoiled)


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


@pytest.mark.skipif(ONEDNN, reason="one dtype")
@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize(
    ("route", "once"), [("eager", ("y",)), ("raw-ops", ("y",)), ("xla", ("y", "dx", "dw"))]
)
def test_sums_in_float32_are_rounded_once(route: str, once: tuple[str, ...], dtype: str) -> None:
    g, operands, exact = pointwise(dtype)
    got = computed(TensorFlow(route), g, **operands)
    for name, right in exact.items():
        assert np.abs(right).max() > 2 ** dtype_of(dtype).p, "no sum needs rounding"
        same = np.array_equal(got[name].astype(np.float64), right.astype(got[name].dtype).astype(np.float64))
        assert same == (name in once), name


@pytest.mark.skipif(ONEDNN, reason="oneDNN offers more")
def test_what_it_declines_is_declined_by_tensorflow() -> None:
    eager, xla = TensorFlow("eager"), TensorFlow("xla")
    for line in ("2d n2 c3 m4 i6x5 k2 s2 d2 f32", "2d n2 c4 m6 g2 i6x5 k2 f32"):
        assert not offered(eager, line)
        check(xla, line)
        o = Problem.parse(line).operands
        with pytest.raises((ValueError, tf.errors.OpError)):
            computed(eager, Problem.parse(line).geometry, x=o.x, w=o.w, b=o.b, delta=o.delta)


@pytest.mark.skipif(not ONEDNN, reason="needs the process of the route onednn")
def test_onednn_returns_y_of_an_empty_batch_in_the_shape_of_x() -> None:
    """Why the route does not claim one."""
    g = Problem.parse(EMPTY).geometry
    x, w, b = (np.zeros(shape, np.float32) for shape in ((0, 5, 4, 4), (2, 3, 4, 6), (6,)))
    assert TensorFlow("onednn").forward(dataclasses.replace(g, bias="none"), x, w, None).shape == (0, 7, 6, 4)
    with pytest.raises(tf.errors.InvalidArgumentError):
        TensorFlow("onednn").forward(g, x, w, b)


@pytest.mark.skipif(ONEDNN, reason="this is that process")
def test_onednn_in_a_process_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TF_ENABLE_ONEDNN_OPTS=1"):
        TensorFlow("onednn")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).resolve())]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_says_what_is_behind_it() -> None:
    assert set(TensorFlow(ROUTES[0]).versions()) == {"tensorflow"}
    assert {*TensorFlow.routes} == {"eager", "raw-ops", "xla", "onednn"}


# ---- whole networks ----
@pytest.mark.parametrize("line", NETWORKS)
@pytest.mark.parametrize("route", ROUTES)
def test_networks_are_exact_where_nothing_rounds(route: str, line: str) -> None:
    check_network(TensorFlow(route), line)


# ---- optional operations ----
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", ROUTES)
def test_operations_agree_with_the_definition(
    route: str, method: str, line: str, dtype: str, request: pytest.FixtureRequest
) -> None:
    adapter = TensorFlow(route)
    if not offered(adapter, f"{line} {dtype}"):
        pytest.skip("not claimed")
    if route == "xla" and (dtype != "f32" or line not in (GROUPED, UNTIED_3D)):
        pytest.skip("compiled for two problems: it takes its time")
    if (route, line) == ("xla", UNTIED_3D) and not method.startswith("transposed"):
        request.applymarker(pytest.mark.xfail(reason=WRONG["xla", UNTIED_3D], strict=True))
    try:
        check_operation(adapter, method, f"{line} {dtype}")
    except Unsupported as reason:
        assert max(Problem.parse(line).geometry.dilation) > 1
        pytest.skip(str(reason))


@pytest.mark.parametrize("absent", ALONE)
@pytest.mark.parametrize("method", ["double_backward", "forward_mode"])
@pytest.mark.parametrize("route", ROUTES)
def test_directions_may_be_left_out(route: str, method: str, absent: str) -> None:
    check_operation(TensorFlow(route), method, f"{PLAIN} f32", **dict.fromkeys(absent))
