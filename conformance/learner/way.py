"""Two ways to compute a layer: plain functions, and a class with the kernel in an attribute.

Both answer with *parts*: what came back, taken apart, each with the name that it has, if it has one.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from conformance.learner.calling import Calling, Values
from conformance.learner.words import quantity_of, role_of

__all__ = ["Function", "Functions", "Layer", "Parts", "Slot", "Way", "array", "slots"]

Parts = list[tuple[str, Any]]
Slot = tuple[str, ...]
"""Where an object keeps an array: an attribute, or an attribute and a key in it."""


class Way(Protocol):
    """How y and the gradients are come by."""

    @property
    def name(self) -> str: ...
    @property
    def guessed(self) -> bool: ...
    def has(self, *roles: str) -> bool: ...
    def forward(self, values: Values) -> Parts: ...
    def backward(self, values: Values) -> Parts: ...


def parts(result: Any) -> Parts:
    """What a call returned, taken apart."""
    if result is None:
        return []
    if isinstance(result, Mapping):
        return [(str(key), value) for key, value in result.items()]
    arrays = isinstance(result, list) and any(
        isinstance(r, np.ndarray) for r in result
    )  # else it is an array in lists
    return [("", value) for value in (result if arrays or isinstance(result, tuple) else [result])]


def array(value: Any) -> np.ndarray[Any, Any] | None:
    """A part as an array of numbers; None if it is none."""
    try:
        a = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return a if a.dtype.kind in "fiub" else None


def _after(values: Values, came: Parts, y: int) -> Values:
    """The values of a backward pass: y and what else the forward pass returned."""
    others = [value for k, (_, value) in enumerate(came) if k != y]
    cache = others[0] if len(others) == 1 else tuple(others)
    return replace(values, arrays={**values.arrays, "y": came[y][1] if came else None}, cache=cache)


# ---- plain functions ----
@dataclass(frozen=True, kw_only=True)
class Function:
    """A function and how it is called."""

    name: str
    function: Callable[..., Any]
    calling: Calling

    def __call__(self, values: Values) -> Parts:
        return parts(self.calling(self.function, values))

    @property
    def text(self) -> str:
        return self.name + self.calling.text


@dataclass(frozen=True, kw_only=True)
class Functions:
    """y: which part of what `ahead` returns is y.  backs: one function for all gradients, or several."""

    ahead: Function
    y: int = 0
    backs: tuple[Function, ...] = ()

    @property
    def name(self) -> str:
        texts = [self.ahead.text, *(f.text for f in self.backs)]
        return ", ".join(texts[:-1]) + " and " + texts[-1] if self.backs else texts[0]

    @property
    def guessed(self) -> bool:
        return self.ahead.calling.guessed

    def has(self, *roles: str) -> bool:
        return self.ahead.calling.has(*roles)

    def forward(self, values: Values) -> Parts:
        return self.ahead(values)

    def backward(self, values: Values) -> Parts:
        after = _after(values, self.forward(values), self.y)
        return [part for f in self.backs for part in f(after)]


# ---- a class ----
@dataclass(frozen=True, kw_only=True)
class Layer:
    """w, b: where it keeps them (None: it is given them, or has none).  made: the object of the geometry asked for last.

    updates: backward moves them by the gradients times the learning rate, in place of keeping the gradients.
    """

    cls: type
    maker: Calling
    ahead: tuple[str, Calling]
    back: tuple[str, Calling] | None = None
    w: Slot | None = None
    b: Slot | None = None
    updates: bool = False
    y: int = 0
    made: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        calls = [self.cls.__name__ + self.maker.text, "." + self.ahead[0] + self.ahead[1].text]
        calls += ["." + self.back[0] + self.back[1].text] if self.back else []
        return ", ".join(calls)

    @property
    def guessed(self) -> bool:
        return self.maker.guessed or self.ahead[1].guessed

    def has(self, *roles: str) -> bool:
        return self.maker.has(*roles) or self.ahead[1].has(*roles)

    def instance(self, values: Values) -> Any:
        """The layer of a geometry; the same one from call to call, as in training."""
        if any(self.maker.has(role) and slot is None for role, slot in (("w", self.w), ("b", self.b))):
            return self.maker(self.cls, values)
        if values.g not in self.made:
            self.made.clear()
            self.made[values.g] = self.maker(self.cls, values)
        return self.made[values.g]

    def forward(self, values: Values) -> Parts:
        return self._ahead(self.instance(values), values)

    def _ahead(self, layer: Any, values: Values) -> Parts:
        for slot, operand in ((self.w, "w"), (self.b, "b")):
            if slot:
                value = values.arrays[operand]
                put(layer, slot, np.array(value) if self.updates else value)
        return parts(self.ahead[1](getattr(layer, self.ahead[0]), values))

    def backward(self, values: Values) -> Parts:
        came = self._back(layer := self.instance(values), values)
        if not self.updates:
            return came + list(_kept(layer))
        return came + self._moved(layer, values)

    def _back(self, layer: Any, values: Values, *, still: bool = False) -> Parts:
        after = _after(values, self._ahead(layer, values), self.y)
        if self.back is None:
            return []
        for slot in filter(None, (self.w, self.b)) if still else ():
            put(layer, slot, np.zeros_like(got(layer, slot)))
        reset = getattr(layer, "zero_grad", None)
        if callable(reset):
            reset()
        return parts(self.back[1](getattr(layer, self.back[0]), after))

    def _moved(self, layer: Any, values: Values) -> Parts:
        """The gradients, from what a step of learning rate 1 takes off zeros: no sum rounds for it."""
        self._back(layer, values, still=True)
        found = [(name, slot) for name, slot in (("dw", self.w), ("db", self.b)) if slot]
        return [(name, 0.0 - np.asarray(got(layer, slot))) for name, slot in found]


def got(owner: Any, slot: Slot) -> Any:
    value = getattr(owner, slot[0], None)
    return value.get(slot[1]) if len(slot) > 1 and isinstance(value, Mapping) else value


def put(owner: Any, slot: Slot, value: Any) -> None:
    if len(slot) == 1:
        setattr(owner, slot[0], value)
    else:
        getattr(owner, slot[0])[slot[1]] = value


def _members(owner: Any) -> Iterator[tuple[Slot, Any]]:
    """All that an object keeps, and what is in its dictionaries."""
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        yield (name,), value
        if isinstance(value, dict):
            yield from (((name, key), inner) for key, inner in value.items() if isinstance(key, str))


def _kept(layer: Any) -> Iterator[tuple[str, Any]]:
    """The gradients among the attributes."""
    for slot, value in _members(layer):
        inside = len(slot) > 1 and quantity_of(f"d{slot[0]}") is None and "grad" in slot[0].lower()
        quantity = quantity_of(slot[-1]) or (
            f"d{role_of(slot[-1])}" if inside and role_of(slot[-1]) else None
        )
        if quantity and array(value) is not None:
            yield quantity, value


def slots(layer: Any, role: str) -> Iterator[tuple[Slot, Any]]:
    """Where an object keeps w or b, or has room for it."""
    for slot, value in _members(layer):
        room = value is None or isinstance(value, np.ndarray)
        number = role == "b" and isinstance(value, int | float) and not isinstance(value, bool)
        if role_of(slot[-1]) == role and (room or number) and "grad" not in slot[0].lower():
            yield slot, value


def methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(name, function without its first parameter) of a class, inherited ones too."""
    for name, function in inspect.getmembers(cls, callable):
        with contextlib.suppress(TypeError, ValueError):
            if not name.startswith("__") or name == "__call__":
                first, *_ = inspect.signature(function).parameters
                yield name, _without(function, first)


def _without(function: Callable[..., Any], first: str) -> Callable[..., Any]:
    """A stand-in whose signature is the method's as it is called."""

    def bound() -> None: ...

    signature = inspect.signature(function)
    left = [p for name, p in signature.parameters.items() if name != first]
    bound.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    return bound
