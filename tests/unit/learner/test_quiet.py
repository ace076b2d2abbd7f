from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from conformance.learner.quiet import Failed, Late, deliberate, place, quietly, tried


def test_what_is_printed_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    with quietly():
        print("out")  # noqa: T201
        print("err", file=sys.stderr)  # noqa: T201
        warnings.warn("dubious", stacklevel=1)
        assert np.isinf(np.float64(1) / np.float64(0))
    assert capsys.readouterr() == ("", "")


def test_standard_input_is_nobodys_and_comes_back() -> None:
    before = sys.stdin
    came = tried(lambda: input("well? "), 5)
    assert isinstance(came, Failed)
    assert str(came.error) == "it asks for input(), and nobody is there to answer"
    assert sys.stdin is before


def test_an_exception_and_an_exit_are_outcomes() -> None:
    assert tried(lambda: 7, 5) == 7
    for call in (lambda: 1 / 0, lambda: sys.exit(3)):
        assert isinstance(tried(call, 5), Failed)


def test_a_call_that_does_not_end_is_late() -> None:
    def forever() -> None:
        while True:
            pass

    with pytest.raises(Late):
        tried(forever, 0.1)


def refuses() -> None:
    raise ValueError("no")


def asserts() -> None:
    assert 1 > 2, "never"  # noqa: PLR0133


def breaks() -> None:
    [][1]  # noqa: PLE0643


def refused_elsewhere() -> None:
    np.tensordot(np.zeros((2, 3)), np.zeros((4, 5)))  # numpy raises, not this file


@pytest.mark.parametrize(
    ("call", "meant"), [(refuses, True), (asserts, True), (breaks, False), (refused_elsewhere, False)]
)
def test_what_is_refused_is_told_from_what_breaks(call, meant: bool) -> None:
    came = tried(call, 5)
    assert isinstance(came, Failed)
    assert deliberate(came.error) == meant


def test_the_place_is_the_innermost_line() -> None:
    came = tried(refuses, 5)
    file, line, text = place(came.error)
    assert (file, text) == ("test_quiet.py", 'raise ValueError("no")')
    assert line == refuses.__code__.co_firstlineno + 1
