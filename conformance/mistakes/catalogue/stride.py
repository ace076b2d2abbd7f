"""Stride: ignored, delta not stuffed with zeros, remainder on the wrong side, height and width exchanged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from conformance.mistakes.catalogue.shared import divided, placed, swapped
from conformance.mistakes.recipe import Floats, Recipe, each, relation, relations

__all__ = ["MISTAKES"]

STEP = "output o reads from o * stride - padding on"
STUFF = "put stride - 1 zeros between the elements of delta before it is slid"


def _repeated(r: Floats, made: Recipe, axis: int) -> Floats:
    """Each delta also stands where zeros should be stuffed."""
    begin = made.g.padding[axis][0]
    return np.asarray(sum(relation(made.g, axis, begin=begin - k) for k in range(made.g.stride[axis])))


def _not_strided(r: Recipe) -> Recipe:
    """y at every position (an untied bias has no value there: its first is taken)."""
    if max(r.g.stride) == 1:
        return r
    g = dataclasses.replace(r.g, stride=(1,))
    bias = r.bias if g.bias != "untied" else r.bias.reshape(g.maps, *(1,) * g.rank, -1)[..., 0]
    return r.replace(g=g, bias=bias, axes=tuple(relation(g, axis) for axis in range(g.rank)))


MISTAKES = (
    *each(
        "y",
        "stride-ignored-in-size",
        "y is computed at every position: the stride is ignored",
        hint=STEP,
        switch=_not_strided,
    ),
    *each(
        "y",
        "stride-ignored",
        "y has the right size, but its windows move by one and not by the stride",
        hint=STEP,
        switch=placed(stride=lambda g, axis: 1),
    ),
    *each(
        "dx dw",
        "delta-not-stuffed",
        "the stride is ignored in {q}: delta is not stuffed with zeros",
        hint=STUFF,
        switch=placed(stride=lambda g, axis: 1),
    ),
    *each(
        "y dx dw",
        "strides-exchanged",
        "{q} uses the stride of the width for the height and the other way round",
        hint="strides are given in the order of the axes",
        switch=placed(stride=lambda g, axis: swapped(g.stride, axis)),
    ),
    *each(
        "y dx dw",
        "first-stride-for-all-axes",
        "{q} uses the first axis' stride along every axis",
        hint="one stride an axis",
        switch=placed(stride=lambda g, axis: g.stride[0]),
    ),
    *each(
        "dx dw",
        "remainder-in-front",
        "where the stride leaves a remainder, {q} is aligned with the end of x, not with its beginning",
        hint="what the stride leaves over stands *behind* the last window: pad the stuffed delta there",
        switch=placed(begin=lambda g, axis: g.padding[axis][0] - g.remainder[axis]),
    ),
    *each(
        "dx dw",
        "delta-repeated",
        "{q} repeats each element of delta where the zeros of the stride belong",
        hint=STUFF,
        switch=relations(_repeated),
    ),
    *each(
        "dx dw",
        "stuffed-once-too-often",
        "{q} stuffs as many zeros as the stride, one too many",
        hint=STUFF,
        switch=placed(stride=lambda g, axis: g.stride[axis] + (g.stride[axis] > 1)),
    ),
    *each(
        "dx dw",
        "divided-by-stride",
        "{q} is divided by the stride of every axis",
        hint="each output counts once, however far windows are apart",
        switch=divided(lambda g: math.prod(g.stride)),
    ),
)
