"""Failures that an adapter's folder declares are known, are shown, and may not be excused once they are mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conformance import Problem
from conformance.adapter.connect import connect
from conformance.engine.judgement import Judgement, Status
from conformance.engine.known import FILE, Known, Ledger, read
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.errors import AdapterBroken
from conformance.report.model import Report
from conformance.spec import REGISTRY

ENTRY = '[[known]]\nclauses = ["NUM-6"]\nreason = "it leaks"\n'
LINE = "2d n2 c4 m4 g2 i5 k3 p1 f32"


def judgement(**changes: Any) -> Judgement:
    fields: dict[str, Any] = {"adapter": "a", "clause": "NUM-6", "problem": LINE, "origin": "given"}
    fields |= {"status": Status.FAIL, "quantity": "dw", "note": "nan everywhere", **changes}
    return Judgement(**fields)


def entry(tmp_path: Path, text: str) -> Known:
    path = tmp_path / FILE
    path.write_text(text, encoding="utf-8")
    (found,) = read(path)
    return found


# ---- what an entry speaks of ----
@pytest.mark.parametrize(
    ("where", "changes", "known"),
    [
        ("", {}, True),
        ("where = { groups = true }", {}, True),
        ("where = { groups = false }", {}, False),
        ("where = { depthwise = true }", {}, False),
        ("where = { depthwise = true }", {"problem": "2d c2 m4 g2 i5 k3 f32"}, True),
        ("where = { dtypes = ['f32', 'float64'] }", {}, True),
        ("where = { dtypes = ['float64'] }", {}, False),
        ("where = { ranks = [1, 3] }", {}, False),
        ("where = { stride = true }", {}, False),
        ("where = { stride = true, padding = true }", {"problem": "1d i5 k3 s2 p1"}, True),
        ("where = { dilation = true }", {"problem": "1d i5 k3 d2"}, True),
        ("where = { batch = true, bias = true }", {}, True),
        ("where = { fills = ['odd'] }", {}, False),
        ("where = { conventions = ['convolution'] }", {"problem": LINE.replace(" f32", " conv")}, True),
        ("where = { biases = ['none'] }", {}, False),
        ("where = { memory = ['fortran'] }", {"problem": f"{LINE} mem=fortran"}, True),
        ("where = { quantities = ['dw', 'db'] }", {}, True),
        ("where = { quantities = ['dx'] }", {}, False),
        ("", {"clause": "NUM-2"}, False),
        ("", {"status": Status.PASS}, False),
        ("", {"status": Status.CRASHED, "note": "raises ValueError: Negative size"}, False),
        ("", {"status": Status.TIMED_OUT}, False),
        ("", {"status": Status.UNSUPPORTED}, False),
        ("raises = 'Negative'", {"status": Status.CRASHED, "note": "raises ValueError: Negative size"}, True),
        ("raises = 'Negative'", {"status": Status.CRASHED, "note": "raises ValueError: no"}, False),
        ("raises = 'Negative'", {"note": "Negative"}, False),
        ("raises = 'Negative'", {"status": Status.TIMED_OUT, "note": "Negative"}, False),
    ],
)
def test_a_failure_is_known_where_an_entry_speaks_of_it(
    where: str, changes: dict[str, Any], known: bool, tmp_path: Path
) -> None:
    j = judgement(**changes)
    marked = Ledger([entry(tmp_path, ENTRY + where)]).marked(j)
    assert (marked.status is Status.KNOWN) == known
    if known:
        assert marked.note == f"known: it leaks; {j.note}"
    else:
        assert marked == j


def test_clauses_may_be_globs(tmp_path: Path) -> None:
    every = entry(tmp_path, ENTRY.replace("NUM-6", "NUM-*"))
    assert every.clauses == tuple(c for c in REGISTRY if c.startswith("NUM-"))


def test_a_link_is_shown(tmp_path: Path) -> None:
    marked = Ledger([entry(tmp_path, ENTRY + 'link = "https://example.org/7"')]).marked(judgement())
    assert marked.note == "known: it leaks https://example.org/7; nan everywhere"


# ---- what is stale ----
def test_an_entry_that_was_judged_and_never_failed_is_stale(tmp_path: Path) -> None:
    leaks = entry(tmp_path, ENTRY + "where = { groups = true }")
    ledger = Ledger([leaks])
    ledger.marked(judgement(problem="2d i5 k3 p1"))  # of which it does not speak
    ledger.marked(judgement(status=Status.UNSUPPORTED))
    assert list(ledger.stale()) == []
    ledger.marked(judgement(status=Status.PASS))
    ledger.marked(judgement(status=Status.WEAK))
    (remark,) = ledger.stale()
    assert not remark.ok
    assert remark.text == (
        "known_failures.toml: NUM-6 is said to be known (it leaks), but passed on all 2 problems that it speaks of: "
        "take the entry out"
    )
    ledger.marked(judgement())
    assert list(ledger.stale()) == []


def test_an_entry_with_an_example_is_stale_if_that_does_not_fail(tmp_path: Path) -> None:
    """Whatever else passes: it need not fail everywhere."""
    ledger = Ledger([entry(tmp_path, ENTRY + f"example = '{LINE}'")])
    ledger.marked(judgement(status=Status.PASS, problem="2d i5 k3"))
    assert list(ledger.stale()) == []
    assert ledger.marked(judgement(problem="2d i5 k3 p1")).status is Status.KNOWN
    ledger.marked(judgement(status=Status.PASS))
    assert list(ledger.stale()) == []  # it failed elsewhere
    ledger = Ledger([entry(tmp_path, ENTRY + f"example = '{LINE}'")])
    ledger.marked(judgement(status=Status.PASS))
    assert "passed on all 1 problems" in next(ledger.stale()).text


# ---- the file ----
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("known", "is not TOML: "),
        ("", ": it must hold [[known]] entries and nothing else"),
        ("known = []", ": it must hold [[known]] entries and nothing else"),
        ("known = 3", ": it must hold [[known]] entries and nothing else"),
        (ENTRY + "[more]\n", ": it must hold [[known]] entries and nothing else"),
        ("known = [3]", ", entry 1: clauses and reason are needed"),
        (ENTRY + "[[known]]\nreason = 'x'", ", entry 2: clauses and reason are needed"),
        (ENTRY + "when = 3", ", entry 1: 'when' is not known; there are clauses, routes, where, raises, example, "),
        (ENTRY.replace('"it leaks"', "3"), ", entry 1: reason = 3 must be a text"),
        (ENTRY.replace('"it leaks"', "' '"), ", entry 1: reason = ' ' must be a text"),
        (ENTRY + "link = 3", ", entry 1: link = 3 must be a text"),
        (ENTRY + "raises = 3", ", entry 1: raises = 3 must be a text"),
        (ENTRY + "example = 3", ", entry 1: example = 3 must be a text"),
        (ENTRY + "example = '2d i5'", ", entry 1: example = '2d i5' is no problem: "),
        (ENTRY + "where = 3", ", entry 1: where = 3 must be a table"),
        (ENTRY + "routes = 'xla'", ", entry 1: routes = 'xla' must be a list, not empty"),
        (ENTRY.replace('["NUM-6"]', "[]"), ", entry 1: clauses = [] must be a list, not empty"),
        (ENTRY.replace("NUM-6", "NUM-99"), ", entry 1: clauses: no clause matches 'NUM-99'"),
        (ENTRY + "where = { ranks = [4] }", ", entry 1: ranks: 4 is not one of 1, 2, 3"),
        (ENTRY + "where = { dtypes = ['f8'] }", ", entry 1: dtypes: 'f8' is not one of float64, float32"),
        (ENTRY + "where = { dtypes = 'f32' }", ", entry 1: dtypes = 'f32' must be a list, not empty"),
        (ENTRY + "where = { quantities = ['w'] }", ", entry 1: quantities: 'w' is not one of y, dx, dw, db"),
        (ENTRY + "where = { groups = 2 }", ", entry 1: groups = 2 must be true or false"),
        (ENTRY + "where = { width = 2 }", ", entry 1: where has no 'width'; there are quantities, ranks"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_it_should_be_is_named_with_its_entry(
    text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / FILE
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AdapterBroken) as caught:
        read(path)
    assert f"{path}{says}" in str(caught.value).replace(f"{path} is not", f"{path}is not")


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("adapters/*/known_failures.toml")), ids=str
)
def test_those_of_bundled_adapters_can_be_read(path: Path) -> None:
    assert read(path)


# ---- a run ----
LEAKY = """
import numpy as np
from conformance import Adapter, Capabilities
from conformance.reference import Convolution

class Mine(Adapter):
    capabilities = Capabilities(stride=True)
    routes = {{"a": "", "b": ""}}

    def forward(self, g, x, w, b):
        made = self.layer(g, w, b)
        return made.forward(x)

    def backward(self, g, x, w, b, delta):
        made = self.layer(g, w, b)
        made.forward(x)
        dx, dw, db = made.backward(delta)
        return dx, dw{mistake}, db

    def layer(self, g, w, b):
        return Convolution(w, b, stride=g.stride, padding=g.padding, dilation=g.dilation)
"""
KNOWN = """
[[known]]
clauses = ["WGT-*", "NUM-*", "HYG-*", "ALG-*"]
routes = ["a"]
where = { quantities = ["dw"] }
reason = "dw is doubled"
"""


def ran(folder: Path, mistake: str, route: str = "a") -> tuple[int, str]:
    (folder / "mine.py").write_text(LEAKY.format(mistake=mistake), encoding="utf-8")
    (folder / FILE).write_text(KNOWN, encoding="utf-8")
    session = connect(f"{folder / 'mine.py'}:{route}")
    run = Run(session, PROFILES["quick"], given_problems=(Problem.parse("2d n2 c2 m3 i5x4 k3x2"),))
    report = Report(header={"adapters": [{"name": session.name}], "clauses": [c.id for c in run.clauses]})
    for event in run.events():
        kept = {Judgement: report.judgements}.get(type(event))
        if kept is not None:
            kept.append(event)  # type: ignore[arg-type]
        elif hasattr(event, "check"):
            report.remarks.append((session.name, event))
        else:
            report.findings.append(event)  # type: ignore[arg-type]
    assert bool(report.findings) == (report.exit_code() == 1 and not report.stale(session.name))
    return report.exit_code(), report.verdict(session.name)


def test_known_failures_do_not_fail_a_run_and_are_not_green(tmp_path: Path) -> None:
    code, verdict = ran(tmp_path, " * 2")
    assert code == 0
    assert verdict.endswith(" known)")
    assert " conforms: " in verdict


def test_a_stale_entry_fails_a_run(tmp_path: Path) -> None:
    code, verdict = ran(tmp_path, "")
    assert code == 1
    assert "known failures are stale" in verdict


def test_another_route_is_not_excused(tmp_path: Path) -> None:
    assert ran(tmp_path, " * 2", "b")[0] == 1
    other = tmp_path / "right"
    other.mkdir()
    assert ran(other, "", "b")[0] == 0


def test_an_adapter_without_a_file_of_them_has_none(tmp_path: Path) -> None:
    ran(tmp_path, "")
    (tmp_path / FILE).unlink()
    ledger = Ledger.of(connect(f"{tmp_path / 'mine.py'}:a"))
    assert ledger.marked(judgement()) == judgement()
