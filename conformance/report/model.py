"""A report: header, remarks, judgements, findings, footer, as JSON lines with a versioned schema.

One record a line, in the order in which things happened, so that a run can be followed and a file that was cut off is
known by its missing footer.  Numbers that JSON cannot write (infinities, NaN) are the strings ``inf``, ``-inf``, ``nan``.
A line is printable ASCII.  Whoever reads one does not know who wrote it: what is no record of the schema is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from conformance.adapter.doctor import Remark
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status, joined
from conformance.engine.known import CHECK as KNOWN
from conformance.errors import ReportDamaged
from conformance.oracle import Grade
from conformance.report.decode import decoded
from conformance.report.files import content
from conformance.spec import REGISTRY, Clause, Severity

__all__ = ["SCHEMA", "Report", "Row", "parsed", "read", "record", "schema"]

SCHEMA = "conformance-report/1"
SHORT = 60
"""Characters of a reason that has room in a verdict."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One clause over all problems of one adapter."""

    clause: Clause
    status: Status
    problems: int
    weak: int
    unsupported: int
    grade: str
    error_over_bound: float
    reason: str


@dataclass(kw_only=True)
class Report:
    """All records of one run; `footer` is None if the file was cut off."""

    header: dict[str, Any]
    remarks: list[tuple[str, Remark]] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    footer: dict[str, Any] | None = None

    @property
    def adapters(self) -> list[str]:
        return [a["name"] for a in self.header["adapters"]]

    def rows(self, adapter: str) -> list[Row]:
        """A row for every clause that was asked for, in order."""
        by_clause: dict[str, list[Judgement]] = {id_: [] for id_ in self.header["clauses"]}
        for j in self.judgements:
            if j.adapter == adapter:
                by_clause[j.clause].append(j)
        broken = any(not r.ok for name, r in self.remarks if name == adapter and r.check != KNOWN)
        return [_row(REGISTRY[id_], js, broken=broken) for id_, js in by_clause.items()]

    def findings_of(self, adapter: str) -> list[Finding]:
        return [f for f in self.findings if f.adapter == adapter]

    def stale(self, adapter: str) -> list[Remark]:
        """Failures that are declared to be known and are none any more."""
        return [r for name, r in self.remarks if name == adapter and r.check == KNOWN]

    def exit_code(self) -> int:
        """0 conforms, 1 does not (or nothing was judged with power), 3 an adapter is broken."""
        return max((self.exit_code_of(a) for a in self.adapters), default=1)

    def exit_code_of(self, adapter: str) -> int:
        rows = self.rows(adapter)
        if any(r.status is Status.BROKEN_ADAPTER for r in rows):
            return 3
        musts = [r.status for r in rows if r.clause.severity is Severity.MUST]
        if any(s.failed for s in musts) or not self._judged(rows) or self.stale(adapter):
            return 1
        return 0

    @staticmethod
    def _judged(rows: list[Row]) -> bool:
        """Did any clause that can fail pass?"""
        return any(r.status is Status.PASS and r.clause.severity is not Severity.INFO for r in rows)

    def verdict(self, adapter: str) -> str:
        """One sentence."""
        rows = self.rows(adapter)
        count = {s: sum(r.status is s for r in rows) for s in Status}
        aside = [
            f"{count[s]} {s.lower()}" for s in (Status.WEAK, Status.UNSUPPORTED, Status.KNOWN) if count[s]
        ]
        tail = f" ({', '.join(aside)})" if aside else ""
        failed = sum(r.status.failed for r in rows if r.clause.severity is Severity.MUST)
        should = sum(r.status.failed for r in rows if r.clause.severity is Severity.SHOULD)
        if any(r.status is Status.BROKEN_ADAPTER for r in rows):
            return f"{adapter}: the adapter is broken; the implementation was not judged"
        if failed:
            return f"{adapter} does not conform: {failed} of {len(rows)} clauses fail{tail}"
        if not self._judged(rows):
            return f"{adapter}: nothing was judged with power{self._refusal(adapter)}{tail}"
        if self.stale(adapter):
            return f"{adapter}: known failures are stale{tail}"
        warned = f", {should} SHOULD clauses fail" if should else ""
        return f"{adapter} conforms: {count[Status.PASS]} of {len(rows)} clauses pass{warned}{tail}"

    def _refusal(self, adapter: str) -> str:
        """Why, where nothing that was asked for is offered: what more than half of the judgements say, if it is short."""
        own = [j for j in self.judgements if j.adapter == adapter]
        if any(j.status is not Status.UNSUPPORTED for j in own):
            return ""
        told = Counter(j.note for j in own if j.note).most_common(1)
        return f": {told[0][0]}" if told and 2 * told[0][1] > len(own) and len(told[0][0]) <= SHORT else ""


def _row(clause: Clause, judgements: list[Judgement], *, broken: bool) -> Row:
    ran = [j for j in judgements if j.status is not Status.UNSUPPORTED]
    graded = [j for j in ran if j.grade]
    status = Status.BROKEN_ADAPTER if broken else joined(j.status for j in judgements)
    telling = next((j.note for j in judgements if j.status is status and j.note), "")
    if status is Status.KNOWN:
        telling = telling.partition("; ")[0]  # the reason; what was seen comes after it
    if clause.severity is Severity.INFO and ran:
        telling = "; ".join(sorted({part for j in ran if j.note for part in j.note.split("; ")}))
    return Row(
        clause=clause,
        status=status,
        problems=len(ran),
        weak=sum(j.status is Status.WEAK for j in ran),
        unsupported=len(judgements) - len(ran),
        grade=max(graded, key=lambda j: _GRADES.index(j.grade)).grade if graded else "",
        error_over_bound=max((j.error_over_bound for j in graded), default=0.0),
        reason=telling
        if status in (Status.UNSUPPORTED, Status.BROKEN_ADAPTER, Status.KNOWN)
        or clause.severity is Severity.INFO
        else "",
    )


_GRADES = tuple(grade.name for grade in Grade)


# ---- JSON lines ----
@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of one line."""
    text = resources.files("conformance.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def record(kind: str, content: Any, **more: Any) -> str:
    """One line of a report (without the newline)."""
    fields = (
        dataclasses.asdict(content)
        if dataclasses.is_dataclass(content) and not isinstance(content, type)
        else content
    )
    line = json.dumps({"record": kind, **more, **_plain(fields)}, allow_nan=False)
    return line.replace(
        "\x7f", "\\u007f"
    )  # the one ASCII character that JSON leaves as it is, and no one can see


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return value


def read(path: Path) -> Report:
    """The report of a file.

    Raises:
        ReportError: it is not there.  ReportDamaged: a line is no record of this schema (its number is named), or the
            header is missing.
    """
    return parsed(content(path), str(path))


def parsed(data: bytes, source: str) -> Report:
    """The report that a file of this name holds; raises ReportDamaged."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ReportDamaged(f"{source} cannot be read: {error}") from error
    lines = text.removesuffix("\n").split("\n") if text else []  # splitlines() would also split inside texts
    records = _records(lines, source)
    header = next(records, None)
    if header is None or header["record"] != "header":
        raise ReportDamaged(f"{source} does not begin with the header of a report")
    report = Report(header=header)
    clauses, adapters = set(header["clauses"]), set(report.adapters)
    _check_names("clause", header["clauses"], set(REGISTRY), f"{source}, line 1")
    for number, r in enumerate(records, start=2):
        place = f"{source}, line {number}"
        if r["record"] == "header" or report.footer is not None:
            raise ReportDamaged(f"{place}: a {r['record']} may not stand there")
        parts = (r, r.get("judgement", {}))
        _check_names("clause", (p["clause"] for p in parts if "clause" in p), clauses, place)
        _check_names("adapter", (p["adapter"] for p in parts if "adapter" in p), adapters, place)
        _add(report, r)
    return report


def _check_names(what: str, names: Iterable[str], there: set[str], place: str) -> None:
    """A clause that this version does not know, or a name that was not asked for, cannot be shown."""
    for name in names:
        if name not in there:
            raise ReportDamaged(f"{place}: {what} {name} is not known here, or was not asked for")


def _records(lines: Iterable[str], source: str) -> Iterator[dict[str, Any]]:
    validator = jsonschema.Draft202012Validator(schema())
    for number, line in enumerate(lines, start=1):
        place = f"{source}, line {number}"
        try:
            loaded = decoded(line)
            validator.validate(loaded)
        except (ValueError, RecursionError) as error:
            raise ReportDamaged(f"{place}: not JSON ({error})") from error
        except jsonschema.ValidationError as error:
            raise ReportDamaged(f"{place}: not a record of {SCHEMA}: {error.message}") from error
        yield loaded


def _add(report: Report, r: dict[str, Any]) -> None:
    kind = r.pop("record")
    if kind == "remark":
        report.remarks.append((r.pop("adapter"), Remark(**r)))
    elif kind == "judgement":
        report.judgements.append(_judgement(r))
    elif kind == "finding":
        own = {**r, "status": Status(r["status"]), "fallen": tuple(r["fallen"])}
        report.findings.append(Finding(**{**own, "judgement": _judgement(r["judgement"])}))
    elif kind == "footer":
        report.footer = r


def _judgement(r: dict[str, Any]) -> Judgement:
    numbers = {
        k: float(r[k]) if isinstance(r[k], str) else r[k] for k in ("got", "expected", "error_over_bound")
    }
    index = None if r["index"] is None else tuple(r["index"])
    own = {k: v for k, v in r.items() if k != "record"}
    return Judgement(**{**own, **numbers, "index": index, "status": Status(r["status"])})
