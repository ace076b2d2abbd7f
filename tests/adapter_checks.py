"""What the tests of bundled adapters share: load one by its path, call it bare, hold it against the index sums.

Bare: without a session, so that a mistake of the harness cannot hide one of the adapter.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from conformance import Geometry, Problem
from conformance.adapter.place import Call as Asked
from conformance.adapter.place import Place
from conformance.oracle.definition import compute
from conformance.oracle.network import Pass
from conformance.oracle.operations import exact
from conformance.problem import QUANTITIES, Operands
from conformance.problem.network import NetworkProblem
from conformance.problem.operations import CALLS, shape_of


def load(path: Path) -> ModuleType:
    """The module of an adapter's file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Bare:
    """An adapter in a process of its own, called as an object is."""

    def __init__(self, place: Place) -> None:
        self.capabilities, self._place = place.capabilities, place

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(g: Geometry, *operands: Any, **named: Any) -> Any:
            given = dict(zip(CALLS[method].reads, operands, strict=False)) | named
            results = self._place.call(Asked(method=method, geometry=g, operands=given)).results
            return results if len(results) > 1 else results[0]

        return call


def definition(g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> dict[str, Any]:
    """y, dx, dw and db of integer operands by the oracle's plain loops, in float64; db is None without a bias."""
    results = compute(g, Operands(x=x, w=w, b=b, delta=delta))
    return {q: None if (a := getattr(results, q)) is None else a.astype(np.float64) for q in QUANTITIES}


def computed(adapter: Any, g: Geometry, *, x: Any, w: Any, b: Any = None, delta: Any) -> dict[str, Any]:
    """Hand over in the declared layouts, and rearrange the results back; none may share memory with an operand."""
    last = adapter.capabilities.x_layout == "NHWC"
    x, delta = (np.moveaxis(a, 1, -1) if last else a for a in (x, delta))
    w = np.moveaxis(w, (0, 1), (-1, -2)) if last else w
    y = adapter.forward(g, x, w, b)
    dx, dw, db = adapter.backward(g, x, w, b, delta)
    for result, operand in itertools.product((y, dx, dw, db), (x, w, b, delta)):
        assert result is None or operand is None or not np.shares_memory(result, operand)
    y, dx = (np.moveaxis(a, -1, 1) if last else a for a in (y, dx))
    return {"y": y, "dx": dx, "dw": np.moveaxis(dw, (-1, -2), (0, 1)) if last else dw, "db": db}


NETWORKS = [
    "net n2 in 3x7x6 | c4 k3x2 s2x1 p1:0x1 relu | c2 k2x3 conv bias=untied leaky=0.5 | quadratic f64 seed=1",
    "net n3 in 2x9 | c3 k3 leaky | c4 k2 bias=none relu | c2 k3 identity | quadratic f32 fill=unit seed=2",
]


def check_network(adapter: Any, line: str) -> None:
    """Cost, deltas, gradients and a step of an exact network, called bare, against the oracle's own pass.

    Skipped if the adapter does not claim its layers.
    """
    problem = NetworkProblem.parse(line)
    net, o = problem.network, problem.operands
    if any(adapter.capabilities.refusal(layer.geometry, "f64") for layer in net.layers):
        pytest.skip("the route does not claim these layers")
    below = {layer.word: layer.below for layer in net.layers}
    shared = {word: (1 + slope) / 2 for word, slope in below.items()}
    right = [Pass(net, o, kink=k) for k in (below, dict.fromkeys(below, 1.0), shared)]  # where z is exactly 0
    last = adapter.capabilities.x_layout == "NHWC"
    x, target = (np.moveaxis(a, 1, -1) if last else a for a in (o.x, o.target))
    params = [(np.moveaxis(w, (0, 1), (-1, -2)) if last else w, b) for w, b in o.params]
    cost, deltas, gradients = adapter.network(net, x, target, params)
    moved = adapter.step(net, x, target, params, 0.25)
    deltas = [np.moveaxis(d, -1, 1) if last else d for d in deltas]
    of_w = (lambda w: np.moveaxis(w, (-1, -2), (0, 1))) if last else (lambda w: w)
    assert any(np.array_equal(deltas[0], p.deltas[0]) for p in right)
    p = next(p for p in right if np.array_equal(deltas[0], p.deltas[0]))
    assert float(cost) == p.cost
    for got, expected in zip(deltas, p.deltas, strict=True):
        assert got.dtype == problem.format.numpy
        np.testing.assert_array_equal(got, expected)
    for got, after, expected, (w, b) in zip(gradients, moved, p.gradients, o.params, strict=True):
        np.testing.assert_array_equal(of_w(got[0]), expected[0])
        np.testing.assert_array_equal(of_w(after[0]), w - expected[0] / 4)
        if b is None:
            assert got[1] is None
            assert after[1] is None
        else:
            np.testing.assert_array_equal(got[1], expected[1])
            np.testing.assert_array_equal(after[1], b - expected[1] / 4)


def check_operation(adapter: Any, method: str, line: str, **changes: Any) -> None:
    """An optional operation on integers that never round, bit for bit; `changes`, as in u=None, in what it is given."""
    problem, call = Problem.parse(line), CALLS[method]
    g, o = problem.geometry, problem.further.replace(**changes)
    handed = {name: _turned(adapter, name, getattr(o, drawn)) for name, drawn in call.reads.items()}
    results = getattr(adapter, method)(g, **handed)
    results = results if len(call.gives) > 1 else (results,)
    for result, got in zip(call.gives, results, strict=True):
        q = call.quantity(result)
        if shape_of(g, q) is None:
            assert got is None
            continue
        assert got.dtype == problem.format.numpy
        back = _turned(adapter, result, got, back=True).astype(np.float64)
        np.testing.assert_array_equal(back, exact(g, o, q), err_msg=f"{q} of {line}")


def _turned(adapter: Any, name: str, a: Any, *, back: bool = False) -> Any:
    """An operand or result in the declared layout, or back from it."""
    if a is None or name in ("b", "r", "db") or adapter.capabilities.x_layout == "NCHW":
        return a
    if name in ("w", "v", "dw"):
        return np.moveaxis(a, (-1, -2), (0, 1)) if back else np.moveaxis(a, (0, 1), (-1, -2))
    return np.moveaxis(a, -1, 1) if back else np.moveaxis(a, 1, -1)


METHODS = tuple(call.method for call in CALLS.values() if call.operation)
"""Of optional operations."""
ALONE = ("uv", "vr", "ur")
"""Directions that are left out together: what remains is alone."""
