"""An adapter at work in a process of its own: a `Worker` that speaks the wire protocol.

A process that dies, does not answer in time or breaks the protocol is ended, and started again for the next call; what
happened is told with the signal's name and the last lines of its standard error.  After a death, and after an error, the
same is asked once more: if it then goes well, the fault is that of the call before (an asynchronous error surfaces late).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.local import one_line
from conformance.adapter.place import Call, Returned, Whole
from conformance.adapter.process import Command
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
from conformance.errors import AdapterBroken, AdapterNotFound, ProtocolBroken, UserError
from conformance.escape import terminal
from conformance.problem import Geometry, dtype_of
from conformance.problem.network import Network
from conformance.problem.operations import CALLS
from conformance.spec import Died, NotOffered, Raised, TimedOut

__all__ = ["FIRST", "MEMORY", "PATIENCE", "Remote"]

Array = NDArray[Any]

START = 120.0
"""Seconds that the import of a framework may take."""
FIRST = 3
"""The first call of a shape on a problem may take so many times the time limit: compilers run in it."""
MEMORY = 2**33
"""Bytes of memory that a process may use."""
PATIENCE = 3
"""Calls in a row that ended in nothing, after which an adapter is not asked any more on a problem."""
SHOWN = 2**14
"""Bytes of its standard error that are shown."""
AGAIN = 4
"""Deaths after which the same is asked again, to tell whose fault they were."""


class Remote:
    """The place of an adapter behind a command.

    name: for messages; route: '' for its first; time_limit: seconds of a call; memory: bytes; folder: of its other files.

    Raises:
        AdapterBroken: it does not start, or breaks the protocol.  AdapterNotFound: it has no such route.
    """

    def __init__(
        self,
        command: Command,
        name: str,
        *,
        route: str = "",
        time_limit: float,
        memory: int = MEMORY,
        folder: Path | None = None,
    ) -> None:
        self._name, self._route, self._time_limit = name, route, time_limit
        self._worker = Worker(command, memory=memory, heard=self._show)
        self._shown = 0
        self.deaths, self._in_a_row, self._patience = 0, 0, PATIENCE
        self._last: Died | TimedOut | ProtocolBroken = TimedOut()
        self._before: _Asked | None = None
        self._met: set[_Asked] = set()
        self._reasons: dict[tuple[Geometry, str], str | None] = {}
        self.folder = folder
        self._hello = self._started()
        self.capabilities = capabilities_of(self._hello["capabilities"])
        self.route = route or next(iter(self._hello["routes"]), "")

    # ---- what it says of itself ----
    def versions(self) -> Mapping[str, str]:
        """What hello said, its language among it."""
        language, _, version = str(self._hello["language"]).partition(" ")
        return {language: version, **self._hello["versions"]}

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        if not self._hello["conditional"]:
            return None
        key = (g, dtype)
        if key not in self._reasons:
            request = request_of({"op": "unsupported", "geometry": as_geometry(g), "dtype": dtype})
            answer, _ = self._asked(request, None, "reason", self._time_limit)
            self._reasons[key] = answer["reason"]
        return self._reasons[key]

    def anew(self) -> None:
        self.deaths, self._in_a_row, self._patience = 0, 0, PATIENCE
        self._met.clear()

    def grant(self, deaths: int) -> bool:
        self._in_a_row, self._patience = 0, deaths
        return True

    def close(self) -> None:
        self._worker.close()

    def _show(self, said: bytes) -> None:
        """Its standard error is shown as ours, as far as it is not a flood; it is no failure by itself."""
        if self._shown < SHOWN:
            text = terminal(said[: SHOWN - self._shown].decode("utf-8", "replace"), keep="\n\t")
            sys.stderr.write(text)
            self._shown += len(said)
            if self._shown >= SHOWN:
                sys.stderr.write(f"\n({self._name}: what else it writes to standard error is not shown)\n")

    # ---- calls ----
    def call(self, call: Call) -> Returned:
        if call.spoil and not self._hello["spoils"]:
            raise NotOffered("what fresh memory holds is not in this adapter's hands")
        there = {name: a for name, a in call.operands.items() if a is not None}
        asked = _Asked(call.method, call.geometry, dtype_of(there["x"].dtype).name)
        request = _layer(asked, call.memory, call.spoil)
        answer, tensors = self._computed(asked, request, there)
        gives = CALLS[call.method].gives
        self._expect(call.method, tensors, gives)
        if told := misnamed(call.method, answer):
            raise self._broken(told)
        return Returned(
            results=tuple(tensors.get(name) for name in gives),
            modified=tuple(answer["modified"]),
            aliased=tuple(answer["aliased"]),
        )

    def network(self, whole: Whole) -> Any:
        there = {"x": whole.x, "target": whole.target, **_numbered(("w", "b"), whole.params)}
        asked = _Asked(
            "network" if whole.rate is None else "step", whole.network, dtype_of(whole.x.dtype).name
        )
        fields = {"network": as_network(whole.network), "dtype": asked.dtype, "rate": whole.rate}
        _, found = self._computed(asked, request_of({"op": asked.op, **fields}), there)
        deltas, pairs = network_names(whole.network, step=whole.rate is not None)
        due = [*(["cost"] if whole.rate is None else []), *deltas, *(n for pair in pairs for n in pair if n)]
        self._expect(asked.op, found, due)
        if missing := [name for name in due if name not in found]:
            raise self._broken(f"its answer to {asked.op} lacks {', '.join(missing)}")
        params = [(found[w], found[b] if b else None) for w, b in pairs]
        return params if whole.rate is not None else (found["cost"], [found[d] for d in deltas], params)

    def _expect(self, op: str, tensors: Mapping[str, Array], names: Collection[str]) -> None:
        if strange := sorted(set(tensors) - set(names)):
            raise self._broken(f"its answer to {op} has {', '.join(map(ascii, strange))}")

    def _computed(
        self, asked: _Asked, request: bytes, tensors: dict[str, Array]
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The answer to a call; the arrays are copies."""
        seconds = self._time_limit * (1 if asked in self._met else FIRST)
        self._met.add(asked)
        before, self._before = self._before, asked
        try:
            answer, found = self._asked(request, tensors, "tensors", seconds)
        except Raised as error:
            if not before or not self._goes_well(error, request, tensors, seconds):
                raise
            told = f"{error.text}; asked again it answers: the fault is that of the call before ({before})"
            raise type(error)(error.kind, told, error.traceback) from None
        return answer, {name: np.array(a) for name, a in found.items()}

    def _goes_well(self, error: Raised, request: bytes, tensors: dict[str, Array], seconds: float) -> bool:
        """Asked again?  A death more counts for nothing, but it is not asked after too many."""
        counted = self.deaths, self._in_a_row
        if isinstance(error, Died) and self.deaths > AGAIN:
            return False
        try:
            self._asked(request, tensors, "tensors", seconds)
        except (Raised, NotOffered, TimedOut, AdapterBroken):
            self.deaths, self._in_a_row = counted
            return False
        return True

    # ---- messages ----
    def _asked(
        self, request: bytes, tensors: dict[str, Array] | None, expected: str, seconds: float
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """One request and its answer, of the kind that was expected; starts the process if it does not run."""
        if self._in_a_row >= self._patience:
            raise self._not_asked()
        if not self._worker.runs:
            self._started()
        answer, found = self._exchanged(request, tensors, seconds)
        self._in_a_row = 0
        return self._understood(answer, expected), found

    def _exchanged(
        self, request: bytes, tensors: dict[str, Array] | None, seconds: float
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        try:
            return self._worker.ask(request, tensors, seconds)
        except Dead as dead:
            raise self._counted(Died(dead.how, dead.said)) from None
        except Late as late:
            raise self._counted(TimedOut(self._late(seconds, late.said))) from None
        except AdapterBroken as fault:
            raise self._counted(ProtocolBroken(f"{self._name}: {fault}")) from None

    def _counted(self, end: Died | TimedOut | ProtocolBroken) -> Died | TimedOut | ProtocolBroken:
        self.deaths += 1
        self._in_a_row += 1
        self._last = end
        return end

    def _not_asked(self) -> Died | TimedOut | ProtocolBroken:
        """Of the kind of what was met last."""
        told = f"after {self._in_a_row} calls in a row that ended in nothing it is not asked any more"
        if isinstance(self._last, Died):
            return Died(self._last.kind, told)
        if isinstance(self._last, ProtocolBroken):
            return ProtocolBroken(f"{self._name}: {told}")
        return TimedOut(told)

    def _understood(self, answer: dict[str, Any], expected: str) -> dict[str, Any]:
        kind = answer["answer"]
        if kind == expected:
            return answer
        if kind == "unsupported":
            raise NotOffered(one_line(answer["reason"]))
        if kind == "error":
            self._refused(answer)
        raise self._broken(f"it answers {kind!r} where {expected!r} was due")

    def _broken(self, told: str) -> Exception:
        """What it answered breaks the protocol: it is ended."""
        self._worker.kill()
        return self._counted(ProtocolBroken(f"{self._name}: {told}"))

    def _refused(self, answer: Mapping[str, Any]) -> None:
        text = one_line(answer["text"])
        if answer["fault"] == "implementation":
            raise Raised(one_line(answer["type"]), text, one_line(answer["traceback"]))
        if answer["type"] == AdapterNotFound.__name__:
            raise AdapterNotFound(text)
        told = Path(self._name).name in text  # the file, which does not load
        raise AdapterBroken(text if told else f"{self._name}: {text}")

    def _late(self, seconds: float, said: str) -> str:
        first = (
            f", {FIRST} times the limit for the first call of a shape" if seconds > self._time_limit else ""
        )
        return f"the implementation did not answer within {seconds:g} s{first}" + (
            f" ({said})" if said else ""
        )

    def _started(self) -> dict[str, Any]:
        """Start the process and say hello; the same adapter as before must answer."""
        try:
            hello = {"op": "hello", "protocol": PROTOCOL, "route": self._route, "shared": self._worker.shared}
            answer, _ = self._exchanged(request_of(hello), None, START)
            self._understood(answer, "hello")
        except (Died, Raised, TimedOut, NotOffered) as error:
            raise ProtocolBroken(f"{self._name}: it does not start: {error}") from None
        except UserError:
            self._worker.kill()
            raise
        if answer["shared"]:
            self._worker.share()
        known = getattr(self, "_hello", None)
        if known and known["capabilities"] != answer["capabilities"]:
            raise self._broken("started again, it declares other capabilities")
        return answer


class _Asked(NamedTuple):
    """What is asked for, but for the operands: all calls with the same are one shape to a compiler."""

    op: str
    of: Geometry | Network
    dtype: str

    def __str__(self) -> str:
        if isinstance(self.of, Network):
            return f"{self.op} of {len(self.of.layers)} layers, {self.dtype}"
        g, by = self.of, "x".join
        return (
            f"{self.op} of {g.batch} items, {g.channels} channels, {g.maps} maps, size {by(map(str, g.size))}, "
            f"kernel {by(map(str, g.kernel))}, stride {by(map(str, g.stride))}, {self.dtype}"
        )


@functools.lru_cache(maxsize=4096)
def _layer(asked: _Asked, memory: str, spoil: tuple[int, ...]) -> bytes:
    """The request for a call of a layer's method."""
    assert isinstance(asked.of, Geometry)  # noqa: S101  (for types)
    fields = {"op": asked.op, "geometry": as_geometry(asked.of), "dtype": asked.dtype}
    return request_of({**fields, "memory": memory, "spoil": list(spoil)})


def _numbered(names: tuple[str, str], pairs: Iterable[tuple[Array, Array | None]]) -> dict[str, Array]:
    """w1, b1, w2, ...: those that are there."""
    of_w, of_b = names
    named: dict[str, Array] = {}
    for k, (w, b) in enumerate(pairs, start=1):
        named |= {f"{of_w}{k}": w} | ({} if b is None else {f"{of_b}{k}": b})
    return named
