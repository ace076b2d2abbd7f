"""Long sums on a lattice: how wide they are kept, and where they are not.

Operands are positive integers times a unit, and the sums S stay within 2^bits units: no accumulator of that many bits
rounds, in any order, so every result must be the exact sum rounded once.  Where one is not, something was narrower.
The geometries differ in what is summed: over one axis alone, or over several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench, axes, words
from conformance.adapter.probe.rounding import once
from conformance.oracle.vectorised import Layer, counts
from conformance.problem import Geometry, dtype_of
from conformance.spec import NotOffered

__all__ = ["ALONE", "EVERYWHERE", "FORMATS", "Sums", "lossy", "sums"]

Floats = NDArray[np.float64]

ALONE = ("channels", "taps", "batch")
"""Kinds of geometries that sum over one axis alone."""
EVERYWHERE = (*ALONE, "plane")

FORMATS = {8: "bf16", 11: "f16", 24: "f32", 53: "f64"}
"""By precision in bits."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """One quantity.  over: the axes summed; wrong, of: numbers of elements; example: one that is wrong, in words."""

    over: frozenset[str]
    wrong: int
    of: int
    example: str = ""

    @property
    def named(self) -> str:
        """The axes in words."""
        return " and ".join(sorted(self.over))

    def __str__(self) -> str:
        return f"{self.wrong} of {self.of} over {self.named}"

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            over=self.over,
            wrong=self.wrong + other.wrong,
            of=self.of + other.of,
            example=self.example or other.example,
        )


def sums(
    bench: Bench, bits: int, *, kinds: Sequence[str], inputs: int, rounding: dict[str, str]
) -> dict[str, list[Sums]]:
    """By quantity, one for each set of axes over which some geometry sums it.

    inputs: the precision to which operands are rounded; rounding: of results, by quantity.  Raises what `Bench.ask` raises.
    """
    found: dict[str, dict[frozenset[str], Sums]] = {q: {} for q in bench.quantities}
    for kind in kinds:
        try:
            g = bench.geometry(kind)
        except NotOffered:
            continue
        for q, seen in _on(bench, g, bits, inputs, rounding):
            known = found[q].get(seen.over)
            found[q][seen.over] = known + seen if known else seen
    return {q: list(of.values()) for q, of in found.items()}


def _on(
    bench: Bench, g: Geometry, bits: int, inputs: int, rounding: dict[str, str]
) -> Iterator[tuple[str, Sums]]:
    for parts, operands in _operands(bench, g, bits, inputs):
        results = bench.ask(g, **operands)
        none = np.zeros(g.y_shape)
        layer = Layer(g, operands["x"], operands["w"], operands.get("b"), operands.get("delta", none))
        for q in parts & set(results):
            if over := axes(g, q) | ({"bias"} if "b" in operands else set()):
                yield q, _compared(results[q], getattr(layer, q), over, rounding.get(q, "nearest-even"))


def _operands(
    bench: Bench, g: Geometry, bits: int, inputs: int
) -> Iterator[tuple[set[str], dict[str, Floats]]]:
    """Operands, with the quantities that they are for; none if 2^bits units are fewer than there are terms.

    With room in the sum for more bits than two operands have, the units of one of them take turns.
    """
    terms = max(int(n.max()) for n in counts(g).values()) + 1  # a bias is one more
    room, own = bits - terms.bit_length(), min(inputs, bench.format.p)
    if room < 0:
        return
    second = min(own, room // 2)
    first = min(own, room - second)
    w, x = (_integers(k, shape, second, second) for k, shape in ((1, g.w_shape), (2, g.x_shape)))
    turns = {"x": g.x_shape, "delta": g.y_shape, "b": g.b_shape or ()}
    wide = {k: 16 * _integers(3, shape, first, room - second) for k, shape in turns.items()}
    yield {"y"}, {"x": wide["x"], "w": w}
    if g.b_shape is not None and axes(g, "y") == {"channels"}:
        yield {"y"}, {"x": wide["x"], "w": w, "b": wide["b"]}
    if {"dx", "dw"} & set(bench.quantities):
        yield {"dx", "dw"}, {"x": x, "w": w, "delta": wide["delta"]}
    if "db" in bench.quantities and g.b_shape is not None:
        yield {"db"}, {"x": x, "w": w, "delta": 16 * _integers(4, g.y_shape, min(own, room), room)}


def _integers(seed: int, shape: tuple[int, ...], own: int, room: int) -> Floats:
    """1 .. 2^own in units of 2^-own, which take turns down to 2^-room."""
    random = words(seed, shape)
    whole = (random % np.uint64(2**own)).astype(np.float64) + 1
    turns = (random >> np.uint64(56)).astype(np.int64) % (room - own + 1)
    values: Floats = np.ldexp(whole, -own - turns)
    return values


def _compared(result: Any, exact: Floats, over: frozenset[str], mode: str) -> Sums:
    got = result.astype(np.float64)
    right = once(exact, dtype_of(result.dtype).code, mode)
    wrong = np.argwhere(got != right)
    example = ""
    if len(wrong):
        at = tuple(wrong[0])
        example = f"{got[at]:.9g} for {exact[at]:.12g}, which is {right[at]:.9g} rounded once"
    return Sums(over=over, wrong=len(wrong), of=got.size, example=example)


def lossy(seen: list[Sums]) -> list[frozenset[str]]:
    """The axes that lose bits while others do not; where none does alone, those that lose where they meet.

    Empty where all sums are right, and where all are wrong: then the accumulator itself is narrow.
    """
    right = frozenset[str]().union(*(s.over for s in seen if not s.wrong))
    if not right:
        return []
    wrong = [s.over - right or s.over for s in seen if s.wrong]
    return sorted({over for over in wrong if not any(less < over for less in wrong)}, key=sorted)
