"""The arithmetic class that a run may assume where an adapter declares none.

It only ever weakens what is demanded, and only by what an honest implementation of the dtype may do: round the operands of
float32 to TensorFloat-32 or bfloat16, use a transform, round sums toward zero, flush subnormal numbers, store partial sums
of float16 and bfloat16 in the dtype.  Anything else that was seen, an accumulator narrower than the dtype above all, is a
mistake to be found, not a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.adapter.plain import right, same
from conformance.adapter.probe.algorithm import Algorithm, algorithms
from conformance.adapter.probe.bench import UNANSWERED, Bench
from conformance.adapter.probe.chains import chains
from conformance.adapter.probe.extremes import flushed
from conformance.adapter.probe.fit import Fit
from conformance.adapter.probe.invariance import unmoved
from conformance.adapter.probe.singles import fitted, singles
from conformance.adapter.probe.sums import ALONE, lossy
from conformance.adapter.probe.widths import Widths, direction
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken, GeometryError
from conformance.oracle import Arithmetic
from conformance.problem import QUANTITIES, Problem
from conformance.spec import NotOffered

__all__ = ["inferred"]

DIRECT = Algorithm(name="direct", evidence="")
HONEST_INPUTS = ("tf32", "bf16")
"""Formats to which an honest implementation of float32 may round its operands."""


def inferred(session: Session, dtype: str) -> dict[str, Arithmetic]:
    """The class of each quantity in a dtype (a code), from about ten small calls.

    Never raises: where there is nothing to see, or nothing that may be assumed, it is `Arithmetic()`.
    """
    known = dict.fromkeys(QUANTITIES, Arithmetic())
    try:
        return known | dict(_classes(Bench(session, dtype)))
    except (*UNANSWERED, AdapterBroken, GeometryError):
        return known


def _classes(bench: Bench) -> Iterator[tuple[str, Arithmetic]]:
    found = singles(bench)
    fits = {q: fitted(seen, bench.code) for q, seen in found.items()}
    transforms = _transforms(bench, algorithms(bench, found, fits))
    inputs = _inputs(bench, fits, transforms)
    widths = Widths(bench, fits, ALONE)
    for q, fit in fits.items():
        way = transforms.get(q, DIRECT)
        of_sums = _of_sums(bench, q, fit, widths) if fit and way is DIRECT else {}
        yield q, Arithmetic(inputs=inputs.get(q), algorithm=way.name, tile=way.tile, **of_sums)


def _transforms(bench: Bench, named: Mapping[str, Algorithm]) -> dict[str, Algorithm]:
    """The quantities that a transform computes, if what it computes is right but for noise.

    In a narrow result the noise may not show: there a transform that was seen speaks for y, dx and dw alike.
    """
    found = {q: a for q, a in named.items() if a.name in ("winograd", "fft")}
    if not found or not _whole_numbers_right(bench):
        return {}
    if bench.format.p < 24:
        first = next(iter(found.values()))
        found = {q: found.get(q, first) for q in named if q != "db"}
    return found


def _whole_numbers_right(bench: Bench) -> bool:
    """A transform is right but for noise: rounded to integers, its results are those of small integers."""
    problem = Problem(geometry=bench.geometry("plane"), dtype=bench.code)
    o, expected = problem.operands, right(problem)
    operands = dict(o.items())
    results = bench.ask(problem.geometry, **operands)
    del operands["delta"]
    results |= bench.ask(problem.geometry, **operands)
    return all(same(a, expected[q]) for q, a in results.items())


def _inputs(
    bench: Bench, fits: Mapping[str, Fit | None], transforms: Mapping[str, Algorithm]
) -> dict[str, str]:
    """Of float32: the format to which operands are rounded, where it is one that is honest."""
    if bench.code != "f32":
        return {}
    seen = {
        q: fit.inputs
        for q, fit in fits.items()
        if fit and fit.which == "both" and not fit.cut and fit.stored == "none"
    }
    if transforms:
        seen |= {q: form for q, form in unmoved(bench).items() if q in transforms}
    if seen.get("db") != seen.get("dw"):
        seen.pop("db", None)  # it has no products: nobody rounds the terms of a sum for its own sake
    return {q: form for q, form in seen.items() if form in HONEST_INPUTS}


def _plain(bench: Bench, fit: Fit) -> bool:
    """Does nothing but what `_inputs` admits stand between products and results?"""
    admitted = HONEST_INPUTS if bench.code == "f32" else ()
    return fit.stored == "none" and fit.inputs in ("none", *admitted)


def _of_sums(bench: Bench, q: str, fit: Fit, widths: Widths) -> dict[str, Any]:
    """Truncation, flushing and partial sums of a quantity that is summed directly."""
    found: dict[str, Any] = {}
    narrow = bench.format.p < widths.base
    try:
        seen = chains(bench, q)
    except NotOffered:
        return found
    if not narrow and direction(seen, fit.rounding, narrow=False)[0] == "toward zero":
        found["truncates"] = True  # what float32 sums lose is little beside the rounding of a narrow result
    if flushed(seen) and (narrow or seen["control"].right) and _plain(bench, fit):
        found["flushes"] = True
    if narrow and lossy(widths.at(widths.base)[q]) and widths.right(bench.format.p, q):
        found |= {"accumulator": "f32", "partial_sums": bench.code}
    return found
