"""The transposed convolution: the output padding on the wrong side, the kernel the wrong way round, its bias."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformance.mistakes.catalogue.optional import first, made, then, without
from conformance.mistakes.catalogue.shared import FIRST, TURNED, kept, only, placed
from conformance.mistakes.compound import Terms
from conformance.mistakes.recipe import Floats, Recipe, ending, operands, relations
from conformance.oracle.vectorised import counts
from conformance.problem import Geometry, Operands

__all__ = ["MISTAKES"]

KERNEL = "the transposed convolution lays the kernel down where the plain one would have read it: t reaches o * stride + t"
STUFF = "put stride - 1 zeros between the elements of x before it is slid"
BEHIND = "output padding makes y longer behind, where the plain convolution's stride left something over"
GROUPS = (
    "group j has maps j M/G .. (j+1) M/G - 1 of x and channels j C/G .. (j+1) C/G - 1 of y, in this order"
)
BIAS = "the bias of a transposed convolution is one a channel of y, and is added everywhere"


def _interleaved(out: Floats, g: Geometry) -> Floats:
    """Channel k of group j at k G + j, where it should be j C/G + k."""
    grouped = out.reshape(g.batch, g.groups, g.channels // g.groups, *g.size)
    return grouped.swapaxes(1, 2).reshape(out.shape)


def _cut(out: Floats, g: Geometry) -> Floats:
    """Without what the stride left over."""
    lengths = [max(n - rest, 1) for n, rest in zip(g.size, g.remainder, strict=True)]
    whole: tuple[Any, ...] = (..., *map(slice, lengths))
    return np.asarray(out[whole])


def _not_where_nothing_falls(out: Floats, g: Geometry) -> Floats:
    return np.where(counts(g)["dx"] == 0, 0.0, out)


def _of_maps(out: Floats, g: Geometry, o: Operands) -> Floats:
    """The sum of x, (M,)."""
    x = o.delta.astype(np.float64)
    return np.asarray(x.sum(axis=(0, *range(2, x.ndim))))


def _last_of_each(r: Floats, made_: Recipe, axis: int) -> Floats:
    """Of the windows that meet an element only the last one counts."""
    met, order = r.any(axis=1), np.arange(len(r))[:, None]
    return np.where((order == np.where(met, order, -1).max(axis=0))[:, None], r, 0.0)


def _bias_again(parts: Terms) -> Terms:
    return {**parts, 2: parts[1]} if 1 in parts else parts


OF_Y = (
    made(
        "transposed.y-kernel-turned",
        "the transposed convolution lays its kernel down rotated by 180 degrees",
        hint=KERNEL,
        change=first(TURNED),
    ),
    made(
        "transposed.y-stride-not-stuffed",
        "the transposed convolution ignores the stride: x is not stuffed with zeros",
        hint=STUFF,
        change=first(placed(stride=lambda g, axis: 1)),
    ),
    made(
        "transposed.y-padding-ignored",
        "the transposed convolution crops nothing in front: its padding is ignored there",
        hint="padding p_lo of the plain convolution cuts the first p_lo elements off",
        change=first(placed(begin=lambda g, axis: 0)),
    ),
    made(
        "transposed.y-dilation-ignored",
        "the transposed convolution ignores the dilation",
        hint="tap t reaches t * dilation behind the first",
        change=first(placed(dilation=lambda g, axis: 1)),
    ),
    made(
        "transposed.y-output-padding-in-front",
        "the output padding of the transposed convolution stands in front, not behind",
        hint=BEHIND,
        change=first(placed(begin=lambda g, axis: g.padding[axis][0] - g.remainder[axis])),
    ),
    made(
        "transposed.y-nothing-where-nothing-falls",
        "where no product falls, as in the output padding, y of the transposed convolution is zero and not the bias",
        hint=BIAS,
        end=then(_not_where_nothing_falls),
    ),
    made(
        "transposed.y-output-padding-missing",
        "the output padding of the transposed convolution is ignored: y is too short",
        hint=BEHIND,
        end=then(_cut),
    ),
    made(
        "transposed.y-bias-missing",
        "the transposed convolution adds no bias",
        hint=BIAS,
        change=without(1),
    ),
    made(
        "transposed.y-bias-twice",
        "the transposed convolution adds its bias twice",
        hint=BIAS,
        change=_bias_again,
    ),
    made(
        "transposed.y-groups-interleaved",
        "the transposed convolution interleaves the channels of its groups",
        hint=GROUPS,
        change=first(ending(lambda out, r: _interleaved(out, r.g))),
    ),
    made(
        "transposed.y-last-window-only",
        "where windows overlap, the transposed convolution keeps what the last one gave: '=' for '+='",
        hint="add up with +=, into zeros",
        change=first(relations(_last_of_each)),
    ),
)
OF_GRADIENTS = (
    made(
        "transposed.dx-kernel-turned",
        "dx of the transposed convolution slides the kernel rotated by 180 degrees",
        hint="dx reads delta as the plain convolution would: the kernel as it is declared",
        change=first(TURNED),
    ),
    made(
        "transposed.dx-stride-ignored",
        "dx of the transposed convolution reads windows of delta that move by one and not by the stride",
        hint="x[o] had been laid down at o * stride: dx[o] reads there",
        change=first(placed(stride=lambda g, axis: 1)),
    ),
    made(
        "transposed.dx-first-group-for-all",
        "dx of the transposed convolution reads the channels of the first group for all maps",
        hint=GROUPS,
        change=first(only(lambda g: g.groups > 1, lambda r: r.replace(channels=_first_group(r)))),
    ),
    made(
        "transposed.dw-kernel-turned",
        "dw of the transposed convolution comes out rotated by 180 degrees",
        hint="dw[t] sums x[o] delta[o * stride + t]",
        change=first(TURNED),
    ),
    made(
        "transposed.dw-mean-over-batch",
        "dw of the transposed convolution is the mean over the batch",
        hint="the cost is a sum over the batch, so its gradient is one",
        end=then(lambda out, g: out / max(g.batch, 1)),
    ),
    made(
        "transposed.db-of-maps",
        "db of the transposed convolution sums its x and not its delta: one element a map of the kernel",
        hint=BIAS,
        end=_of_maps,
    ),
    made(
        "transposed.db-first-item-only",
        "db of the transposed convolution sums the first item of the batch only",
        hint="db sums delta over batch and positions",
        change=first(operands(delta=lambda r: kept(r.delta, FIRST))),
    ),
    made(
        "transposed.db-mean-over-positions",
        "db of the transposed convolution is divided by the number of positions",
        hint="db sums delta over batch and positions",
        end=then(lambda out, g: out / math.prod(g.size)),
    ),
)


def _first_group(r: Recipe) -> Floats:
    m, k, c = np.ogrid[: r.g.maps, : r.g.channels // r.g.groups, : r.g.channels]
    return np.asarray(0 * m + k == c, np.float64)


MISTAKES = (*OF_Y, *OF_GRADIENTS)
