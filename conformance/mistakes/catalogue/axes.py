"""Axes: summed over one that has to stay, or its index lost, so that every place holds the same."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import FIRST, everywhere
from conformance.mistakes.recipe import Recipe, Switch, each, ending, operands

__all__ = ["MISTAKES"]

BATCH = "index the batch everywhere"
SPATIAL = "each tap has its own sum: shift x against delta, do not only multiply"


def _summed_over(axis: int) -> Switch:
    """Summed over an axis, and the sum put everywhere."""
    return ending(lambda out, r: everywhere(out.sum(axis=axis, keepdims=True), out.shape))


def _first_for_all(axis: int) -> Switch:
    """What the first index of an axis has, put everywhere."""
    return ending(lambda out, r: everywhere(out[(slice(None),) * axis + (FIRST,)], out.shape))


def _item_for_all(index: int) -> Switch:
    """Every item of the result is that of one item."""

    def switch(r: Recipe) -> Recipe:
        items = np.zeros_like(r.items)
        if len(items):
            (items if r.quantity == "y" else items.T)[index] = 1
        return r.replace(items=items)

    return switch


OF_RESULTS = (
    *each(
        "y dx",
        "first-item-for-all",
        "every item of {q} is the first one's: the index of the sample is lost",
        hint=BATCH,
        switch=_item_for_all(0),
    ),
    *each(
        "y dx",
        "last-item-for-all",
        "every item of {q} is the last one's: the index of the sample is lost",
        hint=BATCH,
        switch=_item_for_all(-1),
    ),
    *each(
        "dx",
        "summed-over-batch",
        "dx is summed over the batch, and every item gets the sum",
        hint="dx belongs to its item; only dw and db sum over the batch",
        switch=_summed_over(0),
    ),
    *each(
        "dx",
        "summed-over-channels",
        "dx is summed over channels, and every channel gets the sum",
        hint="each channel has its own slice of the kernel, and its own dx",
        switch=_summed_over(1),
    ),
    *each(
        "dw",
        "summed-over-channels",
        "dw is summed over channels, and every channel gets the sum",
        hint="each channel of the kernel meets its own channel of x",
        switch=_summed_over(1),
    ),
    *each(
        "dx dw",
        "first-channel-for-all",
        "every channel of {q} is the first one's",
        hint="each channel has its own {q}",
        switch=_first_for_all(1),
    ),
    *each(
        "dw",
        "summed-over-maps",
        "dw is summed over maps, and every map gets the sum",
        hint="each map has its own dw",
        switch=_summed_over(0),
    ),
    *each(
        "dw",
        "first-map-for-all",
        "every map of dw is the first one's",
        hint="each map has its own dw",
        switch=_first_for_all(0),
    ),
    *each(
        "dw",
        "summed-over-taps",
        "dw is summed over the kernel, and every tap gets the sum",
        hint=SPATIAL,
        switch=ending(
            lambda out, r: everywhere(out.sum(axis=tuple(range(2, out.ndim)), keepdims=True), out.shape)
        ),
    ),
)

OF_OPERANDS = (
    *each(
        "y dx",
        "w-of-first-map",
        "{q} uses the first map's kernel for every map",
        hint="index the maps of w",
        switch=operands(w=lambda r: everywhere(r.w[:1], r.w.shape)),
    ),
    *each(
        "dx dw",
        "delta-of-first-map",
        "{q} uses the first map's delta for every map",
        hint="index the maps of delta",
        switch=operands(delta=lambda r: everywhere(r.delta[:, :1], r.delta.shape)),
    ),
    *each(
        "y dw",
        "x-of-first-channel",
        "{q} reads the first channel of x for every channel",
        hint="index the channels of x",
        switch=operands(x=lambda r: everywhere(r.x[:, :1], r.x.shape)),
    ),
)

MISTAKES = (*OF_RESULTS, *OF_OPERANDS)
