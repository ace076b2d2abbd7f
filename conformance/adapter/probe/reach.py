"""How far a NaN reaches: which algorithm computes a result, and whether zeros in memory are multiplied.

Direct sums carry a NaN to the results that read it.  Winograd's F(m, k) carries it to whole tiles of m results an axis, a
Fourier transform to the whole plane.  Numbers show the same: transforms round single products more than once, and leave
noise where all products are zero.  Only what shows both is taken for a transform.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench, words
from conformance.adapter.probe.singles import Singles
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry
from conformance.spec.footprint import footprint

__all__ = ["Algorithm", "algorithms", "footprints"]

Mask = NDArray[np.bool_]
Footprint = tuple[Mask, Mask]
"""Spatial masks of the results that read a NaN, and of those that became one."""

POSITIONS = 4
LARGEST_TILE = 8


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """name: direct, winograd, fft, or unknown; tile: of winograd; evidence: the numbers behind it."""

    name: str
    evidence: str
    tile: int | None = None

    def __str__(self) -> str:
        return f"winograd F({self.tile}, k)" if self.tile else self.name


def algorithms(bench: Bench, found: dict[str, Singles], exact: dict[str, bool]) -> dict[str, Algorithm]:
    """By quantity.  exact: are its single products what some way of rounding them once gives?"""
    named = {q: Algorithm(name="direct", evidence=_exactly(found[q])) for q in found if exact[q]}
    suspects = {q: found[q] for q in found if q not in named}
    if {"y", "dx"} & set(suspects):
        g = bench.geometry("plane")
        for q, prints in _spread(bench, g).items():
            if q in suspects:
                named[q] = _identified(prints, _noise(suspects[q]))
    if "dw" in suspects:
        named["dw"] = _of_dw(bench, _noise(suspects["dw"]), named)
    if "db" in suspects:
        named["db"] = Algorithm(name="unknown", evidence=_noise(suspects["db"]))
    return named


def _exactly(seen: Singles) -> str:
    return f"all {len(seen.got)} single products are rounded once, all {seen.zeros} sums of zeros are 0"


def _noise(seen: Singles) -> str:
    parts = [seen.misfit()]
    if seen.strays:
        largest = max(seen.strays, key=abs)
        parts.append(f"{len(seen.strays)} of {seen.zeros} sums of zeros are not 0 but up to {largest:.3g}")
    return "; ".join(filter(None, parts)) or "no result has one product alone"


# ---- y and dx ----
def _spread(bench: Bench, g: Geometry) -> dict[str, list[Footprint]]:
    """The footprint in y of a NaN in x, and in dx of one in delta, at several places."""
    prints: dict[str, list[Footprint]] = {"y": [], "dx": []}
    for start in range(0, POSITIONS, g.batch):
        for operand, q in (("x", "y"), ("delta", "dx")):
            if q in bench.quantities:
                prints[q] += _asked(bench, g, operand, q, range(start, min(POSITIONS, start + g.batch)))
    return prints


def _asked(bench: Bench, g: Geometry, operand: str, q: str, places: Sequence[int]) -> Iterator[Footprint]:
    """One item of the batch for each place; other operands are ones."""
    given: dict[str, Any] = {name: np.ones(g.shape_of(name) or ()) for name in ("x", "w", operand)}
    spot = np.zeros(g.shape_of(operand) or ())
    for item, place in enumerate(places):
        spot[(item, 0, *_diagonal(g, place))] = 1
    given[operand] = np.where(spot, np.nan, 1.0)
    result: Mask = np.asarray(np.isnan(bench.ask(g, **given)[q].astype(np.float64)).any(axis=1))
    delta = spot if operand == "delta" else np.zeros(g.y_shape)
    layer = Layer(g, x=spot, w=given["w"], b=None, delta=delta)
    reads = (getattr(layer, q) > 0).any(axis=1)
    return ((reads[item], result[item]) for item in range(len(places)))


def _diagonal(g: Geometry, place: int) -> Iterator[int]:
    """Other places on each axis, so that tiles are met at many of their elements."""
    return (min(o // 3 + place + POSITIONS * axis, o - 1) for axis, o in enumerate(g.output))


def _identified(prints: list[Footprint], noise: str) -> Algorithm:
    reached = f"a NaN reaches {_counts(prints)} results"
    if not any((got & ~reads).any() for reads, got in prints):
        return Algorithm(
            name="unknown", evidence=f"{noise}; but a NaN reaches no more than the results that read it"
        )
    if all(got.all() for _, got in prints):
        return Algorithm(name="fft", evidence=f"{reached}: the whole plane; {noise}")
    tile = _tile(prints)
    if tile is None:
        return Algorithm(name="unknown", evidence=f"{reached}: neither tiles nor the whole plane; {noise}")
    return Algorithm(
        name="winograd", tile=tile, evidence=f"{reached}: whole tiles of {tile} an axis; {noise}"
    )


def _counts(prints: list[Footprint]) -> str:
    most = max(prints, key=lambda p: int(p[1].sum()))
    return f"{int(most[1].sum())} of {most[1].size} (read by {int(most[0].sum())})"


def _tile(prints: list[Footprint]) -> int | None:
    """The smallest m whose tiles, met by what reads the NaN, cover all that it reached."""
    axes = [[(_on_axis(a, axis), _on_axis(b, axis)) for a, b in prints] for axis in range(prints[0][0].ndim)]
    for m in range(2, LARGEST_TILE + 1):
        if all(any(all(_covers(m, k, *p) for p in on_axis) for k in range(m)) for on_axis in axes):
            return m
    return None


def _on_axis(mask: Mask, axis: int) -> Mask:
    others = tuple(k for k in range(mask.ndim) if k != axis)
    return np.asarray(mask.any(axis=others))


def _covers(m: int, offset: int, reads: Mask, got: Mask) -> bool:
    """Do the tiles [offset + j m, offset + j m + m) that meet `reads` hold all of `got`?"""
    tile = (np.arange(reads.size) - offset) // m
    return set(tile[got]) <= set(tile[reads])


# ---- dw ----
def _of_dw(bench: Bench, noise: str, others: dict[str, Algorithm]) -> Algorithm:
    """Tiles of dw are whole kernels, so a corner of x tells transforms; far-off values tell which."""
    g = bench.geometry("plane")
    corner = np.zeros(g.x_shape)
    corner[(0,) * corner.ndim] = 1
    reads = Layer(g, corner, np.ones(g.w_shape), None, np.ones(g.y_shape)).dw[:, 0] > 0
    got = bench.ask(g, x=np.where(corner, np.nan, 1.0), w=1.0, delta=1.0)["dw"]
    nan = np.isnan(got[:, 0].astype(np.float64))
    reached = (
        f"a NaN in a corner of x reaches {int(nan.sum())} of {nan.size} taps (read by {int(reads.sum())})"
    )
    if not (nan & ~reads).any():
        return Algorithm(name="unknown", evidence=f"{noise}; but {reached}")
    if _far_off(bench, g):
        return Algorithm(name="fft", evidence=f"{reached}; values that no product reads change it; {noise}")
    tile = next((a.tile for a in others.values() if a.tile), None)
    if tile is None:
        return Algorithm(name="unknown", evidence=f"{reached}; {noise}")
    return Algorithm(name="winograd", tile=tile, evidence=f"{reached}; the tile is that of y or dx; {noise}")


def _far_off(bench: Bench, g: Geometry) -> bool:
    """Does dw of a delta that is zero but in one corner change with x in the opposite corner?"""
    delta, random = np.zeros(g.y_shape), words(7, g.x_shape) % np.uint64(128)
    delta[(0,) * delta.ndim] = 1.0
    x = (1 + random.astype(np.float64)) / 128
    near = bench.ask(g, x=x, delta=delta)["dw"].tobytes()
    far: Any = (0, slice(None), *(size - 1 for size in g.size))
    x[far] = 2.0 ** min(30, int(np.log2(bench.format.largest)))
    return bool(bench.ask(g, x=x, delta=delta)["dw"].tobytes() != near)


# ---- zeros in memory ----
LEVELS = ("reads only", "through zeros", "further", "swallowed")


def footprints(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """(quantity, value, evidence): how far a NaN in each operand reaches where there are borders, stride and dilation."""
    g = bench.geometry("borders")
    worst: dict[str, tuple[int, str]] = {}
    for operand in ("x", "w", "delta"):
        shape = g.shape_of(operand) or ()
        index = (0, 0, *((size // 2 if operand == "x" else 0) for size in shape[2:]))
        given: dict[str, Any] = {name: np.ones(g.shape_of(name) or ()) for name in ("x", "w", "delta")}
        given[operand][index] = np.nan
        masks = footprint(g, operand, index)
        for q, result in _both_ways(bench, g, given, operand).items():
            must, may = masks[q]
            got = np.isnan(result.astype(np.float64))
            seen = f"a NaN in {operand} at {index} reaches {_reached(got, must, may)} ({bench.line(g)})"
            worst[q] = max(worst.get(q, (-1, "")), (_level(got, must, may), seen), key=lambda w: w[0])
    for q, (level, seen) in worst.items():
        yield q, LEVELS[level], seen


def _level(got: Mask, must: Mask, may: Mask) -> int:
    """Index into LEVELS."""
    if (must & ~got).any():
        return 3
    return 2 if (got & ~may).any() else int((got & ~must).any())


def _reached(got: Mask, must: Mask, may: Mask) -> str:
    """The numbers of results, by how they meet it."""
    parts = [f"{int((got & must).sum())} of {int(must.sum())} results that read it"]
    through, further = int((got & may & ~must).sum()), int((got & ~may).sum())
    parts += [f"{through} of {int((may & ~must).sum())} that meet it through zeros"] if through else []
    parts += [f"{further} others"] if further else []
    return ", ".join(parts)


def _both_ways(bench: Bench, g: Geometry, given: dict[str, Any], operand: str) -> dict[str, Any]:
    """The results that the operand takes part in."""
    forward = {} if operand == "delta" else bench.ask(g, x=given["x"], w=given["w"])
    part = {"x": ("y", "dw"), "w": ("y", "dx"), "delta": ("dx", "dw", "db")}[operand]
    return {q: a for q, a in itertools.chain(forward.items(), bench.ask(g, **given).items()) if q in part}
