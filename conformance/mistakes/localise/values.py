"""The values are wrong in one way: a factor, an offset, a bound on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from conformance.mistakes.localise.looks import Floats, Look, Mask, axis_names
from conformance.mistakes.localise.patterns import Pattern
from conformance.problem import Geometry

__all__ = ["factor_of", "scaled", "times", "values"]

NAMED: dict[str, Callable[[Geometry], int]] = {
    "the batch size": lambda g: g.batch,
    "the number of output positions": lambda g: math.prod(g.output),
    "the batch size times the number of output positions": lambda g: g.batch * math.prod(g.output),
    "the number of taps of the kernel": lambda g: math.prod(g.kernel),
    "the stride of every axis": lambda g: math.prod(g.stride),
    "the dilation of every axis": lambda g: math.prod(g.dilation),
    "the number of groups": lambda g: g.groups,
    "the number of channels of a group": lambda g: g.channels // g.groups,
    "the number of channels": lambda g: g.channels,
    "the number of maps of a group": lambda g: g.maps // g.groups,
    "the number of maps": lambda g: g.maps,
    "the number of elements of a kernel": lambda g: math.prod(g.w_shape[1:]),
    "the size of x along all axes": lambda g: math.prod(g.size),
}
"""What a factor may be a name for."""

ROUNDINGS = 4


def values(look: Look) -> Iterator[Pattern]:
    """Patterns of values that may hold, the plainest first."""
    if not look.fits or not look.got.size:
        return
    q = look.quantity
    yield from _factors(f"{q} is", look, lambda seen: (seen.got, seen.right))
    if look.bias is not None:
        yield from _biased(look)
    yield from _offsets(look)
    yield from _bounded(look)


Parts = Callable[[Look], tuple[Floats, Floats]]
"""Of a look: what came back, and what should have."""


def _factors(subject: str, look: Look, parts: Parts) -> Iterator[Pattern]:
    f = factor_of(look, *parts(look))
    if f is None:
        return
    yield _scaled(f"{subject} {times(f)}", parts, lambda g: f)
    for name, value in NAMED.items():
        for word, power in (("multiplied", 1), ("divided", -1)):
            if f == Fraction(value(look.g)) ** power != 1:
                yield _scaled(f"{subject} {word} by {name}", parts, _power(value, power))


def _power(value: Callable[[Geometry], int], power: int) -> Callable[[Geometry], Fraction]:
    return lambda g: Fraction(max(value(g), 1)) ** power  # of an empty batch nothing is scaled


def _scaled(words: str, parts: Parts, f: Callable[[Geometry], Fraction]) -> Pattern:
    """A factor that may follow the geometry."""
    return Pattern(
        words=words, holds=lambda seen: seen.fits and bool(scaled(seen, *parts(seen), f(seen.g)).all())
    )


def factor_of(look: Look, got: Floats, right: Floats) -> Fraction | None:
    """got / right where right is largest, as a simple fraction; None if there is none."""
    at = np.unravel_index(np.argmax(np.abs(right)), right.shape)
    if not right[at] or not np.isfinite(got[at]):
        return None
    ratio = Fraction(float(got[at] / right[at]))
    room = float(_room(look, right, abs(float(ratio)))[at] / abs(right[at]))
    simple = (ratio.limit_denominator(2**k) for k in range(14))
    return next((f for f in simple if abs(f - ratio) <= room), None)


def scaled(look: Look, got: Floats, right: Floats, f: Fraction) -> Mask:
    """Where is got = f right?  Exactly, if f is so many halves; else but for rounding."""
    target = right * float(f)
    if f.denominator & (f.denominator - 1) == 0:
        return np.asarray(got == look.problem.format.rounded(target))
    return np.asarray(np.abs(got - target) <= _room(look, right, abs(float(f))))


def _room(look: Look, right: Floats, f: float) -> Floats:
    """What rounding may do to f right: to f, the product, the result and ours; and to products that f came into before.

    At most a quarter of f: right is an integer, and no other one is meant then.
    """
    summed = np.minimum(2 * look.expected.bound, 0.25)
    room: Floats = f * (summed + ROUNDINGS * look.problem.format.u * np.abs(right))
    return room


def times(f: Fraction) -> str:
    """In words, to follow ``is``."""
    plain = {0: "0 everywhere", -1: "minus what is right: the sign is wrong", 2: "twice what is right"}
    if f in plain:
        return plain[int(f)]
    return f"{f} of what is right" if f.denominator > 1 else f"{f} times what is right"


def _offsets(look: Look) -> Iterator[Pattern]:
    """The same number added to all elements, to all of an item, or to all of a map or channel."""
    q, c = look.quantity, float((look.got - look.right).flat[0])
    if np.isfinite(c):
        yield Pattern(
            words=f"{q} is {abs(c):g} too {'large' if c > 0 else 'small'} everywhere",
            holds=lambda seen: seen.gives(seen.right + c),
        )
    yield Pattern(
        words=f"{q} is off by one and the same number in all its elements",
        holds=lambda seen: _constant(seen, ()),
        telling=lambda seen: seen.got.size > 2,
        whole=False,
    )
    for axis, name in enumerate(axis_names(look.g, q)[:2]):
        yield Pattern(
            words=f"what {q} is off by is one and the same number in all of {_each(name)}",
            holds=lambda seen, axis=axis: _constant(seen, (axis,)),  # type: ignore[misc]
            telling=lambda seen, axis=axis: seen.got.size > 2 * seen.got.shape[axis],  # type: ignore[misc]
            whole=False,
        )


def _each(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _constant(look: Look, along: tuple[int, ...]) -> bool:
    """Is the difference the same in all elements that share their index `along` some axes?"""
    if not look.fits or not look.got.size:
        return False
    off = look.got - look.right
    others = tuple(axis for axis in range(off.ndim) if axis not in along)
    return bool(np.isfinite(off).all() and (np.ptp(off, axis=others) == 0).all())


def _biased(look: Look) -> Iterator[Pattern]:
    """The bias counts otherwise than once; or all but the bias is scaled."""

    def without_bias(seen: Look) -> tuple[Floats, Floats]:
        bias = _bias(seen)
        return seen.got - bias, seen.right - bias

    def bias_alone(seen: Look) -> tuple[Floats, Floats]:
        bias = _bias(seen)
        return seen.got - (seen.right - bias), bias

    yield from _factors(f"the bias in {look.quantity} is", look, bias_alone)
    yield from _factors(f"{look.quantity} without its bias is", look, without_bias)


def _bias(look: Look) -> Floats:
    return np.zeros_like(look.right) if look.bias is None else look.bias


def _bounded(look: Look) -> Iterator[Pattern]:
    """Clipped, or without its sign."""
    q, c = look.quantity, float(np.max(np.abs(look.got)))
    if np.isfinite(c) and c:
        yield Pattern(
            words=f"{q} is cut off at {-c:g} and {c:g}",
            holds=lambda seen: seen.gives(np.clip(seen.right, -c, c)),
            telling=lambda seen: bool((np.abs(seen.right) < c).any()),
        )
    yield Pattern(
        words=f"{q} is 0 where it should be negative, and right elsewhere",
        holds=lambda seen: seen.gives(np.maximum(seen.right, 0)),
        telling=lambda seen: bool((seen.right > 0).any()),
    )
    yield Pattern(
        words=f"{q} comes without its sign",
        holds=lambda seen: seen.gives(np.abs(seen.right)),
        telling=lambda seen: bool((seen.right > 0).any()),
    )
