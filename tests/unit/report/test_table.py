"""What a reader sees, as text on a terminal and as markdown."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from conformance.adapter.doctor import Remark
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status
from conformance.report.model import SCHEMA, Report
from conformance.report.table import STYLES, rendered, seen

LINE = "2d n1 c1 m1 i5x5 k3x3 f64"
PASS, FAIL, UNSUPPORTED, WEAK = Status.PASS, Status.FAIL, Status.UNSUPPORTED, Status.WEAK


def judgement(clause: str = "FWD-1", status: Status = PASS, adapter: str = "mine", **more: Any) -> Judgement:
    return Judgement(adapter=adapter, clause=clause, problem=LINE, origin="seed/post", status=status, **more)


def failing(**more: Any) -> Judgement:
    own: dict[str, Any] = {
        "grade": "FAIL", "quantity": "dw", "index": (0, 1, 2), "got": 3.0, "expected": 4.0,
        "error_over_bound": math.inf,
        "wrong": 7,
    }  # fmt: skip
    return judgement("WGT-1", FAIL, **{**own, **more})


def finding(**more: Any) -> Finding:
    own: dict[str, Any] = {
        "adapter": "mine", "clause": "WGT-1", "severity": "MUST", "status": FAIL,
        "fallen": ("WGT-3", "WGT-4"),
        "problems": 12, "judgement": failing(), "shrunk": True,
    }  # fmt: skip
    return Finding(**{**own, **more})


def a_report(*judgements: Judgement, adapters: tuple[str, ...] = ("mine",), **more: Any) -> Report:
    header = {
        "schema": SCHEMA, "versions": {"conformance": "0.1.0", "numpy": "2.4.6"}, "platform": "Linux x86_64",
        "started": "2026-01-01T00:00:00+00:00", "profile": "quick", "seed": 3, "only": "*", "dtype": None,
        "clauses": ["FWD-1", "WGT-1", "HYG-2"],
        "adapters": [
            {"name": a, "versions": {"cnn": "1.2"}, "capabilities": {},
             "arithmetic": {"float64": "direct", "float32": "fft"}}
            for a in adapters
        ],
    }  # fmt: skip
    return Report(header=header, judgements=list(judgements), **{"footer": {"exit_code": 0}, **more})


def cells(markdown: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading, head and rule left out; parted as markdown parts cells."""
    body = markdown.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


# ---- the head ----
@pytest.mark.parametrize("style", STYLES)
def test_the_head_says_what_is_needed_to_repeat_the_run(style: str) -> None:
    text = rendered(a_report(judgement()), style)
    assert "profile quick, seed 3, clauses *; conformance 0.1.0, numpy 2.4.6; Linux x86_64" in text
    assert "mine: cnn 1.2; arithmetic: float64 direct; float32 fft" in text


def test_only_markdown_has_headings() -> None:
    assert rendered(a_report(), "markdown").startswith("# Conformance report\n\n")
    assert "#" not in rendered(a_report(), "terminal")
    assert rendered(a_report()) == rendered(a_report(), "terminal")


@pytest.mark.parametrize("style", STYLES)
def test_the_text_ends_with_one_newline(style: str) -> None:
    text = rendered(a_report(judgement()), style)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


# ---- clauses ----
def test_a_row_a_clause() -> None:
    js = [
        judgement(grade="PROVEN", error_over_bound=0.123456, certificate=1.0),
        judgement(status=WEAK, grade="EXACT"),
        failing(),
        judgement("HYG-2", UNSUPPORTED, note="stride not claimed"),
    ]
    assert cells(rendered(a_report(*js), "markdown"), "mine: clauses") == [
        ["FWD-1", "MUST", "y equals the definition", "PASS", "2", "1", "proven", "0.12"],
        [
            "WGT-1",
            "MUST",
            "dw equals the definition: the correlation of x with delta",
            "FAIL",
            "1",
            "",
            "fail",
            "inf",
        ],
        [
            "HYG-2",
            "SHOULD",
            "the same call twice gives the same bits",
            "UNSUPPORTED: stride not claimed",
            "0",
            "",
            "",
            "",
        ],
    ]


@pytest.mark.parametrize(
    ("grade", "shown"),
    [
        ("EXACT", "exact"),
        ("EXACT_ROUNDED", "exact-rounded"),
        ("RINT", "rint"),
        ("SUSPICIOUS", "suspicious"),
        ("", ""),
    ],
)
def test_grades_are_written_small(grade: str, shown: str) -> None:
    assert cells(rendered(a_report(judgement(grade=grade)), "markdown"), "mine: clauses")[0][6] == shown


@pytest.mark.parametrize(("ratio", "shown"), [(0.0, "0"), (0.5, "0.5"), (1e-7, "1e-07"), (math.inf, "inf")])
def test_ratios_are_written_short(ratio: float, shown: str) -> None:
    js = judgement(grade="PROVEN", error_over_bound=ratio)
    assert cells(rendered(a_report(js), "markdown"), "mine: clauses")[0][7] == shown


def test_wide_cells_are_folded_on_a_terminal() -> None:
    long = "word " * 60
    text = rendered(a_report(judgement("HYG-2", UNSUPPORTED, note=long)))
    assert max(map(len, text.splitlines())) < 200
    assert text.count("word") == 60


# ---- findings ----
def test_a_finding_shows_what_was_seen_with_which_problem() -> None:
    text = rendered(a_report(failing(), findings=[finding()]), "markdown")
    assert cells(text, "mine: findings") == [
        [
            "WGT-1",
            "MUST FAIL",
            "WGT-3, WGT-4",
            "12",
            LINE,
            "dw[0, 1, 2] is 3, right is 4; 7 wrong elements; exactness is demanded",
        ]
    ]


def test_a_finding_that_was_not_shrunk_says_so() -> None:
    text = rendered(a_report(failing(), findings=[finding(shrunk=False)]), "markdown")
    assert cells(text, "mine: findings")[0][4] == f"{LINE} (not shrunk)"


@pytest.mark.parametrize("style", STYLES)
def test_without_findings_there_is_no_table_of_them(style: str) -> None:
    assert "findings" not in rendered(a_report(judgement()), style)


SEEN = [
    ({}, "dw[0, 1, 2] is 3, right is 4; 7 wrong elements; exactness is demanded"),
    ({"error_over_bound": 12.34}, "dw[0, 1, 2] is 3, right is 4; 7 wrong elements; 12 x the bound"),
    ({"got": math.nan}, "dw[0, 1, 2] is nan, right is 4; 7 wrong elements; exactness is demanded"),
    ({"got": -math.inf}, "dw[0, 1, 2] is -inf, right is 4; 7 wrong elements; exactness is demanded"),
    ({"got": -0.375, "expected": 0.75, "error_over_bound": 1e9},
     "dw[0, 1, 2] is -0.375, right is 0.75; 7 wrong elements; 1e+09 x the bound"),
    ({"note": "dw is additive in x"},
     "dw is additive in x; dw[0, 1, 2] is 3, right is 4; 7 wrong elements; exactness is demanded"),
    ({"index": ()}, "dw[] is 3, right is 4; 7 wrong elements; exactness is demanded"),
    ({"index": None, "got": None, "expected": None, "note": "dw has shape (1,)"}, "dw has shape (1,)"),
    ({"index": (0,), "got": None}, "dw[0] is nothing, right is 4; 7 wrong elements; exactness is demanded"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), SEEN, ids=[words for _, words in SEEN])
def test_what_was_seen_in_words(changes: dict[str, Any], words: str) -> None:
    assert seen(failing(**changes)) == words


def test_nearly_equal_numbers_are_told_apart() -> None:
    """One unit in the last place of float64 is a failure, and must not be shown as 1 is, 1 is right."""
    j = failing(got=1.0 + 2.0**-52, expected=1.0)
    got, right = re.findall(r"is ([-\d.e+]+)", seen(j))
    assert got != right


# ---- cells that would break a table ----
def test_bars_are_escaped_in_markdown_and_left_on_a_terminal() -> None:
    j = judgement("HYG-2", UNSUPPORTED, note="a|b")
    row = cells(rendered(a_report(j), "markdown"), "mine: clauses")[2]
    assert row[3] == "UNSUPPORTED: a\\|b"
    assert len(row) == 8
    assert "a|b" in rendered(a_report(j), "terminal")


def test_bars_in_a_finding_are_escaped_too() -> None:
    crashed = finding(judgement=judgement(status=Status.CRASHED, note="raises ValueError: int | None"))
    row = cells(rendered(a_report(failing(), findings=[crashed]), "markdown"), "mine: findings")[0]
    assert row[5] == "raises ValueError: int \\| None"
    assert len(row) == 6


def test_bars_in_an_adapters_name_do_not_break_the_matrix() -> None:
    text = rendered(a_report(judgement(), adapters=("./a|b.py", "yours")), "markdown")
    table = text.partition("## Matrix\n\n")[2].partition("\n\n")[0]
    rows = [len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines() if row.startswith("|")]
    assert len(rows) == 5
    assert set(rows) == {5}


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\n\n"], ids=ascii)
def test_a_reason_of_several_lines_stays_in_its_row(mark: str) -> None:
    j = judgement("FWD-1", UNSUPPORTED, note=f"first{mark}second")
    rows = cells(rendered(a_report(j), "markdown"), "mine: clauses")
    assert [row[0] for row in rows] == ["FWD-1", "WGT-1", "HYG-2"]
    assert rows[0][3].split() == ["UNSUPPORTED:", "first", "second"]


def test_numbers_in_cells_are_not_reformatted() -> None:
    j = judgement("HYG-2", UNSUPPORTED, note="1e5 of 007")
    assert "1e5 of 007" in rendered(a_report(j), "markdown")


# ---- remarks, matrix, verdicts ----
@pytest.mark.parametrize("style", STYLES)
def test_remarks_that_matter_are_told(style: str) -> None:
    remarks = [
        ("mine", Remark(check="loads", ok=True, text="mine loads")),
        (
            "mine",
            Remark(
                check="claims", ok=True, text="stride works on the doctor's problem, though it is not claimed"
            ),
        ),
        ("mine", Remark(check="wiring", ok=False, text="backward returns (dw, dx)")),
    ]
    text = rendered(a_report(remarks=remarks), style)
    assert (
        "doctor: stride works on the doctor's problem, though it is not claimed\n"
        "doctor: backward returns (dw, dx)" in text
    )
    assert "mine loads" not in text


@pytest.mark.parametrize("style", STYLES)
def test_the_arithmetic_that_was_seen_is_told(style: str) -> None:
    remark = Remark(check="arithmetic", ok=True, text="float32: y, dx: accumulates in f64")
    assert "doctor: float32: y, dx: accumulates in f64" in rendered(
        a_report(remarks=[("mine", remark)]), style
    )


def test_several_adapters_make_a_matrix() -> None:
    js = [
        judgement(), judgement("WGT-1", UNSUPPORTED), judgement("FWD-1", FAIL, "yours", grade="FAIL"),
        judgement("WGT-1", PASS, "yours"), judgement("FWD-1", WEAK, "theirs"),
    ]  # fmt: skip
    text = rendered(a_report(*js, adapters=("mine", "yours", "theirs")), "markdown")
    assert cells(text, "Matrix") == [
        ["FWD-1", "PASS", "FAIL", "WEAK"],
        ["WGT-1", "UNSUPPORTED", "PASS", "WEAK"],
        ["HYG-2", "WEAK", "WEAK", "WEAK"],
    ]
    assert re.search(r"^\| clause +\| mine +\| yours +\| theirs +\|$", text, re.MULTILINE)
    for adapter in ("mine", "yours", "theirs"):
        assert len(cells(text, f"{adapter}: clauses")) == 3


@pytest.mark.parametrize("style", STYLES)
def test_one_adapter_needs_no_matrix(style: str) -> None:
    assert "Matrix" not in rendered(a_report(judgement()), style)


@pytest.mark.parametrize("style", STYLES)
def test_the_verdicts_come_last_one_an_adapter(style: str) -> None:
    js = [judgement(), judgement("FWD-1", FAIL, "yours")]
    r = a_report(*js, adapters=("mine", "yours"))
    assert rendered(r, style).endswith(f"\n{r.verdict('mine')}\n{r.verdict('yours')}\n")


@pytest.mark.parametrize("style", STYLES)
def test_a_report_that_was_cut_off_says_so(style: str) -> None:
    sentence = "This report was cut off: it has no footer, and what is missing is not known."
    assert rendered(a_report(judgement(), footer=None), style).endswith(f"{sentence}\n")
    assert sentence not in rendered(a_report(judgement()), style)
