"""Public Hypothesis strategies: what to draw to break wrong code.

Sizes are distinct where they can be, kernels odd and even, strides with a remainder and larger than the kernel, padding
unequal and as large as the kernel: data that break symmetry, always.  Everything drawn is possible and claimed.

    from conformance.engine.strategies import geometries, problems

    @given(problems(Capabilities(ranks={2}, stride=True)))
    def test_mine(problem): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from conformance.adapter.networks import Networks
from conformance.adapter.protocol import PADDINGS, Capabilities
from conformance.problem import Geometry, Problem
from conformance.problem.fills import REGIMES
from conformance.problem.geometry import BIASES
from conformance.problem.memory import MEMORIES
from conformance.problem.network import (
    ACTIVATIONS,
    COSTS,
    NET_DTYPES,
    NET_FILLS,
    PIECEWISE,
    Network,
    NetworkProblem,
)

__all__ = ["EVERYTHING", "geometries", "networks", "problems"]

EVERYTHING = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"f64", "f32", "f16", "bf16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset(BIASES),
    convention="both",
    empty_batch=True,
)
"""Capabilities without a limit."""

FILLS_DRAWN = (*["small"] * 8, *["real"] * 4, *["sparse"] * 4, *REGIMES)
"""Mistakes of geometry are the most common."""

LARGEST_SIZE = {1: 40, 2: 14, 3: 8}


@st.composite
def geometries(draw: st.DrawFn, able: Capabilities = EVERYTHING) -> Geometry:
    """A geometry within capabilities."""
    rank = draw(st.sampled_from(sorted(able.ranks)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3])) if able.groups else 1
    per_group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axes = [draw(_axis(able, LARGEST_SIZE[rank])) for _ in range(rank)]
    return Geometry(
        batch=draw(st.integers(0 if able.empty_batch else 1, 3)),
        channels=groups * per_group[0],
        maps=groups * per_group[1],
        groups=groups,
        size=tuple(a[0] for a in axes),
        kernel=tuple(a[1] for a in axes),
        stride=tuple(a[2] for a in axes),
        padding=tuple(a[3] for a in axes),
        dilation=tuple(a[4] for a in axes),
        convention=draw(st.sampled_from(able.conventions)),
        bias=draw(st.sampled_from([b for b in BIASES if b in able.biases])),
    )


@st.composite
def _axis(draw: st.DrawFn, able: Capabilities, largest: int) -> tuple[int, int, int, tuple[int, int], int]:
    """(size, kernel, stride, padding, dilation) of one axis, drawn so that the kernel fits."""
    kernel = draw(st.integers(1, 5))
    stride = draw(st.integers(1, 4)) if able.stride else 1
    dilation = draw(st.integers(1, 3)) if able.dilation else 1
    reach = dilation * (kernel - 1) + 1
    most = min(reach + 1, largest // 2)
    kind = PADDINGS.index(able.padding)
    lo = draw(st.integers(-1 if kind == 3 else 0, most)) if kind else 0
    hi = draw(st.integers(-1 if kind == 3 else 0, most)) if kind > 1 else lo
    least = max(1, reach - lo - hi, 1 + max(-lo, 0) + max(-hi, 0))
    return draw(st.integers(least, max(least, largest))), kernel, stride, (lo, hi), dilation


@st.composite
def problems(
    draw: st.DrawFn,
    able: Capabilities = EVERYTHING,
    *,
    offered: Callable[[Geometry, str], bool] = lambda _geometry, _dtype: True,
) -> Problem:
    """A problem within capabilities; `offered` may refuse more (geometry, dtype code)."""
    dtype = draw(st.sampled_from(sorted(able.dtypes)))
    geometry = draw(geometries(able).filter(lambda g: offered(g, dtype)))
    return Problem(
        geometry=geometry,
        dtype=dtype,
        fill=draw(st.sampled_from(FILLS_DRAWN)),
        memory=draw(st.sampled_from(MEMORIES)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


EVERY_NETWORK = Networks(activations=frozenset(ACTIVATIONS), costs=frozenset(COSTS), step=True)
DEEPEST_DRAWN = 4


@st.composite
def networks(
    draw: st.DrawFn,
    able: Capabilities = EVERYTHING,
    *,
    offered: Callable[[NetworkProblem], bool] = lambda _problem: True,
) -> NetworkProblem:
    """A network within capabilities (`able.network`; all there is, if that is None); `offered` may refuse more.

    About half of them are of straight pieces, and so exact where they are small.
    """
    return draw(_networks(able, able.network or EVERY_NETWORK).filter(offered))


@st.composite
def _networks(draw: st.DrawFn, able: Capabilities, nets: Networks) -> NetworkProblem:
    rank = draw(st.sampled_from(sorted(able.ranks & nets.ranks)))
    first = Geometry(
        batch=draw(st.integers(1, 3)),
        channels=draw(st.integers(1, 3)),
        size=tuple(draw(st.integers(1, LARGEST_SIZE[rank] // 2)) for _ in range(rank)),
        kernel=(1,),
    )
    pieces = [a for a in PIECEWISE if a in nets.activations]
    hidden = [a for a in ACTIVATIONS[:-1] if a in nets.activations]
    straight = "quadratic" in nets.costs and bool(pieces) and draw(st.booleans())
    cost = "quadratic" if straight else draw(st.sampled_from(sorted(nets.costs)))
    among = pieces if straight else hidden
    ends: list[str] = (
        [a for a in ("sigmoid", "softmax") if a in nets.activations] if cost == "cross-entropy" else among
    )
    layers, channels, size = [], first.channels, first.size
    for number in range(depth := draw(st.integers(1, DEEPEST_DRAWN))):
        choice = ends if number == depth - 1 else among
        layer = draw(_layers(able, channels, size, choice))
        layers.append(layer)
        own = {k: v for k, v in layer.items() if k not in ("activation", "slope")}
        g = Geometry(batch=first.batch, channels=channels, size=size, **own)
        channels, size = g.maps, g.output
    network = Network.stacked(first, layers, cost)
    dtypes = [d for d in NET_DTYPES if d in able.dtypes] or ["f64"]
    fills = NET_FILLS if network.piecewise_linear else ("real",)
    return NetworkProblem(
        network=network,
        dtype=draw(st.sampled_from(dtypes)),
        fill=draw(st.sampled_from(fills)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def _layers(
    draw: st.DrawFn, able: Capabilities, channels: int, size: tuple[int, ...], activations: list[str]
) -> dict[str, Any]:
    """What a layer has of its own, drawn so that its kernel fits what it reads."""
    axes = [draw(_axis_of(able, n)) for n in size]
    groups = draw(st.sampled_from([n for n in (1, 1, 2, 3) if channels % n == 0])) if able.groups else 1
    return {
        "maps": groups * draw(st.integers(1, 3)),
        "groups": groups,
        "kernel": tuple(a[0] for a in axes),
        "stride": tuple(a[1] for a in axes),
        "padding": tuple(a[2] for a in axes),
        "dilation": tuple(a[3] for a in axes),
        "convention": draw(st.sampled_from(able.conventions)),
        "bias": draw(st.sampled_from([b for b in BIASES if b in able.biases])),
        "activation": draw(st.sampled_from(activations)),
        "slope": draw(st.sampled_from([0.25, 0.5])),
    }


@st.composite
def _axis_of(draw: st.DrawFn, able: Capabilities, size: int) -> tuple[int, int, tuple[int, int], int]:
    """(kernel, stride, padding, dilation) of one axis that has `size` positions."""
    kind = PADDINGS.index(able.padding)
    lo = draw(st.integers(0, 2)) if kind else 0
    hi = draw(st.integers(0, 2)) if kind > 1 else lo
    kernel = draw(st.integers(1, min(4, size + lo + hi)))
    widest = 1 if kernel == 1 else (size + lo + hi - 1) // (kernel - 1)
    dilation = draw(st.integers(1, min(2, widest))) if able.dilation else 1
    return kernel, draw(st.integers(1, 3)) if able.stride else 1, (lo, hi), dilation
