"""The autograd adapter against the index sums, bit for bit, and its networks against the oracle's pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_checks import NETWORKS, check_network, computed, definition, load
from conformance import Problem
from conformance.problem.network import NetworkProblem

pytest.importorskip("autograd")

FILE = Path(__file__).parents[2] / "adapters" / "python-autograd" / "adapter_autograd.py"
LINES = [
    "1d n2 c3 m4 i7 k3 s2 p1:2",
    "2d n2 c4 m3 i6x5 k3x2 s2x1 p1:2x0 conv bias=untied",
    "2d n2 c3 m2 i3x4 k4x2 s1x3 p2:1x1",
    "2d n1 c2 m3 i5x6 k5x6 conv",
    "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x0 bias=none",
    "2d n0 c4 m3 i5x4 k2x3 p1",
]

Autograd = load(FILE).Autograd


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("line", LINES)
def test_agrees_with_the_definition(line: str, dtype: str) -> None:
    adapter: Any = Autograd()
    problem = Problem.parse(f"{line} {dtype}")
    g, o = problem.geometry, problem.operands
    assert adapter.capabilities.refusal(g, problem.dtype) is None
    got = computed(adapter, g, x=o.x, w=o.w, b=o.b, delta=o.delta)
    for name, right in definition(g, o.x, o.w, o.b, o.delta).items():
        if right is None:
            assert got[name] is None
        else:
            assert got[name].dtype == problem.format.numpy
            np.testing.assert_array_equal(got[name].astype(np.float64), right, err_msg=f"{name} of {line}")


@pytest.mark.parametrize("line", NETWORKS)
def test_networks_are_exact_where_nothing_rounds(line: str) -> None:
    check_network(Autograd(), line)


def test_at_a_kink_the_gradient_is_shared() -> None:
    problem = NetworkProblem.parse("net in 1x1 | k1 bias=none relu | quadratic fill=unit")
    o = problem.operands
    nothing = [(np.zeros_like(o.params[0][0]), None)]
    _, (delta,), _ = Autograd().network(problem.network, o.x, np.array([[[-1.0]]]), nothing)
    assert delta == [[[0.5]]]


def test_says_what_is_behind_it() -> None:
    assert set(Autograd().versions()) == {"autograd", "numpy"}
