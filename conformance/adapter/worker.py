"""A process that answers requests of the wire protocol: started, asked, watched, ended.

One thread, no thread of its own: while an answer is awaited, everything that may happen is waited for at once: room in the
pipe to the process, its answer, its standard error, its death, the end of its time, too much of its memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.process import GRACE, LOOK, Command, Process, read
from conformance.adapter.wire import LARGEST, LONGEST, answer_of, header_of, line_of, request_of, tensors_of
from conformance.errors import AdapterBroken

__all__ = ["Dead", "Late", "Worker"]

Array = NDArray[Any]
LARGE = 2**16
"""Bytes from which on a blob goes through shared memory, if both sides have it."""


class Dead(Exception):  # noqa: N818  (a record of what happened)
    """The process ended: how, and the last lines of its standard error."""

    def __init__(self, how: str, said: str) -> None:
        super().__init__(how, said)
        self.how, self.said = how, said


class Late(Exception):  # noqa: N818  (a record of what did not come)
    """There was no answer in time; said: what there was instead."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Worker:
    """The process of a command.

    memory: bytes that it may have in use.  heard: is told what it writes to standard error, piece by piece.  `ask` starts it
    when it does not run.  After Dead, Late or AdapterBroken it has been ended.
    """

    def __init__(self, command: Command, *, memory: int, heard: Callable[[bytes], object]) -> None:
        self.command, self._memory, self._heard = command, memory, heard
        self._running: Process | None = None

    @property
    def runs(self) -> bool:
        return self._running is not None

    @property
    def shared(self) -> list[int] | None:
        """The descriptors to offer in hello."""
        return self._process.offered

    def share(self) -> None:
        """Large blobs go through shared memory from here on: the process agreed."""
        self._process.shares = True

    @property
    def _process(self) -> Process:
        if self._running is None:
            self._running = Process(self.command, self._heard)
        return self._running

    def ask(
        self, request: bytes, tensors: Mapping[str, Array] | None, seconds: float
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The answer to a request (of `request_of`), and its tensors: valid until the next one.

        Raises:
            Dead: the process ended, or had used up its memory and was ended.  Late: no answer came in time.
            AdapterBroken: what came breaks the protocol.
        """
        process = self._process
        try:
            return _Exchange(process, seconds=seconds, memory=self._memory).made(request, tensors)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the process, and those that it started, at once."""
        running, self._running = self._running, None
        if running:
            running.end()

    def left(self) -> int | None:
        """Close its input, and see how it ends: its status, None if it does not; its last words are heard."""
        running = self._running
        status = running.left() if running else None
        self.kill()
        return status

    def close(self) -> None:
        """Let it go: it has a moment to say bye, and what it says until it has ended is heard."""
        if self._running:
            with contextlib.suppress(Dead, Late, AdapterBroken):
                self.ask(request_of({"op": "bye"}), None, GRACE)
                self._running.left()
        self.kill()


class _Exchange:
    """One request and its answer."""

    def __init__(self, process: Process, *, seconds: float, memory: int) -> None:
        self.p, self.seconds, self.memory = process, seconds, memory
        self.end = time.monotonic() + seconds
        self.received = bytearray()

    def made(
        self, request: bytes, tensors: Mapping[str, Array] | None
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        self._nothing_before()
        self.p.seq += 1
        self._send([line_of(request, self.p.seq)] if tensors is None else self._packed(request, tensors))
        answer = self._answer()
        if (
            off := answer["seq"] - self.p.seq
        ):  # told so, for the number itself depends on what was asked before
            than = f"{abs(off)} {'more' if off > 0 else 'less'}"
            raise AdapterBroken(
                f"an answer whose seq is {than} than its request's: one answer a request, in order"
            )
        return answer, self._tensors(answer)

    def _nothing_before(self) -> None:
        """What lies in the pipe before anything was asked is no answer."""
        early = read(self.p.stdout)
        if early:
            raise AdapterBroken(
                f"{len(early)} bytes on its standard output that nothing asked for "
                f"({_shown(early)}): a second answer, or a print"
            )

    def _packed(self, request: bytes, tensors: Mapping[str, Array]) -> list[Any]:
        """The request, and the pieces of the blob of its tensors if they go through the pipe."""
        head, arrays = header_of(tensors)
        pieces = [head, *(a.reshape(-1).view(np.uint8).data for a in arrays if a.size)]
        size = sum(map(len, pieces))
        if not self.p.shares or size < LARGE:
            return [line_of(request, self.p.seq, size), *pieces]
        self.p.files[0].write(pieces, size)
        return [line_of(request, self.p.seq, size, "shared")]

    def _answer(self) -> dict[str, Any]:
        """The line of the answer."""
        while (stop := self.received.find(b"\n")) < 0:
            if len(self.received) > LONGEST:
                raise AdapterBroken(
                    f"more than {LONGEST} bytes on its standard output without an end of line, which begin "
                    f"{_shown(self.received)}: no message of the protocol"
                )
            self._receive("a line of its answer")
        line = bytes(self.received[:stop])
        del self.received[: stop + 1]
        return answer_of(line)

    def _tensors(self, answer: dict[str, Any]) -> dict[str, Array]:
        size = answer["bytes"]
        if size > LARGEST:
            raise AdapterBroken(f"an answer that claims {size} bytes: at most {LARGEST}")
        blob: memoryview | bytearray
        if answer.get("where") == "shared":
            if not self.p.shares:
                raise AdapterBroken("an answer in shared memory, which was not agreed upon")
            blob = self.p.files[1].read(size)
        else:
            while len(self.received) < size:
                self._receive(f"an answer of {size} bytes")
            blob, self.received = self.received[:size], self.received[size:]
        if self.received:
            raise AdapterBroken(f"{len(self.received)} bytes behind its answer: a second answer, or a print")
        return tensors_of(memoryview(blob)) if size else {}

    # ---- moving bytes ----
    def _send(self, pieces: list[Any]) -> None:
        """Write all of it; meanwhile, listen."""
        left = [memoryview(piece) for piece in pieces]
        while left:
            try:
                count = os.writev(self.p.stdin, left[:64])
            except BlockingIOError:
                self._wait_for_room()
                continue
            except BrokenPipeError:
                self._dead("before it had read its request")
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if left:
                left[0] = left[0][count:]

    def _wait_for_room(self) -> None:
        self.p.waits.register(self.p.stdin, select.POLLOUT)
        try:
            while self.p.stdin not in self._happened():
                chunk = read(self.p.stdout)  # it may answer before it has read all
                if chunk == b"":
                    self._dead("before it had read its request")
                self.received += chunk or b""
        finally:
            self.p.waits.unregister(self.p.stdin)

    def _receive(self, what: str) -> None:
        """More of the answer."""
        while (chunk := read(self.p.stdout) if self.p.stdout in self._happened() else None) is None:
            pass
        if not chunk:
            self._dead(self._so_far(what))
        self.received += chunk

    def _so_far(self, what: str) -> str:
        return f"after {len(self.received)} bytes of {what}" if self.received else ""

    def _happened(self) -> set[int]:
        """The descriptors where something can be done, after a while at most; its words are kept, its memory is looked at.

        A dead process whose children hold its pipe open counts as one that closed it.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise Late(self._so_far("its answer"))
        happened = {descriptor for descriptor, _ in self.p.waits.poll(1000 * min(left, LOOK))}
        if self.p.stderr in happened:
            self.p.hear()
        if not happened or self.p.stderr in happened:
            self._check_memory()
        if self.p.stdout not in happened and (self.p.death in happened or self.p.popen.poll() is not None):
            self._dead(self._so_far("its answer"))
        return happened

    def _check_memory(self) -> None:
        used = self.p.resident(self.memory)
        if used > self.memory:
            how = f"ended: it used {used / 2**30:.1f} GiB of memory, {self.memory / 2**30:g} are allowed"
            raise Dead(how, self.p.last_words())

    def _dead(self, when: str) -> NoReturn:
        """Its pipe ended.  A process that lives on without one is at fault."""
        try:
            self.p.popen.wait(GRACE)
        except subprocess.TimeoutExpired:
            raise AdapterBroken("it closed the pipe of the protocol and lives on") from None
        raise Dead(" ".join(filter(None, (self.p.how(), when))), self.p.last_words())


def _shown(received: bytes | bytearray) -> str:
    """The beginning of some bytes as Python writes text: no control character reaches a terminal."""
    return ascii(received[:60].decode("utf-8", "replace"))
