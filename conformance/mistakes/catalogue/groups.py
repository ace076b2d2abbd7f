"""Groups: the wrong channels for a map, the wrong maps for a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mistakes.recipe import Recipe, Switch, each
from conformance.problem import Geometry

__all__ = ["MISTAKES"]

HINT = "group j has maps j M/G .. (j+1) M/G - 1 and channels j C/G .. (j+1) C/G - 1, in this order"


def _reading(first: Callable[[Geometry, Any], Any], step: Callable[[Geometry], int] = lambda g: 1) -> Switch:
    """Map m reads, with channel k of its kernel, channel ``first(g, m) + k step(g)`` of x."""

    def switch(r: Recipe) -> Recipe:
        m, k, c = np.ogrid[: r.g.maps, : r.g.channels // r.g.groups, : r.g.channels]
        return r.replace(channels=np.asarray(first(r.g, m) + k * step(r.g) == c, np.float64))

    return switch


def _group(g: Geometry, m: Any) -> Any:
    """The group of map m."""
    return m // (g.maps // g.groups)


def _of(group: Callable[[Geometry, Any], Any]) -> Switch:
    """Map m reads the channels of another group."""
    return _reading(lambda g, m: group(g, m) * (g.channels // g.groups))


def _every_group(r: Recipe) -> Recipe:
    """Map m reads, with channel k of its kernel, channel k of every group."""
    _, k, c = np.ogrid[: r.g.maps, : r.g.channels // r.g.groups, : r.g.channels]
    meets = c % (r.g.channels // r.g.groups) == k
    return r.replace(channels=np.broadcast_to(meets.astype(np.float64), r.channels.shape))


MISTAKES = (
    *each(
        "y dx dw",
        "first-group-for-all",
        "every map uses the channels of the first group in {q}",
        hint=HINT,
        switch=_of(lambda g, m: 0 * m),
    ),
    *each(
        "y dx dw",
        "channels-interleaved",
        "the channels of groups are interleaved in {q}: channel c belongs to group c mod G",
        hint=HINT,
        switch=_reading(_group, step=lambda g: g.groups),
    ),
    *each(
        "y dx dw",
        "maps-interleaved",
        "the maps of groups are interleaved in {q}: map m belongs to group m mod G",
        hint=f"{HINT}; of a channel multiplier, the maps of one channel stand side by side",
        switch=_of(lambda g, m: m % g.groups),
    ),
    *each(
        "y dx dw",
        "groups-reversed",
        "{q} uses the groups' channels in reversed order",
        hint=HINT,
        switch=_of(lambda g, m: g.groups - 1 - _group(g, m)),
    ),
    *each(
        "y dx dw",
        "groups-ignored",
        "{q} sums over the channels of all groups",
        hint=f"a map meets the channels of its own group only: {HINT}",
        switch=_every_group,
    ),
    *each(
        "y dx dw",
        "next-group",
        "{q} uses the channels of the next group",
        hint=HINT,
        switch=_of(lambda g, m: (_group(g, m) + 1) % g.groups),
    ),
)
