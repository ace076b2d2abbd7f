"""What is drawn is possible, claimed, and of every kind on which wrong code breaks."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance import Adapter, Capabilities, Geometry, Problem
from conformance.adapter.protocol import PADDINGS
from conformance.adapter.session import Session
from conformance.engine.run import drawn
from conformance.engine.strategies import EVERYTHING, geometries, problems
from conformance.problem.fills import GEOMETRIC, REGIMES
from conformance.problem.geometry import BIASES, CONVENTIONS
from conformance.problem.memory import MEMORIES


class ClaimsEverything(Adapter):
    capabilities = EVERYTHING


@functools.cache
def some_500(seed: int = 1) -> tuple[Problem, ...]:
    """What a run with this seed would draw."""
    return tuple(drawn(Session(ClaimsEverything(), "all"), 500, seed))


def of_axis(g: Geometry, axis: int) -> set[str]:
    lo, hi = g.padding[axis]
    size, kernel, stride, dilation = g.size[axis], g.kernel[axis], g.stride[axis], g.dilation[axis]
    met = {
        "kernel 1": kernel == 1,
        "kernel odd": kernel > 1 and kernel % 2 == 1,
        "kernel even": kernel % 2 == 0,
        "kernel is input": kernel == size,
        "kernel beyond input": kernel > size,
        "stride 1": stride == 1,
        "stride > 1": 1 < stride <= kernel,
        "stride > kernel": stride > kernel,
        "no remainder": stride > 1 and g.remainder[axis] == 0,
        "remainder": g.remainder[axis] > 0,
        "no padding": lo == hi == 0,
        "padding < kernel": 0 < max(lo, hi) < kernel and min(lo, hi) >= 0,
        "padding >= kernel": max(lo, hi) >= kernel,
        "padding below zero": min(lo, hi) < 0,
        "ends equal": lo == hi != 0,
        "ends unequal": lo != hi,
        "dilation": dilation > 1 and kernel > 1,
        "dilation 1": dilation == 1,
        "one output": g.output[axis] == 1,
    }
    return {name for name, holds in met.items() if holds}


def classes(p: Problem) -> set[str]:
    g = p.geometry
    met = {
        "depthwise": g.groups == g.channels == g.maps > 1,
        "multiplier": g.groups == g.channels > 1 and g.maps > g.groups,
        "groups": 1 < g.groups < g.channels,
        "one group": g.groups == 1,
        "sizes differ": len(set(g.size)) > 1,
        "strides differ": len(set(g.stride)) > 1,
        "kernels differ": len(set(g.kernel)) > 1,
        "dilations differ": len(set(g.dilation)) > 1,
        "channels are not maps": g.channels != g.maps,
        "channels are maps": g.channels == g.maps,
    }
    words = {f"rank {g.rank}", f"batch {g.batch}", p.dtype, p.memory, g.convention, f"bias {g.bias}"}
    words |= set() if p.rounding else {p.fill}
    axes = (of_axis(g, axis) for axis in range(g.rank))
    return {name for name, holds in met.items() if holds}.union(words, *axes)


KNOWN = {
    *(f"rank {r}" for r in (1, 2, 3)), *(f"batch {n}" for n in range(4)), *(f"bias {b}" for b in BIASES),
    *EVERYTHING.dtypes, *MEMORIES, *CONVENTIONS, *(set(GEOMETRIC) - {"unit"}),
    "kernel 1", "kernel odd", "kernel even", "kernel is input", "kernel beyond input", "stride 1",
    "stride > 1",
    "stride > kernel", "no remainder", "remainder", "no padding", "padding < kernel", "padding >= kernel",
    "padding below zero", "ends equal", "ends unequal", "dilation", "dilation 1", "one output",
    "depthwise", "multiplier",
    "groups", "one group", "sizes differ", "strides differ", "kernels differ", "dilations differ",
    "channels are not maps", "channels are maps",
}  # fmt: skip


def test_500_draws_meet_every_class_several_times() -> None:
    met = Counter(name for p in some_500() for name in classes(p))
    assert set(met) == KNOWN
    assert {name: count for name, count in met.items() if count < 5} == {}


def test_2000_draws_meet_every_numeric_regime_several_times() -> None:
    """Draws come in clusters that share most of their choices, so 500 may miss a regime."""
    met = Counter(p.fill for seed in range(4) for p in some_500(seed) if p.rounding)
    assert set(met) == set(REGIMES)
    assert min(met.values()) >= 5


def test_most_draws_are_data_on_which_every_clause_is_judged() -> None:
    assert 0.5 < sum(not p.rounding for p in some_500()) / 500 < 0.8


def test_500_draws_are_500_different_problems() -> None:
    assert len(some_500()) == 500
    assert len({str(p) for p in some_500()}) > 480


def test_what_is_drawn_is_small_enough_to_draw_many() -> None:
    assert max(p.geometry.products for p in some_500()) < 5_000_000
    assert sorted(p.geometry.products for p in some_500())[250] < 100_000


LIMITS: list[dict[str, Any]] = [
    {},
    {"ranks": {1}},
    {"ranks": {2, 3}, "stride": True},
    {"dtypes": {"f32", "bf16"}, "dilation": True},
    {"padding": "symmetric"},
    {"padding": "asymmetric", "groups": True},
    {"padding": "negative"},
    {"biases": {"untied"}, "convention": "convolution"},
    {"biases": {"none"}, "empty_batch": True, "convention": "both"},
    {"padding": "symmetric", "stride": True, "dilation": True, "groups": True, "ranks": {1, 2, 3}},
]
QUIET = settings(
    max_examples=60,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: "+".join(limits) or "least")
def test_everything_drawn_is_within_capabilities(limits: dict[str, Any]) -> None:
    able = Capabilities(**limits)

    @seed(0)
    @QUIET
    @given(problems(able))
    def holds(p: Problem) -> None:
        assert able.refusal(p.geometry, p.dtype) is None
        assert Problem.parse(str(p)) == p

    holds()


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_claimed_kind_of_padding_is_drawn_whole(padding: str) -> None:
    """Not only what a weaker claim would have allowed too."""
    able = Capabilities(padding=padding)
    seen: set[str] = set()

    @seed(0)
    @QUIET
    @given(geometries(able))
    def collect(g: Geometry) -> None:
        seen.update(*(of_axis(g, axis) for axis in range(g.rank)))

    collect()
    assert ("ends equal" in seen) == (padding != "none")
    assert ("ends unequal" in seen) == (padding in ("asymmetric", "negative"))
    assert ("padding below zero" in seen) == (padding == "negative")
    assert "no padding" in seen


def test_what_is_not_offered_is_not_drawn() -> None:
    offered = problems(EVERYTHING, offered=lambda g, dtype: g.groups == 1 or dtype == "f32")

    @seed(0)
    @QUIET
    @given(offered)
    def holds(p: Problem) -> None:
        assert p.geometry.groups == 1 or p.dtype == "f32"

    holds()


def test_the_operands_of_what_is_drawn_can_be_made() -> None:
    for p in some_500()[:100]:
        p.geometry.check(**{"b": None, **dict(p.operands.items())})


def test_the_default_draws_within_everything() -> None:
    assert isinstance(geometries(), st.SearchStrategy)
    assert isinstance(problems(), st.SearchStrategy)
    assert dataclasses.replace(EVERYTHING).refusal(some_500()[0].geometry, some_500()[0].dtype) is None
