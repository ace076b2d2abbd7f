"""A process and its pipes: how it is started, what is known of it, how it is ended with all that it started."""

from __future__ import annotations

import contextlib
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
from typing import IO, Any

import numpy as np

from conformance.adapter.local import one_line
from conformance.adapter.resident import resident
from conformance.errors import AdapterBroken

if sys.platform != "win32":
    import fcntl

__all__ = ["GRACE", "LOOK", "POSIX", "Command", "Process", "read"]

POSIX = os.name == "posix"
"""Can processes be asked here?  Pipes that are polled and groups that are ended together are POSIX's."""

PIPE = 2**20
"""Bytes that a pipe is asked to hold."""
CHUNK = 2**16
"""Bytes that are read at once."""
KEPT = 2**14
"""Bytes of standard error that are kept: its end."""
TOLD = 3
"""Lines of it that are told."""
GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL."""
LOOK = 0.05
"""Seconds between two looks at the memory of a process that computes."""
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Unless the user says otherwise: threads that wait for the next call do not spin beside the process that asks."""
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
        return {**QUIET, **inherited, **self.variables}


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


class Process:
    """A running process and its pipes."""

    def __init__(self, command: Command, heard: Callable[[bytes], object]) -> None:
        if not POSIX:
            raise AdapterBroken(
                f"{command.args[0]!r} cannot be asked: processes of their own need a POSIX system"
            )
        self._heard = heard
        self.files = [Shared("request"), Shared("answer")] if LINUX else []
        self.offered = [f.descriptor for f in self.files] or None
        self.shares, self.seq, self.said, self._look = False, -1, b"", 0.0
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
            pipe, (self.popen.stdin, self.popen.stdout, self.popen.stderr)
        )
        self.death = os.pidfd_open(self.popen.pid) if hasattr(os, "pidfd_open") else None
        self.waits = select.poll()
        for descriptor in (self.stdout, self.stderr, self.death):
            if descriptor is not None:
                self.waits.register(descriptor, select.POLLIN)
        self._finalizer = weakref.finalize(self, ended, self.popen, list(self.files), self.death)

    def end(self) -> None:
        self._finalizer()

    def left(self) -> int | None:
        """Close its input, and see how it ends: its status, None if it does not; its last words are kept."""
        assert self.popen.stdin is not None  # noqa: S101  (for types)
        self.popen.stdin.close()
        try:
            return self.popen.wait(GRACE * 4)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.hear()

    def _close_files(self) -> None:
        for file in self.files:
            file.close()

    # ---- what is known of it ----
    def hear(self) -> None:
        """Keep the end of what it wrote to standard error; at most a full pipe at a time, for it may write on and on."""
        for _ in range(PIPE // CHUNK):
            chunk = read(self.stderr)
            if chunk is None:
                return
            if chunk == b"":  # it closed it
                with contextlib.suppress(KeyError):
                    self.waits.unregister(self.stderr)
                return
            self.said = (self.said + chunk)[-KEPT:]
            self._heard(chunk)

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

    def resident(self, limit: int) -> int:
        """Bytes of memory that it and what it started have in use, to be held against a limit; 0 if it is too early to look.

        Looking takes at most a tenth of the time, however many processes there are.
        """
        began = time.monotonic()
        if began < self._look:
            return 0
        used = resident(self.popen.pid, limit)
        self._look = began + max(LOOK, 10 * (time.monotonic() - began))
        return used


def pipe(file: IO[bytes] | None) -> int:
    """The descriptor of a pipe, large and not blocking."""
    assert file is not None  # noqa: S101  (for types: all three are pipes)
    os.set_blocking(file.fileno(), False)
    if LINUX:
        with contextlib.suppress(OSError):  # more than a user may have
            fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
    return file.fileno()


def read(descriptor: int) -> bytes | None:
    """What lies in a pipe; b'' at its end, None if there is nothing yet."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def ended(popen: subprocess.Popen[bytes], files: list[Shared], death: int | None) -> None:
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
