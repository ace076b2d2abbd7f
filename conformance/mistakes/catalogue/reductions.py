"""Reductions: '=' for '+=', a mean for a sum, only the first or the last of what has to be summed."""

from __future__ import annotations

import math

import numpy as np

from conformance.mistakes.catalogue.shared import ALL, FIRST, LAST, divided, kept
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands, relations

__all__ = ["MISTAKES"]

ADD = "add up with +=, into zeros"
SUM = "the cost is a sum over the batch, so its gradient is one: divide in the cost if you want the mean"


def _one_map_of_each_group(index: int) -> Switch:
    """All other maps of delta count as zero."""

    def change(r: Recipe) -> Floats:
        step = r.g.maps // r.g.groups
        return kept(r.delta, ALL, slice(index % step, None, step))

    return operands(delta=change)


def _last_window_of_each(r: Floats, made: Recipe, axis: int) -> Floats:
    """Of the windows that meet an input only the last one counts."""
    met, order = r.any(axis=1), np.arange(len(r))[:, None]  # (O, I), (O, 1)
    return np.where((order == np.where(met, order, -1).max(axis=0))[:, None], r, 0.0)


def _first_window_of_each(r: Floats, made: Recipe, axis: int) -> Floats:
    met, order = r.any(axis=1), np.arange(len(r))[:, None]
    return np.where((order == np.where(met, order, len(r)).min(axis=0))[:, None], r, 0.0)


def _per_window(out: Floats, r: Recipe) -> Floats:
    """Divided by the number of windows that read an element."""
    windows = np.ones(())
    for axis in r.axes:
        windows = np.multiply.outer(windows, axis.sum(axis=(0, 1)))
    return out / np.maximum(windows, 1)


OF_Y = (
    *each(
        "y",
        "last-channel-only",
        "y keeps the last channel only: '=' for '+=' over channels",
        hint=ADD,
        switch=operands(w=lambda r: kept(r.w, ALL, LAST)),
    ),
    *each(
        "y",
        "first-channel-only",
        "y uses the first channel of its group only",
        hint="y sums over all channels of the group",
        switch=operands(w=lambda r: kept(r.w, ALL, FIRST)),
    ),
    *each(
        "y",
        "mean-over-channels",
        "y averages over channels",
        hint="y sums over channels",
        switch=operands(w=lambda r: r.w / r.w.shape[1]),
    ),
    *each(
        "y dx",
        "last-tap-only",
        "{q} keeps the last tap only: '=' for '+=' over the kernel",
        hint=ADD,
        switch=relations(lambda r, made, axis: kept(r, ALL, LAST)),
    ),
)

OF_DX = (
    *each(
        "dx",
        "last-map-only",
        "dx keeps the last map of each group only: '=' for '+=' over maps",
        hint=ADD,
        switch=_one_map_of_each_group(-1),
    ),
    *each(
        "dx",
        "first-map-only",
        "dx uses the first map of each group only",
        hint="dx sums over all maps of the group",
        switch=_one_map_of_each_group(0),
    ),
    *each(
        "dx",
        "mean-over-maps",
        "dx averages over the maps of each group",
        hint="dx sums over maps",
        switch=divided(lambda g: g.maps // g.groups),
    ),
    *each(
        "dx",
        "last-window-only",
        "where windows overlap, dx keeps what the last one gave: '=' for '+='",
        hint=ADD,
        switch=relations(_last_window_of_each),
    ),
    *each(
        "dx",
        "first-window-only",
        "where windows overlap, dx keeps what the first one gave",
        hint="what overlapping windows give is added up",
        switch=relations(_first_window_of_each),
    ),
    *each(
        "dx",
        "averaged-over-windows",
        "dx is divided by the number of windows that read an element",
        hint="what overlapping windows give is added up, not averaged",
        switch=ending(_per_window),
    ),
)

OF_DW = (
    *each(
        "dw",
        "mean-over-batch",
        "dw is the mean over the batch",
        hint=SUM,
        switch=divided(lambda g: g.batch),
    ),
    *each(
        "dw",
        "last-item-only",
        "dw keeps the last item of the batch only: '=' for '+='",
        hint=ADD,
        switch=operands(delta=lambda r: kept(r.delta, LAST)),
    ),
    *each(
        "dw",
        "first-item-only",
        "dw uses the first item of the batch only",
        hint="dw sums over the batch",
        switch=operands(delta=lambda r: kept(r.delta, FIRST)),
    ),
    *each(
        "dw",
        "mean-over-positions",
        "dw is divided by the number of output positions",
        hint="dw sums over positions",
        switch=divided(lambda g: math.prod(g.output)),
    ),
    *each(
        "dw",
        "last-window-only",
        "dw keeps the last window only: '=' for '+=' over positions",
        hint=ADD,
        switch=relations(lambda r, made, axis: kept(r, LAST)),
    ),
    *each(
        "dw",
        "first-window-only",
        "dw uses the first window only",
        hint="dw sums over all windows",
        switch=relations(lambda r, made, axis: kept(r, FIRST)),
    ),
)

MISTAKES = (*OF_Y, *OF_DX, *OF_DW)
