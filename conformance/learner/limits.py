"""What someone's code takes: problems made for everyone are brought to it (`Limits.fitted`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.errors import GeometryError
from conformance.problem import Geometry, Problem

__all__ = ["PADDINGS", "Limits"]

Ints = tuple[int, ...]


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


PADDINGS: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "none": lambda size, kernel, stride: (0, 0),
    "half": lambda size, kernel, stride: (kernel // 2, kernel // 2),
    "same": _same,
    "same, more in front": lambda size, kernel, stride: _same(size, kernel, stride)[::-1],
    "full": lambda size, kernel, stride: (kernel - 1, kernel - 1),
}
"""What is always padded -> (begin, end) of an axis of this size, kernel and stride."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Each field says what the code takes; the defaults restrict least.

    x, w: the forms of both: an axis that one leaves out has one entry.  pad: a padding may be asked for, by a number; or by
    a word, which means `mode`.  always: the padding that it adds of itself (both: names of `PADDINGS`).  fixed: fields of a
    geometry that cannot be chosen.  divides: is a stride that leaves a remainder refused?  halves: are gradients divided by
    the batch?  Then batches have 2^k items, which division does not round.
    """

    x: str = "NCHW"
    w: str = "OIHW"
    bias: tuple[str, ...] = ("none",)
    convention: str = "correlation"
    stride: bool = True
    pad: bool = True
    mode: str = ""
    always: str = "none"
    square_kernels: bool = False
    square_images: bool = False
    odd_kernels: bool = False
    divides: bool = False
    halves: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    def fitted(self, g: Geometry) -> Geometry:
        """The nearest geometry of two axes that is taken: the same one, if it is.

        Raises:
            GeometryError: there is none.
        """
        kernel: Ints = dict(self.fixed).get("kernel", self._kernel(g.kernel))
        stride = (g.stride[0] if self.stride else 1,) * g.rank
        size = self._size(g, kernel, stride)
        fields: dict[str, Any] = {
            "batch": self._batch(g.batch),
            "channels": g.channels // g.groups if "C" in self.x else 1,
            "maps": g.maps // g.groups if "O" in self.w else 1,
            **dict(self.fixed),
        }
        return Geometry(
            size=size,
            kernel=kernel,
            stride=stride,
            padding=self._padding(g, size, kernel, stride),
            convention=self.convention,
            bias=g.bias if g.bias in self.bias else self.bias[0],
            **{name: value for name, value in fields.items() if name != "kernel"},
        )

    def _batch(self, batch: int) -> int:
        if "N" not in self.x:
            return 1
        return 1 << (max(batch, 1).bit_length() - 1) if self.halves else max(batch, 1)

    def _kernel(self, kernel: Ints) -> Ints:
        odd = tuple(k - (self.odd_kernels and k % 2 == 0) for k in kernel)
        return (max(odd),) * len(odd) if self.square_kernels else odd

    def _size(self, g: Geometry, kernel: Ints, stride: Ints) -> Ints:
        """At least as large as the kernel asks for, and up to where the stride leaves no remainder."""
        size = (max(g.size),) * g.rank if self.square_images else g.size
        axes = zip(size, kernel, stride, self._padding(g, size, kernel, stride), strict=True)
        grown = [(max(i, k - lo - hi), k - lo - hi, s) for i, k, s, (lo, hi) in axes]
        if self.divides:
            grown = [(i + (least - i) % s, least, s) for i, least, s in grown]
        return (
            (max(i for i, _, _ in grown),) * g.rank if self.square_images else tuple(i for i, _, _ in grown)
        )

    def _padding(self, g: Geometry, size: Ints, kernel: Ints, stride: Ints) -> tuple[tuple[int, int], ...]:
        if self.pad and not self.mode:
            return ((max(g.padding[0][0], 0),) * 2,) * g.rank
        asked = self.mode if any(map(any, g.padding)) else ""
        rule = PADDINGS[asked or self.always]
        return tuple(rule(*axis) for axis in zip(size, kernel, stride, strict=True))

    def takes(self, g: Geometry) -> bool:
        try:
            return g.rank == 2 and self.fitted(g) == g
        except GeometryError:
            return False

    def problem(self, problem: Problem, dtype: str) -> Problem | None:
        """The nearest problem that is taken; None if there is none."""
        if problem.geometry.rank != 2:
            return None
        try:
            near = problem.replace(geometry=self.fitted(problem.geometry), dtype=dtype)
        except GeometryError:
            return None
        return near if self.takes(near.geometry) else None
