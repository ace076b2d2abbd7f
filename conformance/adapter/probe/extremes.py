"""The ends of the range, and the same call again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from conformance.adapter.probe.bench import Bench
from conformance.adapter.probe.chains import Chain
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation
from conformance.adapter.probe.rounding import digits
from conformance.problem import Problem

__all__ = ["extremes", "flushed", "repeated"]

CALLS = 3


def extremes(bench: Bench, q: str, chains: Mapping[str, Chain]) -> Iterator[Observation]:
    """Subnormal operands, subnormal results and overflow, of one quantity."""
    small = "small operand grown" if "small operand grown" in chains else "small operand"
    if q != "db":
        yield bench.saw(q, "subnormal operands", *_fate(chains, small))
    yield bench.saw(q, "subnormal results", *_fate(chains, "small result" if q != "db" else "small operand"))
    if top := chains.get("overflow"):
        yield bench.saw(q, "overflow", _overflowed(top, bench.format.largest), str(top))


def flushed(chains: Mapping[str, Chain]) -> bool:
    """Is any subnormal number replaced by zero, where single numbers are right otherwise?"""
    return any(_fate(chains, name)[0] == "flushed" for name in chains if name.startswith("small"))


def _fate(chains: Mapping[str, Chain], name: str) -> tuple[str, str]:
    """(value, evidence)."""
    chain = chains.get(name)
    if chain is None:
        return UNOBSERVABLE, "too few terms are summed"
    if not chains["one"].right:
        return UNOBSERVABLE, f"single products are not right: {chains['one']}"
    if chain.right:
        return "kept", str(chain)
    return "flushed" if chain.got == 0 else "other", f"{chain}, right is {digits(chain.once, chain.out)}"


def _overflowed(top: Chain, largest: float) -> str:
    if math.isnan(top.got):
        return "nan"
    if math.isinf(top.got):
        return "inf"
    return "saturated" if top.got == largest else "other"


def repeated(bench: Bench) -> Iterator[Observation]:
    """Does the same call give the same bits?"""
    g = bench.geometry("plane")
    o = Problem(geometry=g, dtype=bench.code, fill="real").operands
    forward = {"x": o.x, "w": o.w} | ({} if o.b is None else {"b": o.b})
    bits: dict[str, set[bytes]] = {}
    for _ in range(CALLS):
        for operands in (forward, {**forward, "delta": o.delta}):
            for q, a in bench.ask(g, **operands).items():
                bits.setdefault(q, set()).add(a.tobytes())
    for q, versions in bits.items():
        told = (
            f"{CALLS} calls gave {len(versions)} different results"
            if len(versions) > 1
            else f"{CALLS} calls, the same bits"
        )
        yield bench.saw(q, "repeatable", "no" if len(versions) > 1 else "yes", f"{told} ({bench.line(g)})")
