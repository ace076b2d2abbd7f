r"""The data of a problem: values drawn from the raw bits of a counter-based generator.

Bits: Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key
(seed, 0) and a counter that starts at 1; its words are dealt, in order, to the elements of x, w, b (if there is one)
and delta, each in C order, and then, for optional operations, to those of u, v, r and c.  Raw bits and integer arithmetic
only, so any language repeats them and no NumPy version changes them.

Each fill finds mistakes that the others cannot.  Those on which every clause is judged:

* ``small``   non-zero integers, of an amplitude that keeps every sum S within the precision of the dtype: results are exact
              in whatever order and precision they are summed.  Sees every mistake of geometry; blind to precision.
* ``unit``    the same with amplitude 1: what findings are shrunk to.
* ``sparse``  ``small`` with about one value in four exactly zero.
* ``real``    full mantissas, 1/2 <= \\|a\\| < 1, random signs: judged by the proven bound.  Sees lost precision.

And the numeric regimes, on which only rounding is judged (chapter NUM):

* ``wide``          integers that fill the exact regime of a float32 accumulator (float64: of its own): S up to 2^24 (2^53).
                    Sees an accumulator or a partial sum that is narrower, and a result that is rounded twice.
* ``odd``           odd integers of 12 bits (float64: 30, float16: 11, bfloat16: 8) in one operand, the seed says in
                    which; the others are 1 or -1.  Sees operands that are rounded before they are multiplied.
* ``onehot``        one non-zero element in x and one in delta, full mantissas: every result is a single product, which
                    direct algorithms round once.  Sees rounding of inputs and outputs, and transforms.
* ``stagnation``    powers of two: a few ones, the rest so small that a sum of the dtype's own precision loses them.
* ``cancellation``  magnitudes that hardly differ, alternating signs: sums much smaller than S.
* ``positive``      ``real`` without signs: sums that only grow, and may not become negative.
* ``gaps``          ``real``, but the last rows of x and of delta, and the first map's kernel and delta are zero: results
                    whose S is 0.
* ``subnormal``     ``small`` scaled so that results are multiples of the smallest subnormal number.  Sees flushing to zero.
* ``huge``          ``small`` scaled so that S comes close to the largest number.  Sees clipping and early overflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem.dtypes import DType
from conformance.problem.geometry import Geometry

__all__ = ["FILLS", "GEOMETRIC", "INTEGER_FILLS", "REGIMES", "Source", "bits"]

GEOMETRIC = ("small", "real", "sparse", "unit")
"""Every clause is judged on these."""
INTEGER_FILLS = ("small", "sparse", "unit")
"""Exact in every dtype, and with operands added to one another (`HEADROOM`)."""
REGIMES = (
    "wide",
    "odd",
    "onehot",
    "stagnation",
    "cancellation",
    "positive",
    "gaps",
    "subnormal",
    "huge",
)
"""Only rounding is judged on these."""
FILLS = (*GEOMETRIC, *REGIMES)

LARGEST_AMPLITUDE = 9
"""One digit: a learner can still follow the sums on fingers."""

HEADROOM = 4
"""Clauses on linearity add operands (x + v, w + u): S grows to at most four times."""

_ALIKE = {"u": "x", "v": "w", "r": "b", "c": "b"}
"""What the optional operations are given besides is drawn as the operand in whose place it stands."""

ODD_BITS = {"f64": 30, "f32": 12, "f16": 11, "bf16": 8}

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


def bits(seed: int, count: int) -> Words:
    """The first `count` 64-bit words of Philox4x64-10 with key (seed, 0)."""
    return np.random.Philox(key=np.array([seed, 0], dtype=np.uint64)).random_raw(count)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Draws the operands of one problem: `values("x", words, shape)`.

    summands: the most products that one element sums.
    """

    fill: str
    dtype: DType
    seed: int
    geometry: Geometry
    summands: int

    def values(self, operand: str, words: Words, shape: tuple[int, ...]) -> NDArray[Any]:
        """An operand in the dtype; as many words as it has elements."""
        drawn = _DRAW[self.fill](self, _ALIKE.get(operand, operand), words, shape)
        return drawn.astype(self.dtype.numpy)

    @property
    def amplitude(self) -> int:
        """The largest integer that the integer fills draw (before they are scaled); at least 1.

        The largest a <= 9 with HEADROOM * (summands * a^2 + a) <= 2^p; of wide, with (summands + 1) a^2 filling its regime.
        """
        if self.fill == "unit":
            return 1
        if self.fill == "wide":
            representable: int = 2**self.dtype.p
            return max(1, min(representable, math.isqrt(self.filled // (self.summands + 1))))
        room = 2**self.dtype.p // HEADROOM - LARGEST_AMPLITUDE
        return max(1, min(LARGEST_AMPLITUDE, math.isqrt(max(room, 0) // max(self.summands, 1))))

    @property
    def filled(self) -> int:
        """The largest S of the exact regime: what an accumulator of at least float32 keeps, and the dtype can hold."""
        return int(min(2 ** max(self.dtype.p, 24), self.dtype.largest))

    @property
    def exponent(self) -> int:
        """Every operand is an integer multiple of 2 to this power (numerics.md, "Exact regimes")."""
        if self.fill in ("small", "sparse", "unit", "wide", "odd"):
            return 0
        if self.fill == "stagnation":
            return -((self.dtype.p + 1) // 2)
        if self.fill == "subnormal":
            return -(-round(math.log2(self.dtype.smallest_subnormal)) // 2)
        if self.fill == "huge":
            units = self.summands * self.amplitude**2 + self.amplitude
            return (math.frexp(self.dtype.largest)[1] - 1 - units.bit_length()) // 2
        return -self.dtype.p


def _real(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    p = source.dtype.p
    mantissa = (words >> np.uint64(65 - p)).astype(np.float64) + 2.0 ** (p - 1)
    values: Floats = np.where(words & np.uint64(1), -mantissa, mantissa) * 2.0**-p
    return values.reshape(shape)


def _positive(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    return np.abs(_real(source, operand, words, shape))


def _small(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    return _integers(words, source.amplitude).reshape(shape)


def _sparse(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    values = _integers(words, source.amplitude)
    values[(words >> np.uint64(62)) == 0] = 0
    return values.reshape(shape)


def _odd(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    """Odd integers of exactly so many bits in x, w or delta; everywhere else 1 or -1."""
    if ("x", "w", "delta")[source.seed % 3] != operand:
        return _integers(words, 1).reshape(shape)
    room = source.filled // (source.summands + 1)
    width = max(3, min(ODD_BITS[source.dtype.code], room.bit_length() - 1))
    odd = (words >> np.uint64(66 - width)).astype(np.float64) * 2 + 2.0 ** (width - 1) + 1
    return np.where(words & np.uint64(1), -odd, odd).reshape(shape)


def _onehot(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    """w is full, b zero; the elements of x and delta meet in one product, if any two do."""
    values = _real(source, operand, words, shape)
    if operand == "w":
        return values
    hot = np.zeros(shape, bool)
    if operand != "b" and values.size:
        place = _meeting(source.geometry, source.seed)[operand]
        hot[(min(place[0], shape[0] - 1), *place[1:])] = True
    return np.where(hot, values, 0.0)


def _stagnation(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    return np.where(words >> np.uint64(61), 2.0**source.exponent, 1.0).reshape(shape)


def _cancellation(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    """3/4 and a little more in all; the signs of x go + - + -, those of delta + + - -."""
    p = source.dtype.p
    little = (words >> np.uint64(64 - p // 2)).astype(np.float64) * 2.0**-p
    run = {"x": 1, "delta": 2}.get(operand, max(words.size, 1))
    signs = (-1.0) ** (np.arange(words.size) // run)
    return ((0.75 + little) * signs).reshape(shape)


def _gaps(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    values = _real(source, operand, words, shape)
    if operand in ("x", "delta"):
        values[:, :, (shape[2] + 1) // 2 :] = 0
    if source.geometry.maps > 1 and operand == "w":
        values[0] = 0
    if source.geometry.maps > 1 and operand == "delta":
        values[:, 0] = 0
    return values


def _scaled(source: Source, operand: str, words: Words, shape: tuple[int, ...]) -> Floats:
    """`small` on another lattice; b, which is added to products, on the square of it."""
    power = source.exponent * (2 if operand == "b" else 1)
    return np.ldexp(_small(source, operand, words, shape), power)


_DRAW: dict[str, Callable[[Source, str, Words, tuple[int, ...]], Floats]] = {
    "small": _small,
    "unit": _small,
    "sparse": _sparse,
    "real": _real,
    "wide": _small,
    "odd": _odd,
    "onehot": _onehot,
    "stagnation": _stagnation,
    "cancellation": _cancellation,
    "positive": _positive,
    "gaps": _gaps,
    "subnormal": _scaled,
    "huge": _scaled,
}


def _integers(words: Words, a: int) -> Floats:
    """Words to the non-zero integers -a..-1, 1..a."""
    values = (words % np.uint64(2 * a)).astype(np.int64) - a
    values[values >= 0] += 1
    return values.astype(np.float64)


def _meeting(g: Geometry, seed: int) -> dict[str, tuple[int, ...]]:
    """An element of x and one of delta that one weight multiplies; the first tap that lies inside x is taken."""
    n, m = seed % max(g.batch, 1), seed // 3 % g.maps
    c = m // (g.maps // g.groups) * (g.channels // g.groups) + seed // 5 % (g.channels // g.groups)
    at_x, at_y = [], []
    for axis in range(g.rank):
        o, t = np.ogrid[: g.output[axis], : g.kernel[axis]]
        i = o * g.stride[axis] + t * g.dilation[axis] - g.padding[axis][0]
        inside = np.argwhere((i >= 0) & (i < g.size[axis]))
        chosen = inside[seed // 7 % len(inside)] if len(inside) else (0, 0)
        at_y.append(int(chosen[0]))
        at_x.append(int(i[tuple(chosen)]) if len(inside) else 0)
    return {"x": (n, c, *at_x), "delta": (n, m, *at_y)}
