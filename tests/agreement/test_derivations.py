"""The most valuable test in the tree: four derivations of y, dx, dw and db agree bit for bit.

They share no arithmetic: index sums over Python integers (`definition`), a matrix and its transpose (`matrix`), the seed's
route with scipy.signal and ROT180 (`rotation`), and what runs use (`vectorised`).  All data are integers, so nothing rounds
and nothing needs a tolerance.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.oracle import definition, matrix, rotation, vectorised
from conformance.problem import QUANTITIES, Geometry, Operands, Problem

Choose = Callable[[int, int], int]

SEEDS = range(20)
PROBLEMS_A_SEED = 100


def some_geometry(choose: Choose, *, batches: tuple[int, int] = (0, 3)) -> Geometry:
    """A small geometry of which every number is chosen; always possible, so nothing is thrown away."""
    rank = choose(1, 3)
    groups = (1, 1, 2, 3)[choose(0, 3)]
    widest = 2 if rank == 3 or groups > 1 else 3
    axes = [_some_axis(choose, rank) for _ in range(rank)]
    size, kernel, stride, padding, dilation = zip(*axes, strict=True)
    return Geometry(
        batch=choose(*batches),
        channels=groups * choose(1, widest),
        maps=groups * choose(1, widest),
        groups=groups,
        size=size,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        convention=("correlation", "convolution")[choose(0, 1)],
        bias=("none", "tied", "untied")[choose(0, 2)],
    )


def _some_axis(choose: Choose, rank: int) -> tuple[int, int, int, tuple[int, int], int]:
    """(size, kernel, stride, padding, dilation): the size is what the rest needs, and a little more."""
    kernel, stride, dilation = choose(1, (4, 3, 2)[rank - 1]), choose(1, 4), choose(1, (3, 3, 2)[rank - 1])
    lo, hi = choose(-2, 2), choose(-2, 2)
    crop = -min(lo, 0) - min(hi, 0)
    least = max(1 + crop, dilation * (kernel - 1) + 1 - lo - hi)
    return least + choose(0, (5, 3, 2)[rank - 1]), kernel, stride, (lo, hi), dilation


def some_operands(g: Geometry, seed: int) -> Operands:
    """Integers between -99 and 99, one in five of them zero."""
    rng = np.random.default_rng(seed)

    def draw(name: str) -> Any:
        values = rng.integers(-99, 100, g.shape_of(name)).astype(np.float64)
        values[rng.integers(0, 5, values.shape) == 0] = 0.0
        return values

    b = None if g.bias == "none" else draw("b")
    return Operands(x=draw("x"), w=draw("w"), b=b, delta=draw("delta"))


def disagreements(g: Geometry, operands: Operands) -> list[str]:
    """The derivations and quantities that differ from the definition in shape or in any element."""
    right = definition.compute(g, operands)
    others = {
        "matrix": matrix.compute(g, operands),
        "rotation": rotation.compute(g, operands),
        "vectorised": vectorised.Layer.of(g, operands).results(),
    }
    return [
        f"{q} by {name}"
        for name, results in others.items()
        for q in QUANTITIES
        if not same(getattr(results, q), getattr(right, q))
    ]


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(a.shape == b.shape) and bool(np.all(a == b))


# ---- agreement ----
@pytest.mark.parametrize("seed", SEEDS)
def test_four_derivations_agree_bit_for_bit(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(PROBLEMS_A_SEED):
        g = some_geometry(rng.randint)
        assert disagreements(g, some_operands(g, seed * 1000 + number)) == [], (g, seed * 1000 + number)


@settings(
    max_examples=250, suppress_health_check=[HealthCheck.too_slow]
)  # each example draws some thirty numbers
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_four_derivations_agree_on_whatever_hypothesis_draws(data: st.DataObject, seed: int) -> None:
    g = some_geometry(lambda low, high: data.draw(st.integers(low, high)))
    assert disagreements(g, some_operands(g, seed)) == []


@pytest.mark.parametrize("fill", ["wide", "odd"])
@pytest.mark.parametrize("seed", range(4))
def test_four_derivations_agree_on_integers_that_fill_the_exact_regime(seed: int, fill: str) -> None:
    """Sums of up to 2^53: the last that float64 holds, whatever the order in which a derivation adds."""
    rng, reached = random.Random(seed), 0.0
    for number in range(60):
        problem = Problem(geometry=some_geometry(rng.randint), fill=fill, seed=3 * number + seed)
        assert disagreements(problem.geometry, problem.operands) == [], str(problem)
        s = vectorised.Layer.of(problem.geometry, problem.operands).magnitudes().results()
        reached = max(reached, *(float(a.max(initial=0)) for a in (s.y, s.dx, s.dw)))
    assert reached > 2.0 ** (50 if fill == "wide" else 30)


@pytest.mark.parametrize("seed", range(4))
def test_ones_where_operands_are_not_zero_count_the_products_that_are_not(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(40):
        g = some_geometry(rng.randint)
        o = some_operands(g, number)
        masks = {name: a != 0 for name, a in o.items()}
        n = {q: np.zeros(g.shape_of(q) or ()) for q in ("y", "dx", "dw")}
        for at_x, at_w, at_y in definition.products(g):
            x, w, delta = masks["x"][at_x], masks["w"][at_w], masks["delta"][at_y]
            for q, at, both in (("y", at_y, x & w), ("dx", at_x, w & delta), ("dw", at_w, x & delta)):
                n[q][at] += both
        counted = vectorised.Layer(g, masks["x"], masks["w"], None, masks["delta"])
        assert all(same(getattr(counted, q), right) for q, right in n.items()), g


@pytest.mark.parametrize("seed", range(4))
def test_results_have_the_shapes_that_the_geometry_gives(seed: int) -> None:
    rng = random.Random(-1 - seed)
    for _ in range(50):
        g = some_geometry(rng.randint)
        operands = some_operands(g, seed)
        for derivation in (definition.compute, matrix.compute, rotation.compute):
            results = derivation(g, operands)
            assert [None if a is None else a.shape for a in (results.y, results.dx, results.dw, results.db)] == [
                g.y_shape, g.x_shape, g.w_shape, g.b_shape
            ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_the_layer_applied_to_ones(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        g = some_geometry(rng.randint)
        ones = Operands(
            **{
                name: None if g.shape_of(name) is None else np.ones(g.shape_of(name))
                for name in ("x", "w", "b", "delta")
            }
        )
        results, n = vectorised.Layer.of(g, ones).results(), vectorised.counts(g)
        assert set(n) == {q for q in QUANTITIES if getattr(results, q) is not None}
        for q, counted in n.items():
            assert same(counted, getattr(results, q)), (q, g)


@pytest.mark.parametrize("seed", range(2))
def test_magnitudes_are_the_definition_of_absolute_values(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(60):
        g = some_geometry(rng.randint)
        operands = some_operands(g, number)
        positive = Operands(**{"b": None, **{name: np.abs(a) for name, a in operands.items()}})
        right = definition.compute(g, positive)
        s = vectorised.Layer.of(g, operands).magnitudes().results()
        assert all(same(getattr(s, q), getattr(right, q)) for q in QUANTITIES), g


def test_draws_cover_what_the_specification_names() -> None:
    rng = random.Random(0)
    drawn = [some_geometry(rng.randint) for _ in range(400)]
    features = {
        "an empty batch": lambda g: g.batch == 0,
        "three axes": lambda g: g.rank == 3,
        "depthwise": lambda g: 1 < g.groups == g.channels,
        "a channel multiplier": lambda g: 1 < g.groups == g.channels < g.maps,
        "groups of several maps and channels": lambda g: 1 < g.groups < min(g.channels, g.maps),
        "a stride beyond the kernel": lambda g: any(s > k for s, k in zip(g.stride, g.kernel, strict=True)),
        "a stride's remainder": lambda g: any(g.remainder),
        "dilation and stride together": lambda g: max(g.dilation) > 1 and max(g.stride) > 1,
        "asymmetric padding": lambda g: any(lo != hi for lo, hi in g.padding),
        "negative padding": lambda g: any(min(pair) < 0 for pair in g.padding),
        "padding that crops and pads": lambda g: any(lo * hi < 0 for lo, hi in g.padding),
        "a window in padding alone": lambda g: bool((vectorised.counts(g)["y"] <= (g.bias != "none")).any()),
        "a kernel beyond the input": lambda g: any(
            k > i for k, i in zip(g.kernel_reach, g.size, strict=True)
        ),
        "a kernel that covers the input": lambda g: g.kernel == g.size,
    }
    for rank, convention, bias in itertools.product(
        (1, 2, 3), ("correlation", "convolution"), ("none", "tied", "untied")
    ):
        features[f"{rank}d {convention} {bias}"] = functools.partial(_is, rank, convention, bias)
    assert [what for what, has in features.items() if not any(map(has, drawn))] == []


def _is(rank: int, convention: str, bias: str, g: Geometry) -> bool:
    return (g.rank, g.convention, g.bias) == (rank, convention, bias)


# ---- the seed's example, counted on fingers ----
SEED = Geometry(size=(3, 3), kernel=(2, 2), convention="convolution")
X = np.array([[2, 3, 5], [7, 11, 13], [17, 19, 23]]).reshape(1, 1, 3, 3)
W = np.array([[29, 31], [37, 41]]).reshape(1, 1, 2, 2)
B = np.array([43])
DELTA = np.array([[47, 53], [59, 61]]).reshape(1, 1, 2, 2)

Y = [
    [41 * 2 + 37 * 3 + 31 * 7 + 29 * 11 + 43, 41 * 3 + 37 * 5 + 31 * 11 + 29 * 13 + 43],
    [41 * 7 + 37 * 11 + 31 * 17 + 29 * 19 + 43, 41 * 11 + 37 * 13 + 31 * 19 + 29 * 23 + 43],
]  # the kernel turned by 180 degrees: its last weight meets the first input
DX = [
    [41 * 47, 37 * 47 + 41 * 53, 37 * 53],
    [31 * 47 + 41 * 59, 29 * 47 + 31 * 53 + 37 * 59 + 41 * 61, 29 * 53 + 37 * 61],
    [31 * 59, 29 * 59 + 31 * 61, 29 * 61],
]  # reader 10: the corner belongs to one output, the centre to all four
DW = [
    [11 * 47 + 13 * 53 + 19 * 59 + 23 * 61, 7 * 47 + 11 * 53 + 17 * 59 + 19 * 61],
    [3 * 47 + 5 * 53 + 11 * 59 + 13 * 61, 2 * 47 + 3 * 53 + 7 * 59 + 11 * 61],
]
DB = [47 + 53 + 59 + 61]

Y_CORRELATION = [
    [29 * 2 + 31 * 3 + 37 * 7 + 41 * 11 + 43, 29 * 3 + 31 * 5 + 37 * 11 + 41 * 13 + 43],
    [29 * 7 + 31 * 11 + 37 * 17 + 41 * 19 + 43, 29 * 11 + 31 * 13 + 37 * 19 + 41 * 23 + 43],
]
DX_CORRELATION = [
    [29 * 47, 31 * 47 + 29 * 53, 31 * 53],
    [37 * 47 + 29 * 59, 41 * 47 + 37 * 53 + 31 * 59 + 29 * 61, 41 * 53 + 31 * 61],
    [37 * 59, 41 * 59 + 37 * 61, 41 * 61],
]
DW_CORRELATION = [
    [2 * 47 + 3 * 53 + 7 * 59 + 11 * 61, 3 * 47 + 5 * 53 + 11 * 59 + 13 * 61],
    [7 * 47 + 11 * 53 + 17 * 59 + 19 * 61, 11 * 47 + 13 * 53 + 19 * 59 + 23 * 61],
]

DERIVATIONS = {
    "definition": definition.compute,
    "matrix": matrix.compute,
    "rotation": rotation.compute,
    "vectorised": lambda g, operands: vectorised.Layer.of(g, operands).results(),
}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_the_seeds_example_counted_on_fingers(name: str) -> None:
    results = DERIVATIONS[name](SEED, Operands(x=X, w=W, b=B, delta=DELTA))
    assert [a.tolist() for a in (results.y, results.dx, results.dw, results.db)] == [
        [[Y]],
        [[DX]],
        [[DW]],
        DB,
    ]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_the_seeds_example_under_correlation(name: str) -> None:
    g = Geometry(size=(3, 3), kernel=(2, 2), convention="correlation")
    results = DERIVATIONS[name](g, Operands(x=X, w=W, b=B, delta=DELTA))
    assert [a.tolist() for a in (results.y, results.dx, results.dw)] == [
        [[Y_CORRELATION]], [[DX_CORRELATION]], [[DW_CORRELATION]]
    ]  # fmt: skip


@pytest.mark.parametrize("name", DERIVATIONS)
def test_stride_remainder_and_untied_bias_counted_on_fingers(name: str) -> None:
    """Padding one in front, stride 2: windows (0, x0), (x1, x2); x3 is a remainder that nothing reads."""
    g = Geometry(size=(4,), kernel=(2,), stride=(2,), padding=((1, 0),), bias="untied")
    operands = Operands(
        x=np.array([[[2, 3, 5, 7]]]),
        w=np.array([[[11, 13]]]),
        b=np.array([[17, 19]]),
        delta=np.array([[[23, 29]]]),
    )
    results = DERIVATIONS[name](g, operands)
    assert results.y.tolist() == [[[11 * 0 + 13 * 2 + 17, 11 * 3 + 13 * 5 + 19]]]
    assert results.dx.tolist() == [[[13 * 23, 11 * 29, 13 * 29, 0]]]
    assert results.dw.tolist() == [[[0 * 23 + 3 * 29, 2 * 23 + 5 * 29]]]
    assert results.db.tolist() == [[23, 29]]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_kernel_as_large_as_the_input_shares_nothing(name: str) -> None:
    """Reader 16: y is one inner product; dx is the kernel, dw the input, each scaled by the one delta."""
    g = Geometry(size=(3,), kernel=(3,), bias="none")
    operands = Operands(
        x=np.array([[[2, 3, 5]]]), w=np.array([[[7, 11, 13]]]), b=None, delta=np.array([[[17]]])
    )
    results = DERIVATIONS[name](g, operands)
    assert results.y.tolist() == [[[2 * 7 + 3 * 11 + 5 * 13]]]
    assert results.dx.tolist() == [[[7 * 17, 11 * 17, 13 * 17]]]
    assert results.dw.tolist() == [[[2 * 17, 3 * 17, 5 * 17]]]


# ---- the agreement can fail ----
def _without_padding(g: Geometry, axis: int, t: int) -> Any:
    o, i = np.ogrid[: g.output[axis], : g.size[axis]]
    return (i == o * g.stride[axis] + t * g.dilation[axis]).astype(np.int64)


def _read_without_dilation(g: Geometry, t: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(k, k + (o - 1) * s + 1, s) for k, s, o in zip(t, g.stride, g.output, strict=True))


MUTANTS = {
    "the kernel is not rotated": (rotation, "rot180", lambda a: a, ("dx by rotation",)),
    "delta is not stuffed for the stride": (
        rotation, "_stuffed_delta", lambda g, delta: np.pad(delta, [(0, 0)] * 2 + [
            (0, padded - reach + 1 - n) for padded, reach, n in zip(g.padded_size, g.kernel_reach, g.output, strict=True)
        ]), ("dx by rotation", "dw by rotation")),
    "every window gives an output, whatever the stride": (
        rotation, "_every", lambda steps: (slice(None),) * len(steps), ("an exception",)),
    "the matrix does not know the padding": (matrix, "_reader", _without_padding, ("y by matrix", "dx by matrix")),
    "windows are added back without dilation": (vectorised, "_read_by", _read_without_dilation, ("dx by vectorised",)),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_derivation_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, replacement, seen = MUTANTS[mutant]
    monkeypatch.setattr(module, name, replacement)
    found: set[str] = set()
    rng = random.Random(0)
    for number in range(60):
        g = some_geometry(rng.randint, batches=(1, 2))
        try:
            found.update(disagreements(g, some_operands(g, number)))
        except (ValueError, AssertionError):  # shapes no longer fit, or the matrices contradict each other
            found.add("an exception")
    assert found, "nothing was caught"
    assert set(seen) <= found


@pytest.mark.parametrize("q", QUANTITIES)
def test_one_wrong_element_is_caught(q: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = vectorised.Layer.results

    def off_by_one(layer: vectorised.Layer) -> Any:
        results = right(layer)
        getattr(results, q).flat[-1] += 1
        return results

    monkeypatch.setattr(vectorised.Layer, "results", off_by_one)
    g = Geometry(batch=2, channels=2, maps=2, size=(4, 3), kernel=(2, 2))
    assert disagreements(g, some_operands(g, 1)) == [f"{q} by vectorised"]


def test_conventions_differ_by_the_rotation_of_w_and_dw_alone() -> None:
    rng = random.Random(7)
    for number in range(40):
        g = some_geometry(rng.randint, batches=(1, 2))
        spatial = tuple(range(2, 2 + g.rank))
        turned = Geometry(
            **{
                **{field: getattr(g, field) for field in Geometry.__dataclass_fields__},
                "convention": "convolution" if g.convention == "correlation" else "correlation",
            }
        )
        operands = some_operands(g, number)
        a = definition.compute(g, operands)
        b = definition.compute(turned, operands.replace(w=np.flip(operands.w, spatial)))
        assert same(a.y, b.y)
        assert same(a.dx, b.dx)
        assert same(a.db, b.db)
        assert same(a.dw, np.flip(b.dw, spatial))
