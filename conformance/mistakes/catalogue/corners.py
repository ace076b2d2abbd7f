"""Corners of kernels: right, but for sizes at which fast code changes its way (vector tails, tile edges, special cases)."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import ALL, TURNED, kept, only, placed, times
from conformance.mistakes.recipe import Floats, Recipe, each, ending, operands, relations

__all__ = ["MISTAKES"]

BLOCK = 4
"""Elements of a vector, of a block of channels or maps, of a tile."""

TAIL = "after the loop over whole blocks, the rest has to be done too"
PATHS = "there is a second way through the code for these sizes: test both"


def _whole(n: int) -> slice:
    """What lies in whole blocks; all of it if there are none."""
    return slice(n // BLOCK * BLOCK or n)


def _channels_cut(r: Recipe) -> Recipe:
    """Channels of a kernel beyond whole blocks meet no channel of x."""
    return r.replace(channels=kept(r.channels, ALL, _whole(r.g.channels // r.g.groups)))


def _maps_cut(r: Recipe) -> Recipe:
    n = r.g.maps // r.g.groups
    grouped = r.channels.reshape(r.g.groups, n, *r.channels.shape[1:])
    return r.replace(channels=kept(grouped, ALL, _whole(n)).reshape(r.channels.shape))


def _without_halo(r: Floats, made: Recipe, axis: int) -> Floats:
    """A tile of outputs has as many inputs as its stride moves over, and none of the next tile."""
    g = made.g
    o, t = np.ogrid[: g.output[axis], : g.kernel[axis]]
    tap = g.kernel[axis] - 1 - t if g.convention == "convolution" else t
    inside = o % BLOCK * g.stride[axis] + tap * g.dilation[axis] < BLOCK * g.stride[axis]
    return np.where(inside[..., None], r, 0.0)


def _first_two_items(r: Recipe) -> Floats:
    return kept(r.delta, slice(2))


MISTAKES = (
    *each(
        "y dx dw",
        "vector-tail-lost",
        "what is left of a row of {q} behind whole vectors of four stays zero",
        hint=TAIL,
        switch=ending(lambda out, r: kept(out, ..., _whole(out.shape[-1]))),
    ),
    *each(
        "y dx dw",
        "channel-tail-lost",
        "channels behind whole blocks of four are left out of {q}",
        hint=TAIL,
        switch=_channels_cut,
    ),
    *each(
        "dx",
        "map-tail-lost",
        "maps behind whole blocks of four are left out of dx",
        hint=TAIL,
        switch=_maps_cut,
    ),
    *each(
        "y dx dw",
        "tile-edge-lost",
        "taps that reach over the edge of a tile of four outputs are left out of {q}",
        hint="a tile needs a halo: dilation * (kernel - 1) inputs of the next one",
        switch=relations(_without_halo),
    ),
    *each(
        "dx",
        "unrotated-in-wide-rows",
        "from 9 columns on, dx slides the kernel unrotated",
        hint=PATHS,
        switch=only(lambda g: g.size[-1] >= 9, TURNED),
    ),
    *each(
        "dw",
        "two-items-of-larger-batches",
        "from a batch of three on, dw uses the first two items only",
        hint=PATHS,
        switch=operands(delta=_first_two_items),
    ),
    *each(
        "dw",
        "doubled-for-one-item",
        "for a batch of one, dw is twice too large",
        hint=PATHS,
        switch=only(lambda g: g.batch == 1, times(lambda g: 2)),
    ),
    *each(
        "dx",
        "stride-ignored-in-1x1",
        "where the kernel has one tap, dx ignores the stride",
        hint="the shortcut for 1x1 kernels is a matrix product with *strided* x: dx goes back to those places",
        switch=only(lambda g: set(g.kernel) == {1}, placed(stride=lambda g, axis: 1)),
    ),
    *each(
        "y",
        "padding-ignored-in-depthwise",
        "where every channel is a group of its own, y ignores the padding",
        hint=PATHS,
        switch=only(lambda g: g.groups == g.channels > 1, placed(begin=lambda g, axis: 0)),
    ),
    *each(
        "dx",
        "dilation-ignored-with-stride",
        "where stride and dilation are both larger than 1, dx ignores the dilation",
        hint="stuff delta by the stride, and the kernel by the dilation",
        switch=only(lambda g: max(g.stride) > 1 and max(g.dilation) > 1, placed(dilation=lambda g, axis: 1)),
    ),
    *each(
        "dw",
        "rotated-for-even-kernels",
        "for kernels of even width, dw comes out rotated",
        hint="an even kernel has no centre to turn around: index from its end",
        switch=only(lambda g: g.kernel[-1] % 2 == 0, TURNED),
    ),
)
