"""An adapter at work in this process: handed copies of the operands, and watched.

Whatever happens inside is caught here and given its name.  A time limit interrupts what comes back to Python; a crash of
native code ends this process too: adapters of others have a process of their own (`remote`).
"""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.deadline import Overdue, deadline
from conformance.adapter.layouts import axis_of_items
from conformance.adapter.networks import gradients_of, results_of
from conformance.adapter.place import Call, Returned, Whole
from conformance.adapter.protocol import Adapter, Capabilities, Unsupported
from conformance.errors import AdapterBroken
from conformance.problem import Geometry
from conformance.problem.memory import laid_out
from conformance.problem.operations import CALLS
from conformance.spec import NotOffered, Raised, TimedOut

__all__ = ["PATIENCE", "Local", "described", "one_line"]

Array = NDArray[Any]

PATIENCE = 3
"""Calls without an answer after which an adapter is not asked any more: each of them is waited for to the end."""
SMALL = 4096
"""Bytes below which copies are cheaper to compare than views."""
BLOCKS = 24
"""Spoiled blocks of a size: allocators hand freed blocks out again, and the call's own copies of operands take some."""


class Local:
    """The place of an adapter object; name: for messages; time_limit: seconds that one call may take."""

    def __init__(self, adapter: Adapter, name: str, *, time_limit: float) -> None:
        self.adapter, self._name, self._time_limit, self._overdue = adapter, name, time_limit, 0
        self.capabilities: Capabilities = adapter.capabilities
        self.route = adapter.route
        self.deaths = 0  # it would be our own

    @property
    def folder(self) -> Path | None:
        try:
            return Path(inspect.getfile(type(self.adapter))).parent
        except (TypeError, OSError):  # made in a session of the interpreter
            return None

    def versions(self) -> Mapping[str, Any]:
        return self.adapter.versions()

    def unsupported(self, g: Geometry, dtype: str) -> Any:
        return self.adapter.unsupported(g, dtype)

    def anew(self) -> None:
        self._overdue = 0

    def grant(self, deaths: int) -> bool:
        return False

    def close(self) -> None:
        """Nothing to end."""

    def call(self, call: Call) -> Returned:
        handed = {name: self._handed(name, a, call.memory) for name, a in call.operands.items()}
        spoil(call)
        with self._watched():
            takes = f"({', '.join(('g', *handed))}), by these names"
            results = self._results(call.method, self._asked(call.method, takes, call.geometry, **handed))
        there = {name: a for name, a in handed.items() if a is not None}
        gives = zip(CALLS[call.method].gives, results, strict=True)
        return Returned(
            results=tuple(None if a is None else np.array(a) for a in results),
            modified=tuple(name for name, a in there.items() if not _same(a, call.operands[name])),
            aliased=tuple(name for name, a in gives if a is not None and _overlaps(a, there.values())),
        )

    def network(self, whole: Whole) -> Any:
        net, x, target = whole.network, whole.x.copy(), whole.target.copy()
        params = [(w.copy(), None if b is None else b.copy()) for w, b in whole.params]
        with self._watched():
            if whole.rate is not None:
                moved = self._asked(
                    "step", "(net, x, target, params, rate)", net, x, target, params, whole.rate
                )
                return self._pairs(gradients_of(self._name, "params", net, moved), ("w", "b"))
            returned = self._asked("network", "(net, x, target, params)", net, x, target, params)
            cost, deltas, gradients = results_of(self._name, net, returned)
            return (
                np.array(self._array("cost", cost)),
                [np.array(self._array("delta", delta)) for delta in deltas],
                self._pairs(gradients, ("dw", "db")),
            )

    # ---- there and back ----
    def _handed(self, name: str, a: Array | None, memory: str) -> Array | None:
        if a is None:
            return None
        return laid_out(a, memory, axis=axis_of_items(self.capabilities, name, a.ndim))

    def _asked(self, name: str, takes: str, /, *by_place: Any, **by_name: Any) -> Any:
        """What a method of the adapter returns; if it cannot be called so, that is the adapter's fault."""
        method = getattr(self.adapter, name)
        try:
            return method(*by_place, **by_name)
        except TypeError as error:
            taken = _misfit(method, *by_place, **by_name)
            if taken is None:
                raise
            raise AdapterBroken(f"{self._name}: {name} must take {takes}; it takes ({taken})") from error

    def _results(self, method: str, results: Any) -> tuple[Array | None, ...]:
        """As arrays, inside the watch: lazy frameworks compute, print and raise there."""
        gives = CALLS[method].gives
        results = (results,) if len(gives) == 1 else results
        if not isinstance(results, tuple | list) or len(results) != len(gives):
            raise AdapterBroken(
                f"{self._name}: {method} must return ({', '.join(gives)}), None for what is not offered; "
                f"it returned {described(results)}"
            )
        named = zip(gives, results, strict=True)
        return tuple(None if r is None else self._array(name, r) for name, r in named)

    def _pairs(self, pairs: Any, names: tuple[str, str]) -> list[tuple[Array, Array | None]]:
        of_w, of_b = names
        return [
            (np.array(self._array(of_w, w)), None if b is None else np.array(self._array(of_b, b)))
            for w, b in pairs
        ]

    def _array(self, name: str, result: Any) -> Array:
        try:
            a = np.asarray(result)
        except (TypeError, ValueError) as error:
            if hasattr(result, "__array__"):
                raise
            raise AdapterBroken(f"{self._name}: {name} is {described(result)}, not a numpy array") from error
        if a.dtype.kind not in "fiub" and a.dtype.name != "bfloat16":
            raise AdapterBroken(
                f"{self._name}: {name} is {described(result)} of dtype {a.dtype}, not an array of numbers"
            )
        return a

    # ---- the watch ----
    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """In time, and exceptions with their names."""
        late = f"the implementation did not answer within {self._time_limit:g} s"
        if self._overdue >= PATIENCE:
            raise TimedOut(f"{late}; after {PATIENCE} such calls it is not asked any more")
        try:
            with deadline(self._time_limit), _named(self.adapter):
                yield
        except Overdue:
            self._overdue += 1
            raise TimedOut(late) from None


def _misfit(method: Any, *by_place: Any, **by_name: Any) -> str | None:
    """What a method takes, if it cannot be called so; else None."""
    try:
        signature = inspect.signature(method, follow_wrapped=False)
    except (TypeError, ValueError):  # of native code
        return None
    try:
        signature.bind(*by_place, **by_name)
    except TypeError:
        bare = (p.replace(annotation=p.empty) for p in signature.parameters.values())
        return ", ".join(map(str, bare))
    return None


def spoil(call: Call) -> None:
    """Leave NaN in memory that the next allocations of these sizes are likely to get."""
    dtypes = {a.dtype for a in call.operands.values() if a is not None} | {np.dtype(np.float64)}
    for size in call.spoil:
        spoiled = [np.full(size, math.nan, dtype) for dtype in dtypes for _ in range(BLOCKS)]
        spoiled.clear()


@contextlib.contextmanager
def _named(adapter: Adapter) -> Iterator[None]:
    """Give exceptions their names; keep prints off our standard output and warnings to the implementation."""
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except AdapterBroken:
        raise
    except Unsupported as reason:
        raise NotOffered(str(reason)) from None
    except (Exception, SystemExit) as error:
        fault = _adapters_fault(adapter, error)
        if fault:
            raise AdapterBroken(fault) from error
        raise Raised(type(error).__name__, one_line(str(error)), _where(error.__traceback__)) from error


def _adapters_fault(adapter: Adapter, error: BaseException) -> str | None:
    """Errors that only the wiring can cause: a missing method, an attribute that a Geometry does not have, an import."""
    name = type(adapter).__name__
    if isinstance(error, AttributeError) and isinstance(getattr(error, "obj", None), Geometry):
        return f"{name} asks a Geometry for {error.name!r}, which it does not have ({_where(error.__traceback__)})"
    if isinstance(error, NotImplementedError) and str(error).startswith(f"{name} has no "):
        return f"{error}, though its capabilities declare its quantities"
    if isinstance(error, ImportError):
        return f"{name}: an import fails: {error} ({_where(error.__traceback__)})"
    return None


def _where(trace: TracebackType | None) -> str:
    """file:line of the innermost frame."""
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def one_line(text: str, length: int = 300) -> str:
    """A text on one line, cut to a length."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def described(value: Any) -> str:
    """The kind of a value, for messages."""
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list) else kind


def _same(a: Array, b: Any) -> bool:
    """Bit for bit?"""
    if a.nbytes < SMALL:
        return bool(a.tobytes() == b.tobytes())
    bits = f"u{a.itemsize}"
    return bool(np.array_equal(np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)))


def _overlaps(a: Array, operands: Iterable[Array]) -> bool:
    return any(a.size and np.may_share_memory(a, o) for o in operands)
