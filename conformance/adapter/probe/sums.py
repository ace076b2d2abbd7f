"""Long sums on a lattice: how wide they are kept, and where they are not.

Operands are integers times a unit, and the sums of magnitudes S stay within 2^bits units: no accumulator of that many bits
rounds, in any order, so every result must be the exact sum rounded once.  Where one is not, something narrower was on the
way.  The geometries differ in what is summed: over one axis alone, or over several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench, axes, words
from conformance.adapter.probe.rounding import once
from conformance.oracle.vectorised import Layer, counts
from conformance.problem import Geometry, dtype_of
from conformance.spec import NotOffered

__all__ = ["FORMATS", "Sums", "lossy", "sums"]

Floats = NDArray[np.float64]

KINDS = ("channels", "taps", "batch", "plane")
FORMATS = {8: "bf16", 11: "f16", 24: "f32", 53: "f64"}
"""By precision in bits."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """One quantity on one geometry.  over: the axes summed; wrong, of: elements; example: one that is wrong, in words."""

    over: frozenset[str]
    line: str
    wrong: int
    of: int
    example: str

    @property
    def named(self) -> str:
        return " and ".join(sorted(self.over))

    def __str__(self) -> str:
        """What is wrong."""
        return f"{self.wrong} of {self.of} over {self.named} are wrong ({self.example})"


def sums(bench: Bench, bits: int, *, inputs: int, rounding: dict[str, str]) -> dict[str, list[Sums]]:
    """By quantity, one for each geometry that is offered and in which it sums anything.

    inputs: the precision to which operands are rounded; rounding: of results, by quantity.  Raises what `Bench.ask` raises.
    """
    found: dict[str, list[Sums]] = {q: [] for q in bench.quantities}
    for kind in KINDS:
        try:
            g = bench.geometry(kind)
        except NotOffered:
            continue
        for q, seen in _on(bench, g, _Lattice(bench, g, bits, inputs), rounding):
            found[q].append(seen)
    return found


class _Lattice:
    """Integers times a unit, so that S is at most 2^bits units of the products and results are near 1.

    Beyond 24 bits of float32, one operand's integers take turns in magnitude: all of its terms could not fill the sum.
    """

    def __init__(self, bench: Bench, g: Geometry, bits: int, inputs: int) -> None:
        self.format, self.bits = bench.format, bits
        self.terms = 2 + max(int(n.max()) for n in counts(g).values())  # and a bias
        self.inputs = min(inputs, bench.format.p)
        self.spread = max(0, bits - 2 * 8 - self.terms.bit_length()) if bits > max(24, self.format.p) else 0
        room = math.isqrt(2 ** (bits - self.spread) // self.terms)
        self.largest = max(1, min(2**self.inputs, room))
        self.unit = 2.0 ** -(self.largest.bit_length())

    def values(self, seed: int, shape: tuple[int, ...], *, spread: bool = False) -> Floats:
        random = words(seed, shape)
        integers = (random % np.uint64(2 * self.largest)).astype(np.float64) - self.largest + 0.5
        whole = np.sign(integers) * np.ceil(np.abs(integers))
        scaled: Floats = np.ldexp(
            whole * self.unit, -((random >> np.uint64(40)) % np.uint64(self.spread + 1)).astype(int)
        )
        return scaled if spread else np.asarray(whole * self.unit)


def _on(bench: Bench, g: Geometry, lattice: _Lattice, rounding: dict[str, str]) -> Iterator[tuple[str, Sums]]:
    line = bench.line(g)
    x, w, delta = (lattice.values(k, shape) for k, shape in enumerate((g.x_shape, g.w_shape, g.y_shape), 1))
    wide_x, wide_delta = (lattice.values(k, a.shape, spread=True) for k, a in ((1, x), (3, delta)))
    none = np.zeros(g.y_shape)
    asked: list[dict[str, Floats]] = [{"x": wide_x, "w": w}, {"x": x, "w": w, "delta": wide_delta}]
    if g.b_shape is not None and axes(g, "y") == {"channels"}:
        asked.append({"x": wide_x, "w": w, "b": lattice.values(4, g.b_shape)})
    for operands in asked:
        results = bench.ask(g, **operands)
        layer = Layer(g, operands["x"], operands["w"], operands.get("b"), operands.get("delta", none))
        for q in results:
            if over := axes(g, q) | ({"bias"} if "b" in operands else set()):
                yield q, _compared(results[q], getattr(layer, q), over, line, rounding.get(q, "nearest-even"))


def _compared(result: Any, exact: Floats, over: frozenset[str], line: str, mode: str) -> Sums:
    got = result.astype(np.float64)
    right = once(exact, dtype_of(result.dtype).code, mode)
    wrong = np.argwhere(got != right)
    example = ""
    if len(wrong):
        at = tuple(wrong[0])
        example = f"{got[at]:.9g} for {exact[at]:.12g}, which is {right[at]:.9g} rounded once"
    return Sums(over=over, line=line, wrong=len(wrong), of=got.size, example=example)


def lossy(seen: list[Sums]) -> list[frozenset[str]]:
    """The axes that lose bits while others do not; where none does alone, those that lose where they meet.

    Empty where all sums are right, and where all are wrong: then the accumulator itself is narrow.
    """
    right = frozenset().union(*(s.over for s in seen if not s.wrong))
    if not right:
        return []
    wrong = [s.over - right or s.over for s in seen if s.wrong]
    return sorted({over for over in wrong if not any(less < over for less in wrong)}, key=sorted)
