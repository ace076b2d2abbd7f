"""The nearest problem that an adapter offers: so that a corpus made for all is of use to one that claims little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from conformance.adapter.protocol import Capabilities
from conformance.adapter.session import Session
from conformance.errors import GeometryError
from conformance.problem import DTYPES, Geometry, Problem

__all__ = ["claimed", "fitted"]


def fitted(problem: Problem, session: Session) -> Problem:
    """The problem itself if the adapter offers it; else the nearest one that it claims, feature by feature.

    Ranks are never changed.  Where nothing near is possible, the problem comes back as it was (and will be UNSUPPORTED).
    """
    able = session.capabilities
    if problem.memory not in able.memories:
        problem = problem.replace(memory="c")
    if session.refusal(problem.geometry, problem.dtype) is None or problem.geometry.rank not in able.ranks:
        return problem
    dtype = problem.dtype if problem.dtype in able.dtypes else next(d for d in DTYPES if d in able.dtypes)
    try:
        near = problem.replace(geometry=claimed(problem.geometry, able), dtype=dtype)
    except GeometryError:
        return problem
    for geometry in (near.geometry, *_simpler(near.geometry)):
        if session.refusal(geometry, dtype) is None:
            return near.replace(geometry=geometry)
    return problem


def claimed(g: Geometry, able: Capabilities) -> Geometry:
    """Each feature that is not claimed left out; sizes grow where the kernel would no longer fit."""
    changes: dict[str, Any] = {
        "batch": g.batch if g.batch or able.empty_batch else 1,
        "stride": g.stride if able.stride else (1,),
        "dilation": g.dilation if able.dilation else (1,),
        "padding": _padding(g, able.padding),
        "convention": g.convention if g.convention in able.conventions else able.conventions[0],
        "bias": g.bias
        if g.bias in able.biases
        else next(b for b in ("tied", "none", "untied") if b in able.biases),
    }
    if not able.groups and g.groups > 1:
        changes |= {"groups": 1, "channels": g.channels // g.groups, "maps": g.maps // g.groups}
    pads = changes["padding"]
    dilation = changes["dilation"] if able.dilation else (1,) * g.rank
    reach = [d * (k - 1) + 1 for k, d in zip(g.kernel, dilation, strict=True)]
    size = tuple(max(i, r - lo - hi, 1) for i, r, (lo, hi) in zip(g.size, reach, pads, strict=True))
    return replace(g, size=size, **changes)


def _padding(g: Geometry, able: str) -> tuple[tuple[int, int], ...]:
    change: dict[str, Callable[[int, int], tuple[int, int]]] = {
        "none": lambda lo, hi: (0, 0),
        "symmetric": lambda lo, hi: (max(lo, 0), max(lo, 0)),
        "asymmetric": lambda lo, hi: (max(lo, 0), max(hi, 0)),
        "negative": lambda lo, hi: (lo, hi),
    }
    return tuple(change[able](lo, hi) for lo, hi in g.padding)


def _simpler(g: Geometry) -> Iterator[Geometry]:
    """What conditional rules most often refuse, left out: one feature first, then several."""
    plain: dict[str, Any] = {"stride": (1,), "dilation": (1,), "padding": ((0, 0),)}
    big = tuple(max(i, r) for i, r in zip(g.size, g.kernel_reach, strict=True))
    one: dict[str, Any] = {"groups": 1, "channels": g.channels // g.groups, "maps": g.maps // g.groups}
    yield replace(g, dilation=(1,))
    yield replace(g, stride=(1,))
    yield replace(g, **one)
    yield replace(g, size=big, padding=((0, 0),))
    yield replace(g, size=big, **plain)
    yield replace(g, size=big, **{**plain, **one})
