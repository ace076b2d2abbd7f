"""The report's own lines as a journal: what a killed run has written is kept, and `--resume` goes on behind it.

Every record is written in one piece as it is made.  Resuming runs the same program again: the doctor looks again, problems
that were judged are not put to the adapter a second time, their judgements are taken from the file, and each record that the
file has already is compared with it, not written.  What was being made when the run ended (the last problem's judgements,
the findings) is made again.  So a resumed report is that of an undisturbed run, or an error says which line differs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import portalocker

from conformance.engine.judgement import Judgement
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Event
from conformance.errors import DiskFull, OutputError, ReportDamaged, ReportError
from conformance.report.files import content, opened
from conformance.report.model import Report, parsed

__all__ = ["FILE", "Journal", "Kept", "kept", "kept_of"]

FILE = "report.jsonl"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a journal.

    lines: its records, as they are written again.  finished: the events of each adapter that was done with.  judged: the
    judgements of the adapter that it was `at`, a list a problem.  ended: is it a whole report?
    """

    report: Report
    lines: tuple[str, ...]
    finished: dict[str, list[Event]] = field(default_factory=dict)
    judged: dict[str, list[Judgement]] = field(default_factory=dict)
    at: str = ""
    ended: bool = False

    def judged_of(self, adapter: str) -> dict[str, list[Judgement]]:
        return self.judged if adapter == self.at else {}


class Journal:
    """A report's file that one run writes to; it is locked as long as it is open.

    already: lines that it has; those written first have to be the same.  Without them a report that stands there is
    replaced, but not one that was cut off: its judgements would be lost.
    """

    def __init__(self, folder: Path, already: Sequence[str] = ()) -> None:
        self.path, self._already, self._count = folder / FILE, list(already), 0
        size = sum(len(line.encode()) + 1 for line in already)
        lost = 0 if already else _judgements_cut_off(self.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = opened(self.path)
            portalocker.lock(self._file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            if not lost:
                self._file.truncate(size)  # in one step: a kill loses nothing
        except portalocker.LockException:
            self._file.close()
            raise OutputError(
                f"the folder {str(folder)!r} is in use: another run writes its report there"
            ) from None
        except OSError as error:
            raise DiskFull.of(f"the folder {str(folder)!r} cannot be written", error) from error
        if lost:
            self._file.close()
            raise OutputError(
                f"the folder {str(folder)!r} has a report that was cut off after {lost} judgements: go on with "
                f"`{_resumed(folder)}`, or write to another folder"
            )

    def write(self, line: str) -> None:
        """Append a record, or find it where it is.

        Raises:
            OutputError: it cannot be written; what was, stays.  ReportDamaged: the file has another one there.
        """
        self._count += 1
        if self._count <= len(self._already):
            if _comparable(line) != _comparable(self._already[self._count - 1]):
                raise ReportDamaged(
                    f"{self.path}, line {self._count}: this run does not repeat what stands there: it has "
                    f"{_difference(self._already[self._count - 1], line)}; start the run anew"
                )
            return
        rest = line.encode() + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            stays = f"; what was judged is kept: go on with `{_resumed(self.path.parent)}`"
            raise DiskFull.of(f"{self.path} cannot be written", error, stays) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _resumed(folder: Path) -> str:
    return shlex.join(["conformance", "run", "--resume", str(folder)])


def _judgements_cut_off(path: Path) -> int:
    """How many judgements a report without an end has; 0 for one that has its end, and for what is no report."""
    if not path.is_file():
        return 0
    try:
        report = kept(path.parent).report
    except ReportError:
        return 0
    return 0 if report.footer else len(report.judgements)


def kept(folder: Path) -> Kept:
    """What can be kept of a folder's journal; a last line that was cut off is left out.

    Raises:
        ReportError: there is none.  ReportDamaged: an earlier line is damaged (its number is named), or nobody can have
            asked for its run.
    """
    path = folder / FILE
    if not path.is_file():
        raise ReportError(f"there is no {FILE} in {str(folder)!r}: nothing to resume")
    return kept_of(content(path), str(path))


def kept_of(data: bytes, source: str) -> Kept:
    """What can be kept of what a file of this name holds; raises ReportDamaged."""
    data = data[: data.rfind(b"\n") + 1]  # what comes after it was being written
    report = parsed(data, source)
    if report.footer is not None:
        return Kept(report=report, lines=(), ended=True)
    _check_call(report.header, f"{source}, line 1")
    lines = data.decode().removesuffix("\n").split("\n")
    records = [json.loads(line) for line in lines]
    at = next((_owner(r) for r in reversed(records) if r["record"] != "header"), "")
    stays = _stays(records, at)
    before = report.adapters[: report.adapters.index(at)] if at else []
    groups: dict[str, list[Judgement]] = {}
    for j in report.judgements:
        if j.adapter == at:
            groups.setdefault(j.problem, []).append(j)
    whole = {r["problem"] for r in records[:stays] if r["record"] == "judgement" and r["adapter"] == at}
    return Kept(
        report=report,
        lines=tuple(lines[:stays]),
        finished={name: list(_events(report, name)) for name in before},
        judged={line: js for line, js in groups.items() if line in whole},
        at=at,
    )


def _check_call(header: dict[str, Any], place: str) -> None:
    """A run is only made again as the command line takes it."""
    profile, seed = header["profile"], header["seed"]
    if profile not in PROFILES:
        raise ReportDamaged(f"{place}: there is no profile {profile!r} to go on with")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ReportDamaged(f"{place}: the seed {seed} is not between 0 and 2^32 - 1")


def _stays(records: list[dict[str, Any]], at: str) -> int:
    """How many records stay: not the last problem's of the adapter that it was at, nor what came after judging."""
    own = [k for k, r in enumerate(records) if at and _owner(r) == at]
    judgements = [k for k in own if records[k]["record"] == "judgement"]
    if not judgements:
        return own[0] if own else len(records)
    after = [k for k in own if k > judgements[-1]]
    if after:  # then every problem was judged
        return after[0]
    last = records[judgements[-1]]["problem"]
    return next(k for k in judgements if records[k]["problem"] == last)


def _owner(r: dict[str, Any]) -> str:
    return str(r.get("adapter", ""))


def _events(report: Report, adapter: str) -> Iterator[Event]:
    """In the order in which a run has them; remarks on what is stale come after the judgements."""
    remarks = [r for name, r in report.remarks if name == adapter]
    late = report.stale(adapter)
    yield from (r for r in remarks if r not in late)
    yield from (j for j in report.judgements if j.adapter == adapter)
    yield from late
    yield from report.findings_of(adapter)


def _comparable(line: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)
    return {k: v for k, v in fields.items() if k != "started"}


def _difference(before: str, now: str) -> str:
    """The first field in which two records differ."""
    old, new = _comparable(before), _comparable(now)
    name = next(k for k in (*old, *new) if old.get(k) != new.get(k))
    return f"{name} {json.dumps(old.get(name))}, now it is {json.dumps(new.get(name))}"
