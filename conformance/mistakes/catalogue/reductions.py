"""Reductions: '=' for '+=', a mean for a sum, one item, map, channel or window for all, the wrong axes."""

from __future__ import annotations

import math

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands, relations

__all__ = ["MISTAKES"]

ADD = "add up with +=, into zeros"


def _one_of(array: str, axis: int, index: int) -> Switch:
    """All but one index of an operand's axis count as zero."""

    def switch(r: Recipe) -> Recipe:
        values = getattr(r, array)
        kept = np.zeros_like(values)
        chosen: list[slice | int] = [slice(None)] * values.ndim
        chosen[axis] = index if -values.shape[axis] <= index < values.shape[axis] else slice(0, 0)
        kept[tuple(chosen)] = values[tuple(chosen)]
        return r.replace(**{array: kept})

    return switch


def _one_map_of_each_group(index: int) -> Switch:
    def change(r: Recipe) -> Floats:
        kept = np.zeros_like(r.delta)
        step = r.g.maps // r.g.groups
        chosen = slice(index % step, None, step)
        kept[:, chosen] = r.delta[:, chosen]
        return kept

    return operands(delta=change)


def _one_tap(index: int) -> Switch:
    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        kept = np.zeros_like(r)
        kept[:, index] = r[:, index]
        return kept

    return relations(change)


def _one_window(index: int, *, of: str) -> Switch:
    """Of the windows that meet an input (or a tap), only the first or last counts."""

    def change(r: Floats, made: Recipe, axis: int) -> Floats:
        if of == "all":
            kept = np.zeros_like(r)
            kept[index] = r[index]
            return kept
        met = r.sum(axis=1) > 0  # (O, I)
        order = np.arange(len(met))[:, None]
        best = np.where(met, order, -1).max(axis=0) if index else np.where(met, order, len(met)).min(axis=0)
        return r * (order == best)[:, None, :]

    return relations(change)


def _per_window(out: Floats, r: Recipe) -> Floats:
    """Divided by the number of windows that read an element."""
    count = [a.sum(axis=(0, 1)) for a in r.axes]
    windows = count[0]
    for axis in count[1:]:
        windows = np.multiply.outer(windows, axis)
    return out / np.maximum(windows, 1)


def _spread(*axes: int) -> Switch:
    """Summed over axes, and the sum put everywhere."""
    return ending(
        lambda out, r: (
            out + 0 if not out.size else np.broadcast_to(out.sum(axis=axes, keepdims=True), out.shape)
        )
    )


def _first_for_all(axis: int) -> Switch:
    return ending(
        lambda out, r: np.broadcast_to(np.take(out, [0], axis=axis), out.shape) if out.size else out
    )


def _item_for_all(index: int) -> Switch:
    """Every item of the result is that of one item."""

    def switch(r: Recipe) -> Recipe:
        items = np.zeros_like(r.items)
        if len(items):
            if r.quantity == "y":
                items[index] = 1
            else:
                items[:, index] = 1
        return r.replace(items=items)

    return switch


def _divided(by: str) -> Switch:
    def step(out: Floats, r: Recipe) -> Floats:
        counts = {
            "batch": r.g.batch,
            "positions": math.prod(r.g.output),
            "maps": r.g.maps // r.g.groups,
            "channels": r.g.channels // r.g.groups,
        }
        return out / max(counts[by], 1)

    return ending(step)


SUM = "the cost is a sum over the batch, so its gradient is one: divide in the cost if you want the mean"

MISTAKES = (
    *each("y", "last-channel-only", "y keeps the last channel only: '=' for '+=' over channels", hint=ADD,
          switch=_one_of("w", 1, -1)),
    *each("y", "first-channel-only", "y uses the first channel of its group only", hint="sum over all channels of the group",
          switch=_one_of("w", 1, 0)),
    *each("y", "mean-over-channels", "y averages over channels", hint="sum over channels", switch=lambda r: r.replace(
          w=r.w / max(r.w.shape[1], 1))),
    *each("y dx", "last-tap-only", "{q} keeps the last tap only: '=' for '+=' over the kernel", hint=ADD, switch=_one_tap(-1)),
    *each("dx", "last-map-only", "dx keeps the last map of each group only: '=' for '+=' over maps", hint=ADD,
          switch=_one_map_of_each_group(-1)),
    *each("dx", "first-map-only", "dx uses the first map of each group only", hint="dx sums over all maps of the group",
          switch=_one_map_of_each_group(0)),
    *each("dx", "mean-over-maps", "dx averages over the maps", hint="dx sums over the maps", switch=_divided("maps")),
    *each("dx", "last-window-only", "dx keeps what the last window gave: '=' for '+=' where windows overlap", hint=ADD,
          switch=_one_window(-1, of="each")),
    *each("dx", "first-window-only", "dx keeps what the first window gave where windows overlap", hint=ADD,
          switch=_one_window(0, of="each")),
    *each("dx", "averaged-over-windows", "dx is divided by the number of windows that read an element",
          hint="contributions of overlapping windows are added", switch=ending(_per_window)),
    *each("dx", "summed-over-channels", "dx is summed over channels, and every channel gets the sum",
          hint="each channel has its own kernel slice, and its own dx", switch=_spread(1)),
    *each("dx", "first-channel-for-all", "every channel of dx is the first one's", hint="each channel has its own dx",
          switch=_first_for_all(1)),
    *each("y dx", "first-item-for-all", "every item of {q} is the first one's: the sample's index was lost",
          hint="index the batch everywhere", switch=_item_for_all(0)),
    *each("y dx", "last-item-for-all", "every item of {q} is the last one's", hint="index the batch everywhere",
          switch=_item_for_all(-1)),
    *each("dx", "summed-over-batch", "dx is summed over the batch, and every item gets the sum",
          hint="dx belongs to its item; only dw and db sum over the batch", switch=_spread(0)),
    *each("dw", "mean-over-batch", "dw is the mean over the batch", hint=SUM, switch=_divided("batch")),
    *each("dw", "last-item-only", "dw keeps the last item only: '=' for '+=' over the batch", hint=ADD,
          switch=_one_of("delta", 0, -1)),
    *each("dw", "first-item-only", "dw uses the first item only", hint="dw sums over the batch", switch=_one_of("delta", 0, 0)),
    *each("dw", "mean-over-positions", "dw is divided by the number of output positions", hint="dw sums over positions",
          switch=_divided("positions")),
    *each("dw", "last-window-only", "dw keeps the last window only: '=' for '+=' over positions", hint=ADD,
          switch=_one_window(-1, of="all")),
    *each("dw", "first-window-only", "dw uses the first window only", hint="dw sums over all windows",
          switch=_one_window(0, of="all")),
    *each("dw", "summed-over-channels", "dw is summed over channels, and every channel gets the sum",
          hint="each channel of the kernel meets its own channel of x", switch=_spread(1)),
    *each("dw", "first-channel-for-all", "every channel of dw is the first one's", hint="each channel has its own dw",
          switch=_first_for_all(1)),
    *each("dw", "summed-over-maps", "dw is summed over maps, and every map gets the sum", hint="each map has its own dw",
          switch=_spread(0)),
    *each("dw", "first-map-for-all", "every map of dw is the first one's", hint="each map has its own dw",
          switch=_first_for_all(0)),
    *each("dw", "summed-over-taps", "dw is summed over the kernel, and every tap gets the sum",
          hint="each tap has its own dw: shift x, not only multiply", switch=ending(
              lambda out, r: np.broadcast_to(out.sum(axis=tuple(range(2, out.ndim)), keepdims=True), out.shape))),
)  # fmt: skip
