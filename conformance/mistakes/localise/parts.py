"""Only a part is wrong: which rows, items, maps, taps; the border; what nothing reads; and what stands there."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.mistakes.localise.looks import Look, Mask, axis_names
from conformance.mistakes.localise.patterns import LEAST, Pattern
from conformance.mistakes.localise.places import ENOUGH
from conformance.mistakes.localise.rules import Rule, rules
from conformance.mistakes.localise.values import factor_of, scaled, times
from conformance.oracle.vectorised import counts

__all__ = ["parts"]

Masked = Callable[[Look], Mask]


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of a result: `mask(look)` has its shape."""

    words: str
    mask: Masked


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """What stands where it is wrong: `matches(look)` says of each element whether it is that."""

    words: str
    matches: Masked
    telling: Callable[[Look], bool] = lambda look: True


def parts(looks: Sequence[Look]) -> Iterator[Pattern]:
    """Where it is wrong, and what stands there, if that can be said; else one of the two."""
    wrong = sorted((look for look in looks if not look.ok), key=lambda look: -look.right.size)
    if not wrong or not all(look.fits for look in wrong):
        return
    q, standing = wrong[0].quantity, list(_standing(wrong[0]))
    for region in (*_along_axes(wrong), *_anywhere(wrong[0])):
        yield from (_both(q, region, value) for value in standing)
        yield from (_some(q, region, value) for value in standing)
        yield Pattern(
            words=f"{q} is wrong only in {region.words}",
            holds=lambda look, region=region: _inside(look, region),  # type: ignore[misc]
            telling=lambda look, region=region: not region.mask(look).all(),  # type: ignore[misc]
            whole=False,
        )
    for value in standing:
        yield Pattern(
            words=f"where {q} is wrong, {value.words}",
            holds=lambda look, value=value: not look.ok and bool(value.matches(look)[look.wrong].all()),  # type: ignore[misc]
            telling=value.telling,
            whole=False,
        )


def _both(q: str, region: Region, value: Standing) -> Pattern:
    """The value stands in all of the region, and all else is right."""

    def holds(look: Look) -> bool:
        inside = region.mask(look)
        return not look.wrong[~inside].any() and bool(value.matches(look)[inside].all())

    return Pattern(
        words=f"{q} is wrong only in {region.words}; there {value.words}",
        holds=holds,
        telling=lambda look: not region.mask(look).all() and value.telling(look),
    )


def _some(q: str, region: Region, value: Standing) -> Pattern:
    """Only the region is wrong, not all of it, and the value stands where it is."""
    return Pattern(
        words=f"{q} is wrong only in {region.words}; where it is wrong, {value.words}",
        holds=lambda look: _inside(look, region) and bool(value.matches(look)[look.wrong].all()),
        telling=lambda look: not region.mask(look).all() and value.telling(look),
        whole=False,
    )


def _inside(look: Look, region: Region) -> bool:
    """Nothing else is wrong; of a right look: there is no such part."""
    inside = region.mask(look)
    return not inside.any() if look.ok else not look.wrong[~inside].any()


# ---- where ----
def _along_axes(wrong: Sequence[Look]) -> Iterator[Region]:
    """A rule for each axis along which only some indices are wrong; where they meet."""
    chosen: dict[int, Rule] = {}
    for axis, name in enumerate(axis_names(wrong[0].g, wrong[0].quantity)):
        seen = [_indices(look, axis) for look in wrong]
        if not seen[0].all():
            fitting = [(hits, rule) for rule in rules(seen[0], name) if (hits := _hits(rule, seen, wrong))]
            chosen |= {axis: max(fitting, key=lambda f: f[0])[1]} if fitting else {}
    if chosen:
        words = " of ".join(rule.words for _, rule in sorted(chosen.items(), reverse=True))
        yield Region(words=words, mask=lambda look: _meeting(look, chosen))


def _hits(rule: Rule, seen: Sequence[Mask], wrong: Sequence[Look]) -> int:
    """In how many looks does it give the wrong indices?  0 unless in the first, if it misses one, or leaves none out."""
    if not np.array_equal(rule.indices(len(seen[0]), wrong[0].g), seen[0]):
        return 0
    given = [rule.indices(len(s), look.g) for s, look in zip(seen, wrong, strict=True)]
    if (
        any((s & ~r).any() for s, r in zip(seen, given, strict=True))
        or sum(not r.all() for r in given) < LEAST
    ):
        return 0
    return sum(np.array_equal(s, r) for s, r in zip(seen, given, strict=True))


def _indices(look: Look, axis: int) -> Mask:
    """The indices along an axis at which anything is wrong."""
    return np.asarray(look.wrong.any(axis=tuple(a for a in range(look.wrong.ndim) if a != axis)))


def _meeting(look: Look, chosen: dict[int, Rule]) -> Mask:
    mask = np.ones(look.right.shape, bool)
    for axis, rule in chosen.items():
        n = look.right.shape[axis]
        mask &= rule.indices(n, look.g).reshape(n, *(1,) * (mask.ndim - axis - 1))
    return mask


def _anywhere(look: Look) -> Iterator[Region]:
    """Parts that are no product of indices."""
    if look.quantity == "db":
        return
    reaching = {
        "y": "elements whose window reaches into the padding",
        "dx": "elements that fewer products reach than others",
        "dw": "taps that meet padding",
    }
    named: dict[str, Masked] = {
        "elements that no output reads": lambda seen: _products(seen) == 0,
        reaching[look.quantity]: lambda seen: _products(seen) < _most(seen),
        "elements that the most products reach": lambda seen: _products(seen) == _most(seen),
        "the border": _border,
        "the interior": lambda seen: ~_border(seen),
    }
    for words, mask in named.items():
        if not (look.wrong & ~mask(look)).any():
            yield Region(words=words, mask=mask)


def _products(look: Look) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """How many products are summed in each element."""
    return counts(look.g)[look.quantity]


def _most(look: Look) -> int:
    """The products of an element that meets no padding; of dx, the most that any element has."""
    g, n = look.g, _products(look)
    whole = {"y": math.prod(g.w_shape[1:]) + (g.bias != "none"), "dw": g.batch * math.prod(g.output)}
    return whole.get(look.quantity, int(n.max(initial=0)))


def _border(look: Look) -> Mask:
    """The first and last index along any spatial axis."""
    spatial = look.right.shape[2:]
    inner = np.pad(
        np.zeros([max(n - 2, 0) for n in spatial], bool),
        [(min(1, n), int(n > 1)) for n in spatial],
        constant_values=True,
    )
    return np.broadcast_to(inner, look.right.shape)


# ---- what stands there ----
def _standing(look: Look) -> Iterator[Standing]:
    yield Standing(words="it is 0", matches=lambda seen: seen.got == 0)
    yield Standing(words="it is NaN", matches=lambda seen: np.isnan(seen.got))
    yield Standing(words="it is infinite", matches=lambda seen: np.isinf(seen.got))
    f = factor_of(look, np.where(look.wrong, look.got, 0), np.where(look.wrong, look.right, 0))
    if f:
        yield Standing(words=f"it is {times(f)}", matches=lambda seen: scaled(seen, seen.got, seen.right, f))
    for axis, name in enumerate(axis_names(look.g, look.quantity)):
        for words, by in (
            (f"the value of the {name} before stands", 1),
            (f"the value of the next {name} stands", -1),
        ):
            yield Standing(
                words=words, matches=functools.partial(_neighbour, axis=axis, by=by), telling=_several
            )


def _several(look: Look) -> bool:
    return np.unique(look.right[look.wrong]).size >= 2 and np.unique(look.right).size >= ENOUGH


def _neighbour(look: Look, *, axis: int, by: int) -> Mask:
    """Where the right value of the one before (or behind) along an axis stands; there is none at the edge."""
    beside = np.roll(look.problem.format.rounded(look.right), by, axis)
    at = np.arange(look.right.shape[axis]).reshape(-1, *(1,) * (look.right.ndim - axis - 1))
    edge = at == (0 if by > 0 else look.right.shape[axis] - 1)
    return np.asarray((look.got == beside) & ~edge)
