"""How much memory a process has in use, together with all that it started."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["resident"]

PROC = Path("/proc")


def resident(session: int, limit: int) -> int:
    """Bytes in use by the processes of a session, to be held against a limit; 0 where it cannot be known.

    Never more than they have together: a page that several share, as after a fork, stands in the resident size of each.
    So the sum of these sizes only says whether the proportional ones, dearer to read, have to be added up: they count such
    a page once.  Of a process that does not show its own, the largest resident size is what is certain.
    """
    members = _members(session)
    sizes = _known(_resident, members)
    together = sum(_known(_proportional, members)) if sum(sizes) > limit else 0
    return max(*sizes, together, 0)


def _members(session: int) -> list[int]:
    """The processes of a session; one that began a session of its own is none of them."""
    try:
        pids = [int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit()]
    except OSError:
        return []
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            if os.getsid(pid) == session:
                found.append(pid)
    return found


def _known(size: Callable[[int], int], pids: list[int]) -> list[int]:
    """The sizes of processes, of those that can be known."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, StopIteration):
            found.append(size(pid))
    return found


def _resident(pid: int) -> int:
    return int((PROC / str(pid) / "statm").read_bytes().split()[1]) * mmap.PAGESIZE


def _proportional(pid: int) -> int:
    with (PROC / str(pid) / "smaps_rollup").open("rb") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
