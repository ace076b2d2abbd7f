"""Rotation and flips: the kernel slid the wrong way round, transposed, or its channels and maps in another order."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import TURNED, only, transposed
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands, relations

__all__ = ["MISTAKES"]

HINT = {
    "y": "correlation reads x[o + t] with w[t], true convolution with w rotated by 180 degrees: declare which it is",
    "dx": "dx is the full convolution of delta with the kernel that y slid, rotated by 180 degrees along every axis",
    "dw": "dw[t] sums x[o + t] delta[o] under correlation: nothing is rotated",
}
ROW_COLUMN = "index the kernel as [row, column] everywhere"
SPATIAL = "flip the spatial axes only"


def _turned_along(axis: int) -> Switch:
    """The kernel read backwards along one of several axes."""

    def change(r: Floats, made: Recipe, k: int) -> Floats:
        return r[:, ::-1] if made.g.rank > 1 and k == axis % made.g.rank else r

    return relations(change)


def _quarter_turned(a: Floats) -> Floats:
    """Turned back by 90 degrees: the rotation by 180 that follows makes it 90 in all."""
    return np.rot90(a, -1, axes=(-2, -1)) if a.ndim > 3 and a.shape[-1] == a.shape[-2] else a


def _turned(a: Floats) -> Floats:
    return np.flip(a, tuple(range(2, a.ndim)))


WHOLE = (
    *each(
        "y",
        "kernel-rotated",
        "y slides the kernel rotated by 180 degrees: convolution where correlation was asked for, or the reverse",
        hint=HINT["y"],
        switch=TURNED,
    ),
    *each(
        "dx", "kernel-unrotated", "dx slides the kernel as y did, unrotated", hint=HINT["dx"], switch=TURNED
    ),
    *each("dw", "rotated", "dw comes out rotated by 180 degrees", hint=HINT["dw"], switch=TURNED),
    *each(
        "y dx dw",
        "convention-ignored",
        "{q} is that of a correlation, even where the geometry asks for true convolution",
        hint="g.convention says which: under true convolution the kernel is rotated by 180 degrees in y",
        switch=only(lambda g: g.convention == "convolution", TURNED),
    ),
    *each(
        "dx dw",
        "delta-rotated",
        "{q} uses delta rotated by 180 degrees",
        hint="rotate the kernel, never delta",
        switch=operands(delta=lambda r: _turned(r.delta)),
    ),
    *each(
        "y dw",
        "x-rotated",
        "{q} uses x rotated by 180 degrees",
        hint="x is read as it is; under true convolution it is dw that is rotated in the end",
        switch=operands(x=lambda r: _turned(r.x)),
    ),
)

ONE_AXIS = tuple(
    mistake
    for q in ("y", "dx", "dw")
    for axis, which in ((0, "first"), (-1, "last"))
    for mistake in each(
        q,
        f"kernel-flipped-along-{which}-axis",
        f"the kernel is flipped along the {which} axis only in {q}",
        hint=HINT[q],
        switch=_turned_along(axis),
    )
)

TRANSPOSED = (
    *each(
        "y dx",
        "kernel-transposed",
        "{q} uses the transposed kernel: height and width exchanged",
        hint=ROW_COLUMN,
        switch=operands(w=lambda r: transposed(r.w)),
    ),
    *each(
        "dw",
        "transposed",
        "dw comes out transposed: height and width of the kernel exchanged",
        hint=ROW_COLUMN,
        switch=ending(lambda out, r: transposed(out)),
    ),
    *each(
        "dx",
        "kernel-quarter-turned",
        "dx slides the kernel rotated by 90 degrees in place of 180",
        hint="180 degrees are two quarter turns, or a flip along every axis",
        switch=operands(w=lambda r: _quarter_turned(r.w)),
    ),
    *each(
        "dx",
        "kernel-transposed-not-rotated",
        "dx slides the transposed kernel in place of the rotated one",
        hint=HINT["dx"],
        switch=lambda r: operands(w=lambda s: transposed(s.w))(TURNED(r)),
    ),
)

CHANNELS = (
    *each(
        "y dx",
        "kernel-channels-reversed",
        "{q} reads the channels of the kernel in reversed order",
        hint=SPATIAL,
        switch=operands(w=lambda r: r.w[:, ::-1]),
    ),
    *each(
        "dw",
        "channels-reversed",
        "dw has its channels in reversed order",
        hint=SPATIAL,
        switch=ending(lambda out, r: out[:, ::-1]),
    ),
    *each(
        "y dx",
        "kernel-maps-reversed",
        "{q} uses the kernels of the maps in reversed order",
        hint=SPATIAL,
        switch=operands(w=lambda r: r.w[::-1]),
    ),
    *each(
        "dw",
        "maps-reversed",
        "dw has its maps in reversed order",
        hint=SPATIAL,
        switch=ending(lambda out, r: out[::-1]),
    ),
)

MISTAKES = (*WHOLE, *ONE_AXIS, *TRANSPOSED, *CHANNELS)
