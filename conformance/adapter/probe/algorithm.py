"""Which algorithm computes a result.

Direct sums multiply what a result does not read by zero, if at all; transforms mix it in and take it out again, which
leaves noise.  So a single product that changes with values that it does not read betrays a transform.  A NaN tells which:
Winograd's F(m, k) carries it to tiles of m results an axis (F(2, 3) no further than direct sums), a Fourier transform to
the whole plane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench, words
from conformance.adapter.probe.fit import Fit
from conformance.adapter.probe.singles import Singles, mixed, singles
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry

__all__ = ["Algorithm", "algorithms"]

Mask = NDArray[np.bool_]
Footprint = tuple[Mask, Mask]
"""Spatial masks of the results that read a NaN, and of those that became one."""

POSITIONS = 4
LARGEST_TILE = 8


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """name: direct (or more about it), winograd, fft, or unknown; tile: of winograd; evidence: the numbers behind it."""

    name: str
    evidence: str
    tile: int | None = None

    def __str__(self) -> str:
        return f"winograd F({self.tile}, k)" if self.tile else self.name


def algorithms(bench: Bench, found: dict[str, Singles], fits: dict[str, Fit | None]) -> dict[str, Algorithm]:
    """By quantity, of their single products and what explains these."""
    named = {q: Algorithm(name="direct", evidence=_exactly(seen)) for q, seen in found.items() if fits[q]}
    suspects = [q for q in found if q not in named]
    mixes = _mixes(bench, found, suspects)
    prints = (
        _spread(bench, bench.geometry("plane")) if any(mixes[q] or found[q].strays for q in suspects) else {}
    )
    for q in suspects:
        noise = "; ".join(filter(None, (mixes[q], found[q].strayed, found[q].misfit())))
        beyond = any((got & ~reads).any() for reads, got in prints.get(q, []))
        if not mixes[q] and not (beyond and found[q].strays):
            evidence = f"no product changes with values that it does not read; {noise}"
            named[q] = Algorithm(name="direct, products not rounded once", evidence=evidence)
        elif q in prints:
            named[q] = _identified(prints[q], noise)
        else:
            named[q] = _of_dw(bench, noise, named)
    return {q: named[q] for q in found}


def _mixes(bench: Bench, found: dict[str, Singles], suspects: list[str]) -> dict[str, str]:
    """Products that change with values that they do not read, and not by themselves: in words, '' where there are none."""
    if not suspects:
        return {}
    again, altered = singles(bench), singles(bench, altered=True)
    return {q: "" if mixed(found[q], again[q]) else mixed(found[q], altered[q]) for q in suspects}


def _exactly(seen: Singles) -> str:
    zeros = f", all {seen.zeros} sums of zeros are 0" if seen.zeros else ""
    return f"all {len(seen.got)} single products are rounded once{zeros}"


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
    if all(got.all() for _, got in prints):
        return Algorithm(name="fft", evidence=f"{reached}: the whole plane; {noise}")
    tile = _tile(prints)
    if tile is None:
        return Algorithm(name="unknown", evidence=f"{reached}: neither tiles nor the whole plane; {noise}")
    return Algorithm(name="winograd", tile=tile, evidence=f"{reached}: tiles of {tile} an axis; {noise}")


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
    """Tiles of dw are whole kernels; values far from all that it reads tell the transforms apart."""
    if _far_off(bench, bench.geometry("plane")):
        return Algorithm(name="fft", evidence=f"values far from all that it reads change it; {noise}")
    tile = next((a.tile for a in others.values() if a.tile), None)
    if tile is None:
        return Algorithm(
            name="unknown", evidence=f"values far from all that it reads do not change it; {noise}"
        )
    return Algorithm(
        name="winograd",
        tile=tile,
        evidence=f"far values do not change it, its tile is that of y or dx; {noise}",
    )


def _far_off(bench: Bench, g: Geometry) -> bool:
    """Does dw of a delta that is zero but in one corner change with x in the opposite corner?"""
    delta, random = np.zeros(g.y_shape), words(7, g.x_shape) % np.uint64(128)
    delta[(0,) * delta.ndim] = 1.0
    x = (1 + random.astype(np.float64)) / 128
    near = bench.ask(g, x=x, delta=delta)["dw"].tobytes()
    far: Any = (0, slice(None), *(size - 1 for size in g.size))
    x[far] = 2.0 ** min(30, int(np.log2(bench.format.largest)))
    return bool(bench.ask(g, x=x, delta=delta)["dw"].tobytes() != near)
