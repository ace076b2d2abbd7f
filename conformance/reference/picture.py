"""Kernels and deltas as text: a character an element, heavier the greater."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHADES", "pictures"]

Array = NDArray[Any]

SHADES = "#=- .oO"
"""From the most negative, through 0, to the most positive."""


def pictures(planes: Sequence[Array], *, in_a_row: int = 8) -> str:
    """Matrices of one shape side by side, all on one scale, which is told below.

    >>> print(pictures([np.array([[-3.0, 0.0], [1.0, 3.0]]), np.array([[2.0, 0.0], [0.0, -1.0]])]))
    |# |o |
    |.O| -|
    '#' -3 to 'O' 3
    """
    shapes = {plane.shape for plane in planes}
    if [len(shape) for shape in shapes] != [2] or not all(plane.size for plane in planes):
        raise ValueError(f"pictures need matrices of one shape, got {sorted(shapes)}")
    greatest = max(float(np.abs(plane).max()) for plane in planes)
    if not np.isfinite(greatest):
        raise ValueError(f"there is no scale for a greatest element of {greatest}")
    scaled = [_shaded(plane / (greatest or 1)) for plane in planes]
    blocks = ["\n".join(map(_line, zip(*row, strict=True))) for row in _batched(scaled, in_a_row)]
    return "\n\n".join(blocks) + f"\n{SHADES[0]!r} {-greatest:.3g} to {SHADES[-1]!r} {greatest:.3g}"


def _shaded(plane: Array) -> list[str]:
    """The lines of a matrix with elements in [-1, 1]."""
    middle = len(SHADES) // 2
    levels = np.rint(plane * middle).astype(int) + middle
    return ["".join(SHADES[level] for level in line) for line in levels]


def _line(parts: Sequence[str]) -> str:
    return f"|{'|'.join(parts)}|"


def _batched(of: list[list[str]], count: int) -> list[list[list[str]]]:
    return [of[start : start + count] for start in range(0, len(of), count)]
