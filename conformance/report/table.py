"""The tables of a report, for a terminal or as markdown: one row a clause, one row a finding, a matrix of adapters.

Names, reasons and exceptions in it are anybody's texts: whatever is shown leaves as a cell (`_tabulated`) or as a line
(`_line`), and is escaped there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tabulate import tabulate

from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement
from conformance.engine.known import CHECK as KNOWN
from conformance.escape import brief, markdown, terminal
from conformance.report.model import Report, Row

__all__ = ["STYLES", "rendered"]

STYLES = {"terminal": "simple", "markdown": "github"}


def rendered(report: Report, style: str = "terminal") -> str:
    """The whole report as text."""
    parts = list(_parts(report, style, "## " if style == "markdown" else ""))
    title = "# Conformance report\n\n" if style == "markdown" else ""
    return title + "\n\n".join(parts) + "\n"


def _parts(report: Report, style: str, heading: str) -> Iterator[str]:
    yield "\n\n".join(_line(text, style) for text in _about(report))
    for adapter in report.adapters:
        yield heading + _line(f"{adapter}: clauses", style)
        yield _clauses(report.rows(adapter), style)
        found = report.findings_of(adapter)
        if found:
            yield heading + _line(f"{adapter}: findings", style)
            yield _findings(found, style)
        told = list(_remarks(report, adapter))
        if told:
            yield "\n".join(_line(text, style) for text in told)
    if len(report.adapters) > 1:
        yield f"{heading}Matrix"
        yield _matrix(report, style)
    yield "\n".join(_line(report.verdict(adapter), style) for adapter in report.adapters)
    if report.footer is None:
        yield "This report was cut off: it has no footer, and what is missing is not known."


def _about(report: Report) -> Iterator[str]:
    h = report.header
    versions = ", ".join(f"{name} {version}" for name, version in h["versions"].items())
    yield f"profile {h['profile']}, seed {h['seed']}, clauses {h['only']}; {versions}; {h['platform']}"
    for a in h["adapters"]:
        libraries = ", ".join(f"{name} {version}".rstrip() for name, version in a["versions"].items())
        classes = "; ".join(f"{dtype} {c}" for dtype, c in a["arithmetic"].items())
        yield f"{a['name']}: {libraries or 'no versions stated'}; arithmetic: {classes}"


def _clauses(rows: list[Row], style: str) -> str:
    headers = ("clause", "", "sentence", "status", "problems", "weak", "grade", "error/bound")
    body = [
        (
            row.clause.id,
            row.clause.severity,
            row.clause.text,
            f"{row.status}: {row.reason}" if row.reason else row.status,
            row.problems,
            row.weak or "",
            row.grade.lower().replace("_", "-"),
            _ratio(row.error_over_bound) if row.problems else "",
        )
        for row in rows
    ]
    return _tabulated(body, headers, style, (None, None, 60, 30, None, None, None, None))


def _findings(found: list[Finding], style: str) -> str:
    headers = ("clause", "", "falls with it", "problems", "smallest problem", "what was seen")
    body = [
        (
            f.clause,
            f"{f.severity} {f.status}",
            ", ".join(f.fallen),
            f.problems,
            f.problem if f.shrunk else f"{f.problem} (not shrunk)",
            "; ".join(filter(None, (f.diagnosis, seen(f.judgement)))),
        )
        for f in found
    ]
    return _tabulated(body, headers, style, (None, None, 24, None, 36, 48))


def seen(j: Judgement) -> str:
    """Got against expected at the worst element, and how far beyond the bound."""
    parts = [j.note] if j.note else []
    if j.index is not None:
        place = f"{j.quantity}[{', '.join(map(str, j.index))}]"
        got, right = _numbers(j.got, j.expected)
        parts.append(f"{place} is {got}, right is {right}")
        beyond = (
            "exactness is demanded"
            if math.isinf(j.error_over_bound)
            else f"{_ratio(j.error_over_bound)} x the bound"
        )
        parts.append(f"{j.wrong} wrong element{'s' if j.wrong != 1 else ''}; {beyond}")
    return "; ".join(parts)


def _remarks(report: Report, adapter: str) -> Iterator[str]:
    for name, r in report.remarks:
        matters = not r.ok or r.check == "arithmetic" or "though it is not claimed" in r.text
        if name == adapter and matters:
            yield r.text if r.check == KNOWN else f"doctor: {r.text}"


def _matrix(report: Report, style: str) -> str:
    rows = {adapter: report.rows(adapter) for adapter in report.adapters}
    clauses = [row.clause.id for row in next(iter(rows.values()))]
    body = [(id_, *(str(rows[a][k].status) for a in report.adapters)) for k, id_ in enumerate(clauses)]
    return _tabulated(body, ("clause", *report.adapters), style, (None,) * (1 + len(rows)))


def _tabulated(
    body: Sequence[Sequence[object]], headers: tuple[str, ...], style: str, widths: tuple[int | None, ...]
) -> str:
    cells = [[_line(str(cell), style) for cell in row] for row in body]
    wrap: dict[str, Any] = {"maxcolwidths": list(widths)} if style == "terminal" and cells else {}
    titles = [_line(title, style) for title in headers]
    return tabulate(cells, headers=titles, tablefmt=STYLES[style], disable_numparse=True, **wrap)


def _line(text: str, style: str) -> str:
    """Somebody's text on one line, or in one cell, which it cannot leave."""
    return (markdown if style == "markdown" else terminal)(brief(text))


def _ratio(value: float) -> str:
    if math.isinf(value):
        return "inf"
    return "0" if value == 0 else f"{value:.2g}"


def _numbers(got: float | None, right: float | None) -> tuple[str, str]:
    """Both numbers, with as many digits as it takes to tell them apart."""
    short, long = (
        [f"{v:.{digits}g}" if v is not None else "nothing" for v in (got, right)] for digits in (9, 17)
    )
    told = short if short[0] != short[1] else long
    return told[0], told[1]
