"""A report is data that anybody may have written: it is refused in one sentence, and what is shown of it obeys nobody."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from conformance.errors import ConformanceError, OutputError, ReportError
from conformance.report.decode import LONGEST, decoded
from conformance.report.journal import FILE, Journal, kept, kept_of
from conformance.report.model import parsed, record
from conformance.report.table import STYLES, rendered
from conformance.report.write import write_markdown
from fuzz.targets import SEEDS

WHOLE = SEEDS["journal"][-1]
CUT_OFF = SEEDS["journal"][-2]
HOSTILE = "\x1b]0;x\x07\r\n| DEL-1 | PASS |\n# PASS\n<script>alert(1)</script> ![](http://x) \u202e \ud800"


def records(data: bytes = WHOLE) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def data_of(changed: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(r) + "\n" for r in changed).encode()


# ---- one line ----
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("NaN", "NaN is no finite number"),
        ('{"a": -Infinity}', "-Infinity is no finite number"),
        ("1e999", "1e999 is no finite number"),
        (str(2**64), "no integer here is as large as 18446744073709551616"),
        ("1" * 400, "no integer here is as large as 111"),
        ("9" * 5000, "Exceeds the limit"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        ('{"b": {"a": 1, "a": 1}}', "'a' stands twice"),
        (" " * (LONGEST + 1), f"{LONGEST + 1} characters, more than {LONGEST}"),
        ('"a\x00b"', "Invalid control character"),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_json_that_nobody_writes_here_is_refused(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        decoded(line)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"a":' * 100_000, '{"record": ' + "[" * 5000 + "]" * 5000 + "}"]
)
def test_deep_nesting_ends_in_a_sentence(line: str) -> None:
    with pytest.raises(ReportError, match="line 1: not"):
        parsed(line.encode(), FILE)


@pytest.mark.parametrize("value", [0, -5, 2**64 - 1, 1.5, -1e308, 5e-324, "nan", True, None, [1], {"a": {}}])
def test_what_is_written_here_is_read(value: Any) -> None:
    assert decoded(json.dumps(value)) == value


# ---- a file ----
@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"\x00", WHOLE.replace(b"DEL-1", b"\xed\xa0\x80"), WHOLE[:50], b"\n", b"null\n", b"[]\n"],
)
def test_bytes_that_are_no_report_are_refused(data: bytes) -> None:
    with pytest.raises(ReportError):
        parsed(data, FILE)


@pytest.mark.parametrize(
    ("number", "change", "says"),
    [
        (2, {"adapter": "c"}, "line 2: adapter c is not known here, or was not asked for"),
        (3, {"adapter": "\x1b[2J"}, r"line 3: adapter \x1b[2J is not known"),
        (4, {"clause": "NET-1"}, "line 4: clause NET-1 is not known here, or was not asked for"),
        (3, {"got": 10**300}, "line 3: not JSON (no integer here is as large"),
        (3, {"certificate": float("nan")}, "line 3: not JSON (NaN is no finite number)"),
    ],
)
def test_names_and_numbers_that_cannot_be_shown_are_refused(number: int, change: Any, says: str) -> None:
    changed = records()
    changed[number - 1] |= change
    with pytest.raises(ReportError, match=re.escape(says)):
        parsed(data_of(changed), FILE)


@pytest.mark.parametrize("change", [{"adapter": "c"}, {"clause": "NET-1"}])
def test_the_judgement_in_a_finding_is_looked_at_too(change: dict[str, str]) -> None:
    changed = records()
    changed[3]["judgement"] |= change
    with pytest.raises(ReportError, match=r"line 4: .* is not known here"):
        parsed(data_of(changed), FILE)


def test_the_judgement_in_a_finding_may_say_what_it_is() -> None:
    changed = records()
    changed[3]["judgement"]["record"] = "judgement"
    (finding,) = parsed(data_of(changed), FILE).findings
    assert record("finding", finding).encode() in WHOLE


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_stands_behind_the_footer_and_a_header_only_in_front(number: int) -> None:
    changed = records()
    with pytest.raises(ReportError, match=r"line 6: a (header|remark) may not stand there"):
        parsed(data_of([*changed, changed[number]]), FILE)
    with pytest.raises(ReportError, match="line 2: a header may not stand there"):
        parsed(data_of([changed[0], *changed]), FILE)


# ---- what is shown ----
def with_text(text: str) -> bytes:
    """A report with a text wherever one may stand."""
    changed = records()
    name = f"./a.py:{text}"
    dumped = json.dumps(changed).replace('"a"', json.dumps(name)).replace("one|two", json.dumps(text)[1:-1])
    made: list[dict[str, Any]] = json.loads(dumped)
    made[0] |= {"platform": text, "profile": text, "only": text, "versions": {text: text}}
    made[0]["adapters"][0] |= {"versions": {text: text}, "arithmetic": {text: text}}
    made[1] |= {"ok": False, "text": text}
    made[3] |= {"diagnosis": text, "hint": text, "fallen": [text]}
    made[3]["judgement"] |= {"problem": text, "origin": text}
    return data_of(made)


@pytest.mark.parametrize("style", STYLES)
def test_hostile_text_breaks_no_line_and_no_cell(style: str) -> None:
    told, plain = (rendered(parsed(with_text(text), FILE), style) for text in (HOSTILE, "x"))
    assert told.replace("\n", "").isprintable()
    told.encode()
    if style == "markdown":
        assert len(told.splitlines()) == len(plain.splitlines())
        assert [len(re.findall(r"(?<!\\)\|", line)) for line in told.splitlines()] == [
            len(re.findall(r"(?<!\\)\|", line)) for line in plain.splitlines()
        ]
        assert not re.search(r"(?<!\\)<(?!\w+, \w+>)|\]\(", told)
        assert sum(line.startswith("#") for line in told.splitlines()) == 5


def test_a_line_of_a_report_is_printable_ascii() -> None:
    line = record("remark", {"adapter": "a\x7f", "check": HOSTILE, "ok": True, "text": "\x9b\x7f"})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == "\x9b\x7f"


# ---- where it is written ----
@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\x00b", "C:\\x"])
def test_names_in_a_report_become_no_file_names(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    text = json.dumps(records()).replace('"a"', json.dumps(name))
    report = parsed(data_of(json.loads(text)), FILE)
    with Journal(folder) as journal:
        journal.write("{}")
    write_markdown(report, folder)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "out", "out/report.jsonl", "out/report.md"
    ]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_in_the_place_of_a_report_is_not_followed(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "out"
    other.write_bytes(CUT_OFF)
    folder.mkdir()
    for name in (FILE, "report.md"):
        (folder / name).symlink_to(other)
    with pytest.raises(OutputError, match=r"cannot be written: report\.jsonl is a symbolic link"):
        Journal(folder, kept(folder).lines)
    with pytest.raises(OutputError, match=r"cannot be written: report\.md is a symbolic link"):
        write_markdown(parsed(WHOLE, FILE), folder)
    assert other.read_bytes() == CUT_OFF


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
def test_a_pipe_in_the_place_of_a_report_does_not_hold_a_run_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path)
    with pytest.raises(ReportError, match="nothing to resume"):
        kept(tmp_path)


def test_a_folder_in_the_place_of_the_markdown_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(OutputError, match=r"report\.md cannot be written: Is a directory"):
        write_markdown(parsed(WHOLE, FILE), tmp_path)


# ---- going on ----
@pytest.mark.parametrize(
    "change",
    [{"profile": "none"}, {"seed": 2**40}, {"seed": -1}, {"seed": 1.0}, {"seed": True}, {"adapters": []}],
)
def test_a_header_of_no_run_is_not_gone_on_with(change: dict[str, Any]) -> None:
    changed = records(CUT_OFF)
    changed[0] |= change
    with pytest.raises(ConformanceError, match="line 1"):
        kept_of(data_of(changed), FILE)
