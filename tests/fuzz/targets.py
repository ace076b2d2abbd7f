"""What is fuzzed: one function a parser, from bytes that anybody may send; with seeds to begin from.

Whatever comes, it is read and means what it says, or it is refused by an error of ours, of a few printable lines, soon.
Anything else is a finding: an exception of another kind, or an `AssertionError` of these functions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import numpy as np

from conformance.adapter.doctor import Remark
from conformance.adapter.wire import answer_of, capabilities_of, header_of, tensors_of
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status
from conformance.engine.known import entries
from conformance.errors import ConformanceError
from conformance.problem import Problem
from conformance.problem.line import parsed as parsed_line
from conformance.problem.network import NetworkProblem
from conformance.report.journal import kept_of
from conformance.report.model import parsed, record
from conformance.report.table import STYLES, rendered

__all__ = ["FOUND", "SEEDS", "TARGETS", "Target"]

Target = Callable[[bytes], None]

LINES = 4
"""Lines that an error may have."""
CHARACTERS = 5000
SECONDS = 10.0
"""Of the processor, for input of a few kilobytes: what takes longer would take for ever on more."""


# ---- the rule ----
def answered(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, None if it refuses in a way that can be shown."""
    start, refused, value = time.thread_time(), "", None
    try:
        value = call(*arguments)
    except ConformanceError as error:
        refused = str(error)
    assert time.thread_time() - start < SECONDS
    assert_shown(refused)
    assert len(refused.splitlines()) <= LINES, refused
    assert len(refused) <= CHARACTERS, refused
    return value


def assert_shown(text: str) -> None:
    """Printable, and nothing else: no control sequence, nothing that a file would not take."""
    assert text.replace("\n", "").isprintable(), ascii(text)
    text.encode()


# ---- the targets ----
def layers(data: bytes) -> None:
    """A problem line of one layer."""
    _line(Problem.parse, data)


def networks(data: bytes) -> None:
    """A problem line of a network, or of a layer: whatever the command line takes."""
    _line(NetworkProblem.parse, data)
    _line(parsed_line, data)


def _line(parse: Callable[[str], Any], data: bytes) -> None:
    problem = answered(parse, data.decode(errors="surrogateescape"))  # as arguments of a command come
    if problem is not None:
        line = str(problem)
        assert_shown(line)
        assert parse(line) == problem
        assert str(parse(line)) == line


def journal(data: bytes) -> None:
    """A report's file: read, shown, and asked what a run that goes on would keep of it."""
    report = answered(parsed, data, "report.jsonl")
    if report is not None:
        for style in STYLES:
            assert_shown(rendered(report, style))
        assert report.exit_code() in (0, 1, 3)
    kept = answered(kept_of, data, "report.jsonl")
    if kept is not None and not kept.ended:
        assert all(map(json.loads, kept.lines))
        assert set(kept.finished) < set(kept.report.adapters)
        assert all(answered(parsed_line, line) is None or js for line, js in kept.judged.items())


def known_failures(data: bytes) -> None:
    """An adapter's known_failures.toml."""
    for entry in answered(entries, data, "known_failures.toml") or ():
        assert entry.clauses
        assert entry.reason.strip()
        for problem in (_LAYER, _NETWORK):
            assert entry.applies(problem, entry.clauses[0]) in (True, False)


def wire(data: bytes) -> None:
    """What a program may answer: a line, and the tensors behind it."""
    line, _, blob = data.partition(b"\n")
    answer = answered(answer_of, line)
    if answer is not None and answer["answer"] == "hello":
        answered(capabilities_of, answer["capabilities"])
    tensors = answered(tensors_of, blob)
    if tensors is not None:
        assert sum(a.nbytes for a in tensors.values()) <= len(blob)


TARGETS: dict[str, Target] = {
    "layers": layers,
    "networks": networks,
    "journal": journal,
    "known_failures": known_failures,
    "wire": wire,
}

_LAYER = Problem.parse("n2 c2 m2 i5x4 k3x2")
_NETWORK = NetworkProblem.parse("net n2 in 1x4 | k2 | quadratic")


# ---- seeds ----
def _corpus(*names: str) -> Iterator[bytes]:
    """The problem lines of corpora, without their ids."""
    for name in names:
        text = resources.files("conformance.engine").joinpath(f"corpus/{name}.txt").read_text("utf-8")
        entries_ = (line.partition("#")[0].strip() for line in text.splitlines())
        yield from (entry.partition(" ")[2].strip().encode() for entry in entries_ if entry)


def _report() -> Iterator[bytes]:
    """A report with a record of each kind, whole and cut off."""
    verdict = Judgement(
        adapter="a", clause="DEL-1", problem=str(_LAYER), origin="given", status=Status.FAIL, grade="FAIL",
        quantity="dx", index=(0, 1, 2, 0), got=1.5, expected=float("nan"), error_over_bound=float("inf"), wrong=3,
        certificate=0.5, note="one|two",
    )  # fmt: skip
    finding = Finding(
        adapter="a", clause="DEL-1", severity="MUST", status=Status.FAIL, fallen=("DEL-3",), problems=2,
        judgement=verdict, shrunk=True, diagnosis="dx slides the kernel as y did", hint="rotate it",
    )  # fmt: skip
    header = {
        "schema": "conformance-report/1", "versions": {"numpy": "2"}, "platform": "Linux", "started": "then",
        "profile": "quick", "seed": 0, "only": "DEL-*", "dtype": None, "given": [str(_LAYER)],
        "clauses": ["FWD-1", "DEL-1", "DEL-3"],
        "adapters": [
            {"name": name, "versions": {}, "capabilities": {"ranks": [2]}, "arithmetic": {"float64": "direct"}}
            for name in ("a", "./b.py:route")
        ],
    }  # fmt: skip
    footer = {"finished": "now", "judgements": 1, "findings": 1, "exit_code": 1, "verdicts": ["a fails"]}
    lines = [
        record("header", header),
        record("remark", Remark(check="loads", ok=True, text="a loads"), adapter="a"),
        record("judgement", verdict),
        record("finding", finding),
        record("footer", footer),
    ]
    for count in range(1, len(lines) + 1):
        yield "".join(f"{line}\n" for line in lines[:count]).encode()


KNOWN = b"""\
[[known]]
clauses = ["NUM-6", "DEL-*"]
routes = ["xla"]
where = { groups = true, dtypes = ["float32", "f16"], quantities = ["dw"], ranks = [1, 2], memory = ["c"] }
reason = "a NaN leaks into the other groups"
link = "https://example.org/1"

[[known]]
clauses = ["FWD-1"]
where = { stride = false, fills = ["real"], biases = ["none"], conventions = ["correlation"] }
raises = "Negative dimension"
reason = "it raises"
"""


def _answers() -> Iterator[bytes]:
    """Answers of each kind, with their tensors."""
    head, arrays = header_of({"dx": np.arange(6.0).reshape(1, 2, 3), "db": np.ones(2, np.float16)})
    blob = head + b"".join(a.tobytes() for a in arrays)
    tensors = {
        "answer": "tensors",
        "seq": 7,
        "modified": ["x"],
        "aliased": ["dx"],
        "where": "pipe",
        "bytes": len(blob),
    }
    able = {
        "ranks": [1, 2], "dtypes": ["float32", "bfloat16"], "padding": "asymmetric", "x_layout": "NHWC", "memories": ["c"],
        "network": {"activations": ["relu"], "costs": ["quadratic"], "step": True},
        "arithmetic": {"float32": {"y": {"accumulator": "f64", "algorithm": "winograd", "tile": 2}}},
    }  # fmt: skip
    hello = {
        "answer": "hello", "seq": 0, "protocol": 1, "name": "a", "versions": {"b": "1"}, "language": "C++", "bytes": 0,
        "routes": {"c": "d"}, "capabilities": able, "conditional": True, "spoils": False, "shared": True,
    }  # fmt: skip
    error = {"fault": "implementation", "type": "E", "text": "no", "traceback": "f:1"}
    others: tuple[dict[str, Any], ...] = (
        hello,
        {"answer": "error", "seq": 1, **error, "bytes": 0},
        {"answer": "reason", "seq": 1, "reason": None, "bytes": 0},
    )
    yield from (json.dumps(answer).encode() + b"\n" + blob for answer in (tensors, *others))


SEEDS: dict[str, tuple[bytes, ...]] = {
    "wire": tuple(_answers()),
    "layers": tuple(_corpus("covering", "seed", "edges", "layers")),
    "networks": tuple(_corpus("networks")),
    "journal": tuple(_report()),
    "known_failures": (KNOWN, KNOWN.partition(b"\n\n")[0]),
}

_JOURNAL = SEEDS["journal"][3]
FOUND: dict[str, tuple[bytes, ...]] = {
    "wire": (
        b'{"answer": ["x"]}\n',
        b'{"answer": "reason", "seq": 1, "reason": "\\ud800", "bytes": 0}\n',
        (2**60).to_bytes(8, "little") * 2,
        b"\n" + (2**60).to_bytes(8, "little"),
        b"\n" + (2).to_bytes(8, "little") + b"[]",
        b"\n" + (40_000).to_bytes(8, "little") + b"[" * 40_000,
    ),
    "layers": (
        b"i4 k2 \x1b[31m",
        b"i4 k2 \xff",
        b"i4\tk2\nq",
        b"i4 k" + b"2" * 9999,
        b"2d i999999999x999999999 k1",
    ),
    "networks": (
        b"net in 1x4 | k2 \x9b | quadratic",
        b"net in 1x4 | k2 p9999999999 | quadratic",
        b"|" * 9999,
    ),
    "journal": (
        _JOURNAL.replace(b'"judgement": {', b'"judgement": {"record": "judgement", '),
        _JOURNAL.replace(b'"adapter": "a"', b'"adapter": "c"'),
        _JOURNAL.replace(b'"got": 1.5', b'"got": 1' + b"0" * 400),
        _JOURNAL.replace(b'"numpy": "2"', b'"numpy": "\\ud800"'),
        _JOURNAL.replace(b'"profile": "quick"', b'"profile": "none"'),
        b"[" * 100_000,
    ),
    "known_failures": (
        KNOWN.replace(b"[1, 2]", b"[" + b"9" * 5000 + b"]"),
        KNOWN.replace(b'"FWD-1"', b'"' + b"x" * 9999 + b'"'),
        KNOWN.replace(b'"FWD-1"', b'"\\u001B[31m"'),
        b"a = " + b"[" * 9999,
    ),
}
"""What once broke a target, or would have; it stays mended."""
