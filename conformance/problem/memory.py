"""Memory layouts: the same values, laid out differently (clause HYG-4).

``broadcast`` alone restricts values: its arrays repeat one item along one axis with a stride of zero, so a
problem that asks for it draws one item and repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MEMORIES", "REARRANGEMENTS", "laid_out"]

Array = NDArray[Any]


def _sliced(a: Array) -> Array:
    """Every second element, along channels and the last axis, of an array that holds NaN between them."""
    steps = tuple(2 if axis in (1, a.ndim - 1) else 1 for axis in range(a.ndim))
    larger = np.full(tuple(n * s for n, s in zip(a.shape, steps, strict=True)), np.nan, dtype=a.dtype)
    view = larger[tuple(slice(None, None, s) for s in steps)]
    view[...] = a
    return view


def _reversed(a: Array) -> Array:
    """Negative strides on every axis."""
    return np.flip(np.flip(a).copy(order="C"))


def _channels_last(a: Array) -> Array:
    """Memory order N, spatial, C under the shape N, C, spatial."""
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(order="C"), -1, 1) if a.ndim > 1 else a.copy()


REARRANGEMENTS: dict[str, Callable[[Array], Array]] = {
    "fortran": lambda a: a.copy(order="F"),
    "sliced": _sliced,
    "reversed": _reversed,
    "channels-last": _channels_last,
}
"""Layouts that any values can take."""

_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "c": lambda a: a.copy(order="C"),
    **REARRANGEMENTS,
}
MEMORIES = (*_LAYOUTS, "broadcast")


def laid_out(a: Array, memory: str, axis: int = 0) -> Array:
    """A new array with the values of `a` in the layout `memory`; never shares memory with `a`.

    axis: the one along which `broadcast` repeats with a stride of zero; read-only, as numpy makes such views.
    """
    if memory == "broadcast":
        first = a[(slice(None),) * axis + (slice(1),)].copy()
        return np.broadcast_to(first, a.shape)
    return _LAYOUTS[memory](a)
