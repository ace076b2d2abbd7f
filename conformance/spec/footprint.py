"""Which results may a NaN reach, and which must it reach?

A special value (NaN, infinity) in one operand must reach every result that reads it.  Some implementations write zeros
into memory (padding around x, or around the kernel of a full convolution, the gaps of a dilated kernel or of a strided
delta) and multiply by them; 0 times NaN is NaN, so there it also reaches results that meet it only through such a zero.
Both are legal; `must` and `may` are the two sets.  No implementation has a reason to reach further: another item, another
group, a result that does not use the operand.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry

__all__ = ["footprint"]

Mask = NDArray[np.bool_]
Masks = dict[str, tuple[Mask, Mask]]


def footprint(g: Geometry, operand: str, index: tuple[int, ...]) -> Masks:
    """(must, may) for each of y, dx, dw, db, of a special value in x, w or delta at `index`."""
    spot = _spot(g.shape_of(operand) or (), index)
    return {"x": _of_x, "w": _of_w, "delta": _of_delta}[operand](g, spot)


def _of_x(g: Geometry, spot: Any) -> Masks:
    met = _layer(g, x=spot)
    y = _layer(_solid(g), x=spot).y > 0
    dw = _layer(_unstrided(g), x=spot).dw > 0
    return {"y": (met.y > 0, y), "dx": _never(g, "dx"), "dw": (met.dw > 0, dw), "db": _never(g, "db")}


def _of_w(g: Geometry, spot: Any) -> Masks:
    met = _layer(g, w=spot)
    (m, c, *_), *_ = np.argwhere(spot)
    y, dx = np.zeros(g.y_shape, bool), np.zeros(g.x_shape, bool)
    y[:, m] = True
    dx[:, m // (g.maps // g.groups) * (g.channels // g.groups) + c] = True
    return {"y": (met.y > 0, y), "dx": (met.dx > 0, dx), "dw": _never(g, "dw"), "db": _never(g, "db")}


def _of_delta(g: Geometry, spot: Any) -> Masks:
    met = _layer(g, delta=spot)
    n, m, *_ = np.argwhere(spot)[0]
    first = m // (g.maps // g.groups) * (g.channels // g.groups)
    dx, dw = np.zeros(g.x_shape, bool), np.zeros(g.w_shape, bool)
    dx[n, first : first + g.channels // g.groups] = (
        True  # a full convolution may slide delta over a padded kernel
    )
    dw[m] = True
    masks = {"y": _never(g, "y"), "dx": (met.dx > 0, dx), "dw": (met.dw > 0, dw)}
    return masks if met.db is None else {**masks, "db": (met.db > 0, met.db > 0)}


def _layer(g: Geometry, **spots: Any) -> Layer:
    """Ones everywhere but in the operand of the spot; without a bias in y, which no spot meets."""
    ones = {name: np.ones(g.shape_of(name) or ()) for name in ("x", "w", "delta")}
    return Layer(g, **{**ones, "b": None, **spots})


def _solid(g: Geometry) -> Geometry:
    """The dilated kernel with its zeros written out."""
    return dataclasses.replace(g, kernel=g.kernel_reach, dilation=(1,))


def _unstrided(g: Geometry) -> Geometry:
    """The strided delta with its zeros written out, the stride's remainder included."""
    return dataclasses.replace(g, stride=(1,), bias="none")


def _never(g: Geometry, quantity: str) -> tuple[Mask, Mask]:
    none = np.zeros(g.shape_of(quantity) or (), bool)
    return none, none


def _spot(shape: tuple[int, ...], index: tuple[int, ...]) -> Any:
    spot = np.zeros(shape)
    spot[index] = 1
    return spot
