"""Valid, same, full: which windows are computed, and how far delta is padded."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import placed
from conformance.mistakes.recipe import Floats, Recipe, each, ending, relations
from conformance.problem import Geometry

__all__ = ["MISTAKES"]


def _half_padded(g: Geometry, axis: int) -> int:
    """Where dx begins if delta is padded by half of what a full convolution needs."""
    reach = g.kernel_reach[axis] - 1
    return g.padding[axis][0] + reach - reach // 2


def _interior(r: Floats, made: Recipe, axis: int) -> Floats:
    """Only inputs over which the whole kernel lies within the stuffed delta."""
    g = made.g
    at = np.arange(g.size[axis]) + g.padding[axis][0]
    inside = (at >= g.kernel_reach[axis] - 1) & (at <= (g.output[axis] - 1) * g.stride[axis])
    return np.where(inside, r, 0.0)


def _whole_windows(r: Floats, made: Recipe, axis: int) -> Floats:
    """Only windows that read no padding."""
    return np.where(r.sum(axis=(1, 2), keepdims=True) == made.g.kernel[axis], r, 0.0)


def _grown(out: Floats, r: Recipe) -> Floats:
    """With kernel - 1 zeros on every side."""
    return np.pad(out, [(0, 0)] * 2 + [(k - 1, k - 1) for k in r.g.kernel])


def _as_x(out: Floats, r: Recipe) -> Floats:
    """Cropped, or filled with zeros behind, to the size of x."""
    cropped: Floats = out[(..., *map(slice, r.g.size))]  # type: ignore[arg-type]
    behind = [(0, n - m) for n, m in zip(r.g.size, cropped.shape[2:], strict=True)]
    return np.pad(cropped, [(0, 0), (0, 0), *behind])


MISTAKES = (
    *each(
        "dx",
        "padded-as-for-same",
        "dx pads delta by half the kernel, as for a result of the same size",
        hint="dx is a *full* convolution: dilation * (kernel - 1) zeros around the stuffed delta, less the padding",
        switch=placed(begin=_half_padded),
    ),
    *each(
        "dx",
        "valid-instead-of-full",
        "dx is computed only where the whole kernel overlaps delta; its border stays zero",
        hint="dx is a *full* convolution: the border of x was read by fewer windows, but it was read",
        switch=relations(_interior),
    ),
    *each(
        "y dx dw",
        "windows-over-padding-skipped",
        "windows that reach into the padding are left out of {q}",
        hint="every output position counts, those over the padding too",
        switch=relations(_whole_windows),
    ),
    *each(
        "y",
        "of-full-size",
        "y has the size of a full convolution",
        hint="y is the *valid* convolution of the padded x",
        switch=ending(_grown),
    ),
    *each(
        "y",
        "of-input-size",
        "y has the size of x, whatever kernel, stride and padding are",
        hint="the size of y is floor((i + p - d (k - 1) - 1) / s) + 1",
        switch=ending(_as_x),
    ),
)
