"""The PyTorch adapter against the index sums, bit for bit, on every route."""

from __future__ import annotations

import functools
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

torch = pytest.importorskip("torch")

FILE = Path(__file__).parents[2] / "adapters" / "python-torch" / "adapter_torch.py"
# torch's own, on the first use of forward mode: it scripts its decompositions
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
ROUTES = ("autograd", "nn-grad", "channels-last", "no-mkldnn")
DTYPES = ("f64", "f32", "f16", "bf16")
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1 d1x2 conv bias=untied"
# No kernel of size 1 with a stride: there oneDNN may write beyond its memory (float32, channels-last), and the process,
# with all its tests, ends or hangs.
LINES = [
    GROUPED,
    "1d n3 c2 m3 i9 k4 s3 p2",
    "1d n2 c3 m3 g3 i7 k3 s2 p1:2 conv",
    "1d n2 c1 m2 i4 k6 p3:2",  # the kernel is larger than x
    "2d n2 c3 m4 i7x8 k3x2 s2x3 d2x1",  # a stride with a remainder
    "2d n2 c2 m2 i5x6 k2x3 p-1:2x1:-2 bias=none",
    "2d n2 c2 m4 i5x6 k2x3 p-1 conv bias=untied",
    "2d n2 c3 m2 i5x4 k1 p1",
    "2d n1 c2 m3 i5x6 k5x6 conv",  # kernel = input
    "3d n2 c2 m4 g2 i4x3x5 k2x3x1 s1x2x1 p1 d2x1x3 conv",
    "3d n1 c2 m3 i4x3x5 k2x2x3 p1x1:0x-1:0 bias=none",
    "2d n0 c4 m6 g2 i5x4 k2x3 p1 bias=untied",
]


adapter_torch = load(FILE)
Torch = adapter_torch.Torch


@functools.cache
def expected(line: str) -> dict[str, Any]:
    o = Problem.parse(line).operands
    return definition(Problem.parse(line).geometry, o.x, o.w, o.b, o.delta)


def check(adapter: Any, line: str) -> None:
    problem = Problem.parse(line)
    g, o = problem.geometry, problem.operands
    before = o.in_memory("c")
    got = computed(adapter, g, **dict(o.items()))
    for name, right in expected(line).items():
        if right is None:
            assert got[name] is None
        else:
            assert got[name].dtype == problem.format.numpy
            np.testing.assert_array_equal(got[name].astype(np.float64), right, err_msg=f"{name} of {line}")
    for (name, was), (_, a) in zip(before.items(), o.items(), strict=True):
        np.testing.assert_array_equal(a.astype(np.float64), was.astype(np.float64), err_msg=name)


def claimed() -> list[tuple[str, str]]:
    """Each route with each line that it claims."""
    geometries = {line: Problem.parse(line).geometry for line in LINES}
    return [(r, line) for r in ROUTES for line, g in geometries.items() if not refusal(r, g)]


def refusal(route: str, g: Geometry) -> str | None:
    return Torch(route).capabilities.refusal(g, "f64")  # type: ignore[no-any-return]


@pytest.mark.parametrize(("route", "line"), claimed())
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_the_definition(dtype: str, route: str, line: str) -> None:
    check(Torch(route), f"{line} {dtype}")


@pytest.mark.parametrize("memory", ["fortran", "sliced", "reversed", "channels-last", "broadcast"])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("route", ROUTES)
def test_in_every_memory_layout(route: str, dtype: str, memory: str) -> None:
    check(Torch(route), f"{GROUPED} {dtype} mem={memory}")


@pytest.mark.parametrize(
    ("route", "line", "why"),
    [
        ("nn-grad", "2d i5x6 k2 p1:0", "asymmetric padding not claimed"),
        ("nn-grad", "2d i5x6 k2 p-1", "negative padding not claimed"),
        ("channels-last", "1d i5 k2", "1 spatial axis not claimed"),
    ],
)
def test_claims_what_the_route_can(route: str, line: str, why: str) -> None:
    assert refusal(route, Problem.parse(line).geometry) == why


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_and_tensors_share_bits_and_strides(dtype: str) -> None:
    """float16 and bfloat16 patterns survive, and torch sees each layout as it is, without a warning."""
    a = np.arange(24.0).reshape(2, 3, 4).astype(dtype_of(dtype).numpy)
    for view in (a, a.T, a[:, ::2, 1::2], np.broadcast_to(a[:1], a.shape), np.moveaxis(a, 1, -1)):
        t = adapter_torch._tensor(view)
        assert t.stride() == tuple(stride // a.itemsize for stride in view.strides)
        assert t.data_ptr() == view.ctypes.data
        back = adapter_torch._array(t)
        assert back.dtype == a.dtype
        np.testing.assert_array_equal(back.astype(np.float64), view.astype(np.float64))
    flipped = a[:, ::-1]
    np.testing.assert_array_equal(
        adapter_torch._array(adapter_torch._tensor(flipped)).astype(np.float64), flipped.astype(np.float64)
    )


def test_channels_last_operands_are_channels_last() -> None:
    g = Geometry(batch=2, channels=3, size=(4, 5), kernel=(1, 1))
    t = Torch("channels-last")._operand(g, np.ones(g.x_shape))
    assert t.is_contiguous(memory_format=torch.channels_last)
    assert not t.is_contiguous()


def test_without_onednn_integers_stay_exact_in_large_batches() -> None:
    """From 16 items on, NNPACK would take the place of oneDNN, and its transforms round."""
    g = Geometry(batch=16, channels=8, maps=8, size=(12, 11), kernel=(3, 3), bias="none")
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-400, 401, shape).astype(np.float32) for shape in (g.x_shape, g.w_shape))
    before = torch.backends.mkldnn.enabled, torch._C._get_nnpack_enabled()
    y = Torch("no-mkldnn").forward(g, x, w, None)
    assert (torch.backends.mkldnn.enabled, torch._C._get_nnpack_enabled()) == before
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), g.kernel, axis=(2, 3))
    np.testing.assert_array_equal(y, np.einsum("nchwuv,mcuv->nmhw", windows, w.astype(np.float64)))


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("route", ROUTES)
def test_y_is_summed_in_float32_and_rounded_once(route: str, dtype: str) -> None:
    g = Geometry(channels=1200, maps=3, size=(2, 3), kernel=(1, 1), bias="none")
    rng, kind = np.random.default_rng(0), dtype_of(dtype).numpy
    x, w = (rng.integers(-7, 8, shape).astype(kind) for shape in (g.x_shape, g.w_shape))
    right = np.einsum("nchw,mc->nmhw", x.astype(np.float64), w[:, :, 0, 0].astype(np.float64))
    y = Torch(route).forward(g, x, w, None)
    np.testing.assert_array_equal(y.astype(np.float64), right.astype(kind).astype(np.float64))


@pytest.mark.parametrize("route", ROUTES)
def test_refuses_shapes_that_do_not_fit(route: str) -> None:
    problem = Problem.parse("2d n2 c4 m6 g2 i5x4 k2x3")
    nonsense = {
        "x": [(2, 6, 5, 4), (2, 4, 1, 4)],
        "w": [(6, 3, 2, 3), (5, 2, 2, 3), (6, 2, 2)],
        "b": [(7,), (1, 6)],
        "delta": [(2, 6, 4, 3), (2, 6, 3, 2), (2, 6, 4)],
    }
    for name, shape in ((name, shape) for name, shapes in nonsense.items() for shape in shapes):
        spoiled = {**dict(problem.operands.items()), name: np.ones(shape)}
        with pytest.raises((RuntimeError, ValueError)):  # GeometryError is a ValueError
            computed(Torch(route), problem.geometry, **spoiled)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("shape", [(1,), (3, 1, 1), (2, 3, 4, 3)])
def test_refuses_an_untied_bias_that_would_be_broadcast(route: str, shape: tuple[int, ...]) -> None:
    problem = Problem.parse("2d n2 c2 m3 i5x4 k2x2 bias=untied")
    g, o = problem.geometry, problem.operands
    with pytest.raises(ValueError, match="b has shape"):
        Torch(route).forward(g, o.x, o.w, np.ones(shape))
    with pytest.raises(ValueError, match="b has shape"):
        Torch(route).backward(g, o.x, o.w, np.ones(shape), o.delta)


def test_says_what_is_behind_it() -> None:
    assert Torch().versions()["torch"] == torch.__version__
    assert tuple(Torch.routes) == ROUTES


# ---- whole networks ----
@pytest.mark.parametrize("line", NETWORKS)
@pytest.mark.parametrize("route", ["autograd", "channels-last", "no-mkldnn"])
def test_networks_are_exact_where_nothing_rounds(route: str, line: str) -> None:
    check_network(Torch(route), line)


# ---- optional operations ----
OFFERING = tuple(route for route in ROUTES if Torch(route).capabilities.operations)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_agree_with_the_definition(dtype: str, method: str) -> None:
    for route in OFFERING:
        for line in (line for line in LINES if not refusal(route, Problem.parse(line).geometry)):
            check_operation(Torch(route), method, f"{line} {dtype}")


@pytest.mark.parametrize("absent", ALONE)
@pytest.mark.parametrize("method", ["double_backward", "forward_mode"])
def test_directions_may_be_left_out(method: str, absent: str) -> None:
    for route in OFFERING:
        check_operation(Torch(route), method, f"{GROUPED} f64", **dict.fromkeys(absent))


@pytest.mark.parametrize("memory", ["fortran", "sliced", "reversed", "broadcast"])
@pytest.mark.parametrize("method", METHODS)
def test_operations_in_other_memory_layouts(method: str, memory: str) -> None:
    for route in OFFERING:
        check_operation(Torch(route), method, f"{GROUPED} f32 mem={memory}")


def test_where_there_are_functions_for_gradients_only_no_operation_is_claimed() -> None:
    assert set(ROUTES) - set(OFFERING) == {"nn-grad"}


def test_what_the_stride_leaves_over_is_output_padding() -> None:
    """Sizes of x that have the same y differ in the transposed convolution alone."""
    sizes = []
    for size in (9, 10, 11):
        g = Geometry(size=(size,), kernel=(3,), stride=(3,), bias="none")
        assert g.output == (3,)
        sizes.append(Torch().transposed(g, np.ones(g.y_shape), np.ones(g.w_shape), None).shape[-1])
    assert sizes == [9, 10, 11]
