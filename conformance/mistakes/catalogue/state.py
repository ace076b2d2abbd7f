"""State: what one call leaves behind for the next, does to its operands, or leaves to chance."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from conformance.mistakes.mistake import Compute, Mistake, right
from conformance.problem import Geometry, Operands
from conformance.problem.dtypes import CODES

__all__ = ["MISTAKES"]

Change = Callable[[Any, Geometry, Operands], Any]
"""(right result, g, operands) -> what is returned in its place."""


def _each(
    quantities: str,
    name: str,
    sentence: str,
    *,
    hint: str,
    makes: Callable[[], Change],
    also: tuple[str, ...] = (),
    dtypes: tuple[str, ...] = CODES,
) -> Iterator[Mistake]:
    """The same mistake in each of several quantities; `makes` gives the change for one adapter, which may keep state.

    also: what is spoilt besides: quantities that the same call computes afterwards.
    """
    for q in quantities.split():
        yield Mistake(
            name=f"{q}-{name}",
            sentence=sentence.replace("{q}", q),
            hint=hint,
            quantities=(q, *also),
            dtypes=dtypes,
            compute=right,
            fresh=functools.partial(_changing, q, makes),
        )


def _changing(quantity: str, makes: Callable[[], Change]) -> Compute:
    change = makes()

    def compute(g: Geometry, operands: Operands, q: str) -> Any:
        result = right(g, operands, q)
        return change(result, g, operands) if q == quantity else result

    return compute


# ---- from call to call ----
def _accumulating() -> Change:
    """Added to the results of earlier calls of the same shape."""
    held: dict[Any, Any] = {}

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        key = (result.shape, result.dtype)
        held[key] = (result + held[key]).astype(result.dtype) if key in held else result
        return held[key].copy()

    return change


def _one_call_late() -> Change:
    """The result of the call before, if it had the same shape."""
    held: dict[Any, Any] = {}

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        key = (result.shape, result.dtype)
        before, held[key] = held.get(key, result), result
        return before

    return change


def _dropping_out() -> Change:
    """A random half of the values is zero, the others are doubled."""
    chance = np.random.default_rng(0)
    return lambda result, g, operands: (result * (2 * chance.integers(0, 2, result.shape))).astype(
        result.dtype
    )


def _in_changing_order() -> Change:
    """dw is summed over the batch forwards in one call, backwards in the next."""
    turn = 1

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        nonlocal turn
        turn = -turn
        parts = [right(g, _alone(operands, n), "dw") for n in range(g.batch)]
        return functools.reduce(operator.add, parts[::turn]) if parts else result

    return change


def _alone(operands: Operands, n: int) -> Operands:
    """Item n, delta of all others zero."""
    delta = np.zeros_like(operands.delta)
    delta[n] = operands.delta[n]
    return operands.replace(delta=delta)


# ---- memory ----
def _unwritten() -> Change:
    """The last element is what the memory held: here a number that differs from call to call."""
    held = np.random.default_rng(0)

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        if result.size:
            result.flat[-1] = held.integers(-99, 100)
        return result

    return change


def _clearing(name: str) -> Change:
    """The operand is overwritten with zeros."""

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        array = getattr(operands, name)
        if array.flags.writeable:
            array[...] = 0
        return result

    return change


def _written_over(name: str) -> Change:
    """The operand is overwritten with the result, and returned."""

    def change(result: Any, g: Geometry, operands: Operands) -> Any:
        array = getattr(operands, name)
        if not array.flags.writeable:
            return result
        array[...] = result
        return array

    return change


def _a_view(result: Any, g: Geometry, operands: Operands) -> Any:
    """Where nothing has to be summed, delta itself."""
    return operands.delta[0] if g.bias == "untied" and g.batch == 1 else result


CALLS = (
    *_each(
        "dx dw db",
        "accumulates",
        "{q} is added to that of the call before",
        hint="set gradients to zero before each backward pass",
        makes=_accumulating,
    ),
    *_each(
        "y dx dw",
        "of-the-call-before",
        "{q} is that of the call before: a stale buffer or cache",
        hint="compute from the operands of this call",
        makes=_one_call_late,
    ),
    *_each(
        "y dx",
        "dropout-left-on",
        "a random half of {q} is zero, and another one in every call: dropout",
        hint="dropout is a layer of its own, and off when gradients are checked",
        makes=_dropping_out,
    ),
    *_each(
        "dw",
        "in-changing-order",
        "dw is summed in another order from call to call, so that its last bits change",
        hint="add in a fixed order: atomic additions come as they like",
        makes=_in_changing_order,
        dtypes=("f64", "f32"),
    ),
)

MEMORY = (
    *_each(
        "y dx dw",
        "unwritten-remainder",
        "the last element of {q} is never written",
        hint="np.empty holds what the memory held: use np.zeros, or write all of it",
        makes=_unwritten,
    ),
    *_each(
        "y",
        "overwrites-x",
        "x is overwritten during the forward pass",
        hint="work on a copy of x",
        makes=lambda: _clearing("x"),
    ),
    *_each(
        "dx",
        "overwrites-x",
        "x is overwritten while dx is computed, and dw reads it afterwards",
        hint="work on a copy of x",
        makes=lambda: _clearing("x"),
        also=("dw",),
    ),
    *_each(
        "dx",
        "overwrites-delta",
        "delta is overwritten while dx is computed, and dw reads it afterwards",
        hint="work on a copy of delta",
        makes=lambda: _clearing("delta"),
        also=("dw",),
    ),
    *_each(
        "dx",
        "written-over-x",
        "dx is written over x, and dw reads it afterwards",
        hint="return a new array",
        makes=lambda: _written_over("x"),
        also=("dw",),
    ),
    *_each(
        "dw",
        "written-over-w",
        "dw is written over w and returned in its place",
        hint="return a new array",
        makes=lambda: _written_over("w"),
    ),
    *_each(
        "db",
        "view-of-delta",
        "where db has nothing to sum it is delta itself, not a copy",
        hint="return a copy: who changes db would change delta",
        makes=lambda: _a_view,
    ),
)

MISTAKES = (*CALLS, *MEMORY)
