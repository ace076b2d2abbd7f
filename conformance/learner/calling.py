"""How a function is called: which parameter is given what.

A parameter has a *role*.  Names say which roles are likely (`words`); `callings` gives every way of dealing the roles out,
the likeliest first, and the caller tries them.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.learner.words import meanings
from conformance.problem import Geometry

__all__ = ["BACKWARD", "CONSTRUCTOR", "FORWARD", "Calling", "Options", "Values", "callings"]

FORWARD = (
    "x",
    "w",
    "b",
    "stride",
    "pad",
    "mode",
    "options",
    "kernel",
    "channels",
    "maps",
    "x_shape",
    "w_shape",
)
BACKWARD = (
    "delta",
    "x",
    "w",
    "b",
    "cache",
    "stride",
    "pad",
    "mode",
    "options",
    "lr",
    "y",
    "kernel",
    "x_shape",
    "w_shape",
)
CONSTRUCTOR = (
    "channels",
    "maps",
    "kernel",
    "stride",
    "pad",
    "mode",
    "x_shape",
    "w",
    "b",
    "lr",
    "options",
    "w_shape",
)
"""The roles that parameters may have, in the order in which they are dealt out to names that say nothing."""

TAKEN = "-"
"""Not a role: a parameter is left alone if the roles that it may have are taken."""

MOST = 120
"""Callings that are tried of one function."""


class Options(dict[str, Any]):
    """A dictionary of options that knows which of them were asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


@dataclass(frozen=True, kw_only=True)
class Values:
    """What one call is made with: operands in the learner's forms, numbers from the geometry."""

    g: Geometry
    arrays: Mapping[str, Any]
    cache: Any = None
    options: Options = field(default_factory=Options)


_VALUE: dict[str, Callable[[Values], Any]] = {
    "x": lambda v: v.arrays["x"],
    "w": lambda v: v.arrays["w"],
    "b": lambda v: v.arrays["b"],
    "delta": lambda v: v.arrays["delta"],
    "y": lambda v: v.arrays["y"],
    "stride": lambda v: v.g.stride[0],
    "strides": lambda v: v.g.stride,
    "pad": lambda v: v.g.padding[0][0],
    "pads": lambda v: tuple(lo for lo, _ in v.g.padding),
    "mode": lambda v: "same" if any(map(any, v.g.padding)) else "valid",
    "kernel": lambda v: v.g.kernel[0],
    "kernels": lambda v: v.g.kernel,
    "channels": lambda v: v.g.channels,
    "maps": lambda v: v.g.maps,
    "x_shape": lambda v: v.arrays["x"].shape,
    "item_shape": lambda v: v.arrays["x"].shape[1:],
    "size": lambda v: v.g.size[0],
    "w_shape": lambda v: v.arrays["w"].shape,
    "lr": lambda v: 1.0,
    "cache": lambda v: v.cache,
    "options": lambda v: v.options,
}
"""Role -> the value given."""

_SAME_PART = {
    "strides": "stride", "pads": "pad", "mode": "pad", "kernels": "kernel", "item_shape": "x_shape", "size": "x_shape",
}  # fmt: skip
_OTHER_KINDS = {"kernel": ("kernels",), "x_shape": ("item_shape", "size")}
"""Roles that are also tried where one is meant: what is one number to some is a pair to others."""


@dataclass(frozen=True, kw_only=True)
class Calling:
    """roles: parameter -> role; what is left out keeps its default.  guessed: a name that has to be given said nothing."""

    roles: Mapping[str, str]
    positional: tuple[str, ...] = ()
    guessed: bool = False

    def __call__(self, function: Callable[..., Any], values: Values) -> Any:
        """Call it."""
        made = {name: _VALUE[role](values) for name, role in self.roles.items()}
        first = [made.pop(name) for name in self.positional]
        return function(*first, **made)

    def has(self, *roles: str) -> bool:
        return any(_SAME_PART.get(r, r) in roles or r in roles for r in self.roles.values())

    @property
    def text(self) -> str:
        """The parameters, as they are written."""
        return f"({', '.join(self.roles)})"


def callings(function: Callable[..., Any], roles: Sequence[str], needed: Iterable[str]) -> Iterator[Calling]:
    """Every way of calling in which each of the `needed` roles is given, the likeliest first.

    A parameter of a name that says nothing is given any role if it has to be given, and is left alone if it has a default.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    choices = [_choices(p, roles) for p in named]
    first = tuple(p.name for p in named if p.kind is p.POSITIONAL_ONLY)
    guessed = any(p.default is p.empty and not _known(p.name, roles) for p in named)
    for dealt in itertools.islice(_dealt(choices, frozenset()), MOST):
        given = {p.name: role for p, role in zip(named, dealt, strict=True) if role}
        if {_part(r) for r in given.values()} >= set(needed):
            yield Calling(roles=given, positional=tuple(n for n in first if n in given), guessed=guessed)


def _part(role: str) -> str:
    return _SAME_PART.get(role, role)


def _known(name: str, roles: Sequence[str]) -> list[str]:
    return [role for role in meanings(name) if role in roles]


def _choices(p: inspect.Parameter, roles: Sequence[str]) -> list[str]:
    """The roles that a parameter may have; '' leaves it out, TAKEN does where there is no other way."""
    known, optional = _known(p.name, roles), p.default is not p.empty
    if isinstance(p.default, bool) or (optional and not known):
        return [""]
    if isinstance(p.default, str):
        return ["mode"] if "pad" in known and p.default in ("valid", "same") else [""]
    if isinstance(p.default, tuple):
        known = [{"stride": "strides", "pad": "pads", "kernel": "kernels"}.get(role, role) for role in known]
    wide = [kind for role in known for kind in (role, *_OTHER_KINDS.get(role, ()))]
    left_out = [] if not optional else [""] if p.default is None or len(known) > 1 else [TAKEN]
    return (wide or list(roles)) + left_out


def _dealt(choices: list[list[str]], used: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """One role each, no part of a layer twice; a parameter that may be left out is, where its roles are all taken."""
    if not choices:
        yield ()
        return
    free = [role for role in choices[0] if _part(role) not in used and role != TAKEN]
    for role in free or ([""] if TAKEN in choices[0] else []):
        for rest in _dealt(choices[1:], used | {_part(role)} if role else used):
            yield (role, *rest)
