"""The files of a report: what is written under their names stays in their folder."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path

from conformance.errors import ReportError

__all__ = ["content", "opened"]


def content(path: Path) -> bytes:
    """What a file holds; raises ReportError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error}") from error


def opened(path: Path) -> FileIO:
    """A file to append to, without a buffer; it is made if it is not there.

    Raises:
        OSError: it cannot be written, or is a link or a pipe: it would lead elsewhere.
    """
    if path.is_symlink():  # where O_NOFOLLOW is not known
        raise OSError(errno.ELOOP, f"{path.name} is a symbolic link")
    return FileIO(path, "ab", opener=_in_its_place)


def _in_its_place(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), mode=0o666)
