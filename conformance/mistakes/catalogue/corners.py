"""Corners of kernels: right, but for sizes at which fast code changes its way (vector tails, tile edges, special cases)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.mistakes.catalogue.rotation import EVERY
from conformance.mistakes.recipe import Floats, Recipe, Switch, each, ending, relation, relations

__all__ = ["MISTAKES"]

TAIL = "after the loop over whole vectors, the rest has to be done too"


def _only(when: Callable[[Recipe], bool], switch: Switch) -> Switch:
    return lambda r: switch(r) if when(r) else r


def _tail_lost(axis: int, vector: int) -> Switch:
    """What is left over behind whole vectors stays zero, if there is a whole one."""

    def step(out: Floats, r: Recipe) -> Floats:
        n = out.shape[axis]
        whole = n // vector * vector
        if not whole or whole == n:
            return out
        kept = out.copy()
        kept.swapaxes(0, axis)[whole:] = 0
        return kept

    return ending(step)


def _channel_tail_lost(r: Recipe) -> Recipe:
    """Channels beyond whole blocks of four are not summed."""
    n = r.g.channels // r.g.groups
    whole = n // 4 * 4
    if not whole or whole == n:
        return r
    kept = r.channels.copy()
    kept[:, whole:] = 0
    return r.replace(channels=kept)


def _map_tail_lost(r: Recipe) -> Recipe:
    n = r.g.maps // r.g.groups
    whole = n // 4 * 4
    if not whole or whole == n:
        return r
    kept = r.channels.copy()
    kept.reshape(r.g.groups, n, -1)[:, whole:] = 0
    return r.replace(channels=kept)


def _tile_edge(r: Floats, made: Recipe, axis: int) -> Floats:
    """A window that begins in one tile of four outputs reads nothing of the next: its last tap is lost at the edge."""
    kept = r.copy()
    kept[3::4, 1:] = 0
    return kept


def _unstrided(r: Floats, made: Recipe, axis: int) -> Floats:
    return relation(made.g, axis, stride=1)


def _longest(r: Recipe) -> int:
    return max(r.g.size)


MISTAKES = (
    *each("y dx dw", "vector-tail-lost", "what is left of a row behind whole vectors of four stays zero in {q}", hint=TAIL,
          switch=_tail_lost(-1, 4)),
    *each("y dx dw", "channel-tail-lost", "channels behind whole blocks of four are left out of {q}", hint=TAIL, switch=_channel_tail_lost),
    *each("dx", "map-tail-lost", "maps behind whole blocks of four are left out of dx", hint=TAIL, switch=_map_tail_lost),
    *each("y dx dw", "tile-edge-lost", "taps that reach over the edge of a tile of four outputs are left out of {q}",
          hint="a tile needs a halo of kernel - 1 inputs", switch=relations(_tile_edge)),
    *each("dx", "unrotated-in-wide-rows", "from 9 columns on, dx slides the kernel unrotated",
          hint="two code paths: test both", switch=_only(lambda r: _longest(r) >= 9, EVERY)),
    *each("dw", "first-item-of-large-batch-only", "from a batch of three on, dw uses the first two items only",
          hint="two code paths: test both", switch=_only(lambda r: r.g.batch >= 3, lambda r: r.replace(
              delta=np.where(np.arange(r.g.batch).reshape(-1, 1, *(1,) * r.g.rank) < 2, r.delta, 0.0)))),
    *each("dx", "stride-ignored-in-1x1", "where the kernel has one tap, dx ignores the stride",
          hint="the shortcut for 1x1 kernels is a matrix product of *strided* x", switch=_only(
              lambda r: set(r.g.kernel) == {1}, relations(_unstrided))),
    *each("dw", "doubled-for-one-item", "for a batch of one, dw is twice too large", hint="two code paths: test both",
          switch=_only(lambda r: r.g.batch == 1, lambda r: r.then(lambda out: 2 * out))),
    *each("y", "padding-ignored-in-depthwise", "depthwise, y ignores the padding", hint="two code paths: test both",
          switch=_only(lambda r: r.g.groups == r.g.channels > 1, relations(
              lambda old, r, axis: relation(r.g, axis, begin=0)))),
    *each("dx", "dilation-ignored-with-stride", "where stride and dilation are both larger than 1, dx ignores the dilation",
          hint="stuff delta by the stride, the kernel by the dilation", switch=_only(
              lambda r: max(r.g.stride) > 1 and max(r.g.dilation) > 1, relations(
                  lambda old, r, axis: relation(r.g, axis, dilation=1)))),
    *each("dw", "rotated-for-even-kernels", "for kernels of even size, dw comes out rotated", hint="there is no centre to turn around: index from the end",
          switch=_only(lambda r: r.g.kernel[-1] % 2 == 0, EVERY)),
)  # fmt: skip
