"""Stride: ignored, delta not stuffed with zeros, remainder, height and width exchanged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, each, relation, relations

__all__ = ["MISTAKES"]

STUFF = "put stride - 1 zeros between the elements of delta before it is slid"


def _swapped(values: tuple[int, ...], axis: int) -> int:
    """The value of the other one of the last two axes."""
    n = len(values)
    return values[(2 * n - 3) - axis] if n > 1 and axis >= n - 2 else values[axis]


def _remainder(made: Recipe, axis: int) -> int:
    g = made.g
    return (g.padded_size[axis] - g.kernel_reach[axis]) % g.stride[axis]


def _aligned_behind(r: Floats, made: Recipe, axis: int) -> Floats:
    return relation(made.g, axis, begin=made.g.padding[axis][0] - _remainder(made, axis))


def _repeated(r: Floats, made: Recipe, axis: int) -> Floats:
    """Each delta also stands where zeros should be stuffed."""
    begin = made.g.padding[axis][0]
    return np.asarray(sum(relation(made.g, axis, begin=begin - k) for k in range(made.g.stride[axis])))


def _not_strided(r: Recipe) -> Recipe:
    """y at every position."""
    g = dataclasses.replace(r.g, stride=(1,))
    bias = r.bias if g.bias != "untied" else r.bias.reshape(g.maps, *(1,) * g.rank, -1)[..., 0]
    return r.replace(g=g, bias=bias, axes=tuple(relation(g, axis) for axis in range(g.rank)))


MISTAKES = (
    *each("y", "stride-ignored-in-size", "y is computed at every position: the stride is ignored",
          hint="output o reads from o * stride on", switch=_not_strided),
    *each("y", "stride-ignored", "windows of y move by one instead of the stride",
          hint="output o reads from o * stride on",
          switch=relations(lambda r, made, axis: relation(made.g, axis, stride=1))),
    *each("dx", "delta-not-stuffed", "the stride is ignored in dx: delta is not stuffed with zeros",
          hint=STUFF, switch=relations(lambda r, made, axis: relation(made.g, axis, stride=1))),
    *each("dw", "delta-not-stuffed", "the stride is ignored in dw: delta is not stuffed with zeros",
          hint=STUFF, switch=relations(lambda r, made, axis: relation(made.g, axis, stride=1))),
    *each("y dx dw", "strides-exchanged", "{q} uses the stride of the width for the height and the other way round",
          hint="strides are given in the order of the axes",
          switch=relations(lambda r, made, axis: relation(made.g, axis, stride=_swapped(made.g.stride, axis)))),
    *each("y dx dw", "first-stride-for-all-axes", "{q} uses the first axis' stride along every axis",
          hint="one stride an axis",
          switch=relations(lambda r, made, axis: relation(made.g, axis, stride=made.g.stride[0]))),
    *each("dx dw", "remainder-in-front", "where the stride leaves a remainder, {q} is aligned with the end of x, not its beginning",
          hint="what the stride leaves over stands *behind* the last window: pad the stuffed delta there",
          switch=relations(_aligned_behind)),
    *each("dx dw", "delta-repeated", "{q} repeats delta over the stride's gaps where zeros belong",
          hint=STUFF, switch=relations(_repeated)),
    *each("dx dw", "stuffed-once-too-often", "{q} stuffs as many zeros as the stride, one too many",
          hint=STUFF,
          switch=relations(lambda r, made, axis: relation(
              made.g, axis, stride=made.g.stride[axis] + (made.g.stride[axis] > 1)))),
    *each("dx dw", "divided-by-stride", "{q} is divided by the stride of every axis",
          hint="each output counts once, however far windows are apart",
          switch=lambda r: r.then(lambda out: out / math.prod(r.g.stride))),
)  # fmt: skip
