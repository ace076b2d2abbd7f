"""Optional operations in a run: judged where they are offered, UNSUPPORTED where not, never green unasked."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import miniatures
from conformance import Adapter, Unsupported
from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status, joined
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge
from conformance.mistakes.roots import events
from conformance.problem import Problem
from conformance.report.model import Report
from conformance.report.write import Writer
from conformance.spec import matching

OPTIONAL = "TRN-*,SEC-*,JVP-*"
LINES = (
    "2d n2 c4 m6 g2 i9x7 k3x2 s3x2 p1:0x2 d1x2 conv",
    "1d n2 c2 m3 i5 k2 bias=none f32 seed=1",
    "1d n3 c2 m3 i8 k3 s2 bias=untied f16 fill=real seed=2",
)


def judgements(adapter: Adapter, line: str = LINES[0], only: str = OPTIONAL) -> dict[str, Judgement]:
    found = judge(Session(adapter, "mine"), Problem.parse(line), "seed/x", matching(only))
    return {j.clause: j for j in found}


def report(adapter: Adapter, only: str = OPTIONAL) -> Report:
    run = Run(
        Session(adapter, "mine"),
        PROFILES["quick"],
        only=only,
        given_problems=tuple(map(Problem.parse, LINES)),
    )
    writer = Writer([run], profile="quick", only=only)
    for event in events(run):
        writer.add("mine", event)
    return writer.close()


@pytest.mark.parametrize("line", LINES)
def test_an_implementation_that_is_right_in_all_passes(line: str) -> None:
    found = judgements(miniatures.Whole(), line)
    assert {j.status for j in found.values()} == {Status.PASS}


def test_all_clauses_are_asked_where_there_is_a_bias() -> None:
    assert set(judgements(miniatures.Whole())) == {c.id for c in matching(OPTIONAL)}
    assert "TRN-6" not in judgements(miniatures.Whole(), LINES[1])


def test_what_is_not_offered_is_unsupported_and_says_so() -> None:
    found = judgements(miniatures.Right())
    assert {j.status for j in found.values()} == {Status.UNSUPPORTED}
    assert found["JVP-1"].note == "forward_mode.dy not offered"
    rows = report(miniatures.Right()).rows("mine")
    assert {row.status for row in rows} == {Status.UNSUPPORTED}
    assert report(miniatures.Right()).exit_code() == 1  # nothing was judged


def test_of_several_operations_those_that_are_offered_are_judged() -> None:
    class Some(miniatures.Whole):
        capabilities = dataclasses.replace(
            miniatures.Whole.capabilities, operations=frozenset({"forward_mode"})
        )

    by_chapter: dict[str, set[Status]] = {}
    for id_, j in judgements(Some()).items():
        by_chapter.setdefault(id_[:3], set()).add(j.status)
    assert by_chapter == {"TRN": {Status.UNSUPPORTED}, "SEC": {Status.UNSUPPORTED}, "JVP": {Status.PASS}}


def test_an_operation_may_decline_a_problem_while_it_computes() -> None:
    class Declining(miniatures.Whole):
        def transposed(self, g: Any, **operands: Any) -> Any:
            raise Unsupported("its kernels know no dilation")

    j = judgements(Declining())["TRN-1"]
    assert (j.status, j.note) == (Status.UNSUPPORTED, "its kernels know no dilation")
    assert joined([j.status, Status.PASS]) is Status.PASS


def test_one_that_raises_has_crashed() -> None:
    class Raising(miniatures.Whole):
        def forward_mode(self, g: Any, **operands: Any) -> Any:
            raise RuntimeError("no kernel")

    found = judgements(Raising())
    assert {found[id_].status for id_ in ("JVP-1", "JVP-2", "JVP-3")} == {Status.CRASHED}
    assert {j.status for id_, j in found.items() if not id_.startswith("JVP")} == {Status.PASS}


@pytest.mark.parametrize("line", ["1d n2 c2 m2 i6 k2 fill=odd", "1d n2 c2 m2 i6 k2 fill=onehot"])
def test_on_data_of_a_numeric_regime_operations_are_not_asked(line: str) -> None:
    assert judgements(miniatures.Whole(), line) == {}


def test_a_finding_is_one_is_shrunk_and_is_named() -> None:
    class Twice(miniatures.Whole):
        def forward_mode(self, g: Any, **operands: Any) -> Any:
            return 2 * super().forward_mode(g, **operands)

    (finding,) = report(Twice()).findings
    assert (finding.clause, finding.fallen) == ("JVP-1", ("JVP-2", "JVP-3"))
    assert finding.diagnosis == "dy is twice what it should be"
    assert finding.shrunk
    assert finding.judgement.quantity == "forward_mode.dy"


def test_the_transposed_convolution_falls_with_itself_alone() -> None:
    """What it gets wrong is no mistake of y, dx or dw."""

    class Unbiased(miniatures.Whole):
        def transposed(self, g: Any, x: Any, w: Any, b: Any) -> Any:
            return super().transposed(g, x, w, None)

    found = report(Unbiased(), "*")
    (finding,) = found.findings
    assert (finding.clause, finding.fallen) == ("TRN-1", ("TRN-4", "TRN-5"))
    assert finding.diagnosis == "the transposed convolution adds no bias"
    assert {row.status for row in found.rows("mine") if row.status.failed} == {Status.FAIL}
