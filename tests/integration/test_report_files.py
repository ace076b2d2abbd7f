"""Report files of real runs: read back as they were, shown as cut off where they end early, refused where damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.errors import ReportError
from conformance.report.model import Report, read, record
from conformance.report.table import rendered

Invoke = Callable[..., Any]
Write = Callable[..., Path]

HOSTILE = (
    "        return self.layer(g, w, b).forward(x)",
    """\
        y = self.layer(g, w, b).forward(x)
        y[0, 0, 0, 0] = float("nan")
        y[-1, -1, -1, -1] = float("inf")
        return y""",
)
RAISES = ("        return layer.backward(delta)", "        raise ValueError('out of luck | \\u2028 \\n' * 3)")


@pytest.fixture
def report_file(invoke: Invoke, adapter_file: Write, tmp_path: Path) -> Path:
    """The report of a run with everything in it: NaN and Inf, exceptions, findings, what is not offered."""
    wrong = adapter_file("mine.py", HOSTILE, RAISES)
    lines = ("--problem", "n2 i5x4 k2", "--problem", "3d i3 k2", "--problem", "i4x5 k2x3 fill=real f32")
    invoke("run", wrong, "python-numpy", *lines, "--out", tmp_path / "out")
    return tmp_path / "out" / "report.jsonl"


def lines_of(report: Report) -> list[str]:
    """The records that would be written for it; NaN equals NaN there."""
    return [
        *(record("remark", remark, adapter=name) for name, remark in report.remarks),
        *(record("judgement", j) for j in report.judgements),
        *(record("finding", f) for f in report.findings),
    ]


def test_a_report_is_read_back_as_it_was_written(report_file: Path) -> None:
    report = read(report_file)
    written = report_file.read_text(encoding="utf-8").split("\n")
    assert sorted(lines_of(report)) == sorted(written[1:-2])
    assert json.loads(written[0]) == {"record": "header", **report.header}
    assert json.loads(written[-2]) == {"record": "footer", **(report.footer or {})}
    kinds = {j.status.value for j in report.judgements}
    assert {"PASS", "FAIL", "CRASHED", "UNSUPPORTED"} <= kinds
    assert "nan" in {str(j.got) for j in report.judgements}
    assert "inf" in {str(j.error_over_bound) for j in report.judgements}


def test_a_report_that_is_read_back_is_shown_as_it_was(report_file: Path) -> None:
    shown = report_file.with_name("report.md").read_text(encoding="utf-8")
    assert rendered(read(report_file), "markdown") == shown
    assert rendered(read(report_file), "terminal").splitlines()[-1] == shown.splitlines()[-1]


def test_the_columns_of_markdown_survive_what_an_exception_says(report_file: Path) -> None:
    table = [
        line
        for line in report_file.with_name("report.md").read_text(encoding="utf-8").split("\n")
        if "|" in line
    ]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} <= {9, 7, 4}


def test_a_report_without_a_footer_is_shown_as_cut_off(report_file: Path) -> None:
    lines = report_file.read_text(encoding="utf-8").splitlines(keepends=True)
    report_file.write_text("".join(lines[:-1]), encoding="utf-8")
    for style in ("terminal", "markdown"):
        told = rendered(read(report_file), style)
        assert told.endswith("This report was cut off: it has no footer, and what is missing is not known.\n")


@pytest.mark.parametrize("number", [1, 2, 9, -1])
def test_a_damaged_line_is_refused_with_its_number(number: int, report_file: Path) -> None:
    lines = report_file.read_text(encoding="utf-8").splitlines()
    at = number - 1 if number > 0 else len(lines) - 1
    lines[at] = lines[at].replace('"record": "', '"record": "x', 1)
    report_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(
        ReportError, match=rf"report\.jsonl, line {at + 1}: not a record of conformance-report/1"
    ):
        read(report_file)


def test_a_last_line_that_was_cut_off_is_refused_with_its_number(report_file: Path) -> None:
    text = report_file.read_text(encoding="utf-8")
    report_file.write_text(text[:-40], encoding="utf-8")
    with pytest.raises(ReportError, match=rf"report\.jsonl, line {len(text.splitlines())}: not JSON"):
        read(report_file)


def test_a_run_whose_process_dies_keeps_what_it_had(
    start: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    deadly = (
        "        return self.layer(g, w, b).forward(x)",
        "        if g.batch == 3:\n            import os; os._exit(7)\n        return self.layer(g, w, b).forward(x)",
    )
    lines = ("--problem", "n1 i5x4 k2", "--problem", "n3 i5x4 k2")
    said = start(
        "run",
        adapter_file("mine.py", deadly),
        *lines,
        "--only",
        "FWD-1,FWD-2",
        "--out",
        "out",
        "--in-process",
    )
    assert said.code == 7
    report = read(tmp_path / "out" / "report.jsonl")
    assert report.footer is None
    assert [(j.clause, j.status, j.problem) for j in report.judgements] == [
        ("FWD-1", "PASS", "2d n1 c1 m1 i5x4 k2x2 f64"),
        ("FWD-2", "PASS", "2d n1 c1 m1 i5x4 k2x2 f64"),
    ]
    assert "cut off" in rendered(report)


@pytest.mark.parametrize("mark", ["\\u2028", "\\x85", "\\ud800", "\\n", "|"])
def test_a_reason_may_hold_any_character(
    mark: str, invoke: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    picky = (
        "    def layer(",
        f"    def unsupported(self, g, dtype):\n        return 'one{mark}two' if g.batch > 1 else None\n\n    def layer(",
    )
    path = adapter_file("mine.py", picky)
    lines = ("--problem", "n1 i5x4 k2", "--problem", "n2 i5x4 k2")
    said = invoke("run", path, *lines, "--only", "FWD-1", "--out", tmp_path / "out")
    assert said.code == 0
    passed, not_offered = read(tmp_path / "out" / "report.jsonl").judgements
    assert (passed.status, not_offered.status) == ("PASS", "UNSUPPORTED")
    assert not_offered.note.startswith("one")
    assert not_offered.note.endswith("two")
