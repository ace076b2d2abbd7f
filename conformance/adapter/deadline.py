"""A time limit for a call in this process: an implementation that never returns must not hold the run.

By an interval timer, where the platform has one (POSIX, main thread); elsewhere there is no limit.  A call that hangs
inside native code is only interrupted when it comes back to Python.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Overdue", "deadline"]


class Overdue(BaseException):
    """Raised inside the call when its time is up; no Exception, so that no ``except Exception`` in it catches it."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `Overdue` in the body after `seconds`."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Overdue

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
