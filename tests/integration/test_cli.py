"""The commands: what they print, what they write, how they end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import conformance
from conformance.adapter.manifest import bundled
from conformance.problem import Problem
from conformance.report.model import read, schema
from conformance.spec import CHAPTERS, REGISTRY, matching

Invoke = Callable[..., Any]
Write = Callable[..., Path]
LINE = "2d n2 c3 m4 i6x5 k3x2 s2x1 f32 seed=1"
WRONG = ("return layer.backward(delta)", "dx, dw, db = layer.backward(delta)\n        return dx * 0, dw, db")


def without_times(text: str) -> list[dict[str, Any]]:
    """The records of a report, but for when it was made."""
    records = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in r.items() if k not in ("started", "finished")} for r in records]


# ---- run ----
def test_the_bundled_reference_conforms_in_the_quick_profile(start: Invoke) -> None:
    said = start("run", "python-numpy", "--profile", "quick")
    assert (said.code, said.err) == (0, "")
    head, about, *rest = said.out.split("\n\n")
    assert head.startswith(
        f"profile quick, seed 0, clauses *; conformance {conformance.__version__}, python 3."
    )
    assert about.startswith("python-numpy: numpy ")
    table = rest[rest.index("python-numpy: clauses") + 1]
    rows = {row.split()[0]: row for row in table.splitlines()[2:] if re.match(r"[A-Z]{3}-\d", row)}
    assert list(rows) == [clause.id for clause in matching()]
    for id_, row in rows.items():
        told = {"NUM-7": ": results that overflow", "NET-6": r": leaky: sigma'\(0\) = 0.25;"}.get(id_, "")
        assert re.search(rf"^{id_} +{REGISTRY[id_].severity} .* PASS{told} +[1-9]\d* ", row), row
    assert rest[-1] == f"python-numpy conforms: {len(rows)} of {len(rows)} clauses pass\n"
    assert "findings" not in said.out


def test_the_module_is_no_silent_success(environment: dict[str, str]) -> None:
    call = [sys.executable, "-m", "conformance.cli", "run", "no-such-adapter"]
    assert subprocess.run(call, env=environment, capture_output=True, check=False).returncode == 2


def test_a_wrong_implementation_ends_with_1_and_its_finding(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke("run", adapter_file("mine.py", WRONG), "--problem", "i5x4 k2", "--only", "FWD-1,DEL-*")
    assert (said.code, said.err) == (1, "")
    assert "mine.py: findings" in said.out
    assert re.search(r"^DEL-1 +MUST FAIL +(DEL-\d,? ?)+", said.out, re.MULTILINE)
    assert "never computed" in said.out or re.search(r"dx\[0, 0, \d, \d\] is", said.out)
    assert re.search(r"mine\.py does not conform: 5 of 8 clauses fail$", said.out, re.MULTILINE)


def test_a_broken_adapter_ends_with_3_and_says_what_to_mend(invoke: Invoke, adapter_file: Write) -> None:
    swapped = (
        "return layer.backward(delta)",
        "dx, dw, db = layer.backward(delta)\n        return dw, dx, db",
    )
    said = invoke("run", adapter_file("mine.py", swapped), "--problem", LINE)
    assert (said.code, said.err) == (3, "")
    assert "mine.py: backward returns (dw, dx, db) where (dx, dw, db) is expected" in said.out
    assert said.out.endswith("mine.py: the adapter is broken; the implementation was not judged\n")
    assert " FAIL " not in said.out
    assert " PASS " not in said.out


def test_several_adapters_are_compared_in_a_matrix(invoke: Invoke, adapter_file: Write) -> None:
    right, wrong = adapter_file("right.py"), adapter_file("wrong.py", WRONG)
    said = invoke("run", "python-numpy", right, wrong, "--problem", "i5x4 k2", "--only", "FWD-1,DEL-1,WGT-1")
    assert said.code == 1
    matrix = said.out.split("Matrix\n\n")[1].split("\n\n")[0].splitlines()
    assert matrix[0].split() == ["clause", "python-numpy", str(right), str(wrong)]
    assert [line.split() for line in matrix[2:]] == [
        ["FWD-1", "PASS", "PASS", "PASS"],
        ["DEL-1", "PASS", "PASS", "FAIL"],
        ["WGT-1", "PASS", "PASS", "PASS"],
    ]
    verdicts = said.out.splitlines()[-3:]
    assert verdicts[:2] == [f"{name} conforms: 3 of 3 clauses pass" for name in ("python-numpy", right)]
    assert verdicts[2] == f"{wrong} does not conform: 1 of 3 clauses fail"


def test_an_adapter_named_twice_is_run_once(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "python-numpy", "--problem", LINE, "--only", "FWD-1", "--json")
    assert len(said.judged()) == 1


@pytest.mark.parametrize(
    ("only", "judged"),
    [
        ("DEL-1", ["DEL-1"]),
        ("*-1", [f"{chapter}-1" for chapter in CHAPTERS if chapter != "NET"]),
        ("wgt-1,fwd-[12]", ["FWD-1", "FWD-2", "WGT-1"]),
        ("FWD-1, DEL-1", ["FWD-1", "DEL-1"]),
    ],
)
def test_only_the_clauses_that_match_are_judged(only: str, judged: list[str], invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", LINE, "--only", only, "--json")
    assert said.code == 0
    apart = [part for glob in only.split(",") for part in ("--only", glob)]
    again = invoke("run", "python-numpy", "--problem", LINE, *apart, "--json")
    assert [j["clause"] for j in again.judged()] == judged
    assert [j["clause"] for j in said.judged()] == judged
    asked = [c for c in said.records[0]["clauses"] if not REGISTRY[c].of_networks]  # LINE is a layer
    assert asked == judged
    assert said.records[0]["only"] == only


def test_only_may_be_given_several_times(invoke: Invoke) -> None:
    several = ("--only", "DEL-1,FWD-1", "--only", "WGT-1")
    said = invoke("run", "python-numpy", "--problem", LINE, *several, "--json")
    assert [j["clause"] for j in said.judged()] == ["FWD-1", "DEL-1", "WGT-1"]
    assert said.records[0]["only"] == "DEL-1,FWD-1,WGT-1"


def test_a_given_problem_is_the_only_one_judged(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", "k3 i8x9 c2 s2 f32", "--only", "FWD-*", "--json")
    assert said.code == 0
    assert {(j["problem"], j["origin"]) for j in said.judged()} == {
        ("2d n1 c2 m1 i8x9 k3x3 s2x2 f32", "given")
    }


def test_several_problems_may_be_given(invoke: Invoke) -> None:
    lines = [LINE, "1d i5 k2", "3d i3 k2 bf16"]
    given = [part for line in lines for part in ("--problem", line)]
    said = invoke("run", "python-numpy", *given, "--only", "FWD-1", "--json")
    assert [j["problem"] for j in said.judged()] == [str(Problem.parse(line)) for line in lines]


@pytest.mark.parametrize("dtype", ["f64", "float32", "f16", "bfloat16"])
def test_all_problems_can_be_put_in_one_dtype(dtype: str, invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--profile", "quick", "--dtype", dtype, "--only", "FWD-2", "--json")
    assert said.code == 0
    code = {"float32": "f32", "bfloat16": "bf16"}.get(dtype, dtype)
    assert len(said.judged()) > 100
    assert {Problem.parse(j["problem"]).dtype for j in said.judged()} == {code}
    assert said.records[0]["dtype"] == code


def test_given_problems_are_put_in_the_dtype_too(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", LINE, "--dtype", "f16", "--only", "FWD-1", "--json")
    assert [j["problem"] for j in said.judged()] == [LINE.replace("f32", "f16")]


def test_a_dtype_that_is_not_offered_is_not_judged_in_another(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke("run", adapter_file(), "--profile", "quick", "--dtype", "f16", "--only", "FWD-2", "--json")
    judged = [j for j in said.judged() if j["status"] != "UNSUPPORTED"]
    assert {Problem.parse(j["problem"]).dtype for j in judged} <= {"f16"}


def test_a_given_problem_that_is_not_offered_does_not_pass_as_another(
    invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("run", adapter_file(), "--problem", LINE, "--only", "FWD-1", "--json")
    assert {j["problem"] for j in said.judged()} == {LINE}
    assert said.code == 1


def test_what_no_adapter_offers_is_unsupported_and_not_green(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke("run", adapter_file(), "--problem", "3d i3 k2", "--only", "FWD-1,DEL-1")
    assert said.code == 1
    assert len(re.findall(r"UNSUPPORTED: 3 spatial axes", said.out)) == 2
    assert said.out.endswith(
        "mine.py: nothing was judged with power: 3 spatial axes not claimed (2 unsupported)\n"
    )


def test_a_network_for_an_adapter_without_networks_is_told_in_the_verdict(
    invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("run", adapter_file(), "--problem", "net in 1x4 | k2 | quadratic")
    assert said.code == 1
    assert re.search(
        r"mine\.py: nothing was judged with power: networks? .*not offered", said.out.splitlines()[-1]
    )


def test_two_runs_differ_in_their_times_only(start: Invoke, adapter_file: Write) -> None:
    flaw = (
        "return layer.backward(delta)",
        "dx, dw, db = layer.backward(delta)\n        return dx, dw * 1.5, db",
    )
    wrong = adapter_file("mine.py", flaw)
    call = ("run", wrong, "--profile", "quick", "--only", "WGT-[12]", "--seed", "7", "--json")
    first, second = start(*call, PYTHONHASHSEED="1"), start(*call, PYTHONHASHSEED="2")
    assert first.code == second.code == 1
    assert any(r["record"] == "finding" for r in without_times(first.out))
    assert without_times(first.out) == without_times(second.out)
    assert {r["seed"] for r in without_times(first.out) if r["record"] == "header"} == {7}


def test_the_json_is_the_report_and_nothing_else(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke(
        "run", adapter_file("mine.py", WRONG), "--problem", "i5x4 k2", "--only", "FWD-1,DEL-1", "--json"
    )
    assert (said.code, said.err) == (1, "")
    kinds = [r["record"] for r in said.records]
    assert kinds[0] == "header"
    assert kinds[-1] == "footer"
    assert sorted(set(kinds)) == ["finding", "footer", "header", "judgement", "remark"]
    assert said.records[-1]["exit_code"] == 1


def test_what_an_implementation_prints_does_not_spoil_the_json(invoke: Invoke, adapter_file: Write) -> None:
    noisy = (
        "return self.layer(g, w, b).forward(x)",
        "print('noise')\n        return self.layer(g, w, b).forward(x)",
    )
    said = invoke("run", adapter_file("mine.py", noisy), "--problem", "i5x4 k2", "--only", "FWD-1", "--json")
    assert said.code == 0
    assert "noise" in said.err
    assert len(said.judged()) == 1


def test_what_an_adapter_prints_on_import_does_not_spoil_the_json(
    invoke: Invoke, adapter_file: Write
) -> None:
    loud = ("    capabilities = Capabilities()", "    print('loaded')\n    capabilities = Capabilities()")
    said = invoke("run", adapter_file("loud.py", loud), "--problem", "i5x4 k2", "--only", "FWD-1", "--json")
    assert len(said.judged()) == 1


def test_a_run_on_a_terminal_shows_its_progress_beside_the_report(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    pty = pytest.importorskip("pty", reason="such terminals are POSIX'")
    ours, theirs = pty.openpty()
    call = [*command, "run", "python-numpy", "--profile", "quick", "--only", "FWD-2"]
    with subprocess.Popen(
        call, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs, encoding="utf-8"
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                shown += part
        told, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert told.endswith("python-numpy conforms: 1 of 1 clauses pass\n")
    assert b"Traceback" not in shown
    bars = re.findall(rb"python-numpy +\[#*-*\] +(\d+)%", shown)
    assert bars[-1] == b"100"


# ---- files ----
def test_a_report_is_written_whose_every_line_is_valid(
    invoke: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    wrong = adapter_file("mine.py", WRONG)
    said = invoke("run", "python-numpy", wrong, "--problem", LINE, "--problem", "i5x4 k2", "--out", folder)
    assert (said.code, said.err) == (1, "")
    assert sorted(p.name for p in folder.iterdir()) == ["report.jsonl", "report.md"]
    lines = (folder / "report.jsonl").read_text(encoding="utf-8").splitlines()
    validator = jsonschema.Draft202012Validator(schema())
    for line in lines:
        validator.validate(json.loads(line))
    kinds = [json.loads(line)["record"] for line in lines]
    assert kinds[0] == "header"
    assert kinds[-1] == "footer"
    assert kinds.count("header") == kinds.count("footer") == 1
    report = read(folder / "report.jsonl")
    assert report.adapters == ["python-numpy", str(wrong)]
    assert report.footer is not None
    assert report.footer["judgements"] == len(report.judgements) == kinds.count("judgement")
    assert report.footer["findings"] == len(report.findings) == kinds.count("finding") >= 1
    assert report.footer["verdicts"] == [report.verdict(name) for name in report.adapters]


def test_the_markdown_says_what_the_terminal_says(
    invoke: Invoke, adapter_file: Write, tmp_path: Path
) -> None:
    wrong = adapter_file("mine.py", WRONG)
    said = invoke("run", wrong, "--problem", "i5x4 k2", "--only", "FWD-1,DEL-1", "--out", tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Conformance report\n\n")
    assert f"## {wrong}: clauses" in text
    assert f"## {wrong}: findings" in text
    assert re.search(r"^\| DEL-1 +\| MUST +\|", text, re.MULTILINE)
    assert text.splitlines()[-1] == said.out.splitlines()[-1]
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {9, 7}


def test_a_report_can_be_written_and_printed_as_json(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke(
        "run", "python-numpy", "--problem", LINE, "--only", "FWD-1", "--json", "--out", tmp_path / "out"
    )
    assert said.out == (tmp_path / "out" / "report.jsonl").read_text(encoding="utf-8")


def test_an_old_report_is_replaced(invoke: Invoke, tmp_path: Path) -> None:
    for only in ("FWD-*", "BIA-1"):
        invoke("run", "python-numpy", "--problem", LINE, "--only", only, "--out", tmp_path)
    assert {j.clause for j in read(tmp_path / "report.jsonl").judgements} == {"BIA-1"}


# ---- two adapters at a time ----
def test_two_folders_may_hold_helpers_of_one_name(start: Invoke, adapter_file: Write, tmp_path: Path) -> None:
    """Two students, each with an adapter.py and a my_cnn.py: the second must not be judged by the first one's code."""
    borrowed = ("class Mine(Adapter):", "import my_cnn\n\n\nclass Mine(Adapter):")
    calls = ("return layer.backward(delta)", "return my_cnn.changed(*layer.backward(delta))")
    helpers = {"first": "dx, dw, db", "second": "0 * dx, dw, db"}
    for folder, result in helpers.items():
        adapter_file(f"{folder}/adapter.py", borrowed, calls)
        adapter_file(f"{folder}/my_cnn.py", whole=f"def changed(dx, dw, db):\n    return {result}\n")
    alone = start("run", "second/adapter.py", "--problem", "i5x4 k2", "--only", "DEL-1", "--json")
    together = start(
        "run", "first/adapter.py", "second/adapter.py", "--problem", "i5x4 k2", "--only", "DEL-1", "--json"
    )
    assert [j["status"] for j in alone.judged()] == ["FAIL"]
    assert [j["status"] for j in together.judged()] == ["PASS", "FAIL"]


# ---- list, spec, doctor, version ----
def test_list_shows_every_bundled_adapter_with_its_routes(invoke: Invoke) -> None:
    said = invoke("list")
    assert (said.code, said.err) == (0, "")
    rows = {line.split()[0]: line for line in said.out.splitlines()[2:]}
    assert set(rows) == set(bundled()) >= {"python-numpy", "python-torch", "python-jax", "python-tensorflow"}
    for name, adapter in bundled().items():
        assert adapter.summary in rows[name]
        assert rows[name].split()[1] == adapter.language
        assert all(route in rows[name] for route in adapter.routes)


def test_list_imports_no_framework(start: Invoke, environment: dict[str, str], tmp_path: Path) -> None:
    poisoned = tmp_path / "poisoned"
    for name in ("torch", "jax", "tensorflow", "scipy"):
        (poisoned / name).mkdir(parents=True)
        (poisoned / name / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    said = start("list", PYTHONPATH=os.pathsep.join([str(poisoned), environment["PYTHONPATH"]]))
    assert said.code == 0


def test_spec_shows_all_clauses(invoke: Invoke) -> None:
    said = invoke("spec")
    assert (said.code, said.err) == (0, "")
    entries = said.out.rstrip("\n").split("\n\n")
    assert [entry.split()[0] for entry in entries] == [clause.id for clause in matching()]
    for entry, clause in zip(entries, matching(), strict=True):
        assert clause.text in entry
        assert clause.equation in entry


def test_spec_shows_one_clause(invoke: Invoke) -> None:
    said = invoke("spec", "DEL-1")
    assert said.code == 0
    assert said.out.startswith("DEL-1 (MUST) dx equals the definition")
    assert "dx[n,c,i] = sum_{m: c in g(m)}" in said.out
    assert invoke("spec", "del-1").out == said.out


def test_doctor_finds_a_sound_adapter_sound(invoke: Invoke) -> None:
    said = invoke("doctor", "python-numpy")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert lines[3] == "ok     wiring: order of results, layouts and convention are as declared"
    assert "ok     operations: forward_mode gives forward_mode.dy" in lines
    assert lines[-1].startswith("ok     network: no wiring fault of the network found on net ")


WIRING = {
    "swapped gradients": (
        ("return layer.backward(delta)", "dx, dw, db = layer.backward(delta)\n        return dw, dx, db"),
        "backward returns (dw, dx, db) where (dx, dw, db) is expected",
    ),
    "another convention": (
        ("Capabilities()", "Capabilities(convention='convolution')"),
        "it declares convolution, but everything it computes is correlation: declare convention='correlation'",
    ),
    "another layout of x": (
        (
            "return self.layer(g, w, b).forward(x)",
            "return self.layer(g, w, b).forward(x).transpose(0, 2, 3, 1)",
        ),
        "y is right with its axes in the order (0, 2, 3, 1): the declared x_layout does not hold",
    ),
    "another layout of w": (
        (
            "return layer.backward(delta)",
            "dx, dw, db = layer.backward(delta)\n        return dx, dw.transpose(2, 3, 1, 0), db",
        ),
        "dw is right with its axes in the order (2, 3, 1, 0): the declared w_layout does not hold",
    ),
    "two gradients": (
        ("return layer.backward(delta)", "return layer.backward(delta)[:2]"),
        "backward must return (dx, dw, db), None for what is not offered; it returned tuple of 2",
    ),
    "operands by other names": (
        ("def forward(self, g, x, w, b):", "def forward(self, g, x, w, bias):\n        b = bias"),
        "forward must take (g, x, w, b), by these names; it takes (g, x, w, bias)",
    ),
    "no geometry": (
        ("def forward(self, g, x, w, b):", "def forward(self, x, w, b):\n        g = None"),
        "forward must take (g, x, w, b), by these names; it takes (x, w, b)",
    ),
    "no forward": (
        ("def forward(", "def forwards("),
        "Mine has no forward, though its capabilities declare its quantities",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), WIRING.values(), ids=list(WIRING))
def test_doctor_names_a_wiring_fault_in_one_sentence(
    change: tuple[str, str], sentence: str, invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("doctor", adapter_file("mine.py", change))
    assert (said.code, said.err) == (3, "")
    faults = [line for line in said.out.splitlines() if not line.startswith("ok ")]
    assert len(faults) == 1
    assert faults[0].startswith("FAULT  ")
    assert faults[0].endswith(sentence) or sentence in faults[0]


def test_doctor_leaves_mistakes_of_the_implementation_to_the_clauses(
    invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("doctor", adapter_file("mine.py", WRONG))
    assert said.code == 0
    assert "no wiring fault found; results are not all right, which is for the clauses to judge" in said.out


def test_doctor_reports_what_works_and_is_not_claimed(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke("doctor", adapter_file())
    assert said.code == 0
    for feature in ("stride", "dilation", "symmetric padding", "asymmetric padding", "an empty batch"):
        assert f"{feature} works on the doctor's problem, though it is not claimed" in said.out
    assert "groups" not in said.out


def test_the_version_is_told(start: Invoke) -> None:
    said = start("--version")
    assert (said.code, said.out) == (0, f"conformance, version {conformance.__version__}\n")


@pytest.mark.parametrize(
    "command", [(), ("run",), ("list",), ("spec",), ("doctor",), ("env",), ("env", "create")], ids=" ".join
)
def test_every_command_has_help(command: tuple[str, ...], invoke: Invoke) -> None:
    said = invoke(*command, "-h")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: conformance ")
    assert invoke(*command, "--help").out == said.out


# ---- whole networks ----
NET = "net n2 in 2x6 | c3 k2 relu | c2 k3 identity | quadratic f64 seed=3"


def test_a_network_line_is_judged_by_chapter_net_alone(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", NET, "--json")
    assert said.code == 0
    assert {(j["clause"], j["status"], j["problem"]) for j in said.judged()} == {
        (f"NET-{n}", "PASS", NET) for n in range(1, 7)
    }


def test_an_adapter_without_networks_is_not_judged_on_one(invoke: Invoke) -> None:
    said = invoke("run", "python-scipy", "--problem", NET, "--json")
    assert said.code == 1  # nothing was judged
    assert {j["status"] for j in said.judged()} == {"UNSUPPORTED"}


def test_a_right_network_has_nothing_to_explain(invoke: Invoke) -> None:
    said = invoke("explain", NET, "python-numpy")
    assert (said.code, said.out) == (0, f"nothing to explain: python-numpy is right on {NET}\n")


def test_a_network_that_is_not_offered_is_not_explained(invoke: Invoke) -> None:
    said = invoke("explain", NET, "python-scipy")
    assert said.code == 2
    assert "python-scipy does not offer this problem: " in said.err


def test_a_network_has_no_script(invoke: Invoke) -> None:
    said = invoke("repro", NET, "python-numpy")
    assert said.code == 2
    assert "one layer at a time: a whole network is judged by run --problem" in said.err
