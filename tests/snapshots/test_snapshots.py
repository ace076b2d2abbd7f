"""Text that users read, frozen: compared to the letter, but for versions and the platform.

A change of text is a change that users see: look at it, then freeze it with ``UPDATE_SNAPSHOTS=1 pytest tests/snapshots``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import miniatures
from conformance.adapter.session import Session
from conformance.cli import main
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.problem import Problem
from conformance.report.model import Report
from conformance.report.table import rendered
from conformance.report.write import Writer

FOLDER = Path(__file__).parent
LINES = (
    "1d n2 c3 m2 i7 k3 s2 p1:2 f64 seed=1",
    "2d n2 c4 m6 g2 i5x4 k2x3 d2x1 conv bias=untied f32 seed=2",
    "3d n0 c1 m2 i3x2x4 k2 bias=none bf16 seed=3",
)
"""Integers: no sum rounds, so that the numbers are the same on every machine."""
ONLY = "FWD-1,FWD-8,DEL-*,HYG-1,HYG-2"
CALLS = {
    "help": ("--help",),
    "help-run": ("run", "--help"),
    "help-doctor": ("doctor", "--help"),
    "help-env": ("env", "--help"),
    "help-env-create": ("env", "create", "--help"),
    "error-environment": ("env", "remove", "nothing"),
    "error-adapter": ("run", "python-nump"),
    "error-problem": ("run", "python-numpy", "--problem", "2d i7x5 k3xx2"),
    "error-geometry": ("run", "python-numpy", "--problem", "2d i3x3 k2x5 d1x2"),
    "spec-clause": ("spec", "DEL-6"),
}


def same_everywhere(text: str) -> str:
    """Versions, the platform and where the tests lie, replaced by words."""
    text = re.sub(r"(conformance|python|numpy|scipy|hypothesis|ml_dtypes) \d[\w.+-]*", r"\1 <version>", text)
    text = re.sub(r"(ml_dtypes <version>); \w+ \w+", r"\1; <platform>", text)
    return re.sub(r"[^\s|(]*miniatures\.py:\d+", "<file>:<line>", text)


def assert_frozen(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        path.write_text(same_everywhere(text), encoding="utf-8")
    assert same_everywhere(text) == path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report() -> Report:
    """Two adapters, one of them wrong, on a few problems."""
    adapters = {"right": miniatures.Right(), "corner-dropped": miniatures.CornerDropped()}
    given = tuple(map(Problem.parse, LINES))
    runs = [
        Run(Session(a, name), PROFILES["quick"], only=ONLY, given_problems=given)
        for name, a in adapters.items()
    ]
    writer = Writer(runs, profile="quick", only=ONLY)
    for run in runs:
        for event in run.events():
            writer.add(run.session.name, event)
    return writer.close()


@pytest.mark.parametrize(("style", "name"), [("terminal", "run.txt"), ("markdown", "run.md")])
def test_the_tables_of_a_run(style: str, name: str, report: Report) -> None:
    assert_frozen(name, rendered(report, style))


@pytest.mark.parametrize("name", CALLS)
def test_what_a_command_prints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CONFORMANCE_CACHE", os.devnull)
    result = CliRunner().invoke(main, CALLS[name], prog_name="conformance")
    assert_frozen(
        f"{name}.txt",
        f"$ conformance {' '.join(CALLS[name])}\n{result.output}[exit code {result.exit_code}]\n",
    )


def test_every_snapshot_belongs_to_a_test() -> None:
    frozen = {
        path.name
        for path in FOLDER.glob("*.*")
        if path.suffix in (".txt", ".md") and path.name != "README.md"
    }
    assert frozen == {"run.txt", "run.md"} | {f"{name}.txt" for name in CALLS}
