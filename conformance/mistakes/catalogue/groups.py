"""Groups: the wrong channels for a map, the wrong maps for a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mistakes.recipe import Recipe, Switch, each

__all__ = ["MISTAKES"]

HINT = "group j has maps j M/G .. (j+1) M/G - 1 and channels j C/G .. (j+1) C/G - 1, in this order"


def _reading(channel: Callable[[Recipe, Any, Any], Any]) -> Switch:
    """Map m reads, with channel k of its kernel, `channel(r, m, k)`."""

    def switch(r: Recipe) -> Recipe:
        m, k, c = np.ogrid[: r.g.maps, : r.g.channels // r.g.groups, : r.g.channels]
        return r.replace(channels=np.asarray(channel(r, m, k) == c, np.float64))

    return switch


def _group(r: Recipe, m: Any) -> Any:
    return m // (r.g.maps // r.g.groups)


def _every_group(r: Recipe) -> Recipe:
    _, k, c = np.ogrid[: r.g.maps, : r.g.channels // r.g.groups, : r.g.channels]
    return r.replace(
        channels=np.asarray((c % (r.g.channels // r.g.groups) == k) & (r.channels >= 0), np.float64)
    )


MISTAKES = (
    *each("y dx dw", "first-group-for-all", "every map uses the channels of the first group in {q}", hint=HINT,
          switch=_reading(lambda r, m, k: k + 0 * m)),
    *each("y dx dw", "channels-interleaved", "the channels of groups are interleaved in {q}: channel c belongs to group c mod G",
          hint=HINT, switch=_reading(lambda r, m, k: k * r.g.groups + _group(r, m))),
    *each("y dx dw", "maps-interleaved", "the maps of groups are interleaved in {q}: map m belongs to group m mod G (channel multiplier in another order)",
          hint=HINT, switch=_reading(lambda r, m, k: (m % r.g.groups) * (r.g.channels // r.g.groups) + k)),
    *each("y dx dw", "groups-reversed", "{q} uses the groups' channels in reversed order", hint=HINT,
          switch=_reading(lambda r, m, k: (r.g.groups - 1 - _group(r, m)) * (r.g.channels // r.g.groups) + k)),
    *each("y dx dw", "groups-ignored", "{q} sums over the channels of all groups", hint=HINT, switch=_every_group),
    *each("y dx dw", "next-group", "{q} uses the channels of the next group", hint=HINT,
          switch=_reading(lambda r, m, k: ((_group(r, m) + 1) % r.g.groups) * (r.g.channels // r.g.groups) + k)),
)  # fmt: skip
