"""An adapter at work: operands are handed over in its layout, results taken back, and the call is watched.

Whatever happens inside is caught here and given its name: the implementation raised (`Raised`), the problem is not
offered (`NotOffered`), or the adapter broke its contract (`AdapterBroken`).
"""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.deadline import Overdue, deadline
from conformance.adapter.networks import gradients_of, results_of
from conformance.adapter.protocol import Adapter, Capabilities, Unsupported
from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic
from conformance.problem import QUANTITIES, Geometry, dtype_of
from conformance.problem.memory import laid_out
from conformance.problem.network import NetworkProblem
from conformance.problem.operations import shape_of
from conformance.spec import Answer, NetworkAnswer, NetworkQuestion, NotOffered, Question, Raised, TimedOut

__all__ = ["TIME_LIMIT", "Session"]

Array = NDArray[Any]
_LAYOUT = {
    "x": "x",
    "w": "w",
    "y": "x",
    "delta": "x",
    "dx": "x",
    "dw": "w",
    "u": "x",
    "v": "w",
    "ddelta": "x",
    "dy": "x",
}


TIME_LIMIT = 60.0
"""Seconds a call may take: compilers need up to 30 for the first one of a shape."""

PATIENCE = 3
"""Calls without an answer after which an adapter is not asked any more."""


class Session:
    """One adapter under a name (``python-torch:autograd``), asked through `answer`.

    time_limit: seconds that one call may take.  inferred: the arithmetic class that probes saw, dtype by dtype, where the
    adapter declares none.  kinks: sigma'(0) of its activations that have a kink there, as far as it was seen.
    """

    def __init__(self, adapter: Adapter, name: str, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit, self._overdue = time_limit, 0
        self.adapter, self.name = adapter, name
        self.inferred: dict[str, Mapping[str, Arithmetic]] = {}
        self.kinks: dict[str, float] = {}
        self.capabilities = adapter.capabilities
        if not isinstance(self.capabilities, Capabilities):
            raise AdapterBroken(
                f"{name}: its capabilities are {_described(self.capabilities)}, not Capabilities"
            )

    # ---- what it claims ----
    def refusal(self, g: Geometry, dtype: str) -> str | None:
        """Why a geometry in a dtype (a code) is not offered; None if it is."""
        claimed = self.capabilities.refusal(g, dtype)
        if claimed:
            return claimed
        try:
            reason = self.adapter.unsupported(g, dtype_of(dtype).name)
        except Exception as error:
            raise AdapterBroken(
                f"{self.name}: unsupported() raises {type(error).__name__}: {error}"
            ) from error
        if reason is not None and not isinstance(reason, str):
            raise AdapterBroken(
                f"{self.name}: unsupported() must return a reason or None, it returned {reason!r}"
            )
        return reason

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries behind the adapter."""
        try:
            return {str(k): str(v) for k, v in self.adapter.versions().items()}
        except (Exception, SystemExit) as error:
            raise AdapterBroken(f"{self.name}: versions() raises {type(error).__name__}: {error}") from error

    def arithmetic(self, dtype: str) -> Mapping[str, Arithmetic]:
        """The class of each quantity in a dtype (a code): as declared, else as inferred, else the weakest."""
        declared = self.capabilities.arithmetic_of(dtype)
        return declared or self.inferred.get(dtype) or dict.fromkeys(QUANTITIES, Arithmetic())

    # ---- what it answers ----
    def answer(self, question: Question) -> Answer:
        """One call.

        Raises:
            Raised: the implementation raised.  NotOffered: it does not do this problem.  AdapterBroken: the adapter's
                results are not what the protocol asks for.
        """
        refusal = self.refusal(question.geometry, dtype_of(question.operands.x.dtype).code)
        if refusal:
            raise NotOffered(refusal)
        return self.put(question)

    def put(self, question: Question) -> Answer:
        """One call, made even if the adapter does not claim it.

        Raises:
            TimedOut: it took longer than the time limit, or too many calls before it did.
        """
        pristine = question.handed()
        handed = {name: self._hand_over(name, a, question.memory) for name, a in pristine.items()}
        before = {name: a.tobytes() for name, a in handed.items() if a is not None}
        if self._overdue >= PATIENCE:
            raise TimedOut(f"{self._late}; after {PATIENCE} such calls it is not asked any more")
        with (
            self._limited(),
            _watched(self.adapter),
        ):  # the conversion too: lazy frameworks compute, print and raise there
            arrays = {name: self._take_back(name, r) for name, r in self._call(question, handed).items()}
        return Answer(
            arrays={name: np.array(a) for name, a in arrays.items()},
            modified=tuple(
                name for name, a in handed.items() if a is not None and a.tobytes() != before[name]
            ),
            shared=tuple(name for name, a in arrays.items() if _overlaps(a, handed.values())),
        )

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        try:
            with deadline(self._time_limit):
                yield
        except Overdue:
            self._overdue += 1
            raise TimedOut(self._late) from None

    @property
    def _late(self) -> str:
        return f"the implementation did not answer within {self._time_limit:g} s"

    def _call(self, question: Question, handed: dict[str, Any]) -> dict[str, Any]:
        call, g = question.call, question.geometry
        results: Any = getattr(self.adapter, call.method)(g, **handed)
        names = [call.quantity(result) for result in call.gives]
        if len(names) == 1:
            results = (results,)
        if not isinstance(results, tuple | list) or len(results) != len(names):
            raise AdapterBroken(
                f"{self.name}: {call.method} must return ({', '.join(call.gives)}), None for what is not offered; "
                f"it returned {_described(results)}"
            )
        there = {q: r for q, r in zip(names, results, strict=True) if shape_of(g, q) is not None}
        return self._named(there, call.method)

    def _named(self, results: dict[str, Any], method: str) -> dict[str, Any]:
        """The results that are offered; each must be there."""
        offered = {name: r for name, r in results.items() if name in self.capabilities.offered}
        for name, result in offered.items():
            if result is None:
                raise AdapterBroken(
                    f"{self.name}: {method} returned None for {name}, which its capabilities declare"
                )
        return offered

    # ---- whole networks ----
    def network_refusal(self, problem: NetworkProblem) -> str | None:
        """Why a network is not offered; None if it is."""
        able = self.capabilities.network
        if able is None:
            return "network not offered"
        refusals = (self.refusal(layer.geometry, problem.dtype) for layer in problem.network.layers)
        return able.refusal(problem.network) or next(filter(None, refusals), None)

    def network(self, question: NetworkQuestion) -> NetworkAnswer:
        """One call for a whole network, or (with a rate) for one step of its training; raises as `put` does."""
        net, o = question.network, question.operands
        x, target = self._hand_over("x", o.x, "c"), self._hand_over("y", o.target, "c")
        params = [(self._hand_over("w", w, "c"), self._hand_over("b", b, "c")) for w, b in o.params]
        if self._overdue >= PATIENCE:
            raise TimedOut(f"{self._late}; after {PATIENCE} such calls it is not asked any more")
        with self._limited(), _watched(self.adapter):
            if question.rate is not None:
                moved = self.adapter.step(net, x, target, params, question.rate)
                return NetworkAnswer(
                    params=self._pairs(gradients_of(self.name, "params", net, moved), ("w", "b"))
                )
            cost, deltas, gradients = results_of(self.name, net, self.adapter.network(net, x, target, params))
            return NetworkAnswer(
                cost=_scalar(self._kept("cost", cost)),
                deltas=tuple(self._kept("delta", delta) for delta in deltas),
                gradients=self._pairs(gradients, ("dw", "db")),
            )

    def _kept(self, name: str, result: Any) -> Array:
        return np.array(self._take_back(name, result))

    def _pairs(self, pairs: Any, names: tuple[str, str]) -> tuple[tuple[Array, Array | None], ...]:
        of_w, of_b = names
        return tuple((self._kept(of_w, w), None if b is None else self._kept(of_b, b)) for w, b in pairs)

    # ---- layouts ----
    def _order(self, name: str, ndim: int) -> tuple[int, ...] | None:
        """For each axis of the adapter's array, the axis of ours; None where layouts do not apply."""
        name = name.rpartition(".")[2]  # a quantity of an operation: the name of the result
        if name not in _LAYOUT:
            return None
        mine, letters = {
            "x": (self.capabilities.x_layout, "NC"),
            "w": (self.capabilities.w_layout, "OI"),
        }[_LAYOUT[name]]
        spatial = tuple(range(2, ndim))
        order: list[int] = []
        for letter in mine:
            if letter in letters:
                order.append(letters.index(letter))
            elif not set(spatial) & set(order):
                order.extend(spatial)
        return tuple(order)

    def _hand_over(self, name: str, a: Array | None, memory: str) -> Array | None:
        """A copy of an operand in the adapter's layout and the problem's memory order."""
        if a is None:
            return None
        order = self._order(name, a.ndim)
        if memory == "broadcast":  # repeats along our first axis, wherever the adapter has it
            a = laid_out(a, memory)
            return a if order is None else a.transpose(order)
        return laid_out(a if order is None else a.transpose(order), memory)

    def _take_back(self, name: str, result: Any) -> Array:
        try:
            a = np.asarray(result)
        except (TypeError, ValueError) as error:
            if hasattr(result, "__array__"):
                raise
            raise AdapterBroken(f"{self.name}: {name} is {_described(result)}, not a numpy array") from error
        if a.dtype.kind not in "fiub" and a.dtype.name != "bfloat16":
            raise AdapterBroken(
                f"{self.name}: {name} is {_described(result)} of dtype {a.dtype}, not an array of numbers"
            )
        order = self._order(name, a.ndim)
        return a if order is None or len(order) != a.ndim else a.transpose(np.argsort(order))


@contextlib.contextmanager
def _watched(adapter: Adapter) -> Iterator[None]:
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
        raise Raised(type(error).__name__, _one_line(str(error)), _where(error.__traceback__)) from error


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


def _scalar(cost: Array) -> Array:
    """Without axes, if it is one number."""
    return cost.reshape(()) if cost.size == 1 else cost


def _where(trace: TracebackType | None) -> str:
    """file:line of the innermost frame."""
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _one_line(text: str, length: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list) else kind


def _overlaps(a: Array, operands: Any) -> bool:
    return any(o is not None and a.size and np.may_share_memory(a, o) for o in operands)
