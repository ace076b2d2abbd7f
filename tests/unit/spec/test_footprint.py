"""Where a special value may and must appear, against implementations that are given a real NaN."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from conformance.oracle import definition
from conformance.oracle.rotation import stuff
from conformance.problem import Geometry
from conformance.spec.footprint import footprint

OPERANDS = ("x", "w", "delta")


def some_geometry(rng: random.Random) -> Geometry:
    rank, groups, axes = rng.randint(1, 3), rng.choice((1, 1, 2)), []
    for _ in range(rank):
        kernel, dilation, lo, hi = (
            rng.randint(1, 3),
            rng.randint(1, 2),
            rng.randint(-1, 2),
            rng.randint(-1, 2),
        )
        least = max(1 - min(lo, 0) - min(hi, 0), dilation * (kernel - 1) + 1 - lo - hi)
        axes.append((least + rng.randint(0, 4 - rank), kernel, rng.randint(1, 3), (lo, hi), dilation))
    size, kernels, stride, padding, dilations = zip(*axes, strict=True)
    return Geometry(
        batch=rng.randint(1, 2), channels=groups * rng.randint(1, 2), maps=groups * rng.randint(1, 2), groups=groups,
        size=size, kernel=kernels, stride=stride, padding=padding, dilation=dilations,
        convention=rng.choice(("correlation", "convolution")), bias=rng.choice(("none", "tied", "untied")),
    )  # fmt: skip


def ones_but(g: Geometry, operand: str, index: tuple[int, ...]) -> dict[str, Any]:
    arrays = {name: np.ones(g.shape_of(name)) for name in OPERANDS}
    arrays[operand][index] = np.nan
    return arrays


def by_loops(g: Geometry, *, x: Any, w: Any, delta: Any) -> dict[str, Any]:
    """Nothing but the products of the definition: padding is skipped, no zero is ever multiplied."""
    results = {"y": np.zeros(g.y_shape), "dx": np.zeros(g.x_shape), "dw": np.zeros(g.w_shape)}
    for at_x, at_w, at_y in definition.products(g):
        results["y"][at_y] += w[at_w] * x[at_x]
        results["dx"][at_x] += w[at_w] * delta[at_y]
        results["dw"][at_w] += x[at_x] * delta[at_y]
    return with_db(g, results, delta)


def with_zeros_in_memory(g: Geometry, *, x: Any, w: Any, delta: Any) -> dict[str, Any]:
    """Padding, dilated kernel and strided delta are written out, and every zero of them is multiplied."""
    spatial = tuple(range(2, 2 + g.rank))
    turn = (lambda a: np.flip(a, spatial)) if g.convention == "convolution" else (lambda a: a)
    padded = np.zeros((g.batch, g.channels, *g.padded_size))
    padded[(..., *g.inner)] = x[(..., *g.kept)]
    kernel, rest = stuff(turn(w), g.dilation), [(0, r) for r in g.remainder]
    stuffed = np.pad(stuff(delta, g.stride), [(0, 0), (0, 0), *rest])
    surrounded = np.pad(stuffed, [(0, 0), (0, 0), *((k - 1, k - 1) for k in g.kernel_reach)])
    y, dxs, dws = np.zeros(stuffed.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for n, m, k in itertools.product(range(g.batch), range(g.maps), range(channels)):
        c = m // maps * channels + k
        y[n, m] += slide(padded[n, c], kernel[m, k])
        dxs[n, c] += slide(surrounded[n, m], np.flip(kernel[m, k]))
        dws[m, k] += slide(padded[n, c], stuffed[n, m])
    dx = np.zeros(g.x_shape)
    dx[(..., *g.kept)] = dxs[(..., *g.inner)]
    every = [tuple(slice(None, None, s) for s in steps) for steps in (g.stride, g.dilation)]
    return with_db(g, {"y": y[(..., *every[0])], "dx": dx, "dw": turn(dws[(..., *every[1])])}, delta)


def slide(a: Any, v: Any) -> Any:
    """Correlation, valid: every element of `v` is multiplied at every position."""
    windows = np.lib.stride_tricks.sliding_window_view(a, v.shape)
    return (windows * v).sum(axis=tuple(range(a.ndim, 2 * a.ndim)))


def with_db(g: Geometry, results: dict[str, Any], delta: Any) -> dict[str, Any]:
    if g.bias == "none":
        return results
    return {**results, "db": delta.sum(axis=0 if g.bias == "untied" else (0, *range(2, delta.ndim)))}


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("seed", range(4))
def test_a_nan_reaches_what_reads_it_and_at_most_what_meets_it_through_zeros(seed: int, operand: str) -> None:
    rng = random.Random(f"{seed} {operand}")
    for _ in range(40):
        g = some_geometry(rng)
        index = tuple(rng.randrange(n) for n in g.shape_of(operand) or ())
        masks, spoiled = footprint(g, operand, index), ones_but(g, operand, index)
        loops, zeros = by_loops(g, **spoiled), with_zeros_in_memory(g, **spoiled)
        cropped = any(min(pair) < 0 for pair in g.padding)
        for q, got in loops.items():
            must, may = masks[q]
            assert must.shape == may.shape == got.shape, (q, g, index)
            assert np.array_equal(np.isnan(got), must), (q, g, index)
            assert np.all(np.isnan(zeros[q]) <= may), (q, g, index)
            assert np.all(must <= may), (q, g, index)
            swapped = (operand, q) == (
                "delta",
                "dx",
            )  # delta may slide over a padded kernel: it meets all of its item
            if not (cropped or swapped):  # then `may` is no larger than what writing out zeros explains
                assert np.array_equal(np.isnan(zeros[q]), may), (q, g, index)


def test_both_miniatures_compute_the_same_numbers() -> None:
    """Else the test above would compare footprints of something else."""
    rng = random.Random(0)
    for _ in range(60):
        g = some_geometry(rng)
        values = np.random.default_rng(rng.randrange(1000))
        arrays = {name: values.integers(-9, 10, g.shape_of(name)).astype(float) for name in OPERANDS}
        loops, zeros = by_loops(g, **arrays), with_zeros_in_memory(g, **arrays)
        assert all(np.array_equal(loops[q], zeros[q]) for q in loops), g


def test_a_nan_stays_in_its_item_and_its_group() -> None:
    g = Geometry(batch=2, channels=4, maps=6, groups=2, size=(3, 4), kernel=(2, 2), padding=1)
    of_x, of_w, of_delta = (footprint(g, name, (1, 0, 0, 0)) for name in OPERANDS)
    assert not of_x["y"][1][0].any()
    assert not of_x["y"][1][1, 3:].any()
    assert not of_x["dw"][1][3:].any()
    assert not of_delta["dx"][1][0].any()
    assert not of_delta["dx"][1][1, 2:].any()
    assert of_w["y"][1].any(axis=(0, 2, 3)).tolist() == [False, True, False, False, False, False]
    assert of_w["dx"][1].any(axis=(0, 2, 3)).tolist() == [True, False, False, False]


def test_what_a_quantity_does_not_use_does_not_reach_it() -> None:
    g = Geometry(size=(4,), kernel=(2,))
    never = [("x", "dx"), ("x", "db"), ("w", "dw"), ("w", "db"), ("delta", "y")]
    assert not any(footprint(g, operand, (0, 0, 0))[q][1].any() for operand, q in never)
