"""Scripts run in a clean environment: a process of its own, an empty folder, and no conformance to be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DRIVER = """
import contextlib, io, json, pathlib, sys, traceback
sys.modules["conformance"] = None  # importing it raises, installed or not
for name in sys.argv[1:]:
    out, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(pathlib.Path(name).read_text("utf-8"), name, "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:
        code, out = 1, io.StringIO(traceback.format_exc())
    print(json.dumps({"code": code, "out": out.getvalue()}))
"""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a script printed (or its traceback), and its exit code."""

    code: int
    out: str


def ran(sources: Sequence[str], folder: Path) -> list[Ran]:
    """All of them in one process: frameworks take seconds to start."""
    files = []
    for number, source in enumerate(sources):
        (folder / f"script{number}.py").write_text(source, encoding="utf-8")
        files.append(f"script{number}.py")
    command = [sys.executable, "-I", "-c", DRIVER, *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return [Ran(**json.loads(line)) for line in done.stdout.splitlines()]


def tampered(source: str) -> str:
    """The script as if something else were right."""
    assert source.count("\nprint(") == 1
    return source.replace("\nprint(", "\nexpected = expected + 1\nprint(")
