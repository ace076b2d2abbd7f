"""What the tests of bundled adapters share: load one by its path, call it bare, hold it against the index sums.

Bare: without a session, so that a mistake of the harness cannot hide one of the adapter.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from conformance import Geometry, Problem
from conformance.oracle.definition import compute
from conformance.oracle.operations import exact
from conformance.problem import QUANTITIES, Operands
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
