"""A call may take so long and no longer; what was there before the limit is there after it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import pytest

from conformance.adapter.deadline import Overdue, deadline

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this platform")


def test_what_is_in_time_is_left_alone() -> None:
    with deadline(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_is_not_is_interrupted_even_where_it_catches_exceptions() -> None:
    def endless() -> None:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    with pytest.raises(Overdue), deadline(0.05):
        endless()


def test_the_handler_of_before_is_back_after_an_interruption() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Overdue), deadline(0.01):
        time.sleep(5)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_in_another_thread_there_is_no_limit() -> None:
    done = []

    def slow() -> None:
        with deadline(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=slow)
    thread.start()
    thread.join()
    assert done == [True]
