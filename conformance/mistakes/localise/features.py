"""Which feature of the problem makes it wrong?  One is changed at a time, until it comes out right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.mistakes.localise.looks import Look, Looks, varied
from conformance.problem import Geometry, Problem
from conformance.problem.dtypes import CODES
from conformance.problem.memory import MEMORIES

__all__ = ["detours", "features"]

Ints = tuple[int, ...]
Change = Callable[[Problem], Problem | None]


def features(looks: Looks, wrong: Sequence[Look]) -> str:
    """What makes the first problem right, and others too; '' if nothing does."""
    found = (_among(looks, wrong, "memory", "mem=", MEMORIES), _among(looks, wrong, "dtype", "", CODES))
    return next(filter(None, found), "") or _said(looks, wrong, CHANGES)


def _among(looks: Looks, wrong: Sequence[Look], field: str, token: str, values: Sequence[str]) -> str:
    """Memory layouts, or dtypes, in which the first problem is wrong and those in which it is right."""
    first = wrong[0].problem
    plain = values[0]
    if getattr(first, field) == plain or not _cures(
        looks, _ordered(wrong), lambda p: p.replace(**{field: plain})
    ):
        return ""
    verdicts = {value: looks.ok(first.replace(**{field: value})) for value in values}
    right, bad = (
        ", ".join(token + v for v, ok in verdicts.items() if ok is wanted) for wanted in (True, False)
    )
    return f"It is wrong with {bad}, right with {right} (all else unchanged)."


def detours(looks: Looks, wrong: Sequence[Look]) -> str:
    """The same of changes that are no simpler problem."""
    return _said(looks, wrong, DETOURS)


def _said(looks: Looks, wrong: Sequence[Look], changes: Mapping[str, Change]) -> str:
    problems = _ordered(wrong)
    named = [words for words, change in changes.items() if _cures(looks, problems, change)]
    if not named:
        return ""
    return f"It is right as soon as {', or as soon as '.join(named[:MOST])} (all else unchanged, on {TRIED} problems)."


def _ordered(wrong: Sequence[Look]) -> list[Problem]:
    """The first problem, those of other sizes, those of other geometries, those with other data alone."""
    first, *others = (look.problem for look in wrong)
    g = first.geometry
    return [first, *sorted(others, key=lambda p: (p.geometry.size == g.size, p.geometry == g))]


TRIED = 4
MOST = 3
"""More than three ways out say nothing."""


def _cures(looks: Looks, problems: Sequence[Problem], change: Change) -> bool:
    """Is the first problem right after it, and are others, of other geometries if there are any?"""
    changed = ((p, change(p)) for p in problems)
    tried = list(dict.fromkeys(p for before, p in changed if p is not None and p != before))[:TRIED]
    applies = len(tried) == TRIED and change(problems[0]) == tried[0]
    return applies and all(looks.ok(p) for p in tried) and looks.surely(tried[0])


def _geometry(**changes: Callable[[Geometry], Any]) -> Change:
    """Fields of the geometry, each from the old one."""
    return lambda p: varied(p, **{name: value(p.geometry) for name, value in changes.items()})


def _grouped(groups: int) -> Change:
    """So many groups of what one group had."""
    return _geometry(
        groups=lambda g: groups,
        channels=lambda g: groups * g.channels // g.groups,
        maps=lambda g: groups * g.maps // g.groups,
    )


def _unequal(values: Ints) -> Ints:
    """Distinct, and none smaller."""
    distinct = len(set(values)) == len(values)
    return values if distinct else tuple(max(values) + k for k in range(len(values)))


def _divided(g: Geometry) -> Ints:
    """Sizes at which the stride leaves nothing over."""
    return tuple(i + (s - r) % s for i, s, r in zip(g.size, g.stride, g.remainder, strict=True))


def _oblong(values: Ints, equal: Ints, by: int) -> Ints:
    """More along the last axis, if there are several and others are equal along all."""
    return (*values[:-1], values[-1] + by) if len(values) > 1 and len(set(equal)) == 1 else values


def _one_position(g: Geometry) -> Ints:
    return tuple(max(r - lo - hi, 1) for r, (lo, hi) in zip(g.kernel_reach, g.padding, strict=True))


CHANGES: dict[str, Change] = {
    "the data have no zeros (fill=small)": lambda p: p.replace(fill="small") if p.fill == "sparse" else None,
    "the convention is correlation": _geometry(convention=lambda g: "correlation"),
    "the convention is convolution": _geometry(convention=lambda g: "convolution"),
    "the stride is 1": _geometry(stride=lambda g: (1,)),
    "the stride is the same along all axes": _geometry(stride=lambda g: (g.stride[0],)),
    "the output is not as long along all axes": _geometry(
        size=lambda g: _oblong(g.size, g.output, g.stride[-1])
    ),
    "the stride leaves nothing over": _geometry(size=_divided),
    "the dilation is 1": _geometry(dilation=lambda g: (1,)),
    "the dilation is the same along all axes": _geometry(dilation=lambda g: (g.dilation[0],)),
    "there is no padding": _geometry(padding=lambda g: (0,)),
    "the padding is the same at both ends": _geometry(
        padding=lambda g: tuple((lo, lo) for lo, _ in g.padding)
    ),
    "the padding is the same along all axes": _geometry(padding=lambda g: (g.padding[0],)),
    "there is one group": _grouped(1),
    "there is no bias": _geometry(bias=lambda g: "none"),
    "the bias is one number a map": _geometry(bias=lambda g: "tied"),
    "the bias is one number an output": _geometry(bias=lambda g: "untied"),
    "the kernel is odd": _geometry(kernel=lambda g: tuple(k + 1 - k % 2 for k in g.kernel)),
    "the kernel is even": _geometry(kernel=lambda g: tuple(k + k % 2 for k in g.kernel)),
    "the kernel is not as long along all axes": _geometry(kernel=lambda g: _oblong(g.kernel, g.kernel, 1)),
    "the kernel is as long along all axes": _geometry(kernel=lambda g: (max(g.kernel),)),
    "the sizes of x are the same along all axes": _geometry(size=lambda g: (max(g.size),) * g.rank),
    "the sizes of x differ from axis to axis": _geometry(size=lambda g: _unequal(g.size)),
}
"""In words, and what they change; what is plainer comes first."""

DETOURS: dict[str, Change] = {
    "the kernel has one tap": _geometry(kernel=lambda g: (1,)),
    "there is one output position": _geometry(size=_one_position),
    "there is one channel and one map": _geometry(groups=lambda g: 1, channels=lambda g: 1, maps=lambda g: 1),
    "there is one item": _geometry(batch=lambda g: 1),
    "the stride is 2": _geometry(stride=lambda g: (2,)),
    "the dilation is 2": _geometry(dilation=lambda g: (2,)),
    "the padding is 1": _geometry(padding=lambda g: (1,)),
    "there are two groups": _grouped(2),
}
"""After these little is left that could be wrong; or they take another way through an implementation."""
