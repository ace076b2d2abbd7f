"""Sizes and loop bounds: a row lost, everything one off, images and kernels taken for square, axes squeezed."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import ALL, kept, placed
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, relations

__all__ = ["MISTAKES"]

BOUNDS = "range(size) along every axis: from 0 to size - 1"
WINDOW = "output o reads from o * stride - padding on"


def _kept_along(axis: int, part: slice) -> Switch:
    """One part of a spatial axis of the result; zeros elsewhere."""
    return ending(lambda out, r: kept(out, *(ALL,) * (2 + axis % r.g.rank), part))


def _as_far_as_first(out: Floats, r: Recipe) -> Floats:
    """Zeros beyond the first axis' size along the others."""
    return kept(out, ALL, ALL, *(slice(out.shape[2]),) * r.g.rank)


def _rounded_up(out: Floats, r: Recipe) -> Floats:
    """One more where the stride leaves a remainder."""
    return np.pad(out, [(0, 0), (0, 0), *((0, int(left > 0)) for left in r.g.remainder)])


def _squeezed(out: Floats, r: Recipe) -> Floats:
    return out.squeeze(axis=tuple(axis for axis, n in enumerate(out.shape) if n == 1))


LOST = (
    *each(
        "y dx dw",
        "last-row-lost",
        "the last row of {q} stays zero",
        hint=BOUNDS,
        switch=_kept_along(0, slice(None, -1)),
    ),
    *each(
        "y dx dw",
        "first-row-lost",
        "the first row of {q} stays zero",
        hint=BOUNDS,
        switch=_kept_along(0, slice(1, None)),
    ),
    *each(
        "y dx dw",
        "last-column-lost",
        "the last column of {q} stays zero",
        hint=BOUNDS,
        switch=_kept_along(-1, slice(None, -1)),
    ),
    *each(
        "y dx dw",
        "one-off-in-front",
        "x is read one position too early in {q}",
        hint=WINDOW,
        switch=placed(begin=lambda g, axis: g.padding[axis][0] + 1),
    ),
    *each(
        "y dx dw",
        "one-off-behind",
        "x is read one position too late in {q}",
        hint=WINDOW,
        switch=placed(begin=lambda g, axis: g.padding[axis][0] - 1),
    ),
)

SQUARE = (
    *each(
        "y dx dw",
        "taken-for-square",
        "{q} is computed only as far along every axis as its first one is long",
        hint="height and width are two numbers",
        switch=ending(_as_far_as_first),
    ),
    *each(
        "y dx",
        "kernel-taken-for-square",
        "{q} reads the kernel only as far along every axis as its first one is long",
        hint="a kernel has a height and a width",
        switch=relations(lambda r, made, axis: kept(r, ALL, slice(made.g.kernel[0]))),
    ),
)

SHAPES = (
    *each(
        "y dx dw",
        "squeezed",
        "axes of length 1 are squeezed out of {q}",
        hint="no squeeze(): batch, channels and sizes of 1 are axes too",
        switch=ending(_squeezed),
    ),
    *each(
        "y dx dw",
        "flattened",
        "{q} comes back flat",
        hint="reshape y to (N, M, *O), dx to the shape of x, dw to that of w",
        switch=ending(lambda out, r: out.reshape(out.size)),
    ),
    *each(
        "y dx dw",
        "axes-exchanged",
        "the spatial axes of {q} come back in reversed order",
        hint="keep the order of the axes",
        switch=ending(lambda out, r: out.transpose(0, 1, *range(out.ndim - 1, 1, -1))),
    ),
    *each(
        "y",
        "size-rounded-up",
        "the size of y is rounded up where the stride leaves a remainder",
        hint="floor, not ceil: a window that does not fit is not computed",
        switch=ending(_rounded_up),
    ),
    *each(
        "y",
        "one-row-short",
        "y lacks its last row",
        hint="(i + p - d (k - 1) - 1) // s + 1: the + 1 is missing",
        switch=ending(lambda out, r: out[:, :, :-1]),
    ),
    *each(
        "dx",
        "one-row-short",
        "dx lacks its last row",
        hint="dx has the shape of x",
        switch=ending(lambda out, r: out[:, :, :-1]),
    ),
    *each(
        "dw",
        "channels-first",
        "dw comes back with channels before maps",
        hint="dw has the shape of w: maps, channels, taps",
        switch=ending(lambda out, r: out.swapaxes(0, 1)),
    ),
)

MISTAKES = (*LOST, *SQUARE, *SHAPES)
