"""Padding: ignored, not cropped, on one side, exchanged, twice, or not zeros."""

from __future__ import annotations

import math

import numpy as np

from conformance.mistakes.catalogue.shared import placed, swapped
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, relations

__all__ = ["MISTAKES"]

CROP = "dx of the padded x has to be cropped to padding : padding + size along every axis"
ZEROS = "padding is zeros, which add nothing"


def _outside(where: str) -> Switch:
    """Positions in the padding mean positions of x: the nearest, mirrored, or from the other end."""

    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        g, n = made.g, made.g.size[axis]
        o, t = np.ogrid[: g.output[axis], : g.kernel[axis]]
        tap = g.kernel[axis] - 1 - t if g.convention == "convolution" else t
        i = o * g.stride[axis] + tap * g.dilation[axis] - g.padding[axis][0]
        mirrored = np.abs(i) % max(2 * n - 2, 1)
        moved = {
            "nearest": np.clip(i, 0, n - 1),
            "mirrored": np.minimum(mirrored, 2 * n - 2 - mirrored),
            "wrapped": i % n,
        }
        return np.asarray(moved[where][..., None] == np.arange(n), np.float64)

    return relations(change)


def _ones_around(out: Floats, r: Recipe) -> Floats:
    """With what ones in the padding add: what an x of ones would give without end, less what it gives inside."""
    ones = r.replace(x=np.ones_like(r.x), bias=np.zeros(1), finish=())
    endless = ones.along(lambda relation, axis: _always_the_first(relation))
    return out + endless.result() - ones.result()


def _always_the_first(r: Floats) -> Floats:
    """Each tap of each output reads an element of x: the first."""
    every = np.zeros_like(r)
    every[:, :, 0] = 1
    return every


def _averaged(out: Floats, r: Recipe) -> Floats:
    """Divided by the share of products that do not lie in the padding."""
    ones = {name: np.ones_like(getattr(r, name)) for name in ("x", "w", "delta")}
    read = r.replace(**ones, bias=np.zeros(1), finish=()).result()
    all_of_them = {
        "y": math.prod(r.g.kernel) * r.g.channels // r.g.groups,
        "dw": r.g.batch * math.prod(r.g.output),
    }
    return out * all_of_them[r.quantity] / np.maximum(read, 1)


def _uncropped(out: Floats, r: Recipe) -> Floats:
    around = [(max(lo, 0), max(hi, 0)) for lo, hi in r.g.padding]
    return np.pad(out, [(0, 0), (0, 0), *around])


def _cropped_empty(out: Floats, r: Recipe) -> Floats:
    """``[p:-p]``, which is empty for p = 0."""
    empty = [slice(None) if lo else slice(0, 0) for lo, _ in r.g.padding]
    cropped: Floats = out[(..., *empty)]
    return cropped


def _cropped_again(out: Floats, r: Recipe) -> Floats:
    """The padding cut off a result that has none left, and zeros put behind to keep the size."""
    begins = [min(max(lo, 0), n - 1) for (lo, _), n in zip(r.g.padding, r.g.size, strict=True)]
    cropped: Floats = out[(..., *(slice(lo, None) for lo in begins))]  # type: ignore[arg-type]
    return np.pad(cropped, [(0, 0), (0, 0), *((0, lo) for lo in begins)])


BEGIN = (
    *each(
        "y",
        "padding-ignored",
        "y reads x without its padding",
        hint="output o reads from o * stride - padding on",
        switch=placed(begin=lambda g, axis: 0),
    ),
    *each(
        "dx",
        "not-cropped",
        "dx is not cropped: it begins with the gradient of the padding",
        hint=CROP,
        switch=placed(begin=lambda g, axis: 0),
    ),
    *each(
        "dw",
        "padding-lost",
        "dw correlates delta with x without its padding",
        hint="keep the padded x for the backward pass",
        switch=placed(begin=lambda g, axis: 0),
    ),
    *each(
        "y dx dw",
        "padding-begin-and-end-exchanged",
        "{q} takes the padding at the end for that at the beginning",
        hint="padding has two ends; 'same' with an even kernel has one more at the *end*",
        switch=placed(begin=lambda g, axis: g.padding[axis][1]),
    ),
    *each(
        "y dx dw",
        "padding-all-in-front",
        "{q} puts all the padding in front",
        hint="padding has two ends: give begin and end",
        switch=placed(begin=lambda g, axis: sum(g.padding[axis])),
    ),
    *each(
        "y dx dw",
        "padding-halved-to-both-ends",
        "{q} spreads unequal padding evenly over both ends",
        hint="padding has two ends: give begin and end",
        switch=placed(begin=lambda g, axis: sum(g.padding[axis]) // 2),
    ),
    *each(
        "y dx dw",
        "padding-twice",
        "the padding counts twice in {q}",
        hint="pad once: either x, or the indices",
        switch=placed(begin=lambda g, axis: 2 * g.padding[axis][0]),
    ),
    *each(
        "y dx dw",
        "first-padding-for-all-axes",
        "{q} uses the first axis' padding along every axis",
        hint="one pair of paddings an axis",
        switch=placed(begin=lambda g, axis: g.padding[0][0]),
    ),
    *each(
        "y dx dw",
        "paddings-exchanged",
        "{q} uses the padding of the width for the height and the other way round",
        hint="paddings are given in the order of the axes",
        switch=placed(begin=lambda g, axis: swapped(tuple(lo for lo, _ in g.padding), axis)),
    ),
    *each(
        "dx dw",
        "padding-beyond-kernel-cut",
        "padding of more than kernel - 1 is taken for kernel - 1 in {q}",
        hint="kernel - 1 - padding may be negative: then delta is cropped, not left as it is",
        switch=placed(begin=lambda g, axis: min(g.padding[axis][0], g.kernel_reach[axis] - 1)),
    ),
)

CONTENT = (
    *each(
        "y dx dw",
        "border-repeated",
        "the padding repeats the nearest element of x in {q}",
        hint=ZEROS,
        switch=_outside("nearest"),
    ),
    *each(
        "y dx dw",
        "border-mirrored",
        "the padding mirrors x in {q}",
        hint=ZEROS,
        switch=_outside("mirrored"),
    ),
    *each(
        "y dx dw",
        "border-wrapped",
        "the padding holds the other end of x in {q}, as a negative index does",
        hint=f"{ZEROS}; a negative index counts from the end in Python",
        switch=_outside("wrapped"),
    ),
    *each(
        "y dw",
        "padded-with-ones",
        "{q} pads x with ones",
        hint=ZEROS,
        switch=ending(_ones_around),
    ),
    *each(
        "y dw",
        "divided-by-what-is-read",
        "{q} is divided by the share of its products that do not lie in the padding",
        hint=f"{ZEROS}: do not average over the rest",
        switch=ending(_averaged),
    ),
)

CROPPED = (
    *each(
        "dx",
        "of-padded-size",
        "dx has the size of the padded x",
        hint=CROP,
        switch=ending(_uncropped),
    ),
    *each(
        "dx",
        "crop-empty-without-padding",
        "dx is cropped as [p:-p], which is empty where p = 0",
        hint="write [p : p + size]: -0 is 0",
        switch=ending(_cropped_empty),
    ),
    *each(
        "dx",
        "cropped-twice",
        "the padding is cut off dx twice",
        hint=CROP,
        switch=ending(_cropped_again),
    ),
)

MISTAKES = (*BEGIN, *CONTENT, *CROPPED)
