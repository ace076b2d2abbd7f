"""A learner's code at work: what it prints is dropped, what it asks for is not there, and it has so many seconds."""

from __future__ import annotations

import contextlib
import io
import linecache
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.adapter.deadline import Overdue, deadline

__all__ = ["ASKS", "Failed", "Late", "deliberate", "place", "quietly", "tried"]

ASKS = "it asks for input(), and nobody is there to answer"


OURS = Path(__file__).parents[1]


class Late(Exception):  # noqa: N818  (a record of what did not come)
    """It did not come back in time."""


class _Nobody(io.TextIOBase):
    """Standard input of nobody."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        raise EOFError(ASKS)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Nothing is printed or read, and no warning is shown."""
    before, sys.stdin = sys.stdin, _Nobody()
    sink = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdin = before


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A call that raised."""

    error: BaseException


def tried(call: Callable[[], Any], seconds: float) -> Any:
    """What a call returns, or `Failed`.

    Raises:
        Late: it took longer than so many seconds.
    """
    try:
        with deadline(seconds), quietly():
            return call()
    except Overdue:
        raise Late from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a learner's code raises is told)
        return Failed(error=error)


def place(error: BaseException, folder: Path | None = None) -> tuple[str, int, str]:
    """(file, line number, its text) of the innermost frame, or of the innermost in a folder."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if folder is None or Path(f.filename).parent == folder]
    if not inside:
        return "", 0, ""
    last = inside[-1]
    return (
        Path(last.filename).name,
        last.lineno or 0,
        linecache.getline(last.filename, last.lineno or 0).strip(),
    )


def deliberate(error: BaseException) -> bool:
    """Did the code itself refuse (``raise``, ``assert``), or did it, or what it called, break?"""
    frames = [Path(f.filename) for f in traceback.extract_tb(error.__traceback__)]
    foreign = [f for f in frames if OURS not in f.parents]
    own = bool(foreign) and foreign[-1].parent == foreign[0].parent
    return own and place(error)[2].startswith(("raise", "assert"))
