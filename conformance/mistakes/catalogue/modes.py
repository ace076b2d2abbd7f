"""Valid, same, full: which windows are computed, and how far delta is padded."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, each, ending, relation, relations

__all__ = ["MISTAKES"]


def _as_same(r: Floats, made: Recipe, axis: int) -> Floats:
    """delta padded by half of what a full convolution needs."""
    reach = made.g.kernel_reach[axis] - 1
    return relation(made.g, axis, begin=made.g.padding[axis][0] + reach - reach // 2)


def _interior(r: Floats, made: Recipe, axis: int) -> Floats:
    """Only inputs that every tap meets."""
    g = made.g
    met = (r.sum(axis=0) > 0).sum(axis=0)
    return r * (met == min(g.kernel[axis], met.max(initial=0)))


def _whole_windows(r: Floats, made: Recipe, axis: int) -> Floats:
    """Only windows that read no padding."""
    return r * (r.sum(axis=(1, 2)) == made.g.kernel[axis])[:, None, None]


def _resized(out: Floats, sizes: tuple[int, ...]) -> Floats:
    """Cropped or filled with zeros behind."""
    kept = out[(..., *(slice(0, n) for n in sizes))]
    return np.pad(kept, [(0, 0)] * 2 + [(0, n - m) for n, m in zip(sizes, kept.shape[2:], strict=True)])


MISTAKES = (
    *each("dx", "padded-as-for-same", "dx pads delta by half the kernel where a full convolution pads by kernel - 1",
          hint="dx is a *full* convolution: (kernel - 1) * dilation zeros on both sides of the stuffed delta, less the padding",
          switch=relations(_as_same)),
    *each("dx", "valid-instead-of-full", "dx is computed only where the whole kernel overlaps delta; the border stays zero",
          hint="dx is a *full* convolution: the border of x was read by fewer windows, but it was read",
          switch=relations(_interior)),
    *each("y dx dw", "windows-over-padding-skipped", "windows that reach into the padding are left out of {q}",
          hint="every output position counts, those over the padding too", switch=relations(_whole_windows)),
    *each("y", "of-full-size", "y has the size of a full convolution",
          hint="y is a *valid* convolution of the padded x",
          switch=ending(lambda out, r: np.pad(out, [(0, 0)] * 2 + [(k - 1, k - 1) for k in r.g.kernel]))),
    *each("y", "of-input-size", "y has the size of x whatever kernel, stride and padding",
          hint="the size of y is floor((i + p - d (k - 1) - 1) / s) + 1",
          switch=ending(lambda out, r: _resized(out, r.g.size))),
)  # fmt: skip
