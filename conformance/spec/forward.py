"""Chapter FWD: y.  Source: the seed's feedforward step, z = w * sigma(z) + b."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.oracle import Evidence, compare, identical, sizes
from conformance.problem import Geometry
from conformance.spec.case import Case, named
from conformance.spec.registry import clause

__all__: list[str] = []


@clause(
    "FWD-1",
    "y equals the definition",
    equation="y[n,m,o] = b[m] + sum_{c in g(m)} sum_t w'[m,c,t] x~[n,c, o*s + t*d - p_lo]",
    source="feedforward, step 2",
    needs=["y"],
    readers=[13, 15, 18],
)
def equals_definition(case: Case) -> Iterator[Evidence]:
    if case.problem.integers:  # how real data may be rounded is said in chapter NUM
        yield compare(case["y"], case.expected["y"])


@clause(
    "FWD-2",
    "y has the size the formula gives: floor, not ceil",
    equation="O = floor((I + p_lo + p_hi - d(K-1) - 1)/s) + 1",
    source="picture 'Feedforward in CNN is identical with convolution operation' (3x3 * 2x2 gives 2x2)",
    needs=["y"],
)
def size_of_y(case: Case) -> Iterator[Evidence]:
    yield sizes("y", case.shape("y"), case.g.y_shape)


@clause(
    "FWD-3",
    "a unit impulse in x returns the kernel (rotated under correlation): this fixes the convention",
    equation="x = e_i  =>  y[m, o] = w'[m, c, t] where o*s + t*d - p_lo = i, else 0",
    source="equation of z^{l+1}; readers' exchange on convolution and correlation",
    needs=["y"],
    variants=True,
    falls_with=["FWD-1"],
    readers=[10],
)
def impulse(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not (case.exact and g.batch):
        return
    channel = g.channels - 1
    read = np.argwhere(case.expected["dx"].n[0, channel] > 0)
    if not len(read):
        return  # every window lies in the padding
    at = tuple(int(i) for i in read[len(read) // 2])
    x = np.zeros(g.x_shape, dtype=case.problem.format.numpy)
    x[(-1, channel, *at)] = 1
    b = None if case.operands.b is None else np.zeros_like(case.operands.b)
    y = case.settled("y", case.ask("y", x=x, b=b))
    yield identical(
        "y", y, kernel_seen(g, case.operands.w, channel, at), "the response to a unit impulse in x"
    )


def kernel_seen(g: Geometry, w: Any, channel: int, at: tuple[int, ...]) -> Any:
    """y of an impulse in the last item: each tap placed where it reads the impulse."""
    y: Any = np.zeros(g.y_shape)
    group, local = divmod(channel, g.channels // g.groups)
    maps = slice(group * (g.maps // g.groups), (group + 1) * (g.maps // g.groups))
    for t in itertools.product(*map(range, g.kernel)):
        reach = [i + lo - k * d for i, (lo, _), k, d in zip(at, g.padding, t, g.dilation, strict=True)]
        o = [r // s for r, s in zip(reach, g.stride, strict=True)]
        on_grid = all(r % s == 0 for r, s in zip(reach, g.stride, strict=True))
        if on_grid and all(0 <= p < n for p, n in zip(o, g.output, strict=True)):
            turned = (
                [n - 1 - k for n, k in zip(g.kernel, t, strict=True)] if g.convention == "convolution" else t
            )
            y[(-1, maps, *o)] = w[(maps, local, *turned)]
    return y


@clause(
    "FWD-4",
    "y is affine in b, linear in x and in w",
    equation="y(x+v, w, b) = y(x, w, b) + y(v, w, 0), the same in w; y(x, w, b+r) = y(x, w, b) + r",
    source="equation of z^{l+1}",
    needs=["y"],
    variants=True,
    falls_with=["FWD-1"],
)
def linear(case: Case) -> Iterator[Evidence]:
    if not case.exact:
        return
    x, w, b = case.operands.x, case.operands.w, case.operands.b
    none = None if b is None else np.zeros_like(b)
    y = case.settled("y", case["y"])
    for name, operand in (("x", x), ("w", w)):
        v = np.flip(operand)
        moved = case.settled("y", case.ask("y", **named(name, operand + v)))
        alone = case.settled("y", case.ask("y", **named(name, v), b=none))
        yield identical("y", moved, y + alone, f"y is additive in {name}")
    if b is not None:
        r = np.flip(b)
        shift = r.astype(np.float64) if case.g.bias == "untied" else r.reshape(-1, *(1,) * case.g.rank)
        yield identical("y", case.settled("y", case.ask("y", b=b + r)), y + shift, "y moves with b")


@clause(
    "FWD-5",
    "stride 1, no padding: shifting x shifts y",
    equation="x'[i] = x[i-1]  =>  y'[o] = y[o-1] for o >= 1",
    source="weights are shared between positions: picture 'Feedforward'",
    needs=["y"],
    variants=True,
    falls_with=["FWD-1"],
)
def shifts(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact or set(g.stride) != {1} or any(map(any, g.padding)) or g.bias == "untied":
        return
    y = case.settled("y", case["y"])
    for axis in range(2, 2 + g.rank):
        if g.output[axis - 2] > 1:
            moved = case.settled("y", case.ask("y", x=np.roll(case.operands.x, 1, axis)))
            last = y.shape[axis]
            after, before = np.take(moved, range(1, last), axis), np.take(y, range(last - 1), axis)
            yield identical("y", after, before, f"x shifted by one along axis {axis - 2}")


@clause(
    "FWD-6",
    "groups are independent convolutions side by side; depthwise and channel multipliers included",
    equation="y[:, maps of g] = conv(x[:, channels of g], w[maps of g])",
    source="extension of the seed to groups",
    needs=["y"],
    feature="groups",
    variants=True,
    falls_with=["FWD-1"],
)
def groups_apart(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact or g.groups == 1:
        return
    channels, maps = g.channels // g.groups, g.maps // g.groups
    alone = dataclasses.replace(g, groups=1, channels=channels, maps=maps)
    for group in sorted({0, g.groups - 1}):
        m, c = slice(group * maps, (group + 1) * maps), slice(group * channels, (group + 1) * channels)
        o = case.operands
        b = None if o.b is None else o.b[m]
        apart = case.ask("y", alone, x=o.x[:, c], w=o.w[m], b=b, delta=o.delta[:, m])
        together = case.settled("y", case["y"])[:, m]
        yield identical("y", together, case.settled("y", apart), f"group {group} beside the others and alone")


@clause(
    "FWD-7",
    "batch items do not influence each other",
    equation="y(x)[n] = y(x[n])",
    source="extension of the seed to batches",
    needs=["y"],
    variants=True,
    falls_with=["FWD-1"],
)
def items_apart(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact or g.batch < 2:
        return
    one = dataclasses.replace(g, batch=1)
    for n in (0, g.batch - 1):
        apart = case.settled(
            "y", case.ask("y", one, x=case.operands.x[n : n + 1], delta=case.operands.delta[n : n + 1])
        )
        yield identical(
            "y", case.settled("y", case["y"])[n : n + 1], apart, f"item {n} in the batch and alone"
        )


@clause(
    "FWD-8",
    "kernel = input: y is one inner product per map",
    equation="K = I, p = 0  =>  y[n,m] = b[m] + <w'[m], x[n]>",
    source="reader 16: filter and input both 3x3",
    needs=["y"],
    falls_with=["FWD-1"],
    readers=[16],
)
def inner_product(case: Case) -> Iterator[Evidence]:
    g = case.g
    if not case.exact or not is_whole(g):
        return
    x = (
        case.operands.x.astype(np.float64).reshape(g.batch, g.groups, 1, -1)
        if g.batch
        else np.zeros((0, g.groups, 1, 1))
    )
    w = case.operands.w.astype(np.float64)
    w = np.flip(w, tuple(range(2, w.ndim))) if g.convention == "convolution" else w
    y = (x * w.reshape(1, g.groups, g.maps // g.groups, -1)).sum(axis=-1).reshape(g.y_shape)
    b = 0 if case.operands.b is None else case.operands.b.astype(np.float64).reshape(1, *g.y_shape[1:])
    yield identical("y", case.settled("y", case["y"]), y + b, "one inner product per map")


def is_whole(g: Geometry) -> bool:
    """Does the kernel cover the whole input: nothing is shared?"""
    return g.kernel == g.size and not any(map(any, g.padding)) and set(g.dilation) == {1}


@clause(
    "FWD-9",
    "where both conventions are offered, they differ by ROT180 of the kernel and by nothing else",
    equation="correlation(x, w) = convolution(x, ROT180(w))",
    source="readers 10 and 11: convolution, correlation, and whether it matters",
    needs=["y"],
    feature="both conventions",
    variants=True,
    falls_with=["FWD-1"],
    readers=[10, 11],
)
def conventions_differ_by_rot180(case: Case) -> Iterator[Evidence]:
    g = case.g
    other = dataclasses.replace(
        g, convention="convolution" if g.convention == "correlation" else "correlation"
    )
    if not case.exact or not case.claims(other):
        return
    turned = np.flip(case.operands.w, tuple(range(2, 2 + g.rank)))
    y = case.settled("y", case.ask("y", other, w=turned))
    yield identical(
        "y", case.settled("y", case["y"]), y, f"{g.convention} of w and {other.convention} of ROT180(w)"
    )
