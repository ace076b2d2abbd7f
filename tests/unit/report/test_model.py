"""What is written can be read back, and what is damaged is refused by its line."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.adapter.doctor import Remark
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status
from conformance.errors import ReportError
from conformance.oracle import Grade
from conformance.report.model import SCHEMA, Report, read, record, schema
from conformance.spec import REGISTRY, Severity

LINE = "2d n1 c1 m1 i5x5 k3x3 f64"
CLAUSES = ("FWD-1", "DEL-1", "WGT-1", "HYG-2")
P, W, U, K = Status.PASS, Status.WEAK, Status.UNSUPPORTED, Status.KNOWN
F, C, T, B = Status.FAIL, Status.CRASHED, Status.TIMED_OUT, Status.BROKEN_ADAPTER


def judgement(clause: str = "FWD-1", status: Status = P, adapter: str = "mine", **more: Any) -> Judgement:
    return Judgement(adapter=adapter, clause=clause, problem=LINE, origin="seed/post", status=status, **more)


def finding(**more: Any) -> Finding:
    own: dict[str, Any] = {
        "adapter": "mine", "clause": "FWD-1", "severity": "MUST", "status": F,
        "fallen": ("FWD-4", "NUM-2"), "problems": 3,
        "judgement": judgement(
            status=F, grade="FAIL", quantity="y", index=(0, 0, 1, 2), got=1.0, expected=2.0
        ),
    }  # fmt: skip
    return Finding(**{**own, **more})


def header(*adapters: str, clauses: tuple[str, ...] = CLAUSES) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "versions": {"numpy": "2.4.6"},
        "platform": "Linux x86_64",
        "started": "2026-01-01T00:00:00+00:00",
        "profile": "quick",
        "seed": 0,
        "only": "*",
        "dtype": None,
        "clauses": list(clauses),
        "adapters": [
            {
                "name": name,
                "versions": {"cnn": "1"},
                "capabilities": {"ranks": [2]},
                "arithmetic": {"float64": "direct"},
            }
            for name in adapters or ("mine",)
        ],
    }


FOOTER = {
    "finished": "2026-01-01T00:00:09+00:00",
    "judgements": 1,
    "findings": 1,
    "exit_code": 1,
    "verdicts": ["mine ..."],
}
REMARK = Remark(check="loads", ok=True, text="mine loads")


def report(*statuses: Status, clause: str = "FWD-1", clauses: tuple[str, ...] = CLAUSES) -> Report:
    return Report(header=header(clauses=clauses), judgements=[judgement(clause, s) for s in statuses])


def lines_of(r: Report) -> list[str]:
    lines = [record("header", r.header)]
    lines += [record("remark", remark, adapter=adapter) for adapter, remark in r.remarks]
    lines += [record("judgement", j) for j in r.judgements]
    lines += [record("finding", f) for f in r.findings]
    return lines if r.footer is None else [*lines, record("footer", r.footer)]


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


# ---- there and back ----
def test_a_whole_report_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = Report(
        header=header("mine", "yours"),
        remarks=[
            ("mine", REMARK),
            ("yours", Remark(check="wiring", ok=False, text="backward returns (dw, dx)")),
        ],
        judgements=[judgement(), judgement("DEL-1", F, "yours", note="raises"), judgement("WGT-1", U)],
        findings=[
            finding(),
            finding(shrunk=True, fallen=(), judgement=judgement(status=C, note="raises KeyError: 1")),
        ],
        footer=dict(FOOTER),
    )
    back = read(written(tmp_path / "report.jsonl", lines_of(whole)))
    assert {**back.header, "record": "header"} == {**whole.header, "record": "header"}
    assert (back.remarks, back.judgements, back.findings) == (whole.remarks, whole.judgements, whole.findings)
    assert back.footer == whole.footer
    assert back.adapters == ["mine", "yours"]
    assert all(type(j.status) is Status for j in back.judgements)


NUMBERS = [0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", ["got", "expected", "error_over_bound"])
def test_every_number_comes_back_infinities_and_nan_too(tmp_path: Path, name: str, number: float) -> None:
    j = judgement(status=F, grade="FAIL", quantity="dw", index=(1, 2), **{name: number})
    r = Report(header=header(), judgements=[j], findings=[finding(judgement=j)])
    back = read(written(tmp_path / "r.jsonl", lines_of(r)))
    for found in (back.judgements[0], back.findings[0].judgement):
        same = getattr(found, name)
        assert type(same) is float
        assert same == number or (math.isnan(number) and math.isnan(same))
        assert math.copysign(1, same) == math.copysign(1, number)


def test_a_written_line_is_strict_json() -> None:
    """No NaN or Infinity, which are not JSON."""
    line = record("judgement", judgement(got=math.nan, expected=math.inf, error_over_bound=-math.inf))

    def refused(name: str) -> Any:
        raise ValueError(name)

    loaded = json.loads(line, parse_constant=refused)
    assert (loaded["got"], loaded["expected"], loaded["error_over_bound"]) == ("nan", "inf", "-inf")


FLOATS = st.floats(allow_nan=False)
JUDGEMENTS = st.builds(
    Judgement,
    adapter=st.just("mine"),
    clause=st.sampled_from(CLAUSES),
    problem=st.just(LINE),
    origin=st.sampled_from(["seed/post", "explored", "given"]),
    status=st.sampled_from(Status),
    grade=st.sampled_from(["", *(g.name for g in Grade)]),
    quantity=st.sampled_from(["", "y", "dx", "dw", "db"]),
    index=st.none() | st.lists(st.integers(0, 999), max_size=5).map(tuple),
    got=st.none() | FLOATS,
    expected=st.none() | FLOATS,
    error_over_bound=FLOATS,
    wrong=st.integers(0, 10**6),
    certificate=st.floats(0, 1),
    note=st.text(max_size=30),
)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(JUDGEMENTS, max_size=4))
def test_any_judgements_come_back_as_they_were(tmp_path: Path, judgements: list[Judgement]) -> None:
    back = read(written(tmp_path / "r.jsonl", lines_of(Report(header=header(), judgements=judgements))))
    assert back.judgements == judgements


MARKS = [
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    "\r",
    "\n",
    "\t",
    "é",
    "日",
    "😀",
    '"',
    "\\",
    "\udc80",
]


@pytest.mark.parametrize("mark", MARKS, ids=ascii)
def test_a_note_with_any_character_stays_one_line(tmp_path: Path, mark: str) -> None:
    """Also what str.splitlines takes for the end of a line, and half a character out of a file's name."""
    r = Report(header=header(), judgements=[judgement(note=f"before{mark}after")])
    assert read(written(tmp_path / "r.jsonl", lines_of(r))).judgements == r.judgements


# ---- the schema ----
RECORDS = {
    "header": record("header", header()),
    "remark": record("remark", REMARK, adapter="mine"),
    "judgement": record("judgement", judgement(index=(0, 1), got=math.inf, grade="FAIL", quantity="y")),
    "finding": record("finding", finding()),
    "footer": record("footer", FOOTER),
}


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == SCHEMA
    assert schema() is schema()


@pytest.mark.parametrize("kind", RECORDS)
def test_every_kind_of_record_is_of_the_schema(kind: str) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(RECORDS[kind]))
    assert json.loads(RECORDS[kind])["record"] == kind


@pytest.mark.parametrize("status", Status)
def test_every_status_is_of_the_schema(status: Status) -> None:
    jsonschema.Draft202012Validator(schema()).validate(
        json.loads(record("judgement", judgement(status=status)))
    )


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_is_of_the_schema(severity: Severity) -> None:
    jsonschema.Draft202012Validator(schema()).validate(
        json.loads(record("finding", finding(severity=severity)))
    )


@pytest.mark.parametrize("clause", REGISTRY)
def test_every_clause_is_of_the_schema(clause: str) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(record("judgement", judgement(clause))))


def damages(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Each field left out, each of another type, and one too many."""
    whole = json.loads(RECORDS[kind])
    without = [(f"without {name}", {k: v for k, v in whole.items() if k != name}) for name in whole]
    another = [
        (f"{name} is a list of lists", {**whole, name: [[["?"]]]}) for name in whole if name != "capabilities"
    ]
    return [*without, *another, ("one field too many", {**whole, "more": 1})]


DAMAGED = [(kind, what, damaged) for kind in RECORDS for what, damaged in damages(kind)]


@pytest.mark.parametrize(("kind", "what", "damaged"), DAMAGED, ids=[f"{k}: {w}" for k, w, _ in DAMAGED])
def test_a_damaged_record_is_refused_with_its_line(
    tmp_path: Path, kind: str, what: str, damaged: dict[str, Any]
) -> None:
    path = written(tmp_path / "r.jsonl", [RECORDS["header"], RECORDS["judgement"], json.dumps(damaged)])
    with pytest.raises(ReportError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 3: not a record of {SCHEMA}: ")
    assert (caught.value.fault, caught.value.exit_code) == ("report", 2)


VALUES = [
    ("judgement", {"status": "GREEN"}),
    ("judgement", {"grade": "GOOD"}),
    ("judgement", {"quantity": "dz"}),
    ("judgement", {"clause": "fwd-1"}),
    ("judgement", {"index": [-1]}),
    ("judgement", {"wrong": -1}),
    ("judgement", {"certificate": 1.5}),
    ("judgement", {"got": "infinity"}),
    ("judgement", {"error_over_bound": None}),
    ("finding", {"severity": "COULD"}),
    ("finding", {"problems": 0}),
    ("finding", {"judgement": {}}),
    ("footer", {"exit_code": 7}),
    ("footer", {"judgements": -1}),
    ("header", {"schema": "conformance-report/0"}),
    ("header", {"adapters": []}),
    ("header", {"adapters": [{"name": "mine"}]}),
    ("remark", {"ok": "yes"}),
]


@pytest.mark.parametrize(("kind", "change"), VALUES, ids=[f"{k} {c}" for k, c in VALUES])
def test_a_value_that_no_record_has_is_refused(tmp_path: Path, kind: str, change: dict[str, Any]) -> None:
    line = json.dumps({**json.loads(RECORDS[kind]), **change})
    with pytest.raises(ReportError, match=f", line 2: not a record of {SCHEMA}"):
        read(written(tmp_path / "r.jsonl", [RECORDS["header"], line]))


@pytest.mark.parametrize("line", ["", "{", "no JSON", '{"record": "judgement", "adap', "[" * 100_000])
def test_a_line_that_is_no_json_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "r.jsonl", [RECORDS["header"], line, RECORDS["judgement"]])
    with pytest.raises(ReportError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2: not JSON (")


@pytest.mark.parametrize("line", ["[]", "3", "null", '"header"', '{"record": "other"}', "{}"])
def test_json_that_is_no_record_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ReportError, match=f", line 1: not a record of {SCHEMA}"):
        read(written(tmp_path / "r.jsonl", [line]))


def test_a_file_without_a_header_is_no_report(tmp_path: Path) -> None:
    for lines in ([], [RECORDS["judgement"]], [RECORDS["judgement"], RECORDS["header"]]):
        path = written(tmp_path / "r.jsonl", lines)
        with pytest.raises(ReportError) as caught:
            read(path)
        assert str(caught.value) == f"{path} does not begin with the header of a report"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"missing\.jsonl cannot be read: "):
        read(tmp_path / "missing.jsonl")
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReportError, match=r"binary\.jsonl cannot be read: "):
        read(binary)


def test_a_report_that_was_cut_off_has_no_footer(tmp_path: Path) -> None:
    back = read(written(tmp_path / "r.jsonl", [RECORDS["header"], RECORDS["judgement"]]))
    assert (back.footer, len(back.judgements)) == (None, 1)


STRANGERS = [
    ("the header", [record("header", header(clauses=("FWD-1", "XYZ-9")))]),
    ("a judgement", [RECORDS["header"], record("judgement", judgement("XYZ-9"))]),
    ("a judgement not asked for", [RECORDS["header"], record("judgement", judgement("BIA-1"))]),
]


@pytest.mark.parametrize("lines", [lines for _, lines in STRANGERS], ids=[what for what, _ in STRANGERS])
def test_a_clause_that_is_unknown_or_was_not_asked_for_is_refused_when_it_is_read(
    tmp_path: Path, lines: list[str]
) -> None:
    """Not later, by a KeyError in the middle of a table."""
    path = written(tmp_path / "r.jsonl", lines)
    with pytest.raises(ReportError, match=f"line {len(lines)}"):
        read(path)


# ---- rows ----
def test_every_clause_that_was_asked_for_has_a_row_in_order() -> None:
    rows = report(P).rows("mine")
    assert [row.clause.id for row in rows] == list(CLAUSES)
    assert [row.status for row in rows] == [P, W, W, W]
    assert [(row.problems, row.weak, row.unsupported) for row in rows] == [
        (1, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
    ]


MIXES = [
    ((P, P, W), P, 3, 1, 0),
    ((P, U, U), P, 1, 0, 2),
    ((W, W), W, 2, 2, 0),
    ((U, U), U, 0, 0, 2),
    ((P, F, U, W), F, 3, 1, 1),
    ((P, C), C, 2, 0, 0),
    ((P, T), T, 2, 0, 0),
    ((P, K), K, 2, 0, 0),
    ((P, F, B), B, 3, 0, 0),
]


@pytest.mark.parametrize(("statuses", "status", "problems", "weak", "unsupported"), MIXES)
def test_a_row_counts_its_problems(
    statuses: tuple[Status, ...], status: Status, problems: int, weak: int, unsupported: int
) -> None:
    row = report(*statuses).rows("mine")[0]
    assert (row.status, row.problems, row.weak, row.unsupported) == (status, problems, weak, unsupported)


def test_a_row_has_the_worst_grade_and_ratio_of_what_was_graded() -> None:
    graded = [("EXACT", 0.0), ("PROVEN", 0.25), ("RINT", 0.75), ("EXACT_ROUNDED", 0.5)]
    js = [judgement(grade=grade, error_over_bound=ratio) for grade, ratio in graded]
    row = Report(header=header(), judgements=[*js, judgement(status=C, note="raises")]).rows("mine")[0]
    assert (row.grade, row.error_over_bound) == ("PROVEN", 0.75)
    assert report(C).rows("mine")[0].grade == ""


def test_a_row_is_suspicious_where_anything_is_and_nothing_failed() -> None:
    js = [judgement(grade=grade) for grade in ("PROVEN", "SUSPICIOUS", "EXACT")]
    (row, *_) = Report(header=header(), judgements=js).rows("mine")
    assert (row.grade, row.status) == ("SUSPICIOUS", P)
    failed = judgement(status=F, grade="FAIL")
    assert Report(header=header(), judgements=[*js, failed]).rows("mine")[0].grade == "FAIL"


def test_a_row_of_information_tells_all_that_was_seen_once_each() -> None:
    told = [
        (P, "overflow is infinite"),
        (P, "subnormal results are kept"),
        (P, "overflow is infinite"),
        (P, ""),
    ]
    js = [judgement("NUM-7", status, note=note) for status, note in told]
    (row,) = Report(header=header(clauses=("NUM-7",)), judgements=js).rows("mine")
    assert REGISTRY["NUM-7"].severity is Severity.INFO
    assert row.reason == "overflow is infinite; subnormal results are kept"


def test_a_row_of_information_tells_nothing_of_what_did_not_run_unless_nothing_did() -> None:
    declined = judgement("NUM-7", U, note="stride not claimed")
    seen = judgement("NUM-7", note="subnormal results are kept")
    some, none = (
        Report(header=header(clauses=("NUM-7",)), judgements=js).rows("mine")[0]
        for js in ([declined, seen], [declined])
    )
    assert some.reason == "subnormal results are kept"
    assert none.reason == "stride not claimed"


def test_information_alone_is_no_conformance() -> None:
    """It can not fail, so that it passed shows nothing."""
    js = [judgement("NUM-7"), judgement("FWD-1", W)]
    r = Report(header=header(clauses=("FWD-1", "NUM-7")), judgements=js)
    assert r.exit_code() == 1
    assert r.verdict("mine").startswith("mine: nothing was judged with power")


def test_a_row_says_why_where_nothing_was_judged() -> None:
    js = [judgement(status=U, note="stride not claimed"), judgement(status=U, note="groups not claimed")]
    assert Report(header=header(), judgements=js).rows("mine")[0].reason == "stride not claimed"
    broken = [judgement(note="fine"), judgement(status=B, note="backward returned None")]
    assert Report(header=header(), judgements=broken).rows("mine")[0].reason == "backward returned None"
    assert report(F).rows("mine")[0].reason == ""


def test_rows_of_one_adapter_do_not_count_another() -> None:
    r = Report(header=header("mine", "yours"), judgements=[judgement(), judgement(status=F, adapter="yours")])
    assert [r.rows(a)[0].status for a in r.adapters] == [P, F]
    assert r.findings_of("yours") == []


def test_a_wiring_fault_makes_every_row_broken() -> None:
    fault = Remark(check="wiring", ok=False, text="backward returns (dw, dx)")
    r = Report(
        header=header("mine", "yours"), remarks=[("mine", fault), ("yours", REMARK)], judgements=[judgement()]
    )
    assert {row.status for row in r.rows("mine")} == {B}
    assert {row.status for row in r.rows("yours")} == {W}


# ---- exit codes and verdicts ----
def of(**statuses: Status) -> Report:
    """A report in which each clause (FWD_1=...) has one judgement."""
    given = {name.replace("_", "-"): s for name, s in statuses.items()}
    return Report(header=header(clauses=tuple(given)), judgements=[judgement(c, s) for c, s in given.items()])


VERDICTS = [
    ({"FWD_1": P, "DEL_1": P}, 0, "mine conforms: 2 of 2 clauses pass"),
    ({"FWD_1": P, "DEL_1": U}, 0, "mine conforms: 1 of 2 clauses pass (1 unsupported)"),
    ({"FWD_1": P, "DEL_1": W, "WGT_1": U}, 0, "mine conforms: 1 of 3 clauses pass (1 weak, 1 unsupported)"),
    ({"FWD_1": P, "DEL_1": K}, 0, "mine conforms: 1 of 2 clauses pass (1 known)"),
    ({"FWD_1": P, "HYG_2": F}, 0, "mine conforms: 1 of 2 clauses pass, 1 SHOULD clauses fail"),
    ({"FWD_1": P, "HYG_2": C, "DEL_1": U}, 0,
     "mine conforms: 1 of 3 clauses pass, 1 SHOULD clauses fail (1 unsupported)"),
    ({"FWD_1": F, "DEL_1": P}, 1, "mine does not conform: 1 of 2 clauses fail"),
    ({"FWD_1": F, "DEL_1": C, "WGT_1": T}, 1, "mine does not conform: 3 of 3 clauses fail"),
    ({"FWD_1": F, "DEL_1": U, "WGT_1": W, "HYG_2": P}, 1,
     "mine does not conform: 1 of 4 clauses fail (1 weak, 1 unsupported)"),
    ({"FWD_1": U, "DEL_1": U}, 1, "mine: nothing was judged with power (2 unsupported)"),
    ({"FWD_1": W, "DEL_1": U}, 1, "mine: nothing was judged with power (1 weak, 1 unsupported)"),
    ({"FWD_1": W, "HYG_2": F}, 1, "mine: nothing was judged with power (1 weak)"),
    ({"FWD_1": K}, 1, "mine: nothing was judged with power (1 known)"),
    ({"FWD_1": P, "DEL_1": B}, 3, "mine: the adapter is broken; the implementation was not judged"),
    ({"FWD_1": F, "DEL_1": B}, 3, "mine: the adapter is broken; the implementation was not judged"),
]  # fmt: skip


@pytest.mark.parametrize(("statuses", "code", "sentence"), VERDICTS, ids=[s for _, _, s in VERDICTS])
def test_verdict_and_exit_code_of_each_mix(statuses: dict[str, Status], code: int, sentence: str) -> None:
    r = of(**statuses)
    assert (r.exit_code(), r.exit_code_of("mine"), r.verdict("mine")) == (code, code, sentence)


def test_nothing_judged_at_all_does_not_conform() -> None:
    r = Report(header=header())
    assert (r.exit_code(), r.verdict("mine")) == (1, "mine: nothing was judged with power (4 weak)")


def test_a_wiring_fault_alone_is_exit_code_3() -> None:
    r = Report(header=header(), remarks=[("mine", Remark(check="contract", ok=False, text="dw is None"))])
    assert r.exit_code() == 3
    assert r.verdict("mine") == "mine: the adapter is broken; the implementation was not judged"


@pytest.mark.parametrize(
    ("first", "second", "code"), [(P, P, 0), (P, F, 1), (F, P, 1), (P, B, 3), (B, F, 3), (F, B, 3), (U, P, 1)]
)
def test_the_worst_adapter_decides_the_exit_code(first: Status, second: Status, code: int) -> None:
    js = [judgement(status=first), judgement(status=second, adapter="yours")]
    assert Report(header=header("mine", "yours"), judgements=js).exit_code() == code


def test_a_row_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        report(P).rows("mine")[0].problems = 7  # type: ignore[misc]
