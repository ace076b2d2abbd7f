"""Adapters in processes of their own: a run goes on whatever they do, and nothing of it is green."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.adapter.manifest import sdk

Invoke = Callable[..., Any]
Write = Callable[..., Path]
HOSTILE = Path(__file__).parents[1] / "hostile.py"
GOOD, KILLS = "2d n1 c1 m1 i4x4 k2x2", "2d n1 c1 m1 i5x5 k2x2 s2x2"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    monkeypatch.setenv("SDK", str(sdk("python")))
    monkeypatch.setenv("GRANDCHILD", str(tmp_path / "grandchild"))
    return lambda mode: "cmd:" + shlex.join([sys.executable, str(HOSTILE), mode])


def statuses(said: Any) -> list[str]:
    return [r["status"] for r in said.judged()]


@pytest.mark.parametrize(
    ("mode", "status", "code", "note"),
    [
        ("segfaults", "CRASHED", 1, "died, killed by SIGSEGV"),
        ("aborts", "CRASHED", 1, "died, killed by SIGABRT: terminate called"),
        ("is_killed", "CRASHED", 1, "died, killed by SIGKILL"),
        ("exits_well", "CRASHED", 1, "died, exited with status 0"),
        ("half_a_blob", "CRASHED", 1, "died, exited with status 1 after 100 bytes"),
        ("leaves_a_grandchild", "CRASHED", 1, "died, exited with status 5"),
        ("hangs", "TIMED_OUT", 1, "did not answer within 3 s"),
        ("floods_stderr", "TIMED_OUT", 1, "did not answer within 3 s"),
        ("prints_to_the_protocol", "BROKEN_ADAPTER", 3, "no message of the protocol"),
        ("another_seq", "BROKEN_ADAPTER", 3, "one answer a request, in order"),
        ("floods_stdout", "BROKEN_ADAPTER", 3, "without an end of line"),
    ],
)
def test_a_run_goes_on_and_is_not_green(
    mode: str, status: str, code: int, note: str, invoke: Invoke, hostile: Callable[[str], str]
) -> None:
    lines = ("--problem", GOOD, "--problem", KILLS, "--problem", GOOD.replace("i4x4", "i5x4"))
    said = invoke("run", hostile(mode), *lines, "--only", "FWD-2", "--timeout", 1, "--json")
    assert statuses(said) == ["PASS", status, "PASS"]
    assert note in said.judged()[1]["note"]
    assert said.code == code


def test_what_kills_is_shrunk(invoke: Invoke, hostile: Callable[[str], str]) -> None:
    large = "2d n3 c4 m2 i11x12 k3x2 s2x3 seed=7"
    said = invoke("run", hostile("exits"), "--problem", large, "--only", "FWD-2", "--json")
    (finding,) = [r for r in said.records if r["record"] == "finding"]
    assert finding["judgement"]["problem"].startswith(
        ("1d n1 c1 m1 i1 k1 s2", "1d n0", "2d n1 c1 m1 i1x1 k1x1 s2x")
    )
    assert finding["judgement"]["note"] == "died, exited with status 3"
    assert finding["shrunk"]


def test_after_three_deaths_a_clause_is_not_asked_any_more_and_that_is_said(
    invoke: Invoke, hostile: Callable[[str], str]
) -> None:
    lines = [a for k in range(5, 10) for a in ("--problem", KILLS.replace("i5x5", f"i{k}x5"))]
    said = invoke("run", hostile("exits"), *lines, "--only", "FWD-2,WGT-2", "--json")
    assert set(statuses(said)) == {"CRASHED"}
    notes = [r["note"] for r in said.judged() if r["clause"] == "FWD-2"]
    assert notes[:3] == 3 * ["died, exited with status 3"]
    assert notes[3:] == 2 * ["died, exited with status 3: not asked any more, it was so on 3 problems before"]
    assert said.code == 1


def test_after_three_breaches_of_the_protocol_a_clause_is_not_asked_any_more_and_that_is_said(
    invoke: Invoke, hostile: Callable[[str], str]
) -> None:
    lines = [a for k in range(5, 10) for a in ("--problem", KILLS.replace("i5x5", f"i{k}x5"))]
    said = invoke("run", hostile("another_seq"), *lines, "--only", "FWD-2", "--json")
    assert set(statuses(said)) == {"BROKEN_ADAPTER"}
    notes = [r["note"] for r in said.judged()]
    assert all("seq is 1 more than its request's" in note for note in notes)
    asked_no_more = [note.endswith("not asked any more, it was so on 3 problems before") for note in notes]
    assert asked_no_more == [False, False, False, True, True]
    assert said.code == 3


def test_a_death_is_no_refusal(invoke: Invoke, adapter_file: Write) -> None:
    """HYG-6 asks for an error on mismatched shapes: not garbage, not a crash."""
    careless = adapter_file(
        "mine.py",
        (
            "return self.layer(g, w, b).forward(x)",
            (
                "if x.shape[1] != g.channels:\n            import os; os._exit(1)\n"
                "        return self.layer(g, w, b).forward(x)"
            ),
        ),
    )
    said = invoke("run", careless, "--problem", GOOD, "--only", "HYG-6", "--json")
    assert statuses(said) == ["CRASHED"]


def test_in_process_and_out_of_process_say_the_same(invoke: Invoke, adapter_file: Write) -> None:
    wrong = (
        "return layer.backward(delta)",
        "dx, dw, db = layer.backward(delta)\n        return dx * 2, dw, db",
    )
    file = adapter_file("mine.py", wrong)
    lines = ("--problem", "i5x4 k2", "--problem", "n2 c2 i6x5 k3 mem=fortran", "--json")
    there, here = (invoke("run", file, *lines, *how) for how in ([], ["--in-process"]))
    judged = [[{**r, "adapter": ""} for r in said.judged()] for said in (there, here)]
    assert judged[0] == judged[1]
    assert there.code == here.code == 1


def test_standard_error_is_shown_and_is_no_crash(invoke: Invoke, hostile: Callable[[str], str]) -> None:
    said = invoke("run", hostile("noisy"), "--problem", GOOD, "--only", "FWD-2", "--json")
    assert statuses(said) == ["PASS"]
    assert "Using TensorFlow backend." in said.err
    assert "a child prints too" in said.err


def test_a_flood_on_standard_error_is_not_all_shown(invoke: Invoke, hostile: Callable[[str], str]) -> None:
    said = invoke("run", hostile("floods_stderr"), "--problem", KILLS, "--only", "FWD-2", "--timeout", 0.3)
    assert len(said.err) < 2**16
    assert "what else it writes to standard error is not shown" in said.err


def test_a_program_that_is_not_there(invoke: Invoke) -> None:
    said = invoke("run", "cmd:no-such-program --fast")
    assert (said.code, said.out) == (2, "")
    assert (
        said.err == "conformance: there is no program 'no-such-program' to start [the call has to change]\n"
    )


def test_a_command_line_that_is_none(invoke: Invoke) -> None:
    said = invoke("run", "cmd:my-program 'unfinished")
    assert said.code == 2
    assert "is no command line: No closing quotation" in said.err


def test_there_is_no_script_of_a_program_and_that_is_said(
    invoke: Invoke, hostile: Callable[[str], str]
) -> None:
    said = invoke("repro", GOOD, hostile("none"))
    assert (said.code, said.out) == (2, "")
    assert "is not in Python, and no reproducer.py.jinja lies in its folder" in said.err


def test_a_program_is_explained_like_any_other(invoke: Invoke, hostile: Callable[[str], str]) -> None:
    said = invoke("explain", GOOD, hostile("none"))
    assert said.code == 1
    assert "should be" in said.out


# ---- doctor --wire ----
def test_the_doctor_goes_through_a_conversation(invoke: Invoke, adapter_file: Write) -> None:
    said = invoke("doctor", "--wire", adapter_file("mine.py"))
    assert said.code == 0
    assert re.findall(r"^ok +([a-z ]+):", said.out, re.MULTILINE) == [
        "hello",
        "unsupported",
        "forward",
        "backward",
        "large tensors",
        "mismatched shapes",
        "an unknown op",
        "bye",
        "end of input",
    ]
    if sys.platform == "linux":  # operands and results
        assert re.search("^ok     large tensors: it answers with dx .*, in shared$", said.out, re.MULTILINE)


def test_the_doctor_asks_for_all_that_is_declared(invoke: Invoke, adapter_file: Write) -> None:
    whole = (Path(__file__).parents[2] / "adapters" / "python-numpy" / "adapter_numpy.py").read_text("utf-8")
    said = invoke("doctor", "--wire", adapter_file("mine.py", whole=whole))
    assert said.code == 0, said.out
    for op, gives in {
        "transposed": "y",
        "transposed_backward": "dx dw db",
        "double_backward": "dx dw ddelta",
        "forward_mode": "dy",
        "network": "cost delta1 delta2 dw1 db1 dw2 db2",
        "step": "w1 b1 w2 b2",
    }.items():
        (told,) = re.findall(f"^ok +{op}: it answers with (.*), in pipe$", said.out, re.MULTILINE)
        assert [word.split()[0] for word in told.split(", ")] == gives.split()
    assert "delta1 float64 2x4x7x7, " in said.out


NETWORK = """
import sys
import numpy as np
from conformance import Adapter, Capabilities, Networks

class Mine(Adapter):
    capabilities = Capabilities(
        ranks={2}, dtypes={"float64"}, operations={"forward_mode"}, network=Networks(step=True)
    )

    def forward(self, g, x, w, b):
        return np.zeros(g.y_shape)

    def backward(self, g, x, w, b, delta):
        return np.zeros(g.x_shape), np.zeros(g.w_shape), None if b is None else np.zeros(g.b_shape)

    def forward_mode(self, g, x, w, b, u, v, r):
        return np.zeros(g.y_shape)

    def network(self, net, x, target, params):
        return 0.0, [np.zeros(layer.geometry.y_shape) for layer in net.layers], params

    def step(self, net, x, target, params, rate):
        return params
"""
WIRE = """
server = sys.modules["__main__"].Server
whole = server.whole
server.whole = staticmethod(lambda named: whole(CHANGED))
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            NETWORK.replace("def forward_mode", "def forward_mood"),
            "FAULT  forward_mode: it answers that it is at fault itself: NotImplementedError: Mine has no forward_mode",
        ),
        (
            NETWORK.replace("rate):\n        return params", "rate):\n        return params[0]"),
            "FAULT  step: it answers that it is at fault itself: AdapterBroken: params of layer 1 must be a pair",
        ),
        (
            NETWORK.replace("def network(self, net, x, target, params)", "def network(self, net, x, params)"),
            (
                "FAULT  network: it answers that it is at fault itself: AdapterBroken: "
                "network must take (net, x, target, params); it takes (net, x, params)"
            ),
        ),
        (
            NETWORK.replace("params, rate)", "params)"),
            (
                "FAULT  step: it answers that it is at fault itself: AdapterBroken: "
                "step must take (net, x, target, params, rate); it takes (net, x, target, params)"
            ),
        ),
        (
            NETWORK + WIRE.replace("CHANGED", "{n: a for n, a in named.items() if n != 'delta2'}"),
            "FAULT  network: its answer lacks delta2, which its capabilities declare",
        ),
        (
            NETWORK + WIRE.replace("CHANGED", "{**named, 'dz': np.zeros(1)}"),
            "FAULT  network: its answer has 'dz'; network gives cost, delta1, dw1, db1, delta2, dw2, db2",
        ),
    ],
)
def test_the_doctor_says_what_is_wrong_with_them(
    text: str, told: str, invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("doctor", "--wire", adapter_file("mine.py", whole=text))
    assert said.code == 3
    assert told in said.out


def test_shapes_and_dtypes_are_shown_and_left_to_the_clauses(invoke: Invoke, adapter_file: Write) -> None:
    text = NETWORK.replace(
        "r):\n        return np.zeros(g.y_shape)", "r):\n        return np.zeros(3, np.float32)"
    )
    said = invoke("doctor", "--wire", adapter_file("mine.py", whole=text))
    assert said.code == 0, said.out
    assert (
        "forward_mode: it answers with dy float32 3, in pipe; dy should be float64 2x2x3x3: "
        "that is for the clauses to judge"
    ) in said.out


def test_the_doctor_counts_what_is_printed(invoke: Invoke, adapter_file: Write) -> None:
    computes = "return self.layer(g, w, b).forward(x)"
    said = invoke(
        "doctor", "--wire", adapter_file("mine.py", (computes, f"print('hear')\n        {computes}"))
    )
    assert said.code == 0
    assert "standard error: what it writes there harms nothing; lines: 2, the first is 'hear'" in said.out


def test_an_adapter_that_says_it_is_at_fault_does_not_please_the_doctor(
    invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("doctor", "--wire", adapter_file("mine.py", ("return layer.backward(delta)", "return 1")))
    assert said.code == 3
    assert "FAULT  backward: it answers that it is at fault itself: AdapterBroken: " in said.out


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("ls /", r"FAULT  hello: .*\d+ bytes|FAULT  hello: its standard output carries"),
        ("false", "FAULT  hello: the process ended: exited with status 1"),
        ("cat", r"FAULT  hello: a message without \"answer\""),
    ],
)
def test_the_doctor_says_in_words_what_is_wrong(program: str, said: str, invoke: Invoke) -> None:
    done = invoke("doctor", "--wire", f"cmd:{program}")
    assert done.code == 3
    assert re.search(said, done.out), done.out


# ---- new-adapter ----
def test_a_new_adapter_conforms_as_it_stands(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("new-adapter", tmp_path / "my-lib")
    assert said.code == 0
    assert said.out.startswith("# my-lib\n")
    assert "NAME" not in said.out
    done = invoke(
        "run",
        tmp_path / "my-lib" / "adapter.py",
        "--profile",
        "quick",
        "--only",
        "FWD-*,DEL-*,WGT-*,BIA-*,HYG-*",
    )
    assert done.code == 0, done.out


def test_a_new_adapter_needs_a_new_folder(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("new-adapter", tmp_path)
    assert said.code == 2
    assert (
        said.err
        == f"conformance: {str(tmp_path)!r} is there already: a new adapter needs a new folder [the call has to change]\n"
    )
