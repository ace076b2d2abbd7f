"""Sizes and loop bounds: a row lost, everything one off, images and kernels taken for square, axes squeezed."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, relation, relations

__all__ = ["MISTAKES"]

BOUNDS = "range(size) along every axis: from 0 to size - 1"


def _lost(axis: int, index: int) -> Switch:
    """Zeros at one end of a spatial axis of the result."""

    def step(out: Floats, r: Recipe) -> Floats:
        kept = out.copy()
        kept.swapaxes(0, 2 + axis % r.g.rank)[index] = 0
        return kept

    return ending(step)


def _shifted(by: int) -> Switch:
    return relations(lambda r, made, axis: relation(made.g, axis, begin=made.g.padding[axis][0] + by))


def _beyond_first(out: Floats, r: Recipe) -> Floats:
    """Zeros beyond the first axis' size along the others."""
    kept = out.copy()
    for axis in range(1, r.g.rank):
        kept.swapaxes(0, 2 + axis)[out.shape[2] :] = 0
    return kept


def _kernel_beyond_first(r: Floats, made: Recipe, axis: int) -> Floats:
    kept = r.copy()
    kept[:, made.g.kernel[0] :] = 0
    return kept


def _rounded_up(out: Floats, r: Recipe) -> Floats:
    """One more where the stride leaves a remainder."""
    more = [(p - k) % s > 0 for p, k, s in zip(r.g.padded_size, r.g.kernel_reach, r.g.stride, strict=True)]
    return np.pad(out, [(0, 0), (0, 0), *((0, int(m)) for m in more)])


def _squeezed(out: Floats, r: Recipe) -> Floats:
    return out.squeeze(axis=tuple(axis for axis, n in enumerate(out.shape) if n == 1))


MISTAKES = (
    *(
        mistake
        for q in ("y", "dx", "dw")
        for mistake in (
            *each(q, "last-row-lost", "the last row of {q} stays zero", hint=BOUNDS, switch=_lost(0, -1)),
            *each(q, "first-row-lost", "the first row of {q} stays zero", hint=BOUNDS, switch=_lost(0, 0)),
            *each(q, "last-column-lost", "the last column of {q} stays zero", hint=BOUNDS, switch=_lost(-1, -1)),
            *each(q, "one-off-in-front", "x is read one too early in {q}", hint="window o begins at o * stride - padding", switch=_shifted(1)),
            *each(q, "one-off-behind", "x is read one too late in {q}", hint="window o begins at o * stride - padding", switch=_shifted(-1)),
            *each(q, "taken-for-square", "{q} is computed only as far along every axis as the first one is long",
                  hint="height and width are two numbers", switch=ending(_beyond_first)),
            *each(q, "squeezed", "axes of length 1 are squeezed out of {q}", hint="no squeeze(): keep batch, channel and size 1 as axes",
                  switch=ending(_squeezed)),
            *each(q, "flattened", "{q} comes back flat", hint="reshape it to the shape it is the gradient of",
                  switch=ending(lambda out, r: out.reshape(out.size))),
            *each(q, "axes-exchanged", "the spatial axes of {q} come back in reversed order", hint="keep the order of the axes",
                  switch=ending(lambda out, r: out.transpose(0, 1, *range(out.ndim - 1, 1, -1)))),
        )
    ),
    *each("y dx", "kernel-taken-for-square", "{q} reads the kernel only as far along every axis as its first one is long",
          hint="a kernel has a height and a width", switch=relations(_kernel_beyond_first)),
    *each("y", "size-rounded-up", "the size of y is rounded up where the stride leaves a remainder", hint="the size is rounded down: floor",
          switch=ending(_rounded_up)),
    *each("y", "one-row-short", "y lacks its last row", hint="(i + p - d (k - 1) - 1) // s + 1: the + 1 is missing",
          switch=ending(lambda out, r: out[:, :, :-1])),
    *each("dx", "one-row-short", "dx lacks its last row", hint="dx has the shape of x", switch=ending(lambda out, r: out[:, :, :-1])),
    *each("dw", "channels-first", "dw comes back with channels before maps", hint="dw has the shape of w",
          switch=ending(lambda out, r: out.swapaxes(0, 1))),
)  # fmt: skip
