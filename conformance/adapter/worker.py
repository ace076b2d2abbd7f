"""A process that answers requests of the wire protocol: started, asked, watched, ended.

One thread, no thread of its own: while an answer is awaited, everything that may happen is waited for at once: room in the
pipe to the process, its answer, its standard error, its death, the end of its time, too much of its memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.local import one_line
from conformance.adapter.wire import LARGEST, LONGEST, answer_of, header_of, line_of, request_of, tensors_of
from conformance.errors import AdapterBroken

__all__ = ["Command", "Dead", "Late", "Worker"]

Array = NDArray[Any]
LARGE = 2**16
"""Bytes from which on a blob goes through shared memory, if both sides have it."""
PIPE = 2**20
"""Bytes that a pipe is asked to hold."""
CHUNK = 2**16
"""Bytes that are read at once."""
KEPT = 2**14
"""Bytes of standard error that are kept: its end."""
TOLD = 3
"""Lines of it that are told."""
LOOK = 0.05
"""Seconds between two looks at the memory of a process that computes."""
GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL."""
LINUX = sys.platform == "linux"


@dataclass(frozen=True, kw_only=True)
class Command:
    """How a process is started: arguments, working folder, environment variables besides the inherited ones.

    without: inherited variables that it does not get.
    """

    args: tuple[str, ...]
    cwd: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def environ(self) -> dict[str, str]:
        """All variables of the process."""
        inherited = {name: value for name, value in os.environ.items() if name not in self.without}
        return {**inherited, **self.variables}


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


class Shared:
    """A file in memory that another process inherits, sealed so that nobody can shrink it under a reader."""

    def __init__(self, name: str) -> None:
        self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._map: mmap.mmap | None = None

    def write(self, pieces: Sequence[Any], size: int) -> None:
        """Put pieces, of `size` bytes in all, at its beginning."""
        if self._size < size:
            os.ftruncate(self.descriptor, size)
        into, end = np.frombuffer(self._mapped(size), np.uint8), 0
        for piece in pieces:
            into[end : end + len(piece)] = np.frombuffer(piece, np.uint8)
            end += len(piece)

    def read(self, size: int) -> memoryview:
        """Its first bytes.

        Raises:
            AdapterBroken: it has not as many.
        """
        if self._size < size:
            raise AdapterBroken(f"an answer of {size} bytes in shared memory that holds {self._size}")
        return memoryview(self._mapped(size))[:size] if size else memoryview(b"")

    @property
    def _size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.descriptor, self._size)
        return self._map

    def close(self) -> None:
        os.close(self.descriptor)  # a map lives on while something reads it


class Worker:
    """The process of a command.

    memory: bytes that it may have in use.  heard: is told what it writes to standard error, piece by piece.  `ask` starts it
    when it does not run.  After Dead, Late or AdapterBroken it has been ended.
    """

    def __init__(self, command: Command, *, memory: int, heard: Callable[[bytes], object]) -> None:
        self.command, self._memory, self._heard = command, memory, heard
        self._running: _Process | None = None

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
    def _process(self) -> _Process:
        if self._running is None:
            self._running = _Process(self.command, self._heard)
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
        """Close its input, and see how it ends: its status, None if it does not."""
        running = self._running
        status = running.left() if running else None
        self.kill()
        return status

    def close(self) -> None:
        """Let it go: it has a moment to say bye."""
        if self._running:
            with contextlib.suppress(Dead, Late, AdapterBroken):
                self.ask(request_of({"op": "bye"}), None, GRACE)
                self._running.hear()
        self.kill()


class _Process:
    """A running process and its pipes."""

    def __init__(self, command: Command, heard: Callable[[bytes], object]) -> None:
        self._heard = heard
        self.files = [Shared("request"), Shared("answer")] if LINUX else []
        self.offered = [f.descriptor for f in self.files] or None
        self.shares, self.seq, self.said = False, -1, b""
        try:
            self.popen = subprocess.Popen(
                command.args,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=command.cwd,
                env=command.environ,
                pass_fds=self.offered or (),
                start_new_session=True,
            )
        except OSError as error:
            self._close_files()
            raise AdapterBroken(f"{command.args[0]!r} does not start: {error.strerror}") from error
        self.stdin, self.stdout, self.stderr = map(
            _pipe, (self.popen.stdin, self.popen.stdout, self.popen.stderr)
        )
        self.death = os.pidfd_open(self.popen.pid) if hasattr(os, "pidfd_open") else None
        self.waits = select.poll()
        for descriptor in (self.stdout, self.stderr, self.death):
            if descriptor is not None:
                self.waits.register(descriptor, select.POLLIN)
        self._finalizer = weakref.finalize(self, _ended, self.popen, list(self.files), self.death)

    def end(self) -> None:
        self._finalizer()

    def left(self) -> int | None:
        assert self.popen.stdin is not None  # noqa: S101  (for types)
        self.popen.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.popen.wait(GRACE * 4)
        return None

    def _close_files(self) -> None:
        for file in self.files:
            file.close()

    # ---- what is known of it ----
    def hear(self) -> None:
        """Keep the end of what it wrote to standard error."""
        while chunk := _read(self.stderr):
            self.said = (self.said + chunk)[-KEPT:]
            self._heard(chunk)
            if len(chunk) < CHUNK:
                return
        if chunk is not None:  # it closed it
            with contextlib.suppress(KeyError):
                self.waits.unregister(self.stderr)

    def last_words(self) -> str:
        """The last lines of its standard error, in one."""
        self.hear()
        lines = [line for line in self.said.decode("utf-8", "replace").splitlines() if line.strip()]
        return " | ".join(one_line(line, 200) for line in lines[-TOLD:])

    def how(self) -> str:
        """How it ended."""
        status = self.popen.wait()
        if status >= 0:
            return f"exited with status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        out_of_memory = ", as a system does that is out of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{out_of_memory}"

    def resident(self) -> int:
        """Bytes of memory in use; 0 where it cannot be known."""
        try:
            with Path(f"/proc/{self.popen.pid}/statm").open("rb") as file:
                return int(file.read().split()[1]) * mmap.PAGESIZE
        except (OSError, IndexError):
            return 0


class _Exchange:
    """One request and its answer."""

    def __init__(self, process: _Process, *, seconds: float, memory: int) -> None:
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
        if answer["seq"] != self.p.seq:
            raise AdapterBroken(
                f"an answer of seq {answer['seq']} where {self.p.seq} was asked: one answer a request, in order"
            )
        return answer, self._tensors(answer)

    def _nothing_before(self) -> None:
        """What lies in the pipe before anything was asked is no answer."""
        early = _read(self.p.stdout)
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
                chunk = _read(self.p.stdout)  # it may answer before it has read all
                if chunk == b"":
                    self._dead("before it had read its request")
                self.received += chunk or b""
        finally:
            self.p.waits.unregister(self.p.stdin)

    def _receive(self, what: str) -> None:
        """More of the answer."""
        while (chunk := _read(self.p.stdout) if self.p.stdout in self._happened() else None) is None:
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
        used = self.p.resident()
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


def _pipe(file: IO[bytes] | None) -> int:
    """The descriptor of a pipe, large and not blocking."""
    assert file is not None  # noqa: S101  (for types: all three are pipes)
    os.set_blocking(file.fileno(), False)
    if LINUX:
        with contextlib.suppress(OSError):  # more than a user may have
            fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
    return file.fileno()


def _read(descriptor: int) -> bytes | None:
    """What lies in a pipe; b'' at its end, None if there is nothing yet."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def _ended(popen: subprocess.Popen[bytes], files: list[Shared], death: int | None) -> None:
    """End a process and what it started, and give everything back."""
    for number in (
        signal.SIGTERM,
        signal.SIGKILL,
    ):  # the second for those that ignore the first, and for its children
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(GRACE)
    for file in (popen.stdin, popen.stdout, popen.stderr):
        if file:
            file.close()
    for shared in files:
        shared.close()
    if death is not None:
        os.close(death)
