"""Geometry: the numbers that say *which* convolution is meant, validated once.

Per spatial axis, with input size I, kernel K, stride s, padding (p_lo, p_hi) and dilation d, the output has

    O = floor((I + p_lo + p_hi - d (K - 1) - 1) / s) + 1

positions (spec.md; floor, never ceil).  Output position o and kernel tap t read input position o*s + t*d - p_lo.
Negative padding crops.  There are one, two or three spatial axes; "depth, height, width" have no names here.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from conformance.errors import GeometryError

__all__ = ["BIASES", "CONVENTIONS", "LARGEST", "RANKS", "Geometry"]

RANKS = (1, 2, 3)
LARGEST = 2**30
"""Elements that no array of a problem may exceed (8 GiB in float64), with room for every layer of a real network."""
FARTHEST = 2**31 - 1
"""The largest stride and dilation."""
CONVENTIONS = ("correlation", "convolution")
BIASES = ("none", "tied", "untied")

T = TypeVar("T")
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """One convolution layer's shape of work.  Every per-axis field is a tuple with one entry a spatial axis.

    >>> g = Geometry(batch=2, channels=3, maps=4, size=(7, 9), kernel=(3, 2), stride=(2, 1))
    >>> g.output, g.w_shape
    ((3, 8), (4, 3, 3, 2))

    A scalar is taken for every axis; a padding of one integer an axis is put on both sides.

    Raises:
        GeometryError: an impossible geometry; the message names the axis and the numbers.
    """

    batch: int = 1
    channels: int = 1
    maps: int = 1
    groups: int = 1
    size: Ints
    kernel: Ints
    stride: Ints = (1,)
    padding: Pads = ((0, 0),)
    dilation: Ints = (1,)
    convention: str = "correlation"
    bias: str = "tied"

    def __post_init__(self) -> None:
        size = _tuple("size", self.size)
        rank = len(size)
        if rank not in RANKS:
            raise GeometryError(f"a convolution here has 1, 2 or 3 spatial axes, not {rank}: size={size}")
        put = functools.partial(object.__setattr__, self)
        put("size", size)
        for name in ("kernel", "stride", "dilation"):
            put(name, _per_axis(name, _tuple(name, getattr(self, name)), rank))
        put("padding", _per_axis("padding", _pairs(self.padding), rank))
        self._check_counts()
        for axis in range(rank):
            self._check_axis(axis)
        self._check_memory()

    def _check_counts(self) -> None:
        for name, least in (("batch", 0), ("channels", 1), ("maps", 1), ("groups", 1)):
            value = _tuple(name, getattr(self, name))[0]
            if value < least:
                raise GeometryError(f"{name} must be an integer of at least {least}, got {value!r}")
            object.__setattr__(self, name, value)
        for name in ("channels", "maps"):
            if getattr(self, name) % self.groups:
                raise GeometryError(f"groups={self.groups} does not divide {name}={getattr(self, name)}")
        if self.convention not in CONVENTIONS:
            raise GeometryError(
                f"convention must be one of {', '.join(CONVENTIONS)}, got {self.convention!r}"
            )
        if self.bias not in BIASES:
            raise GeometryError(f"bias must be one of {', '.join(BIASES)}, got {self.bias!r}")

    def _check_axis(self, axis: int) -> None:
        for name in ("size", "kernel", "stride", "dilation"):
            value = getattr(self, name)[axis]
            if value < 1:
                raise GeometryError(f"{name} on axis {axis} must be at least 1, got {value}")
            if name in ("stride", "dilation") and value > FARTHEST:
                raise GeometryError(f"{name} on axis {axis} must be at most {FARTHEST}, got {value}")
        padded, reach = self.padded_size[axis], self.kernel_reach[axis]
        lo, hi = self.padding[axis]
        if padded < reach:
            raise GeometryError(
                f"the kernel does not fit on axis {axis}: it reaches {reach} (kernel {self.kernel[axis]}, dilation "
                f"{self.dilation[axis]}) but the input has {padded} (size {self.size[axis]}, padding {lo}:{hi})"
            )
        if -min(lo, 0) - min(hi, 0) >= self.size[axis]:
            raise GeometryError(
                f"padding {lo}:{hi} on axis {axis} crops all of the input of size {self.size[axis]}"
            )

    def _check_memory(self) -> None:
        """Before anything is allocated: a line of text must not ask for all memory that there is."""
        items = max(self.batch, 1)
        x, padded, y = (math.prod(sizes) for sizes in (self.size, self.padded_size, self.output))
        counts = {
            "x": items * self.channels * x,
            "the padded x": items * self.channels * padded,
            "w": math.prod(self.w_shape),
            "y": items * self.maps * y,
            "all windows of x": items * self.channels * y * math.prod(self.kernel),
        }
        for name, count in counts.items():
            if count > LARGEST:
                raise GeometryError(
                    f"the problem is too large: {name} would have {count} elements, more than {LARGEST}"
                )

    # ---- sizes that follow ----
    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @functools.cached_property
    def kernel_reach(self) -> Ints:
        """d (K - 1) + 1: the span of the dilated kernel."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @functools.cached_property
    def padded_size(self) -> Ints:
        """I + p_lo + p_hi."""
        return tuple(i + lo + hi for i, (lo, hi) in zip(self.size, self.padding, strict=True))

    @functools.cached_property
    def output(self) -> Ints:
        """O, the spatial sizes of y."""
        spans = zip(self.padded_size, self.kernel_reach, self.stride, strict=True)
        return tuple((padded - reach) // s + 1 for padded, reach, s in spans)

    @functools.cached_property
    def remainder(self) -> Ints:
        """Padded input positions behind the last window, that no output reads."""
        spans = zip(self.padded_size, self.kernel_reach, self.stride, strict=True)
        return tuple((padded - reach) % s for padded, reach, s in spans)

    @functools.cached_property
    def kept(self) -> tuple[Any, ...]:
        """The part of x, per spatial axis, that negative padding leaves."""
        return tuple(
            slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in zip(self.size, self.padding, strict=True)
        )

    @functools.cached_property
    def inner(self) -> tuple[Any, ...]:
        """The part of the padded input, per spatial axis, that `kept` fills; the rest of it is zeros."""
        ends = zip(self.padded_size, self.padding, strict=True)
        return tuple(slice(max(lo, 0), n - max(hi, 0)) for n, (lo, hi) in ends)

    @property
    def x_shape(self) -> Ints:
        return (self.batch, self.channels, *self.size)

    @property
    def w_shape(self) -> Ints:
        return (self.maps, self.channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> Ints:
        """The shape of y and of delta."""
        return (self.batch, self.maps, *self.output)

    @property
    def b_shape(self) -> Ints | None:
        """(M,) tied, (M, *O) untied, None without a bias."""
        return {"none": None, "tied": (self.maps,), "untied": (self.maps, *self.output)}[self.bias]

    @property
    def c_shape(self) -> Ints | None:
        """(C,), the bias of the transposed convolution, one a channel of x; None without a bias."""
        return None if self.bias == "none" else (self.channels,)

    def shape_of(self, name: str) -> Ints | None:
        """The shape of x, w, b, y, delta, dx, dw or db; of a direction u, v or r; of c, the transposed convolution's b."""
        return {
            "x": self.x_shape,
            "w": self.w_shape,
            "b": self.b_shape,
            "y": self.y_shape,
            "c": self.c_shape,
        }[_LIKE[name]]

    @property
    def products(self) -> int:
        """Multiplications of one forward pass (padding included): the problem's size of work."""
        return math.prod(self.y_shape) * math.prod(self.w_shape[1:])

    def check(self, **operands: object) -> None:
        """Raise GeometryError if an operand's shape is not the one this geometry gives.  For authors of adapters.

        >>> Geometry(size=(5,), kernel=(3,)).check(x=memoryview(b"12345"))
        Traceback (most recent call last):
        conformance.errors.GeometryError: x has shape (5,), but this geometry needs (1, 1, 5)
        """
        for name, value in operands.items():
            needed = self.shape_of(name)
            shape = None if value is None else tuple(getattr(value, "shape", ()))
            if shape != needed:
                raise GeometryError(f"{name} has shape {shape}, but this geometry needs {needed}")


_LIKE = {
    "x": "x",
    "w": "w",
    "b": "b",
    "y": "y",
    "delta": "y",
    "dx": "x",
    "dw": "w",
    "db": "b",
    "u": "x",
    "v": "w",
    "r": "b",
    "c": "c",
}


def _tuple(name: str, value: object) -> Ints:
    items = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if any(isinstance(item, bool) or not hasattr(item, "__index__") for item in items):
        raise GeometryError(f"{name} must be made of integers, got {value!r}")
    return tuple(operator.index(item) for item in items)


def _pairs(padding: object) -> Pads:
    items = tuple(padding) if isinstance(padding, Iterable) and not isinstance(padding, str) else (padding,)
    pairs = []
    for item in items:
        pair = _tuple("padding", item)
        if len(pair) not in (1, 2):
            raise GeometryError(f"padding is one number or a pair (begin, end) an axis, got {item!r}")
        pairs.append((pair[0], pair[-1]))
    return tuple(pairs)


def _per_axis(name: str, values: tuple[T, ...], rank: int) -> tuple[T, ...]:
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise GeometryError(f"{name} has {len(values)} entries for {rank} spatial axes: {values}")
    return values
