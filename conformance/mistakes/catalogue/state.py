"""State: what one call leaves behind for the next, or does to its operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mistakes.mistake import Mistake, right
from conformance.problem import Geometry, Operands

__all__ = ["MISTAKES"]

FRESH = "make a new array, or fill it with zeros first"

Layer = Callable[[Geometry, Operands, str], Any]


def _accumulating(quantity: str) -> Layer:
    """Every gradient is added to those of earlier calls of the same shape."""
    held: dict[tuple[int, ...], Any] = {}

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        if q == quantity:
            key = (*result.shape, result.dtype.num)
            held[key] = result = result + held.get(key, np.zeros((), result.dtype))
        return result.astype(operands.x.dtype)

    return compute


def _writing_into(name: str, during: str) -> Layer:
    """The operand is overwritten."""

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        if q == during:
            array = getattr(operands, name)
            if array.flags.writeable:
                array[...] = 0
        return result

    return compute


def _of_the_call_before(quantity: str) -> Layer:
    """The result of the call before, if it had the same shape."""
    held: dict[tuple[int, ...], Any] = {}

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        if q != quantity:
            return result
        key = (*result.shape, result.dtype.num)
        before, held[key] = held.get(key, result), result
        return before

    return compute


def _unwritten(quantity: str) -> Layer:
    """The last element is whatever the memory held."""

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        if q != quantity or not result.size:
            return result
        fresh = np.empty_like(result)
        fresh.reshape(-1)[:-1] = result.reshape(-1)[:-1]
        return fresh

    return compute


def _in_place_of(quantity: str, operand: str) -> Layer:
    """The result is written over the operand and returned."""

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        array = getattr(operands, operand)
        if q == quantity and array.flags.writeable and array.shape == result.shape:
            array[...] = result
            return array
        return result

    return compute


def _stateful(
    name: str, sentence: str, hint: str, quantities: tuple[str, ...], fresh: Callable[[], Layer]
) -> Mistake:
    return Mistake(name=name, sentence=sentence, hint=hint, quantities=quantities, compute=right, fresh=fresh)


MISTAKES = (
    *(
        _stateful(f"{q}-accumulates", f"{q} is added to that of the call before", FRESH, (q,), lambda q=q: _accumulating(q))
        for q in ("dx", "dw", "db")
    ),
    *(
        _stateful(f"{q}-of-the-call-before", f"{q} is that of the call before: a stale buffer or cache",
                  "compute from the operands of this call", (q,), lambda q=q: _of_the_call_before(q))
        for q in ("y", "dx", "dw")
    ),
    *(
        _stateful(f"{q}-unwritten-remainder", f"the last element of {q} is never written", "np.empty holds what the memory held: use zeros, or write it all",
                  (q,), lambda q=q: _unwritten(q))
        for q in ("dx", "dw")
    ),
    _stateful("dx-overwrites-x", "x is overwritten during the backward pass", "work on a copy", ("dx",), lambda: _writing_into("x", "dx")),
    _stateful("y-overwrites-x", "x is overwritten during the forward pass", "work on a copy", ("y",), lambda: _writing_into("x", "y")),
    _stateful("dx-overwrites-delta", "delta is overwritten during the backward pass", "work on a copy", ("dx", "dw"),
              lambda: _writing_into("delta", "dx")),
    _stateful("dw-written-over-w", "dw is written over w and returned in its place", "return a new array", ("dw",),
              lambda: _in_place_of("dw", "w")),
    _stateful("dx-written-over-x", "dx is written over x and returned in its place", "return a new array", ("dx",),
              lambda: _in_place_of("dx", "x")),
)  # fmt: skip
