"""Padding: ignored, not cropped, on one side, exchanged, twice, or not zeros."""

from __future__ import annotations

import math

import numpy as np

from conformance.mistakes.catalogue.stride import _swapped
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, relation, relations

__all__ = ["MISTAKES"]

CROP = "dx of the padded x has to be cropped: begin : begin + size along every axis"


def _begin(of: str) -> Switch:
    """The relation of another padding in front."""

    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        lo, hi = made.g.padding[axis]
        begins = {
            "none": 0,
            "end": hi,
            "both": lo + hi,
            "twice": 2 * lo,
            "first": made.g.padding[0][0],
            "other": _swapped(tuple(p[0] for p in made.g.padding), axis),
            "at most the kernel": min(lo, made.g.kernel_reach[axis] - 1),
            "even": (lo + hi) // 2,
        }
        return relation(made.g, axis, begin=begins[of])

    return relations(change)


def _outside(where: str) -> Switch:
    """Positions in the padding mean positions of x: the nearest, mirrored, or from the other end."""

    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        g = made.g
        o, t = np.ogrid[: g.output[axis], : g.kernel[axis]]
        tap = g.kernel[axis] - 1 - t if g.convention == "convolution" else t
        i, n = o * g.stride[axis] + tap * g.dilation[axis] - g.padding[axis][0], g.size[axis]
        mirrored = np.abs(i) % max(2 * n - 2, 1)
        moved = {
            "nearest": np.clip(i, 0, n - 1),
            "wrapped": i % n,
            "mirrored": np.minimum(mirrored, 2 * n - 2 - mirrored),
        }
        return np.asarray(moved[where][..., None] == np.arange(n), np.float64)

    return relations(change)


def _ones_around(out: Floats, r: Recipe) -> Floats:
    """What the padding adds if it is ones: everything that all-ones would give, less what they give inside."""
    from_all = np.ones((r.g.batch, r.g.channels, *r.g.size))
    inside = r.replace(x=from_all, bias=np.zeros(1), finish=()).result()
    whole = r.replace(
        x=from_all, bias=np.zeros(1), finish=(), axes=tuple(_every_tap(a) for a in r.axes)
    ).result()
    return out + whole - inside


def _every_tap(r: Floats) -> Floats:
    """Each tap of each output reads something: the first element of x."""
    every = np.zeros_like(r)
    every[:, :, 0] = 1
    return every


def _uncropped(out: Floats, r: Recipe) -> Floats:
    pads = [(max(lo, 0), max(hi, 0)) for lo, hi in r.g.padding]
    return np.pad(out, [(0, 0), (0, 0), *pads])


def _cropped_empty(out: Floats, r: Recipe) -> Floats:
    """``[p:-p]``, which is empty for p = 0."""
    return out[(..., *(slice(0, None) if lo else slice(0, 0) for lo, _ in r.g.padding))]


def _cropped_again(out: Floats, r: Recipe) -> Floats:
    """The padding cut off a result that has none left, and zeros put behind to keep the size."""
    begins = [min(max(lo, 0), n - 1) for (lo, _), n in zip(r.g.padding, r.g.size, strict=True)]
    kept = out[(..., *(slice(lo, None) for lo in begins))]
    return np.pad(kept, [(0, 0), (0, 0), *((0, lo) for lo in begins)])


MISTAKES = (
    *each("y", "padding-ignored", "y reads x without its padding", hint="window o begins at o * stride - padding",
          switch=_begin("none")),
    *each("dx", "not-cropped", "dx is not cropped: it begins with the gradient of the padding", hint=CROP,
          switch=_begin("none")),
    *each("dw", "padding-lost", "dw correlates delta with x without its padding",
          hint="keep the padded x for the backward pass", switch=_begin("none")),
    *each("y dx dw", "padding-begin-and-end-exchanged", "{q} takes the padding at the end for that at the beginning",
          hint="SAME padding of an even kernel has one more at the *end*; give both sides", switch=_begin("end")),
    *each("y dx dw", "padding-all-in-front", "{q} puts all the padding in front", hint="padding has two ends", switch=_begin("both")),
    *each("y dx dw", "padding-halved-to-both-ends", "{q} spreads unequal padding evenly over both ends",
          hint="give begin and end", switch=_begin("even")),
    *each("y dx dw", "padding-twice", "the padding counts twice in {q}", hint="pad once: either x, or the indices", switch=_begin("twice")),
    *each("y dx dw", "first-padding-for-all-axes", "{q} uses the first axis' padding along every axis",
          hint="one pair of paddings an axis", switch=_begin("first")),
    *each("y dx dw", "paddings-exchanged", "{q} uses the padding of the width for the height and the other way round",
          hint="paddings are given in the order of the axes", switch=_begin("other")),
    *each("dx dw", "padding-beyond-kernel-cut", "padding beyond kernel - 1 is cut off in {q}: kernel - 1 - p was taken as 0 where it is negative",
          hint="a negative kernel - 1 - p crops delta", switch=_begin("at most the kernel")),
    *each("y dx dw", "border-repeated", "{q} takes the nearest element of x for the zeros of the padding",
          hint="padding is zeros", switch=_outside("nearest")),
    *each("y dx dw", "border-mirrored", "{q} mirrors x into the padding", hint="padding is zeros", switch=_outside("mirrored")),
    *each("y dx dw", "border-wrapped", "{q} wraps around: the padding holds the other end of x (as a negative index does)",
          hint="padding is zeros; a negative index counts from the end in Python", switch=_outside("wrapped")),
    *each("y dw", "padded-with-ones", "{q} pads with ones", hint="padding is zeros", switch=ending(_ones_around)),
    *each("dx", "of-padded-size", "dx has the size of the padded x", hint=CROP, switch=ending(_uncropped)),
    *each("dx", "crop-empty-without-padding", "dx is cropped as [p:-p], which is empty where p = 0",
          hint="[p : p + size]: -0 is 0", switch=ending(_cropped_empty)),
    *each("dx", "cropped-twice", "the padding is cut off dx twice", hint=CROP, switch=ending(_cropped_again)),
    *each("y dw", "divided-by-what-is-read", "{q} is divided by the share of taps that are not padding",
          hint="zeros count as nothing: do not average over what is there",
          switch=ending(lambda out, r: _averaged(out, r))),
)  # fmt: skip


def _averaged(out: Floats, r: Recipe) -> Floats:
    ones = r.replace(
        x=np.ones_like(r.x), w=np.ones_like(r.w), delta=np.ones_like(r.delta), bias=np.zeros(1), finish=()
    )
    read, most = ones.result(), math.prod(r.g.kernel) * r.g.channels // r.g.groups
    if r.quantity == "dw":
        most = r.g.batch * math.prod(r.g.output)
    return out * most / np.maximum(read, 1)
