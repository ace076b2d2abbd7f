"""Kernels and deltas as text: a character an element, darker the greater."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pictures"]

Array = NDArray[Any]

SHADES = "#=- .oO"
"""From the most negative, through 0, to the most positive."""


def pictures(planes: Sequence[Array]) -> str:
    r"""Matrices side by side on one scale, symmetric about 0 and told below.

    >>> print(pictures([np.array([[-3.0, 0.0], [1.0, 3.0]]), np.array([[2.0], [-1.0]])]))
    #    o
    .O   -
    '#' -3 to 'O' 3
    """
    for plane in planes:
        if plane.ndim != 2:
            raise ValueError(f"a picture needs two axes, got shape {plane.shape}")
    greatest = max((float(np.abs(plane).max(initial=0)) for plane in planes), default=0.0)
    if not np.isfinite(greatest):
        raise ValueError(f"there is no scale for a greatest element of {greatest}")
    height = max((len(plane) for plane in planes), default=0)
    rows = ["   ".join(_row(plane, at, greatest) for plane in planes).rstrip() for at in range(height)]
    return "\n".join([*rows, f"{SHADES[0]!r} {-greatest:.3g} to {SHADES[-1]!r} {greatest:.3g}"])


def _row(plane: Array, at: int, greatest: float) -> str:
    if at >= len(plane):
        return " " * plane.shape[1]
    middle = len(SHADES) // 2
    levels = np.rint(plane[at] / (greatest or 1) * middle).astype(int) + middle
    return "".join(SHADES[level] for level in levels)
