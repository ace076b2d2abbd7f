"""A problem: geometry, dtype, fill, memory layout and seed; its operands follow from it bit for bit."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import GeometryError
from conformance.problem.dtypes import DType, dtype_of
from conformance.problem.fills import FILLS, INTEGER_FILLS, REGIMES, Source, bits
from conformance.problem.geometry import Geometry
from conformance.problem.memory import MEMORIES, laid_out
from conformance.problem.notation import parse_fields, write_line
from conformance.problem.operations import FURTHER

__all__ = ["QUANTITIES", "Operands", "Problem", "Results", "summands"]

Array = NDArray[Any]
QUANTITIES = ("y", "dx", "dw", "db")
"""What a convolution layer computes, in the order in which it is reported."""
OPERANDS = ("x", "w", "b", "delta")
DRAWN = (*OPERANDS, "u", "v", "r", "c")
"""In the order in which they are drawn: what comes later changes nothing in what comes before."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Operands:
    """x (N, C, *I), w (M, C/G, *K), b (None without a bias) and delta (N, M, *O): what a layer is given.

    u, v, r: directions of x, w and b; c (C,): the bias of the transposed convolution.  None where no operation needs them.
    """

    x: Array
    w: Array
    b: Array | None
    delta: Array
    u: Array | None = None
    v: Array | None = None
    r: Array | None = None
    c: Array | None = None

    def items(self) -> Iterator[tuple[str, Array]]:
        """(name, array) of the operands that are there."""
        return ((name, a) for name in DRAWN if (a := getattr(self, name)) is not None)

    def replace(self, **changes: Any) -> Operands:
        return dataclasses.replace(self, **changes)

    def in_memory(self, memory: str) -> Operands:
        """Fresh copies in another memory layout."""
        arrays: dict[str, Any] = {name: laid_out(a, memory) for name, a in self.items()}
        return self.replace(**arrays)


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """y, dx, dw and db: what a layer computes; None where it was not asked for or is not offered."""

    y: Any = None
    dx: Any = None
    dw: Any = None
    db: Any = None


def summands(g: Geometry) -> int:
    """The most products that any one element of y, dx or dw sums (padding included)."""
    taps = math.prod(g.kernel)
    forward = g.channels // g.groups * taps
    backward = g.maps // g.groups * taps
    return max(forward, backward, g.batch * math.prod(g.output))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One line of text (`notation`), one set of operands.

    `dtype` is a code: f64, f32, f16 or bf16.

    >>> p = Problem(geometry=Geometry(size=(3,), kernel=(2,)), seed=1)
    >>> p.operands.x.tolist()
    [[[9.0, 7.0, 6.0]]]
    """

    geometry: Geometry
    dtype: str = "f64"
    fill: str = "small"
    memory: str = "c"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_of(self.dtype).code)
        for name, known in (("fill", FILLS), ("memory", MEMORIES)):
            if getattr(self, name) not in known:
                raise GeometryError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 0 <= self.seed < 2**64:
            raise GeometryError(f"seed must be between 0 and 2^64 - 1, got {self.seed}")

    def replace(self, **changes: Any) -> Problem:
        return dataclasses.replace(self, **changes)

    @functools.cached_property
    def format(self) -> DType:
        """The facts of its dtype."""
        return dtype_of(self.dtype)

    @property
    def integers(self) -> bool:
        """Are the operands integers (a fill of an exact regime)?"""
        return self.fill in INTEGER_FILLS

    @property
    def rounding(self) -> bool:
        """Are the data a numeric regime, on which only rounding is judged?"""
        return self.fill in REGIMES

    @functools.cached_property
    def source(self) -> Source:
        """What draws its operands."""
        return Source(
            fill=self.fill,
            dtype=self.format,
            seed=self.seed,
            geometry=self.geometry,
            summands=summands(self.geometry),
        )

    @property
    def amplitude(self) -> int:
        """The largest magnitude in the operands of an integer fill."""
        return self.source.amplitude

    @property
    def quantum(self) -> float:
        """The lattice of the operands: every value is an integer multiple of it (numerics.md, "Exact regimes")."""
        return 2.0**self.source.exponent

    @functools.cached_property
    def operands(self) -> Operands:
        """x, w, b and delta, read-only, in this problem's memory layout."""
        return self._draw(OPERANDS)

    @functools.cached_property
    def further(self) -> Operands:
        """The same with what the optional operations are given besides: u, v, r and c (None without a bias)."""
        return self._draw(DRAWN)

    def operands_of(self, quantity: str) -> Operands:
        """What a quantity is computed of: with u, v, r and c if it is one of an optional operation."""
        return self.further if quantity in FURTHER else self.operands

    def _draw(self, names: tuple[str, ...]) -> Operands:
        shapes = {name: self._drawn_shape(name) for name in names}
        counts = [0 if shape is None else math.prod(shape) for shape in shapes.values()]
        words = bits(self.seed, sum(counts))
        arrays: dict[str, Array | None] = {}
        for (name, shape), end, count in zip(
            shapes.items(), itertools.accumulate(counts), counts, strict=True
        ):
            arrays[name] = (
                None
                if shape is None
                else self._lay_out(name, self.source.values(name, words[end - count : end], shape))
            )
        return Operands(**arrays)  # type: ignore[arg-type]

    def _drawn_shape(self, name: str) -> tuple[int, ...] | None:
        shape = self.geometry.shape_of(name)
        return (1, *shape[1:]) if shape is not None and self.memory == "broadcast" else shape

    def _lay_out(self, name: str, values: Array) -> Array:
        if self.memory == "broadcast":
            values = np.broadcast_to(values, self.geometry.shape_of(name) or ())
        elif self.memory != "c":
            values = laid_out(values, self.memory)
        values.flags.writeable = False
        return values

    @classmethod
    def parse(cls, line: str) -> Problem:
        """The problem of a line (`notation`); raises NotationError, pointing at the place, or GeometryError."""
        return cls(**parse_fields(line))

    def __str__(self) -> str:
        return write_line(self)
