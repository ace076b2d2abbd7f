"""Rotation and flips: the kernel slid the wrong way round, transposed, or its channels and maps in another order."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands, relations

__all__ = ["MISTAKES"]

HINT = {
    "y": "correlation reads x[o + t] with w[t]; true convolution with w turned by 180 degrees: decide, and declare which",
    "dx": "dx is the full convolution of delta with the kernel rotated by 180 degrees along every axis (of what y slid)",
    "dw": "dw[t] is the correlation of x with delta: it needs no rotation under correlation",
}


def _turned_along(*axes: int) -> Switch:
    """The kernel read backwards along axes; along the last ones only if there are several."""

    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        chosen = {a % made.g.rank for a in axes} if made.g.rank > 1 else set()
        return r[:, ::-1] if axis in chosen else r

    return relations(change)


def _transposed(a: Floats) -> Floats:
    """The last two axes exchanged, where they are alike."""
    return a.swapaxes(-1, -2) if a.ndim > 3 and a.shape[-1] == a.shape[-2] else a


def _quarter_turned(a: Floats) -> Floats:
    return np.rot90(a, axes=(-2, -1)) if a.ndim > 3 and a.shape[-1] == a.shape[-2] else a


def _turned(a: Floats) -> Floats:
    return np.flip(a, tuple(range(2, a.ndim)))


EVERY = relations(lambda r, made, axis: r[:, ::-1])

MISTAKES = (
    *each("y", "kernel-rotated", "y slides the kernel rotated by 180 degrees", hint=HINT["y"], switch=EVERY),
    *each("dx", "kernel-unrotated", "the kernel was not rotated: dx slides it as y did", hint=HINT["dx"], switch=EVERY),
    *each("dw", "rotated", "dw comes out rotated by 180 degrees", hint=HINT["dw"], switch=EVERY),
    *(
        mistake
        for q in ("y", "dx", "dw")
        for mistake in (
            *each(q, "kernel-flipped-along-first-axis", "{q} has the kernel flipped along the first axis only",
                  hint=HINT[q], switch=_turned_along(0)),
            *each(q, "kernel-flipped-along-last-axis", "{q} has the kernel flipped along the last axis only",
                  hint=HINT[q], switch=_turned_along(-1)),
        )
    ),
    *each("y dx", "kernel-transposed", "{q} uses the transposed kernel: height and width exchanged",
          hint="index the kernel [row, column] everywhere", switch=operands(w=lambda r: _transposed(r.w))),
    *each("dw", "transposed", "dw has height and width of the kernel exchanged",
          hint="index the kernel [row, column] everywhere", switch=ending(lambda out, r: _transposed(out))),
    *each("dx", "kernel-quarter-turned", "dx uses the kernel rotated by 90 degrees",
          hint="ROT180 is two quarter turns, or a flip along every axis", switch=operands(w=lambda r: _quarter_turned(r.w))),
    *each("dx", "kernel-rotated-and-transposed", "dx uses the transpose of the kernel in place of its rotation",
          hint=HINT["dx"], switch=lambda r: operands(w=lambda s: _transposed(s.w))(EVERY(r))),
    *each("dx dw", "delta-rotated", "{q} uses delta rotated by 180 degrees",
          hint="rotate the kernel, never delta", switch=operands(delta=lambda r: _turned(r.delta))),
    *each("y dw", "x-rotated", "{q} uses x rotated by 180 degrees",
          hint="x is read as it is", switch=operands(x=lambda r: _turned(r.x))),
    *each("y dx", "kernel-channels-reversed", "{q} reads the channels of the kernel in reversed order",
          hint="channel k of the kernel belongs to channel k of its group of x; do not flip the channel axis with the others",
          switch=operands(w=lambda r: r.w[:, ::-1])),
    *each("dw", "channels-reversed", "dw has its channels in reversed order",
          hint="flip spatial axes only", switch=ending(lambda out, r: out[:, ::-1])),
    *each("y dx", "kernel-maps-reversed", "{q} uses the kernels in reversed order of maps",
          hint="flip spatial axes only", switch=operands(w=lambda r: r.w[::-1])),
    *each("dw", "maps-reversed", "dw has its maps in reversed order",
          hint="flip spatial axes only", switch=ending(lambda out, r: out[::-1])),
)  # fmt: skip
