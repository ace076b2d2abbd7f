"""The SciPy adapter against the index sums: bit for bit directly, as rounded integers by Fourier transforms."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_checks import computed, definition, load
from conformance import Geometry, Problem
from conformance.errors import GeometryError

FILE = Path(__file__).parents[2] / "adapters" / "python-scipy" / "adapter_scipy.py"
ROUTES = ("direct", "fftconvolve")
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:2x0:-1 d1x2 conv bias=untied"
LINES = [
    GROUPED,
    "1d n3 c2 m3 i9 k4 s3 p2",
    "1d n2 c3 m3 g3 i7 k3 s2 p1:2 conv",
    "1d n2 c1 m2 i4 k6 p3:2",  # the kernel is larger than x, and than delta
    "1d n1 c1 m1 i1 k2 s4 p3:0",  # all that is read is padding
    "2d n2 c3 m4 i7x8 k3x2 s2x3 d2x1",  # a stride with a remainder
    "2d n2 c2 m2 i5x6 k2x3 p-1:2x1:-2 bias=none",
    "2d n2 c2 m3 i8x4 k1 s3x2 p1",  # stride > kernel
    "2d n1 c2 m3 i5x6 k5x6 conv",  # kernel = input
    "3d n2 c2 m4 g2 i4x3x5 k2x3x1 s1x2x1 p1x1x-1:0 d2x1x3 conv",
    "2d n0 c4 m6 g2 i5x4 k2x3 p1 bias=untied",
]


SciPy = load(FILE).SciPy


@functools.cache
def expected(line: str) -> dict[str, Any]:
    o = Problem.parse(line).operands
    return definition(Problem.parse(line).geometry, o.x, o.w, o.b, o.delta)


def check(adapter: Any, line: str) -> None:
    problem = Problem.parse(line)
    g, o = problem.geometry, problem.operands
    assert adapter.capabilities.refusal(g, problem.dtype) is None
    before = o.in_memory("c")
    got = computed(adapter, g, **dict(o.items()))
    for name, right in expected(line).items():
        if right is None:
            assert got[name] is None
        else:
            assert got[name].dtype == problem.format.numpy
            found = np.rint(got[name]) if adapter.route == "fftconvolve" else got[name]
            np.testing.assert_array_equal(found, right, err_msg=f"{name} of {line}")
    for (name, was), (_, a) in zip(before.items(), o.items(), strict=True):
        np.testing.assert_array_equal(a, was, err_msg=name)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("route", ROUTES)
def test_agrees_with_the_definition(route: str, dtype: str, line: str) -> None:
    check(SciPy(route), f"{line} {dtype}")


@pytest.mark.parametrize("memory", ["fortran", "sliced", "reversed", "channels-last", "broadcast"])
@pytest.mark.parametrize("route", ROUTES)
def test_in_every_memory_layout(route: str, memory: str) -> None:
    check(SciPy(route), f"{GROUPED} f32 mem={memory}")


def test_exact_on_integers_that_fill_the_significand() -> None:
    """Sums up to 2^24 in float32: no partial sum is rounded, whatever the order."""
    g = Geometry(batch=3, channels=4, maps=2, size=(9, 8), kernel=(3, 3), bias="none")
    rng = np.random.default_rng(0)
    shapes = {"x": g.x_shape, "w": g.w_shape, "delta": g.y_shape}
    operands = {name: rng.integers(-300, 301, shape).astype(np.float32) for name, shape in shapes.items()}
    got = computed(SciPy(), g, **operands)
    for name, right in definition(g, operands["x"], operands["w"], None, operands["delta"]).items():
        if right is not None:
            np.testing.assert_array_equal(got[name], right, err_msg=name)


@pytest.mark.parametrize("route", ROUTES)
def test_refuses_shapes_that_do_not_fit(route: str) -> None:
    problem = Problem.parse("2d n2 c4 m6 g2 i5x4 k2x3")
    g, o = problem.geometry, problem.operands
    for name, a in o.items():
        for axis, more in itertools.product(range(a.ndim), (-1, 1)):
            shape = [*a.shape]
            shape[axis] += more
            with pytest.raises(GeometryError, match=f"{name} has shape"):
                computed(SciPy(route), g, **{**dict(o.items()), name: np.ones(shape)})


def test_says_what_is_behind_it() -> None:
    assert set(SciPy().versions()) == {"scipy", "numpy"}
    assert SciPy().route == ROUTES[0]
    assert [SciPy(route).capabilities.arithmetic_of("f64")["y"].algorithm for route in SciPy.routes] == [
        "direct",
        "fft",
    ]
