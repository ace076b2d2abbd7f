"""A run that was killed at any moment goes on with `--resume`, and its report is that of an undisturbed run.

What is in the file is data: it does not choose which programs run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]
Write = Callable[..., Path]

WRONG = ("return self.layer(g, w, b).forward(x)", "return self.layer(g, w, b).forward(x)[..., ::-1].copy()")
LINES = ("n2 i5x4 k2", "i4x5 k2x3", "3d i3 k2", "n2 c2 m3 i4 k3", "i6x5 k2x3 fill=real")
ONLY = "FWD-1,DEL-1,WGT-4,NUM-4"
KILLED = 50


def without_times(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in r.items() if k not in ("started", "finished")} for r in records]


@pytest.fixture
def whole(invoke: Invoke, adapter_file: Write, tmp_path: Path) -> Path:
    """The report of an undisturbed run of two adapters, one of which is wrong."""
    problems = [word for line in LINES for word in ("--problem", line)]
    wrong = adapter_file("wrong.py", WRONG)
    out = tmp_path / "whole"
    said = invoke("run", wrong, "python-numpy", "--only", ONLY, *problems, "--out", out)
    assert said.code == 1
    return out / "report.jsonl"


def resumed(invoke: Invoke, folder: Path, whole: Path, *more: str) -> Any:
    """The adapter that is a file is named again, and so is the other one."""
    return invoke("run", whole.parents[1] / "wrong.py", "python-numpy", "--resume", folder, *more)


def test_killed_at_any_moment_a_run_goes_on_to_the_same_report(
    invoke: Invoke, whole: Path, tmp_path: Path
) -> None:
    """What a kill leaves is the file up to some byte: records are appended, and nothing else is."""
    content = whole.read_bytes()
    header = content.index(b"\n") + 1
    for number, cut in enumerate(sorted(random.Random(7).sample(range(header, len(content)), KILLED))):
        folder = tmp_path / f"cut-{number}"
        folder.mkdir()
        (folder / whole.name).write_bytes(content[:cut])
        said = resumed(invoke, folder, whole)
        assert said.code == 1, (cut, said.err)
        assert without_times(folder / whole.name) == without_times(whole), cut
        assert (folder / "report.md").read_text() == (whole.parent / "report.md").read_text()


@pytest.mark.parametrize("ends", ["import os; os._exit(3)", "import time; time.sleep(600)"])
def test_of_an_implementation_that_always_dies_or_hangs_too(
    ends: str, invoke: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    """What the process met before the kill does not change what is judged after it."""
    path = adapter_file(
        "ends.py",
        ("return self.layer(g, w, b).forward(x)", ends),
        ("return layer.backward(delta)", ends),
    )
    problems = [word for n in range(3, 8) for word in ("--problem", f"n1 c1 m1 i{n}x3 k2")]
    run = ("run", path, "--timeout", 0.2, "--out")
    assert invoke(*run, tmp_path / "whole", "--only", "FWD-1,FWD-2,WGT-2", *problems).code == 1
    whole = tmp_path / "whole" / "report.jsonl"
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    judged = [k for k, line in enumerate(lines) if json.loads(line)["record"] == "judgement"]
    for cut in (judged[4], judged[7], judged[-1]):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / whole.name).write_text("".join(lines[:cut]), encoding="utf-8")
        invoke("run", path, "--timeout", 0.2, "--resume", folder)
        assert without_times(folder / whole.name) == without_times(whole)


def test_a_killed_run_that_is_killed_again_while_it_resumes_loses_nothing(
    invoke: Invoke, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conformance.engine import runner

    content = whole.read_bytes()
    (tmp_path / whole.name).write_bytes(content[: len(content) * 2 // 3])
    calls = iter(range(10**6))
    judge = runner.judge

    def dies(*args: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return judge(*args)

    monkeypatch.setattr(runner, "judge", dies)
    resumed(invoke, tmp_path, whole)
    assert len((tmp_path / whole.name).read_bytes()) >= len(content) // 2
    monkeypatch.undo()
    assert resumed(invoke, tmp_path, whole).code == 1
    assert without_times(tmp_path / whole.name) == without_times(whole)


@pytest.mark.parametrize("records", [3, 25, 60])
def test_a_process_that_is_killed_at_work_can_be_resumed(
    records: int, invoke: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "conformance", "run", adapter_file("right.py"), "--only", ONLY]
    command += ["--profile", "quick", "--out", tmp_path / "out"]
    report = tmp_path / "out" / "report.jsonl"
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    while process.poll() is None:
        if report.is_file() and report.read_bytes().count(b"\n") >= records:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    assert process.wait() == -signal.SIGKILL
    assert invoke("run", adapter_file("right.py"), "--resume", tmp_path / "out").code == 0
    undisturbed = tmp_path / "undisturbed"
    invoke("run", adapter_file("right.py"), "--only", ONLY, "--profile", "quick", "--out", undisturbed)
    assert without_times(report) == without_times(undisturbed / "report.jsonl")


def test_a_report_that_was_cut_off_is_not_begun_anew_in_its_folder(
    invoke: Invoke, whole: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes()
    folder = tmp_path / "cut off"
    folder.mkdir()
    (folder / whole.name).write_bytes(content[: len(content) // 2])
    said = invoke("run", "python-numpy", "--only", "FWD-1", "--problem", LINES[0], "--out", folder)
    assert (said.code, said.out) == (2, "")
    judged = content[: len(content) // 2].rpartition(b"\n")[0].count(b'{"record": "judgement"')
    assert said.err == (
        f"conformance: the folder {str(folder)!r} has a report that was cut off after {judged} judgements: go on with "
        f"`conformance run --resume '{folder}'`, or write to another folder [the call has to change]\n"
    )
    assert (folder / whole.name).read_bytes() == content[: len(content) // 2]
    assert resumed(invoke, folder, whole).code == 1
    assert without_times(folder / whole.name) == without_times(whole)


@pytest.mark.parametrize("what", ["whole", "nothing judged", "no report"])
def test_where_no_judgement_would_be_lost_a_report_is_replaced(
    what: str, invoke: Invoke, whole: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes()
    kept = {"whole": content, "nothing judged": content[: content.index(b"\n") + 1], "no report": b"{}\n"}
    (tmp_path / whole.name).write_bytes(kept[what])
    call = ("run", "python-numpy", "--only", "FWD-1", "--problem", LINES[0])
    assert invoke(*call, "--out", tmp_path).code == 0
    assert (tmp_path / whole.name).read_bytes().count(b'{"record": "judgement"') == 1


def test_a_whole_report_is_shown_again(invoke: Invoke, whole: Path) -> None:
    before = whole.read_bytes()
    said = invoke("run", "--resume", whole.parent)
    assert (said.code, whole.read_bytes()) == (1, before)
    assert "does not conform" in said.out


def cut_off(whole: Path, **changes: Any) -> None:
    """The report without its end, its header changed."""
    header, *lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = {**json.loads(header), **changes}
    whole.write_text(json.dumps(changed) + "\n" + "".join(lines[:-3]), encoding="utf-8")


def test_a_journal_of_another_version_is_refused(invoke: Invoke, whole: Path) -> None:
    versions = json.loads(whole.read_text().splitlines()[0])["versions"]
    cut_off(whole, versions={**versions, "conformance": "0.0.1"})
    before = whole.read_bytes()
    said = resumed(invoke, whole.parent, whole)
    assert said.code == 2
    assert "line 1: this run does not repeat what stands there: it has versions" in said.err
    assert '"conformance": "0.0.1"' in said.err
    assert whole.read_bytes()[: len(before) // 2] == before[: len(before) // 2]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--seed", "5", "has seed 0, not 5"),
        ("--profile", "quick", "has profile 'standard', not 'quick'"),
        ("--only", "FWD-*", f"has only '{ONLY}', not 'FWD-*'"),
        ("--dtype", "float32", "has dtype None, not 'f32'"),
    ],
)
def test_another_call_than_the_one_that_was_cut_off_is_refused(
    option: str, value: str, says: str, invoke: Invoke, whole: Path
) -> None:
    cut_off(whole)
    said = resumed(invoke, whole.parent, whole, option, value)
    assert said.code == 2
    assert f"the run in '{whole.parent}' {says}: it goes on as it began" in said.err


def test_the_same_call_may_be_made_again(invoke: Invoke, whole: Path) -> None:
    cut_off(whole)
    said = resumed(invoke, whole.parent, whole, "--seed", "0", "--only", ONLY)
    assert said.code == 1


def test_a_report_alone_starts_no_program_but_bundled_ones(
    invoke: Invoke, whole: Path, adapter_file: Write
) -> None:
    cut_off(whole)
    ran = whole.parents[1] / "ran"
    adapter_file("wrong.py", whole=f"open({str(ran)!r}, 'w')")
    said = invoke("run", "--resume", whole.parent)
    assert (said.code, said.out, ran.exists()) == (2, "", False)
    wrong = whole.parents[1] / "wrong.py"
    assert f"the report in '{whole.parent}' is of '{wrong}': a report alone starts no program" in said.err
    assert f"say `conformance run {wrong} python-numpy --resume {whole.parent}`" in said.err


def test_a_report_of_a_bundled_adapter_alone_is_gone_on_with(invoke: Invoke, tmp_path: Path) -> None:
    problems = [word for line in LINES for word in ("--problem", line)]
    invoke("run", "python-numpy", "--only", ONLY, *problems, "--out", tmp_path / "out")
    cut_off(tmp_path / "out" / "report.jsonl")
    assert invoke("run", "--resume", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"profile": "../../etc"}, "line 1: there is no profile '../../etc' to go on with"),
        ({"seed": -1}, "line 1: the seed -1 is not between 0 and 2^32 - 1"),
        ({"seed": 2.0}, "line 1: the seed 2.0 is not between 0 and 2^32 - 1"),
        ({"given": ["i999999999999 k1"]}, "the problem is too large: x would have 999999999999 elements"),
        ({"given": ["\x1b[31m"]}, "no token begins like '\\x1b[31m'"),
        ({"dtype": "f128"}, "dtype must be one of"),
        ({"only": "["}, "no clause matches '['"),
    ],
)
def test_a_run_that_nobody_can_have_asked_for_is_not_gone_on_with(
    changes: dict[str, Any], says: str, invoke: Invoke, whole: Path
) -> None:
    cut_off(whole, **changes)
    said = resumed(invoke, whole.parent, whole)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "\x1b" not in said.err


def test_resuming_elsewhere_is_refused(invoke: Invoke, whole: Path, tmp_path: Path) -> None:
    said = invoke("run", "--resume", whole.parent, "--out", tmp_path / "other")
    assert said.code == 2
    assert "leave out --out" in said.err


def test_two_runs_into_one_folder_are_one_too_many(invoke: Invoke, whole: Path) -> None:
    from conformance.report.journal import Journal

    lines = whole.read_text(encoding="utf-8").splitlines()
    with Journal(whole.parent, lines):
        said = invoke("run", "python-numpy", "--problem", LINES[0], "--out", whole.parent)
        assert said.code == 2
        assert "is in use: another run writes its report there" in said.err
    assert whole.read_text(encoding="utf-8").splitlines() == lines
