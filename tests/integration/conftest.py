"""The command line as a user meets it: as a process, and in this process, where it answers sooner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import conformance
from conformance.cli import main

ADAPTER = """\
from conformance import Adapter, Capabilities
from conformance.reference import Convolution


class Mine(Adapter):
    capabilities = Capabilities()

    def layer(self, g, w, b):
        return Convolution(w, b, stride=g.stride, padding=g.padding, dilation=g.dilation)

    def forward(self, g, x, w, b):
        return self.layer(g, w, b).forward(x)

    def backward(self, g, x, w, b, delta):
        layer = self.layer(g, w, b)
        layer.forward(x)
        return layer.backward(delta)
"""
"""A right adapter that claims the least: 2-D, float64, stride 1, no padding."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.out + self.err, self.err

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of a report that was asked for as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    def judged(self) -> list[dict[str, Any]]:
        return [r for r in self.records if r["record"] == "judgement"]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`conformance` with these arguments, in this process."""
    monkeypatch.setenv("COLUMNS", "100")

    def invoked(*arguments: object) -> Said:
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="conformance")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(code=result.exit_code, out=result.stdout, err=result.stderr)

    return invoked


@pytest.fixture
def command() -> list[str]:
    """How a process of its own is started."""
    return [sys.executable, "-m", "conformance"]


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process that is to import the conformance that this one does."""
    home = str(Path(conformance.__file__).parents[1])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}


@pytest.fixture
def start(command: list[str], environment: dict[str, str], tmp_path: Path) -> Callable[..., Said]:
    """`conformance` with these arguments as a process of its own, in an empty folder."""

    def started(*arguments: object, **more: str) -> Said:
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    return started


@pytest.fixture
def adapter_file(tmp_path: Path) -> Callable[..., Path]:
    """Write the right adapter to a file, with some of its text replaced."""

    def written(name: str = "mine.py", *changes: tuple[str, str], whole: str | None = None) -> Path:
        text = ADAPTER if whole is None else whole
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written
