"""What can go wrong, and whose fault it is.

The story of a run: the *user* names adapters and problems; the *adapter* is prepared, imported and wired to an
implementation; the *implementation* computes y, dx, dw and db; the *harness* draws problems, knows what is right, and
reports.  Each step has its own class of error, because the first question after any failure is who has to mend it:

========  ==============================================  =======================================  =========
step      what may go wrong                               error                                    exit code
========  ==============================================  =======================================  =========
ask       impossible geometry, a line that does not       `GeometryError` `NotationError`          2
          parse, an unknown name, a folder that cannot    `AdapterNotFound` `OutputError`
          be written                                      `UnknownClause` `ReportError`
keep      the disk is full, a report is damaged           `DiskFull` `ReportDamaged`               2
prepare   no environment was made for the adapter, or     `NoEnvironment`                          3
          it cannot be: no such Python, a build fails
connect   the adapter's file has a syntax error, an       `AdapterBroken`                          3
          import in it fails, it declares nonsense
wire      results in the wrong order, layout or           `AdapterBroken` `ProtocolBroken`         3
          convention, messages that are none
compute   the implementation raises or is wrong           a judgement, never an exception          1
judge     the harness contradicts itself                  `HarnessError`                           3
========  ==============================================  =======================================  =========

An error is a record first (its attributes), a text last (``str``): one sentence that says what was wrong, with the value.
The value may be anybody's text: it is shown on one line, escaped, and cut if it is long.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import ClassVar

from conformance.escape import brief, terminal

__all__ = [
    "AdapterBroken",
    "AdapterNotFound",
    "ConformanceError",
    "DiskFull",
    "GeometryError",
    "HarnessError",
    "NoEnvironment",
    "NotationError",
    "OutputError",
    "ProtocolBroken",
    "ReportDamaged",
    "ReportError",
    "UnknownClause",
    "UserError",
    "near",
]

WIDTH = 400
"""Characters of a problem line that are shown whole."""


class ConformanceError(Exception):
    """Base of all errors that this project raises on purpose."""

    fault: ClassVar[str] = "harness"
    exit_code: ClassVar[int] = 3

    def __str__(self) -> str:
        return terminal(brief(super().__str__()))


class UserError(ConformanceError):
    """What was asked for is impossible or unknown: the person (or script) who called has to change the call."""

    fault = "user"
    exit_code = 2


class GeometryError(UserError, ValueError):
    """A geometry that no convolution has, or operands that do not fit it; names the axis and the numbers."""


class NotationError(UserError, ValueError):
    """A problem line that does not parse; knows the line, the offending column and what was expected there."""

    def __init__(self, reason: str, line: str, column: int) -> None:
        super().__init__(reason, line, column)
        self.reason, self.line, self.column = reason, line, column

    def __str__(self) -> str:
        before, after = self.line[: self.column], self.line[self.column :]
        if len(self.line) > WIDTH:
            before = before if len(before) <= WIDTH // 2 else f"...{before[-WIDTH // 2 :]}"
            after = after if len(after) <= WIDTH // 2 else f"{after[: WIDTH // 2]}..."
        before, after = terminal(before), terminal(after)
        return f"{terminal(brief(self.reason))}\n    {before}{after}\n    {' ' * len(before)}^"


class AdapterNotFound(UserError):
    """No adapter of this name, or a file without an adapter."""


class OutputError(UserError):
    """A folder or file that cannot be written."""


class DiskFull(OutputError):
    """The disk has no room for what is to be written: the call is right, and can be made again when there is."""

    fault = "disk"

    @staticmethod
    def of(told: str, error: OSError, then: str = "") -> OutputError:
        """What could not be written, as an error: this one if the disk is full."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return (DiskFull if full else OutputError)(f"{told}: {error.strerror or error}{then}")


class ReportError(UserError):
    """A report that cannot be read: missing, of another schema, or damaged."""


class ReportDamaged(ReportError):
    """What a report holds is no report of this version, or not of the run that goes on."""

    fault = "report"


class UnknownClause(UserError):
    """A clause pattern that matches nothing."""


class AdapterBroken(ConformanceError):
    """The adapter, not the implementation behind it, is at fault: its author has to mend it."""

    fault = "adapter"


class ProtocolBroken(AdapterBroken):
    """What comes from the adapter's process breaks the wire protocol, or it does not start: it was ended."""


class NoEnvironment(AdapterBroken):
    """What the adapter runs in is not there or cannot be made: this machine lacks something, or the manifest is wrong."""

    fault = "environment"


class HarnessError(ConformanceError):
    """This project contradicts itself: a defect of ours, please report it."""


def near(word: str, known: Iterable[str]) -> str:
    """A question for the end of a sentence: is one of the known words meant?  '' if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
