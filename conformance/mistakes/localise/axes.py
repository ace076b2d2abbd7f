"""The numbers of a geometry that can be changed alone: sizes of x, kernel, batch, channels, maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conformance.mistakes.localise.looks import varied
from conformance.problem import Geometry, Problem

__all__ = ["Axis", "axes"]

SIZES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
LARGE = {1: 128, 2: 64, 3: 32}
"""How large a size is tried, by rank."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One number, all others left as they are.

    words: of a value, as in ``width 17``; of none, its name.  value: that of a geometry.  put: the problem with another
    value; None if it is impossible.  least, most: between which it is tried.  blocks: may it be taken in blocks?
    spatial: the axis of x it is the size of.
    """

    words: Callable[[int | None], str]
    value: Callable[[Geometry], int]
    put: Callable[[Problem, int], Problem | None]
    least: int
    most: int
    blocks: bool = True
    spatial: int | None = None


def axes(g: Geometry) -> Iterator[Axis]:
    """Sizes of x, last axis first, then of the kernel, then batch, channels and maps."""
    names = SIZES[g.rank]
    for axis in reversed(range(g.rank)):
        yield _size(names[axis], axis, least=_smallest(g, axis), most=max(LARGE[g.rank], 2 * g.size[axis]))
    for axis in reversed(range(g.rank)):
        yield _kernel(names[axis], axis, most=(g.padded_size[axis] - 1) // g.dilation[axis] + 1)
    yield Axis(
        words=_after("batch size"),
        value=lambda g: g.batch,
        put=lambda p, n: varied(p, batch=n),
        least=1,
        most=17,
    )
    each = " a group" if g.groups > 1 else ""
    for name in ("channels", "maps"):
        yield _count(name, each)


def _size(name: str, axis: int, *, least: int, most: int) -> Axis:
    return Axis(
        words=_after(name),
        value=lambda g: g.size[axis],
        put=lambda p, n: varied(p, size=_replaced(p.geometry.size, axis, n)),
        least=least,
        most=most,
        spatial=axis,
    )


def _kernel(name: str, axis: int, *, most: int) -> Axis:
    return Axis(
        words=_after(f"kernel {name}"),
        value=lambda g: g.kernel[axis],
        put=lambda p, n: varied(p, kernel=_replaced(p.geometry.kernel, axis, n)),
        least=1,
        most=most,
        blocks=False,
    )


def _count(name: str, each: str) -> Axis:
    """Channels or maps, a group."""
    return Axis(
        words=lambda n: (
            f"number of {name}{each}" if n is None else f"{n} {name if n != 1 else name[:-1]}{each}"
        ),
        value=lambda g: int(getattr(g, name)) // g.groups,
        put=lambda p, n: varied(p, **{name: n * p.geometry.groups}),
        least=1,
        most=33,
    )


def _after(name: str) -> Callable[[int | None], str]:
    return lambda n: name if n is None else f"{name} {n}"


def _replaced(values: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*values[:axis], n, *values[axis + 1 :])


def _smallest(g: Geometry, axis: int) -> int:
    """The least size of x that kernel and padding allow."""
    lo, hi = g.padding[axis]
    return max(g.kernel_reach[axis] - lo - hi, 1 - min(lo, 0) - min(hi, 0), 1)
