"""The right values stand in other places: reversed, exchanged, shifted, reshaped, one slice for all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from conformance.mistakes.localise.looks import Array, Floats, Look, axis_names, same
from conformance.mistakes.localise.patterns import Pattern

__all__ = ["places"]

ENOUGH = 4
"""Different values without which it is chance that they are the right ones."""


def places(look: Look) -> Iterator[Pattern]:
    """Patterns of places that may hold, the plainest first."""
    if not look.got.size:
        return
    yield from _flipped(look)
    yield from _exchanged(look)
    for axis in range(look.right.ndim):
        yield from _taken(look, axis)
    yield from _reshaped(look)
    if not look.fits:
        yield from _resized(look)
    yield Pattern(
        words=f"{look.quantity} has the right values in other places",
        holds=lambda seen: same(np.sort(seen.got, axis=None), np.sort(seen.right, axis=None)),
        telling=lambda seen: np.unique(seen.right).size >= ENOUGH,
        whole=False,
    )


def _moved(words: str, move: Callable[[Floats], Floats]) -> Pattern:
    """What came back is the right result, moved."""

    def holds(seen: Look) -> bool:
        try:
            return seen.gives(move(seen.right))
        except (ValueError, IndexError):  # a rank or size that it does not fit
            return False

    return Pattern(words=words, holds=holds, telling=lambda seen: np.unique(seen.right).size >= ENOUGH)


def _flipped(look: Look) -> Iterator[Pattern]:
    q, names, ndim = look.quantity, axis_names(look.g, look.quantity), look.right.ndim
    for count in range(1, ndim + 1):
        for axes in itertools.combinations(range(ndim), count):
            along = " and ".join(names[axis] for axis in axes)
            yield _moved(f"{q} is reversed along the axis of {along}", lambda a, axes=axes: np.flip(a, axes))  # type: ignore[misc]


def _exchanged(look: Look) -> Iterator[Pattern]:
    """Axes in another order: also with the right sizes, where these happen to agree."""
    q, ndim = look.quantity, look.right.ndim
    for order in itertools.permutations(range(ndim)):
        if order != tuple(range(ndim)):
            yield _moved(f"{q} has its axes in the order {order}", lambda a, order=order: a.transpose(order))  # type: ignore[misc]
            yield _moved(
                f"{q} has its values in the order of axes {order}: reshaped where it had to be transposed",
                lambda a, order=order: a.transpose(order).reshape(a.shape),  # type: ignore[misc]
            )


TAKEN: dict[str, Callable[[Floats, int], Floats]] = {
    "the first one": lambda a, axis: a.take([0], axis),
    "the last one": lambda a, axis: a.take([-1], axis),
    "the next one": lambda a, axis: np.roll(a, -1, axis),
    "the one before": lambda a, axis: np.roll(a, 1, axis),
    "all of them together": lambda a, axis: a.sum(axis, keepdims=True),
    "the mean of all": lambda a, axis: a.sum(axis, keepdims=True) / max(a.shape[axis], 1),
}


def _taken(look: Look, axis: int) -> Iterator[Pattern]:
    """Along one axis, the slices of others."""
    q, name = look.quantity, axis_names(look.g, look.quantity)[axis]
    for words, take in TAKEN.items():
        yield _moved(
            f"every {name} of {q} holds the values of {words}",
            lambda a, take=take: np.broadcast_to(take(a, axis), a.shape),  # type: ignore[misc]
        )
    yield Pattern(
        words=f"{q} has its {name}s in another order",
        holds=lambda seen: _slices_exchanged(seen, axis),
        telling=lambda seen: np.unique(seen.right).size >= ENOUGH,
        whole=False,
    )
    for by in (1, -1, 2, -2):
        where = "behind" if by > 0 else "in front of"
        yield Pattern(
            words=f"{q} stands {abs(by)} {name}{'s' * (abs(by) > 1)} {where} where it should",
            holds=lambda seen, by=by: _shifted(seen, axis, by),  # type: ignore[misc]
            telling=lambda seen, by=by: (
                np.unique(seen.right).size >= ENOUGH and seen.right.shape[axis] > abs(by) + 1
            ),  # type: ignore[misc]
        )


def _slices_exchanged(seen: Look, axis: int) -> bool:
    """Are the slices along an axis the right ones, in whatever order?"""
    right = seen.problem.format.rounded(seen.right)
    if not seen.fits:
        return False
    slices = (sorted(a.tobytes() for a in np.moveaxis(whole + 0.0, axis, 0)) for whole in (seen.got, right))
    return next(slices) == next(slices)


def _shifted(seen: Look, axis: int, by: int) -> bool:
    """Shifted along an axis, whatever came in at the edge."""
    n = seen.right.shape[axis]
    if not seen.fits or n <= abs(by):
        return seen.fits  # nothing is left of it
    to, of = (slice(by, None), slice(0, n - by)) if by > 0 else (slice(0, n + by), slice(-by, None))
    return same(_cut(seen.got, axis, to), seen.problem.format.rounded(_cut(seen.right, axis, of)))


def _cut(a: Array, axis: int, part: slice) -> Floats:
    return a[(slice(None),) * axis + (part,)]


def _reshaped(look: Look) -> Iterator[Pattern]:
    """All values in order, under other sizes; or in the order of Fortran."""
    q = look.quantity
    yield _moved(
        f"{q} is filled in reversed order of axes (Fortran for C)", lambda a: a.ravel("F").reshape(a.shape)
    )
    yield Pattern(
        words=f"{q} has the right values in the right order, but other axes",
        holds=lambda seen: (
            seen.gives(seen.right.reshape(seen.got.shape)) if seen.got.size == seen.right.size else False
        ),
        telling=lambda seen: not seen.fits and np.unique(seen.right).size >= ENOUGH,
    )


def _resized(look: Look) -> Iterator[Pattern]:
    """Right where it overlaps: too large or too small, at one end or both."""
    larger = look.got.size > look.right.size
    for words, begin in ENDS.items():
        yield Pattern(
            words=f"{look.quantity} is right but for its size: too {'large' if larger else 'small'} {words}",
            holds=lambda seen, begin=begin: _overlaps(seen, begin, larger=larger),  # type: ignore[misc]
            telling=lambda seen: min(seen.got.size, seen.right.size) >= ENOUGH,
        )


ENDS: dict[str, Callable[[int], int]] = {
    "at the end": lambda off: 0,
    "at the beginning": lambda off: off,
    "at both ends": lambda off: off // 2,
}
"""How much of a difference in size stands in front."""


def _overlaps(seen: Look, begin: Callable[[int], int], *, larger: bool) -> bool:
    """Do got and right agree where both are, none of got's sizes being on the other side of right's?"""
    got, right = seen.got, seen.problem.format.rounded(seen.right)
    if got.ndim != right.ndim:
        return False
    small, large = (right, got) if larger else (got, right)
    for axis, (n, m) in enumerate(zip(small.shape, large.shape, strict=True)):
        start = begin(m - n)
        large = _cut(large, axis, slice(start, start + n)) if n < m else large
    return same(small, large)
