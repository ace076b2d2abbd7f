"""Does a program speak the wire protocol?  A conversation with it, message by message, in words for its author.

Whether its results are right is not asked: that is for the clauses, and whether they are wired rightly for `doctor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.doctor import Remark
from conformance.adapter.doctor_network import plain_network
from conformance.adapter.layouts import to_adapter
from conformance.adapter.process import Command
from conformance.adapter.protocol import Capabilities
from conformance.adapter.remote import MEMORY, START
from conformance.adapter.wire import (
    PROTOCOL,
    as_geometry,
    as_network,
    capabilities_of,
    misnamed,
    network_names,
    request_of,
)
from conformance.adapter.worker import Dead, Late, Worker
from conformance.errors import ConformanceError
from conformance.problem import DTYPES, Geometry, Problem
from conformance.problem.network import NetworkProblem
from conformance.problem.operations import CALLS, shape_of

__all__ = ["conversed"]

Array = NDArray[Any]
SECONDS = 30.0
"""For each answer but that to hello."""
MANY = 2**15
"""Channels of the problem whose operands, and dx, are large enough for shared memory."""
RATE = 0.25
"""Of a step of descent."""
UNKNOWN = b'{"op":"brew_tea"'


def conversed(command: Command, route: str = "") -> Iterator[Remark]:
    """What was said to the program and how it answered; a fault is the last remark."""
    heard: list[bytes] = []
    talk = _Talk(Worker(command, memory=MEMORY, heard=heard.append), route)
    try:
        yield from talk.remarks()
        lines = b"".join(heard).decode("utf-8", "replace").splitlines()
        if words := [line for line in lines if line.strip()]:
            text = f"what it writes there harms nothing; lines: {len(words)}, the first is {words[0][:80]!r}"
            yield Remark(check="standard error", ok=True, text=text)
    except Dead as dead:
        said = f"; its standard error ends with {dead.said!r}" if dead.said else ""
        yield Remark(check=talk.at, ok=False, text=f"the process ended: {dead.how}{said}")
    except Late as late:
        said = f"; there were {late.said}" if late.said else ""
        yield Remark(check=talk.at, ok=False, text=f"no answer came in time{said}")
    except (ConformanceError, _Fault) as fault:
        yield Remark(check=talk.at, ok=False, text=str(fault))
    finally:
        talk.worker.kill()


class _Fault(Exception):  # noqa: N818  (a record of what was seen)
    """An answer that the protocol has, but not here."""


class _Talk:
    """The conversation; at: what is being said."""

    def __init__(self, worker: Worker, route: str) -> None:
        self.worker, self._route, self.at = worker, route, "start"
        self._able = Capabilities()
        self._hello: dict[str, Any] = {}

    def remarks(self) -> Iterator[Remark]:
        for at, say in self._said():
            self.at = at
            yield Remark(check=self.at, ok=True, text=say())

    def _said(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """What is said in turn: hello tells what there is to ask for."""
        yield "hello", self._says_hello
        yield "unsupported", self._rules
        for method, call in CALLS.items():
            if call.operation in ("", *self._able.operations):
                yield method, lambda method=method: self._computes(method, self._problem().geometry)  # type: ignore[misc]
        for op in ("network", "step"):
            if self._able.network and op in self._able.network.methods:
                yield op, lambda op=op: self._whole(op)  # type: ignore[misc]
        yield "large tensors", self._large
        yield "mismatched shapes", self._mismatched
        yield "an unknown op", self._unknown
        yield "bye", self._bye
        yield "end of input", self._end

    # ---- what is said ----
    def _says_hello(self) -> str:
        hello = {"op": "hello", "protocol": PROTOCOL, "route": self._route, "shared": self.worker.shared}
        self._hello, _ = self._ask(request_of(hello), None, ("hello",), START)
        self._able = capabilities_of(self._hello["capabilities"])
        if self._hello["shared"]:
            self.worker.share()
        ways = ", ".join(self._hello["routes"]) or "none"
        return (
            f"{self._hello['name']}, {self._hello['language']}; routes: {ways}; its capabilities make sense"
        )

    def _rules(self) -> str:
        g, dtype = self._problem().geometry, self._problem().format.name
        request = request_of({"op": "unsupported", "geometry": as_geometry(g), "dtype": dtype})
        if not self._hello["conditional"]:
            return "not asked: hello says that there are no conditional rules"
        answer, _ = self._ask(request, None, ("reason",))
        return f"of a plain problem it says {answer['reason']!r}"

    def _computes(self, method: str, g: Geometry) -> str:
        """One call of a layer's method."""
        call = CALLS[method]
        shapes = {n: shape_of(g, call.quantity(n)) for n in call.gives}
        due = {n: self._laid_out(n, shape) for n, shape in shapes.items() if shape is not None}
        offered = {n for n in due if call.quantity(n) in self._able.offered}
        dtype = self._problem().format.name
        return self._answered(
            method, self._request(method, g), self._operands(method, g), due, offered, dtype
        )

    def _whole(self, op: str) -> str:
        """One call of a whole network."""
        problem = plain_network(self._able, self._refusal)
        if problem is None:
            return "not asked: none of the doctor's plain networks is claimed"
        net, step, dtype = problem.network, op == "step", problem.format.name
        deltas, pairs = network_names(net, step=step)
        due: dict[str, tuple[int, ...]] = {} if step else {"cost": ()}
        for k, layer in enumerate(net.layers):
            g, (w, b) = layer.geometry, pairs[k]
            due |= {name: self._laid_out("delta", g.y_shape) for name in deltas[k : k + 1]}
            due |= {w: self._laid_out("w", g.w_shape)} | ({b: g.b_shape} if b and g.b_shape else {})
        fields = {"op": op, "network": as_network(net), "dtype": dtype, "rate": RATE if step else None}
        like = {"x": "x", "target": "y", "w": "w", "b": "b"}
        named = problem.operands.arrays()
        operands = {n: to_adapter(self._able, like[n.rstrip("0123456789")], a) for n, a in named.items()}
        return self._answered(op, request_of(fields), operands, due, set(due), dtype)

    def _refusal(self, problem: NetworkProblem) -> str | None:
        able, layers = self._able.network, problem.network.layers
        refusals = (self._able.refusal(layer.geometry, problem.dtype) for layer in layers)
        return (able.refusal(problem.network) if able else None) or next(filter(None, refusals), None)

    def _answered(
        self,
        op: str,
        request: bytes,
        operands: Mapping[str, Array],
        due: Mapping[str, tuple[int, ...]],
        offered: set[str],
        dtype: str,
    ) -> str:
        """One call; the tensors that come back have the right names.

        due: names and shapes; offered: names that have to be there.
        """
        answer, tensors = self._ask(request, operands, ("tensors", "unsupported", "error"))
        if answer["answer"] == "error" and answer["fault"] == "adapter":
            raise _Fault(f"it answers that it is at fault itself: {answer['type']}: {answer['text']}")
        if answer["answer"] != "tensors":
            return f"it answers {answer['answer']!r}: {answer.get('reason') or answer.get('text')}"
        gives = CALLS[op].gives if op in CALLS else due
        if strange := set(tensors) - set(gives):
            raise _Fault(
                f"its answer has {', '.join(map(ascii, sorted(strange)))}; {op} gives {', '.join(gives)}"
            )
        if told := misnamed(op, answer) if op in CALLS else "":
            raise _Fault(told)
        if missing := offered - set(tensors):
            raise _Fault(f"its answer lacks {', '.join(sorted(missing))}, which its capabilities declare")
        shown = [f"{name} {_shown(a.dtype, a.shape)}" for name, a in tensors.items()]
        others = [
            f"{name} should be {_shown(dtype, shape)}"
            for name, shape in due.items()
            if name in tensors and (tensors[name].dtype.name, tensors[name].shape) != (dtype, shape)
        ]
        judged = f"; {', '.join(others)}: that is for the clauses to judge" if others else ""
        return f"it answers with {', '.join(shown)}, in {answer['where']}{judged}"

    def _laid_out(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape in the adapter's axis order."""
        return to_adapter(self._able, name, np.empty(shape, np.int8)).shape

    def _large(self) -> str:
        g = self._geometry(channels=MANY)
        if self._able.refusal(g, self._problem().dtype):
            return "not asked: the problem is not claimed"
        return self._computes("backward" if "dx" in self._able.quantities else "forward", g)

    def _mismatched(self) -> str:
        """It has to refuse, and to live on."""
        g = self._problem().geometry
        operands = self._operands("forward", g)
        operands["x"] = np.zeros(
            (*operands["x"].shape[:-1], operands["x"].shape[-1] + 3), operands["x"].dtype
        )
        kinds = ("error", "unsupported", "tensors")
        answer, _ = self._ask(self._request("forward", g), operands, kinds)
        if answer["answer"] == "tensors":
            return "x of another size than the geometry's is accepted: that is for clause HYG-6 to judge"
        return (
            f"x of another size than the geometry's is refused: {answer.get('text') or answer.get('reason')}"
        )

    def _unknown(self) -> str:
        answer, _ = self._ask(UNKNOWN, None, ("unsupported",))
        return f"it answers 'unsupported': {answer['reason']}"

    def _bye(self) -> str:
        self._ask(request_of({"op": "bye"}), None, ("bye",))
        return self._ended(self.worker.left(), "bye")

    def _end(self) -> str:
        self._says_hello()
        return self._ended(self.worker.left(), "the end of its input")

    def _ended(self, status: int | None, what: str) -> str:
        if status is None:
            raise _Fault(f"it lives on after {what}")
        if status:
            raise _Fault(f"it ends with status {status} after {what}")
        return f"it ends with status 0 after {what}"

    # ---- how it is said ----
    def _ask(
        self,
        request: bytes,
        tensors: Mapping[str, Array] | None,
        expected: tuple[str, ...],
        seconds: float = SECONDS,
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        answer, found = self.worker.ask(request, tensors, seconds)
        if answer["answer"] in expected:
            return answer, found
        told = answer.get("text") or answer.get("reason") or ""
        raise _Fault(
            f"it answers {answer['answer']!r} where {' or '.join(map(repr, expected))} was due: {told}"
        )

    def _geometry(self, **changes: Any) -> Geometry:
        rank = min(self._able.ranks)
        bias = next(b for b in ("tied", "none", "untied") if b in self._able.biases)
        plain = {"batch": 2, "channels": 2, "maps": 2, "size": (4,) * rank, "kernel": (2,) * rank}
        return Geometry(**{**plain, "bias": bias, "convention": self._able.conventions[0], **changes})

    def _problem(self) -> Problem:
        dtype = next(d for d in DTYPES if d in self._able.dtypes)
        return Problem(geometry=self._geometry(), dtype=dtype)

    def _request(self, method: str, g: Geometry) -> bytes:
        fields = {"op": method, "geometry": as_geometry(g), "dtype": self._problem().format.name}
        return request_of({**fields, "memory": "c", "spoil": []})

    def _operands(self, method: str, g: Geometry) -> dict[str, Array]:
        p = self._problem().replace(geometry=g)
        o = p.further if CALLS[method].operation else p.operands
        named = {name: getattr(o, drawn) for name, drawn in CALLS[method].reads.items()}
        return {name: to_adapter(self._able, name, a) for name, a in named.items() if a is not None}


def _shown(dtype: object, shape: tuple[int, ...]) -> str:
    return f"{dtype} {'x'.join(map(str, shape))}".rstrip()
