"""Bias: left out, added too often or in the wrong place; its gradient averaged, or summed over the wrong axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, operands

__all__ = ["MISTAKES"]

ONCE = "b[m] is added once to every output of map m"
SUM = "db[m] sums delta over batch and positions (an untied bias: over the batch)"


def _times(count: Callable[[Recipe], int]) -> Switch:
    return operands(bias=lambda r: r.bias * count(r))


def _only_at(first: str) -> Switch:
    """The bias added to one item, or at one position."""

    def change(r: Recipe) -> Floats:
        bias = np.broadcast_to(r.bias, (r.g.batch, r.g.maps, *r.g.output))
        kept = np.zeros_like(bias)
        chosen = (slice(0, 1),) if first == "item" else (slice(None), slice(None), *(slice(0, 1),) * r.g.rank)
        kept[chosen] = bias[chosen]
        return kept

    return operands(bias=change)


def _other_maps(change: Callable[[Floats], Floats]) -> Switch:
    return operands(bias=lambda r: change(r.bias) if r.bias.shape[0] == r.g.maps else r.bias)


def _along_width(r: Recipe) -> Floats:
    """b broadcast along the last axis, where it fits (as y + b does)."""
    fits = r.g.bias == "tied" and r.g.output[-1] in (1, r.g.maps)
    return r.bias.reshape(-1)[: r.g.output[-1]] if fits else r.bias


def _divided(count: Callable[[Recipe], int]) -> Switch:
    return ending(lambda out, r: out / max(count(r), 1))


def _positions(r: Recipe) -> int:
    return 1 if r.g.bias == "untied" else math.prod(r.g.output)


def _delta_of(where: str) -> Switch:
    """Only a part of delta is summed."""

    def change(r: Recipe) -> Floats:
        parts: dict[str, tuple[slice, ...]] = {
            "first item": (slice(0, 1),),
            "last item": (slice(-1, None),),
            "first position": (slice(None), slice(None), *(slice(0, 1),) * r.g.rank),
            "last position": (slice(None), slice(None), *(slice(-1, None),) * r.g.rank),
            "first row": (slice(None), slice(None), slice(0, 1)),
        }
        kept = np.zeros_like(r.delta)
        kept[parts[where]] = r.delta[parts[where]]
        return kept

    return operands(delta=change)


def _positions_kept(r: Recipe) -> Recipe:
    """Summed over the batch alone."""
    return r.then(lambda out: r.delta.sum(axis=0))


def _per_item(r: Recipe) -> Recipe:
    return r.then(lambda out: r.delta.sum(axis=tuple(range(2, r.delta.ndim))))


MISTAKES = (
    *each("y", "bias-missing", "the bias is not added to y", hint=ONCE, switch=_times(lambda r: 0)),
    *each("y", "bias-subtracted", "the bias is subtracted", hint=ONCE, switch=_times(lambda r: -1)),
    *each("y", "bias-once-per-channel", "the bias is added once for every channel: it stands inside the loop over channels",
          hint=ONCE, switch=_times(lambda r: r.g.channels // r.g.groups)),
    *each("y", "bias-once-per-tap", "the bias is added once for every tap: it stands inside the loop over the kernel",
          hint=ONCE, switch=_times(lambda r: math.prod(r.g.kernel))),
    *each("y", "bias-once-per-group", "the bias is added once for every group", hint=ONCE, switch=_times(lambda r: r.g.groups)),
    *each("y", "bias-first-item-only", "the bias is added to the first item of the batch only", hint=ONCE, switch=_only_at("item")),
    *each("y", "bias-first-position-only", "the bias is added at the first position only", hint=ONCE, switch=_only_at("position")),
    *each("y", "bias-of-first-map", "every map gets the first map's bias", hint=ONCE,
          switch=_other_maps(lambda b: np.broadcast_to(b[:1], b.shape))),
    *each("y", "bias-maps-reversed", "the biases are added in reversed order of maps", hint=ONCE, switch=_other_maps(lambda b: b[::-1])),
    *each("y", "bias-summed", "every map gets the sum of all biases", hint=ONCE,
          switch=_other_maps(lambda b: np.broadcast_to(b.sum(axis=0, keepdims=True), b.shape))),
    *each("y", "bias-along-width", "the bias is broadcast along the width, where it happens to fit", hint="reshape b to (M, 1, 1)",
          switch=operands(bias=_along_width)),
    *each("db", "mean-over-batch", "db is divided by the batch size", hint=SUM, switch=_divided(lambda r: r.g.batch)),
    *each("db", "mean-over-positions", "db is divided by the number of positions", hint=SUM, switch=_divided(_positions)),
    *each("db", "mean", "db is the mean of delta", hint=SUM, switch=_divided(lambda r: r.g.batch * _positions(r))),
    *each("db", "first-item-only", "db uses the first item of the batch only", hint=SUM, switch=_delta_of("first item")),
    *each("db", "last-item-only", "db keeps the last item of the batch only: '=' for '+='", hint=SUM, switch=_delta_of("last item")),
    *each("db", "first-position-only", "db uses the first position only", hint=SUM, switch=_delta_of("first position")),
    *each("db", "last-position-only", "db keeps the last position only: '=' for '+='", hint=SUM, switch=_delta_of("last position")),
    *each("db", "first-row-only", "db uses the first row only: one sum is missing", hint=SUM, switch=_delta_of("first row")),
    *each("db", "positions-kept", "db keeps the positions: it is summed over the batch alone", hint=SUM, switch=_positions_kept),
    *each("db", "per-item", "db keeps the items of the batch", hint=SUM, switch=_per_item),
    *each("db", "summed-over-maps", "db is summed over maps, and every map gets the sum", hint=SUM,
          switch=ending(lambda out, r: np.broadcast_to(out.sum(axis=0, keepdims=True), out.shape))),
    *each("db", "maps-reversed", "db has its maps in reversed order", hint=SUM, switch=ending(lambda out, r: out[::-1])),
    *each("db", "once-per-channel", "db counts delta once for every channel", hint=SUM,
          switch=ending(lambda out, r: out * (r.g.channels // r.g.groups))),
    *each("db", "once-per-tap", "db counts delta once for every tap of the kernel", hint=SUM,
          switch=ending(lambda out, r: out * math.prod(r.g.kernel))),
)  # fmt: skip
