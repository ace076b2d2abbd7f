"""A report is written while its run goes on; a run that is cut off keeps what it had."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

import conformance
from conformance import Adapter, Arithmetic, Geometry, Problem
from conformance.adapter.session import Session
from conformance.engine.profiles import Profile
from conformance.engine.run import Run
from conformance.engine.strategies import EVERYTHING
from conformance.oracle.vectorised import Layer
from conformance.report.journal import FILE
from conformance.report.model import Report, read, schema
from conformance.report.table import rendered
from conformance.report.write import Writer, header, write_markdown

SEED_ONLY = Profile(name="seed", corpora=("seed",), largest=10**6, explored=0, regimes=0)


class Right(Adapter):
    """Nothing is wrong."""

    capabilities = dataclasses.replace(EVERYTHING, arithmetic={"f16": Arithmetic(accumulator="f32")})

    def versions(self) -> dict[str, str]:
        return {"mycnn": "1.2"}

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return Layer(g, x, w, b, np.zeros(g.y_shape)).y.astype(x.dtype)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        layer = Layer(g, x, w, b, delta)
        return tuple(None if a is None else a.astype(x.dtype) for a in (layer.dx, layer.dw, layer.db))


class ZeroDw(Right):
    """dw is zero."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dx, dw * 0, db


def run(
    adapter: type[Adapter] = ZeroDw, name: str = "mine", only: str = "FWD-1,WGT-1,WGT-3", **more: Any
) -> Run:
    given = (Problem.parse("2d n2 c3 m4 i5x6 k3x2"), Problem.parse("1d n2 c2 m3 i7 k3 f16"))
    return Run(Session(adapter(), name), SEED_ONLY, only=only, given_problems=given, **more)


def ran(*runs: Run, to: Any = ()) -> Report:
    writer = Writer(list(runs), profile="seed", only="FWD-1,WGT-1,WGT-3", to=to)
    for one in runs:
        for event in one.events():
            writer.add(one.session.name, event)
    return writer.close()


# ---- while the run goes on ----
def test_the_header_is_there_before_anything_ran() -> None:
    lines: list[str] = []
    Writer([run()], profile="seed", only="*", to=[lines.append])
    (line,) = lines
    assert json.loads(line)["record"] == "header"


def test_each_event_is_a_line_at_once() -> None:
    lines: list[str] = []
    one = run()
    writer = Writer([one], profile="seed", only="*", to=[lines.append])
    for count, event in enumerate(one.events(), start=2):
        writer.add("mine", event)
        assert len(lines) == count
    assert not any("\n" in line for line in lines)


# ---- what is written ----
def test_every_line_of_a_run_is_of_the_schema_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with path.open("w", encoding="utf-8") as stream:
        report = ran(run(), run(Right, "yours"), to=[lambda line: stream.write(line + "\n")])
    validator = jsonschema.Draft202012Validator(schema())
    kinds = []
    for line in path.read_text(encoding="utf-8").splitlines():
        validator.validate(json.loads(line))
        kinds.append(json.loads(line)["record"])
    assert set(kinds) == {"header", "remark", "judgement", "finding", "footer"}
    back = read(path)
    assert (back.remarks, back.judgements, back.findings) == (
        report.remarks,
        report.judgements,
        report.findings,
    )
    assert {k: v for k, v in back.header.items() if k != "record"} == report.header
    assert back.footer is not None
    assert rendered(back) == rendered(report)


def test_without_a_reader_the_report_is_the_same() -> None:
    told, untold = ran(run(), to=[print]), ran(run())
    assert told.judgements == untold.judgements
    assert told.findings == untold.findings


def test_the_footer_counts_and_judges() -> None:
    report = ran(run(), run(Right, "yours"))
    assert report.footer is not None
    assert report.footer["judgements"] == len(report.judgements) > 0
    assert report.footer["findings"] == len(report.findings) == 1
    assert report.footer["exit_code"] == report.exit_code() == 1
    assert report.footer["verdicts"] == [
        "mine does not conform: 2 of 3 clauses fail",
        "yours conforms: 3 of 3 clauses pass",
    ]


def test_the_header_says_what_is_needed_to_repeat_the_run() -> None:
    h = header([run(seed=5, dtype="float32"), run(Right, "yours")], profile="seed", only="FWD-1,WGT-*")
    assert (h["profile"], h["seed"], h["only"], h["dtype"]) == ("seed", 5, "FWD-1,WGT-*", "f32")
    assert h["clauses"] == ["FWD-1", "WGT-1", "WGT-3"]
    assert h["versions"]["conformance"] == conformance.__version__
    assert {"python", "numpy", "scipy", "hypothesis", "ml_dtypes"} <= set(h["versions"])
    assert [a["name"] for a in h["adapters"]] == ["mine", "yours"]
    first = h["adapters"][0]
    assert first["versions"] == {"mycnn": "1.2"}
    assert first["capabilities"]["ranks"] == [1, 2, 3]
    assert first["capabilities"]["padding"] == "negative"
    assert first["arithmetic"]["float16"] == "accumulates in f32"
    assert list(first["arithmetic"]) == ["float64", "float32", "float16", "bfloat16"]
    assert first["arithmetic"]["float64"] == "not declared"


def test_markdown_stands_beside_the_lines(tmp_path: Path) -> None:
    report = ran(run())
    write_markdown(report, tmp_path)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == rendered(report, "markdown")
