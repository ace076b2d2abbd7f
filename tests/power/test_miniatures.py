"""The suite sees mistakes: each wrong miniature has a row that says how it must be found.

A row is put through a whole run, shrinking included.  `root` is the clause that the finding must name, `words` are
patterns that its text must match, `problem` is one of the smallest problem, `fallen` are clauses that must be listed
under it; all that fails must be explained by the roots that the row names, and by no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.adapter.session import Session
from conformance.engine.corpus import corpus
from conformance.engine.findings import Finding
from conformance.engine.judgement import Status
from conformance.engine.profiles import PROFILES
from conformance.engine.runner import judge
from conformance.problem import Problem
from conformance.report.table import rendered, seen
from conformance.spec import REGISTRY, matching

Put = Callable[..., Any]
Sessions = Callable[[str], Session]

NUMBER = r"-?[\d.]+"
PLAIN = r"^[12]d n1 c1 m1 i1(x1)? k1(x1)? "


@dataclass(frozen=True, kw_only=True)
class Row:
    """What must be found: the first finding in detail, further ones by their root."""

    miniature: str
    root: str
    words: tuple[str, ...]
    problem: str
    status: str = "FAIL"
    fallen: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.miniature


ROWS = (
    Row(
        miniature="AlwaysZero",
        root="FWD-1",
        others=("DEL-1", "WGT-1", "BIA-1", "HYG-6"),
        words=(r"y\[0, 0, 0(, 0)?\] is 0, right is (-1|1)\b", "exactness is demanded"),
        problem=PLAIN,
        fallen=("FWD-3", "DEL-3", "WGT-3", "NUM-2"),
    ),
    Row(
        miniature="SlightlyOff",
        root="WGT-1",
        words=(r"dw\[0, 0, 0(, 0)?\] is (-?)1\.0005, right is (-?)1\b", "exactness is demanded"),
        problem=PLAIN,
        fallen=("WGT-3", "WGT-4", "WGT-5", "WGT-6", "NUM-2", "NUM-4"),
    ),
    Row(
        miniature="CornerDropped",
        root="DEL-1",
        words=(r"dx\[0, 0, 0(, 0)?\] is 0, right is (-1|1)\b",),
        problem=PLAIN,
        fallen=("DEL-3", "DEL-4", "DEL-6", "ALG-1"),
    ),
    Row(
        miniature="KernelUnrotated",
        root="DEL-1",
        words=(rf"dx\[0, 0, \d(, \d)?\] is {NUMBER}, right is {NUMBER}; \d wrong elements",),
        problem=r"n1 c1 m1 .* k(2|2x1|1x2) ",
        fallen=("DEL-3", "DEL-4", "DEL-6"),
    ),
    Row(
        miniature="BatchMean",
        root="WGT-1",
        others=("BIA-1",),
        words=(rf"dw\[0, 0, 0(, 0)?\] is {NUMBER}, right is {NUMBER}",),
        problem="n2 ",
        fallen=("WGT-3", "WGT-4"),
    ),
    Row(miniature="WritesItsInput", root="HYG-1", words=("forward changed its operand x",), problem=PLAIN),
    Row(miniature="ReturnsView", root="HYG-1", words=("backward changed its operand delta",), problem="k1 "),
    Row(
        miniature="ReturnsItsInput",
        root="HYG-1",
        words=("db shares memory with an operand",),
        problem=r"n1 .*bias=untied",
    ),
    Row(
        miniature="Accumulates",
        root="HYG-3",
        words=("dw before and after a call on other data", rf"dw\[0, 0, 0(, 0)?\] is {NUMBER}, right is"),
        problem=PLAIN,
        fallen=("HYG-2", "WGT-5", "ALG-1"),
    ),
    Row(
        miniature="WrongDtype",
        root="NUM-1",
        words=(r"y has dtype float64, the operands have (float32|float16|bfloat16)",),
        problem=r" (f32|f16|bf16)\b",
    ),
    Row(
        miniature="WrongShape",
        root="FWD-2",
        words=(r"y has shape \(1, 1, 2\), the geometry gives \(1, 1, 1\)",),
        problem=r" s2\b",
        fallen=("FWD-1", "FWD-4", "DEL-3", "WGT-3", "HYG-3", "NUM-2"),
    ),
    Row(
        miniature="NaNInOne",
        root="FWD-1",
        words=(r"y\[0, 0, 0(, 0)?\] is nan, right is (-1|1); 1 wrong element",),
        problem=PLAIN,
        fallen=("FWD-3", "FWD-7", "NUM-2", "NUM-6"),
    ),
    Row(
        miniature="Raises",
        root="DEL-1",
        status="CRASHED",
        words=(r"raises RuntimeError: no gradient for you \(.*miniatures\.py:\d+\)",),
        problem=PLAIN,
        fallen=("DEL-2", "WGT-1", "BIA-1", "HYG-1", "NUM-1"),
    ),
    Row(
        miniature="Exits",
        root="FWD-1",
        status="CRASHED",
        words=(r"raises SystemExit: 5 \(.*miniatures\.py:\d+\)",),
        problem=PLAIN,
        fallen=("FWD-2", "DEL-3", "HYG-1"),
    ),
    Row(
        miniature="LiesAboutStride",
        root="DEL-1",
        words=(rf"dx\[0, 0, \d(, \d)?\] is {NUMBER}, right is {NUMBER}",),
        problem=r" s2\b",
        fallen=("DEL-2", "DEL-3", "DEL-6"),
    ),
    Row(
        miniature="RaisesOnDilation",
        root="FWD-1",
        status="CRASHED",
        words=("raises NotImplementedError: dilation is for later",),
        problem=r" d2\b",
        fallen=("FWD-2", "ALG-3"),
    ),
    Row(
        miniature="IgnoresTheBias",
        root="FWD-1",
        words=(rf"y\[0, 0, 0(, 0)?\] is {NUMBER}, right is {NUMBER}",),
        problem=r"^(?!.*bias=none)",
        fallen=("FWD-4", "DEL-3"),
    ),
    Row(
        miniature="AcceptsAnyDelta",
        root="HYG-6",
        words=(r"delta of size \(.*\) where y has \(.*\) was accepted without an error",),
        problem=PLAIN,
    ),
    Row(
        miniature="FlipsBitsInBatches",
        root="FWD-1",
        words=(rf"y\[1, 0, 0(, 0)?\] is {NUMBER}, right is {NUMBER}",),
        problem="n2 c1 m1 ",
        fallen=("FWD-7", "DEL-3"),
    ),
    Row(
        miniature="ClippedAt100",
        root="FWD-1",
        words=(r"is -?100, right is -?1\d\d\b", "exactness is demanded"),
        problem=" f64 ",
        fallen=("FWD-4", "ALG-2", "DEL-3"),
    ),
    Row(
        miniature="SumsInFloat16",
        root="NUM-2",
        words=(rf"is {NUMBER}, right is {NUMBER}", "exactness is demanded"),
        problem="f16 fill=(real|wide)",
        fallen=("NUM-3",),
    ),
)


def text_of(finding: Finding) -> str:
    return seen(finding.judgement)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_wrong_implementation_is_found_at_its_root_and_described(row: Row, put: Put) -> None:
    outcome = put(row.miniature)
    assert outcome.roots == [row.root, *row.others]
    first = outcome.findings[0]
    assert (first.status, first.severity, first.shrunk) == (row.status, "MUST", True)
    for pattern in row.words:
        assert re.search(pattern, text_of(first)), f"{pattern!r} is not in {text_of(first)!r}"
    assert re.search(row.problem, first.problem), f"{row.problem!r} does not match {first.problem!r}"
    assert set(row.fallen) <= set(first.fallen)
    assert outcome.report.exit_code() == 1


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_found_is_what_users_read(row: Row, put: Put) -> None:
    outcome = put(row.miniature)
    told = rendered(outcome.report, "markdown")
    assert re.search(rf"^{row.miniature} does not conform: \d+ of \d+ clauses fail", told, re.MULTILINE)
    for finding in outcome.findings:
        assert text_of(finding) in told
        assert f"| {finding.problem} " in told


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_smallest_problem_shows_the_mistake_again_when_pasted_back(
    row: Row, put: Put, session_of: Sessions
) -> None:
    for finding in put(row.miniature).findings:
        seen_then = finding.judgement
        session, problem = session_of(row.miniature), Problem.parse(finding.problem)
        (again,) = judge(session, problem, "given", matching(finding.clause))
        assert (again.status, again.problem) == (seen_then.status, seen_then.problem)
        assert (again.quantity, again.index, again.note) == (
            seen_then.quantity,
            seen_then.index,
            seen_then.note,
        )


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_failure_is_explained_by_a_finding(row: Row, put: Put) -> None:
    outcome = put(row.miniature)
    explained = {f.clause for f in outcome.findings} | {c for f in outcome.findings for c in f.fallen}
    assert {j.clause for j in outcome.failed} == explained


# ---- the worst element is named ----
def test_an_element_of_dw_that_is_off_by_a_twentieth_of_a_percent_is_named_in_every_geometry(
    put: Put,
) -> None:
    failed = put("SlightlyOff", only="WGT-1").failed
    assert len({j.problem for j in failed}) >= 4
    for j in failed:
        shape = Problem.parse(j.problem).geometry.w_shape
        assert (j.quantity, j.index, j.wrong) == ("dw", tuple(n - 1 for n in shape), 1), j.problem
        assert j.got == j.expected * 1.0005, j.problem


def test_a_dropped_corner_is_named_in_every_geometry(put: Put) -> None:
    failed = put("CornerDropped", only="DEL-1").failed
    assert len({j.problem for j in failed}) >= 6
    for j in failed:
        shape = Problem.parse(j.problem).geometry.x_shape
        assert (j.quantity, j.index, j.got, j.wrong) == ("dx", tuple(n - 1 for n in shape), 0, 1), j.problem


def test_a_nan_is_named_wherever_it_stands(put: Put) -> None:
    failed = put("NaNInOne", only="FWD-1").failed
    assert len({j.problem for j in failed}) >= 8
    assert all(j.got != j.got and j.error_over_bound == float("inf") and j.wrong == 1 for j in failed)


def test_a_nan_in_y_is_found_by_the_clauses_on_inner_products_alone(put: Put) -> None:
    assert put("NaNWithStride", only="FWD-1").report.exit_code() == 1
    assert put("NaNWithStride", only="DEL-3,DEL-4,WGT-3").report.exit_code() == 1


def test_an_operand_of_size_one_where_many_are_needed_is_refused_or_found(put: Put) -> None:
    assert put("OneForMany").roots == ["HYG-6"]


def test_a_delta_that_is_reshaped_is_found(put: Put) -> None:
    """Its maps and items, or its spatial axes, are exchanged: no element is missing."""
    outcome = put("ReshapesDelta")
    assert outcome.roots == ["HYG-6"]
    assert re.search(
        r"delta of shape \(.+\) where y has \(.+\) was accepted", outcome.findings[0].judgement.note
    )


# ---- the whole quick profile ----
@pytest.mark.parametrize(
    ("miniature", "root"),
    [("SlightlyOff", "WGT-1"), ("LiesAboutStride", "DEL-1"), ("ReturnsItsInput", "HYG-1")],
)
def test_the_quick_profile_finds_it_too(miniature: str, root: str, session_of: Sessions, put: Put) -> None:
    lines = [str(named.problem) for name in PROFILES["quick"].corpora for named in corpus(name)]
    assert put(miniature, *lines, only="FWD-1,DEL-1,WGT-1,BIA-1,HYG-1").roots == [root]


# ---- what only large sizes show ----
def test_a_wrong_tile_edge_passes_where_nothing_is_wide(put: Put) -> None:
    assert put("TileEdges").report.exit_code() == 0


def test_a_wrong_tile_edge_is_found_by_the_sizes_of_the_standard_profile(put: Put) -> None:
    assert "sizes" in PROFILES["standard"].corpora
    lines = [str(n.problem) for n in corpus("sizes") if n.id.startswith("sizes/width-")]
    outcome = put("TileEdges", *lines, only="FWD-1,DEL-1,DEL-3,WGT-1")
    assert outcome.roots == ["DEL-1"]
    (found,) = outcome.findings
    assert Problem.parse(found.problem).geometry.size[-1] == 33
    assert (found.judgement.index[-1], found.judgement.got) == (32, 0)
    narrow = {line for line in lines if Problem.parse(line).geometry.size[-1] <= 32}
    assert len(narrow) >= 6
    assert not narrow & {j.problem for j in outcome.failed}


# ---- memory ----
HOLES = ("1d c2 m2 i8 k2 s3 f64", "2d c1 m2 i5x7 k2x2 s2x4 f32 seed=3", "1d n2 i9 k1 s2 f16 seed=5")


@pytest.mark.parametrize("line", HOLES)
def test_memory_that_is_never_written_is_found(line: str, session_of: Sessions) -> None:
    *_, verdict = judge(session_of("LeavesHoles"), Problem.parse(line), "given", matching("DEL-2,HYG-5"))
    assert verdict.status is Status.FAIL
    assert verdict.note == "dx when fresh memory held NaN"
    assert "is nan, right is" in seen(verdict)


@pytest.mark.xfail(
    strict=True, reason="results are copied at once: no clause sees what a later call does to them"
)
def test_a_result_that_the_next_call_overwrites_is_found(put: Put) -> None:
    assert put("ReturnsItsBuffer", only="HYG-*").report.exit_code() == 1


# ---- what does not fail every time ----
UNSTEADY_LINES = (
    "1d n2 c3 m4 i11 k3 s2 seed=1",
    "2d n1 c2 m2 i5x6 k1x2 s3x2 f32 seed=2",
    "1d i9 k2 s3 seed=3",
)
UNSTEADY = "shrinking raises hypothesis.errors.FlakyFailure, and the run with it"


@pytest.mark.parametrize(
    ("miniature", "quantity"), [("Noisy", "y"), ("Flickers", "dx"), ("KeepsWhatWasThere", "dx")]
)
def test_what_does_not_fail_every_time_is_found_and_does_not_end_the_run(
    miniature: str, quantity: str, put: Put
) -> None:
    outcome = put(miniature)
    assert outcome.roots == ["HYG-3"]
    assert f"{quantity} before and after a call on other data" in text_of(outcome.findings[0])
    assert outcome.report.exit_code() == 1


@pytest.mark.parametrize(
    ("miniature", "quantity"), [("Noisy", "y"), ("Flickers", "dx"), ("KeepsWhatWasThere", "dx")]
)
def test_what_does_not_fail_every_time_is_seen(miniature: str, quantity: str, session_of: Sessions) -> None:
    session = session_of(miniature)
    verdicts = [
        j for line in UNSTEADY_LINES for j in judge(session, Problem.parse(line), "given", matching())
    ]
    state = [j for j in verdicts if j.clause == "HYG-3" and j.status is Status.FAIL]
    assert {j.quantity for j in state} == {quantity}


def test_sums_in_another_order_each_time_break_a_should_and_conform(put: Put) -> None:
    outcome = put("Shuffled")
    narrow, unsteady = outcome.findings  # its sums of float16 are kept in float16
    assert [(f.clause, f.severity) for f in (narrow, unsteady)] == [("NUM-3", "SHOULD"), ("HYG-2", "SHOULD")]
    assert "of the same call, made twice" in text_of(unsteady)
    assert outcome.report.exit_code() == 0
    verdict = f"Shuffled conforms: 40 of {len(REGISTRY)} clauses pass, 2 SHOULD clauses"
    assert verdict in rendered(outcome.report)


def test_sums_in_another_order_each_time_are_seen_by_hyg_2_alone(session_of: Sessions) -> None:
    shuffled = session_of("Shuffled")
    lines = ("2d n2 c3 m2 i6x5 k3x3 p1 f32 fill=real seed=10", "2d n3 c4 m6 g2 i7x6 k2x3 s2x2 f32")
    failed = [
        (j.clause, j.note)
        for line in lines
        for j in judge(shuffled, Problem.parse(line), "given", matching())
        if j.status.failed
    ]
    assert [clause for clause, _ in failed] == ["HYG-2"]
    assert failed[0][1].endswith("of the same call, made twice")


# ---- one root, one finding ----
@pytest.mark.xfail(strict=True, reason="DEL-4, WGT-5 fall with FWD-1, but on problems where it passes")
def test_clipping_is_one_finding_even_where_only_a_variant_is_clipped(put: Put) -> None:
    lines = ("2d i3x3 k2x2 f64 seed=2", "2d i1x1 k1x1 bias=none f64 seed=1", "1d i4 k1 seed=8")
    assert put("ClippedAt100", *lines).roots == ["FWD-1"]


# ---- broken adapters ----
BROKEN = {
    "SwappedGradients": "backward returns (dw, dx, db) where (dx, dw, db) is expected",
    "DeclaresConvolution": "it declares convolution, but everything it computes is correlation: "
    "declare convention='correlation'",
    "ReturnsChannelsLast": "y is right with its axes in the order (0, 2, 3, 1): "
    "the declared x_layout does not hold",
    "ReturnsNone": "backward must return (dx, dw, db), None for what is not offered; it returned NoneType",
    "ReturnsTwo": "backward must return (dx, dw, db), None for what is not offered; it returned list of 2",
    "ReturnsNoDw": "backward returned None for dw, which its capabilities declare",
    "ReturnsText": "y is str of dtype <U1, not an array of numbers",
    "HasNoBackward": "HasNoBackward has no backward, though its capabilities declare its quantities",
    "MisreadsTheGeometry": "MisreadsTheGeometry asks a Geometry for 'strides', which it does not have",
}


@pytest.mark.parametrize(("miniature", "words"), BROKEN.items(), ids=list(BROKEN))
def test_a_broken_adapter_is_blamed_and_its_implementation_is_not_judged(
    miniature: str, words: str, put: Put
) -> None:
    outcome = put(miniature)
    (fault,) = outcome.faults
    assert fault.text.startswith(miniature)
    assert words in fault.text
    assert outcome.report.judgements == [] == outcome.findings
    assert {row.status for row in outcome.report.rows(miniature)} == {Status.BROKEN_ADAPTER}
    assert outcome.report.exit_code() == 3
    told = rendered(outcome.report)
    assert f"doctor: {fault.text}" in told
    assert "the adapter is broken" in told


def test_an_adapter_that_breaks_on_groups_alone_is_blamed_for_what_needs_its_backward(put: Put) -> None:
    outcome = put("BreaksOnGroups")
    broken = [j for j in outcome.report.judgements if j.status is Status.BROKEN_ADAPTER]
    assert {Problem.parse(j.problem).geometry.groups > 1 for j in broken} == {True}
    assert all("backward must return (dx, dw, db)" in j.note and "list of 2" in j.note for j in broken)
    assert {"DEL-1", "WGT-1", "BIA-1"} <= {j.clause for j in broken}
    assert not {"FWD-1", "FWD-2", "FWD-4"} & {j.clause for j in broken}
    assert outcome.findings == []
    assert outcome.report.exit_code() == 3
