"""`conformance explain` and `conformance repro`: what they print, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clean import ran

MISTAKEN = Path(__file__).parent / "learner" / "my_mistaken_adapter.py"
RIGHT = MISTAKEN.with_name("my_adapter.py")
LINE = "n2 c3 m4 i6x5 k3x2 seed=1"
Invoke = Callable[..., Any]
Write = Callable[..., Path]


def test_a_mistake_is_counted_on_fingers(invoke: Invoke) -> None:
    said = invoke("explain", LINE, MISTAKEN)
    assert (said.code, said.err) == (1, "")
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{MISTAKEN} on 2d n1 c1 m1 ")
    assert lines[1] == f"    made simpler from 2d {LINE.replace(' seed', ' f64 seed')}"
    (right,) = [k for k, line in enumerate(lines) if " should be delta[" in line]
    got = lines[right + 1]
    assert got.startswith("got ")
    assert lines[right].count("delta[") == 2
    assert got.count("delta[") == 1  # '=' for '+='
    assert "'=' for '+='" in said.out
    assert "To mend it: " in said.out


def test_the_problem_of_a_finding_can_be_explained(invoke: Invoke) -> None:
    found = invoke("run", MISTAKEN, "--problem", LINE, "--only", "DEL-1", "--json")
    (line,) = [r["judgement"]["problem"] for r in found.records if r["record"] == "finding"]
    said = invoke("explain", line, MISTAKEN)
    assert said.code == 1
    assert "dx should be" in said.out


@pytest.mark.parametrize(("command", "stream"), [("explain", "out"), ("repro", "err")])
def test_of_a_right_implementation_there_is_nothing_to_tell(
    command: str, stream: str, invoke: Invoke
) -> None:
    said = invoke(command, LINE, RIGHT)
    assert said.code == 0
    assert getattr(said, stream).startswith(
        f"nothing to {'explain' if command == 'explain' else 'reproduce'}: "
    )
    assert said.out + said.err == getattr(said, stream)


@pytest.mark.parametrize("command", ["explain", "repro"])
@pytest.mark.parametrize(
    ("line", "adapter", "sentence"),
    [
        ("i6x5 k3xx2", str(MISTAKEN), "takes a number an axis"),
        ("i2x2 k3", str(MISTAKEN), "the kernel does not fit"),
        (LINE, "python-nump", "did you mean python-numpy?"),
        ("3d i4 k2", str(MISTAKEN), "does not offer this problem: 3 spatial axes not claimed"),
    ],
)
def test_a_bad_call_is_told_in_one_sentence(
    command: str, line: str, adapter: str, sentence: str, invoke: Invoke
) -> None:
    said = invoke(command, line, adapter)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err


@pytest.mark.parametrize("command", ["explain", "repro"])
def test_a_broken_adapter_is_told_as_such(command: str, invoke: Invoke, adapter_file: Write) -> None:
    broken = adapter_file("broken.py", ("return self.layer(g, w, b).forward(x)", "return None"))
    said = invoke(command, "i4x3 k2", broken)
    assert (said.code, said.out) == (3, "")
    assert "forward returned None for y" in said.err


def test_a_script_is_printed_that_shows_the_mistake_alone(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("repro", LINE, MISTAKEN)
    assert (said.code, said.err) == (1, "")
    (result,) = ran([said.out], tmp_path)
    assert result.code == 1
    assert result.out.startswith("expected\n")


def test_a_script_that_does_not_show_it_is_printed_with_a_warning(
    invoke: Invoke, adapter_file: Write
) -> None:
    """Wrong only in the process that once computed something larger: here the probes did."""
    twice = "CALLS.append(g)\n        dx, *rest = layer.backward(delta)\n        return dx * (1 + (len(CALLS) > 3)), *rest"
    late = adapter_file(
        "late.py", ("return layer.backward(delta)", twice), ("\n\nclass Mine", "\nCALLS = []\n\n\nclass Mine")
    )
    said = invoke("repro", "i4x3 k2", late)
    assert said.code == 1
    assert said.out.startswith('"""It needs the package conformance')
    assert said.err == "this script, run alone, does not show the fault: it hangs on what came before\n"


def test_both_run_as_a_process_of_their_own(start: Invoke) -> None:
    assert "dx should be" in start("explain", LINE, MISTAKEN).out
    assert start("repro", "i3x4 k2", "python-numpy").code == 0
