"""Rounded operands, seen through any algorithm: who rounds its operands does not notice that they were rounded before."""

from __future__ import annotations

from typing import Any

from conformance.adapter.probe.bench import Bench
from conformance.adapter.probe.rounding import once
from conformance.adapter.probe.singles import mantissas
from conformance.oracle.arithmetic import PRECISION

__all__ = ["unmoved"]

COARSEST_FIRST = ("bf16", "f16", "tf32", "f32")


def unmoved(bench: Bench) -> dict[str, str]:
    """By quantity: the coarsest format to which operands may be rounded without changing a bit of it, or ``none``."""
    g = bench.geometry("plane")
    whole = {name: mantissas(bench.format, g.shape_of(name) or ()) for name in ("x", "w", "delta")}
    before, found = _bits(bench, whole), dict[str, str]()
    for form in (form for form in COARSEST_FIRST if PRECISION[form] < bench.format.p):
        after = _bits(bench, {name: once(a, form) for name, a in whole.items()})
        for q in before:
            if after[q] == before[q]:
                found.setdefault(q, form)
    return {q: found.get(q, "none") for q in before}


def _bits(bench: Bench, operands: dict[str, Any]) -> dict[str, bytes]:
    g = bench.geometry("plane")
    results = bench.ask(g, x=operands["x"], w=operands["w"]) | bench.ask(g, **operands)
    return {q: a.tobytes() for q, a in results.items()}
