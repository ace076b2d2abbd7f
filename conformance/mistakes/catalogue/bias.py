"""Bias: left out, added too often or in the wrong place; its gradient averaged, or summed over the wrong axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from conformance.mistakes.catalogue.shared import ALL, FIRST, LAST, divided, everywhere, kept, times
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands
from conformance.problem import Geometry

__all__ = ["MISTAKES"]

ONCE = "b[m] is added once to every output of map m"
SUM = "db[m] sums delta over batch and positions (an untied bias: over the batch)"


# ---- in y ----
def _added(count: Callable[[Geometry], int]) -> Switch:
    """So many times."""
    return operands(bias=lambda r: r.bias * count(r.g))


def _only_at(*where: slice) -> Switch:
    """Added to a part of y alone."""
    return operands(bias=lambda r: kept(everywhere(r.bias, r.g.y_shape), *where))


def _of_other_maps(change: Callable[[Floats], Floats]) -> Switch:
    """`change` of the bias with its maps in front; without a bias there is nothing to change."""

    def changed(r: Recipe) -> Floats:
        axis = r.bias.ndim - 1 - r.g.rank
        return np.moveaxis(change(np.moveaxis(r.bias, axis, 0)), 0, axis)

    return operands(bias=lambda r: r.bias if r.g.bias == "none" else changed(r))


def _along_width(r: Recipe) -> Floats:
    """(M,) as numpy broadcasts it: along the last axis, where that is as long."""
    fits = r.g.bias == "tied" and r.g.output[-1] == r.g.maps == r.bias.size
    return r.bias.reshape(-1) if fits else r.bias


OF_Y = (
    *each("y", "bias-missing", "the bias is not added to y", hint=ONCE, switch=_added(lambda g: 0)),
    *each("y", "bias-subtracted", "the bias is subtracted from y", hint=ONCE, switch=_added(lambda g: -1)),
    *each(
        "y",
        "bias-once-per-channel",
        "the bias is added once for every channel: it stands inside the loop over channels",
        hint=ONCE,
        switch=_added(lambda g: g.channels // g.groups),
    ),
    *each(
        "y",
        "bias-once-per-tap",
        "the bias is added once for every tap: it stands inside the loop over the kernel",
        hint=ONCE,
        switch=_added(lambda g: math.prod(g.kernel)),
    ),
    *each(
        "y",
        "bias-once-per-group",
        "the bias is added once for every group",
        hint=ONCE,
        switch=_added(lambda g: g.groups),
    ),
    *each(
        "y",
        "bias-first-item-only",
        "the bias is added to the first item of the batch only",
        hint=ONCE,
        switch=_only_at(FIRST),
    ),
    *each(
        "y",
        "bias-first-position-only",
        "the bias is added at the first position only",
        hint=ONCE,
        switch=lambda r: _only_at(ALL, ALL, *(FIRST,) * r.g.rank)(r),
    ),
    *each(
        "y",
        "bias-of-first-map",
        "every map gets the first map's bias",
        hint=ONCE,
        switch=_of_other_maps(lambda b: everywhere(b[:1], b.shape)),
    ),
    *each(
        "y",
        "bias-maps-reversed",
        "the biases are added in reversed order of maps",
        hint=ONCE,
        switch=_of_other_maps(lambda b: b[::-1]),
    ),
    *each(
        "y",
        "bias-summed",
        "every map gets the sum of all biases",
        hint=ONCE,
        switch=_of_other_maps(lambda b: everywhere(b.sum(axis=0, keepdims=True), b.shape)),
    ),
    *each(
        "y",
        "bias-along-width",
        "the bias is broadcast along the width, where that is as long as there are maps",
        hint="reshape b to (M, 1, 1) before it is added to y",
        switch=operands(bias=_along_width),
    ),
)


# ---- db ----
def _positions(g: Geometry) -> int:
    """Over how many positions db sums."""
    return 1 if g.bias == "untied" else math.prod(g.output)


def _delta_at(where: Callable[[Geometry], tuple[slice, ...]]) -> Switch:
    """Only a part of delta is summed."""
    return operands(delta=lambda r: kept(r.delta, *where(r.g)))


def _over(axes: Callable[[Geometry], tuple[int, ...]]) -> Switch:
    """delta summed over other axes."""
    return ending(lambda out, r: np.asarray(r.delta.sum(axis=axes(r.g))))


OF_DB = (
    *each(
        "db",
        "mean-over-batch",
        "db is divided by the batch size",
        hint=SUM,
        switch=divided(lambda g: g.batch),
    ),
    *each(
        "db",
        "mean-over-positions",
        "db is divided by the number of positions that it sums over",
        hint=SUM,
        switch=divided(_positions),
    ),
    *each(
        "db",
        "mean",
        "db is the mean of delta, over batch and positions",
        hint=SUM,
        switch=divided(lambda g: g.batch * _positions(g)),
    ),
    *each(
        "db",
        "first-item-only",
        "db uses the first item of the batch only",
        hint=SUM,
        switch=_delta_at(lambda g: (FIRST,)),
    ),
    *each(
        "db",
        "last-item-only",
        "db keeps the last item of the batch only: '=' for '+='",
        hint=SUM,
        switch=_delta_at(lambda g: (LAST,)),
    ),
    *each(
        "db",
        "first-position-only",
        "db uses the first position only",
        hint=SUM,
        switch=_delta_at(lambda g: (ALL, ALL, *(FIRST,) * g.rank)),
    ),
    *each(
        "db",
        "last-position-only",
        "db keeps the last position only: '=' for '+='",
        hint=SUM,
        switch=_delta_at(lambda g: (ALL, ALL, *(LAST,) * g.rank)),
    ),
    *each(
        "db",
        "first-row-only",
        "db uses the first row of delta only: the sum over rows is missing",
        hint=SUM,
        switch=_delta_at(lambda g: (ALL, ALL, FIRST)),
    ),
    *each(
        "db",
        "positions-kept",
        "db keeps the positions: it is summed over the batch alone",
        hint=SUM,
        switch=_over(lambda g: (0,)),
    ),
    *each(
        "db",
        "per-item",
        "db keeps the items of the batch: it is not summed over them",
        hint=SUM,
        switch=_over(lambda g: () if g.bias == "untied" else tuple(range(2, 2 + g.rank))),
    ),
    *each(
        "db",
        "summed-over-maps",
        "db is summed over maps, and every map gets the sum",
        hint=SUM,
        switch=ending(lambda out, r: everywhere(out.sum(axis=0, keepdims=True), out.shape)),
    ),
    *each(
        "db",
        "maps-reversed",
        "db has its maps in reversed order",
        hint=SUM,
        switch=ending(lambda out, r: out[::-1]),
    ),
    *each(
        "db",
        "once-per-channel",
        "db counts delta once for every channel: it stands inside the loop over channels",
        hint=SUM,
        switch=times(lambda g: g.channels // g.groups),
    ),
    *each(
        "db",
        "once-per-tap",
        "db counts delta once for every tap: it stands inside the loop over the kernel",
        hint=SUM,
        switch=times(lambda g: math.prod(g.kernel)),
    ),
)

MISTAKES = (*OF_Y, *OF_DB)
