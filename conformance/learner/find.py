"""What in a file may be a convolution layer: pairs of functions, and classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from conformance.learner.load import own
from conformance.learner.way import methods
from conformance.learner.words import is_backward, is_convolution, is_forward, is_other, stem

__all__ = ["Class", "Plain", "Subject", "subjects"]

Named = tuple[str, Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A function that may be a forward pass, and those that may compute its gradients, the likeliest first."""

    name: str
    function: Callable[..., Any]
    backs: tuple[Named, ...]
    likely: bool

    @property
    def whole(self) -> bool:
        """Is there a backward pass of its own name?"""
        return any(is_backward(name) and stem(name) == stem(self.name) for name, _ in self.backs)


@dataclass(frozen=True, kw_only=True)
class Class:
    """A class with a method that may be a forward pass, and those that may be the backward pass."""

    name: str
    cls: type
    aheads: tuple[Named, ...]
    backs: tuple[Named, ...]
    likely: bool

    @property
    def whole(self) -> bool:
        return bool(self.backs)


Subject = Plain | Class


def subjects(module: ModuleType) -> list[Subject]:
    """All of them, the likeliest first: named like a convolution, with a backward pass, in the order of the file."""
    there = [(name, value) for name, value in own(module) if not name.startswith("__")]
    plain = [(name, value) for name, value in there if not inspect.isclass(value) and not is_other(name)]
    found: list[Subject] = list(_plain(plain))
    found += [
        c
        for name, value in there
        if inspect.isclass(value) and not is_other(name)
        for c in _class(name, value)
    ]
    return sorted(found, key=lambda s: (not s.likely, not s.whole, -_weight(s.name)))


def _weight(name: str) -> int:
    return is_convolution(name) + 2 * is_forward(name)


def _plain(functions: list[Named]) -> Iterator[Plain]:
    backs = [f for f in functions if is_backward(f[0])]
    others = [f for f in functions if not is_backward(f[0])]
    for name, function in others:
        mine = sorted(backs, key=lambda f: (len(stem(f[0]) ^ stem(name)), not is_convolution(f[0])))
        unnamed = [f for f in others if f[0] != name and not (is_convolution(f[0]) or is_forward(f[0]))]
        likely = is_convolution(name) or is_forward(name)
        yield Plain(name=name, function=function, backs=tuple(mine or unnamed), likely=likely)


def _class(name: str, cls: type) -> Iterator[Class]:
    there = list(methods(cls))
    backs = tuple(m for m in there if is_backward(m[0]))
    aheads = tuple(m for m in there if (is_forward(m[0]) or is_convolution(m[0])) and not is_backward(m[0]))
    if aheads:
        order = sorted(aheads, key=lambda m: not is_forward(m[0]))
        yield Class(name=name, cls=cls, aheads=tuple(order), backs=backs, likely=is_convolution(name))
