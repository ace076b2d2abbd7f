"""The SDK for JavaScript, at work: what it moves, catches, compares and rounds; and the template on it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from conformance.adapter.doctor import examine
from conformance.adapter.manifest import folder, sdk
from conformance.adapter.process import Command
from conformance.adapter.remote import Remote
from conformance.adapter.session import Session
from conformance.adapter.wire import as_geometry, header_of, tensors_of
from conformance.errors import AdapterBroken, AdapterNotFound
from conformance.oracle.definition import compute
from conformance.problem import QUANTITIES, Problem
from conformance.spec import NotOffered, Question, Raised

HOSTILE = Path(__file__).parents[2] / "hostile.mjs"
SDK = sdk("javascript") / "conformance.mjs"
TEMPLATE = folder() / "_template" / "javascript" / "adapter.mjs"
PLAIN = "2d n2 c1 m1 i3x4 k1x1 bias=none"
LINES = [
    "1d n2 c4 m6 i9 k3 s2 p1:2 g2",
    "2d n2 c4 m6 i7x5 k3x2 s2x1 p1:0x-1:2 d1x2 g2 conv bias=untied",
    "3d n1 c2 m2 i4x3x5 k2x2x1 s1x2x1 p1x0:1x0 bias=none",
    "2d n0 c2 m2 i3x3 k2x2",
]
Open = Callable[..., Session]


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if not found:
        pytest.fail("there is no program 'node': the SDK for JavaScript is tested with Node 18 or later")
    return found


@pytest.fixture
def opened(node: str, tmp_path: Path) -> Iterator[Open]:
    sessions: list[Session] = []

    def started(mode: str = "", *, file: Path = HOSTILE, route: str = "") -> Session:
        for source in (SDK, file):
            shutil.copy(source, tmp_path)
        command = Command(args=(node, file.name, *([mode] if mode else [])), cwd=tmp_path)
        sessions.append(Session(Remote(command, mode or file.name, route=route, time_limit=60), mode))
        return sessions[-1]

    yield started
    for session in sessions:
        session.close()


def question(line: str, *, backward: bool = False) -> Question:
    p = Problem.parse(line)
    return Question(geometry=p.geometry, operands=p.operands, memory="c", backward=backward)


# ---- what happens in a call ----
@pytest.mark.parametrize("mode", ["copies", "prints", "waits", "throws_between_calls"])
def test_operands_arrive_and_results_come_back(mode: str, opened: Open) -> None:
    asked = question(PLAIN)
    answer = opened(mode).put(asked)
    np.testing.assert_array_equal(answer.arrays["y"], asked.operands.x)
    assert (answer.modified, answer.shared) == ((), ())


def test_where_descriptors_cannot_be_moved_the_console_is(node: str, opened: Open, tmp_path: Path) -> None:
    """Sockets have no name under which they could be opened."""
    opened("logs")
    p = Problem.parse(PLAIN)
    head, arrays = header_of({"x": p.operands.x, "w": p.operands.w})
    blob = head + b"".join(a.tobytes() for a in arrays)
    ask = {
        "op": "forward",
        "seq": 7,
        "geometry": as_geometry(p.geometry),
        "dtype": "float64",
        "where": "pipe",
    }
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [node, HOSTILE.name, "logs"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, cwd=tmp_path
        ) as process,
        ours.makefile("rwb") as stream,
    ):
        theirs.close()
        stream.write(json.dumps({**ask, "bytes": len(blob)}).encode() + b"\n" + blob)
        stream.flush()
        answer = json.loads(stream.readline())
        np.testing.assert_array_equal(tensors_of(stream.read(answer["bytes"]))["y"], p.operands.x)
        ours.shutdown(socket.SHUT_WR)
        assert process.communicate()[1] == b"a line\nand more\n"


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("throws", Raised, r"TypeError: Cannot read properties of undefined"),
        ("throws_no_error", Raised, r"thrown: \{ code: 7 \}"),
        ("rejects", Raised, "RangeError: later"),
        ("rejects_unseen", Raised, "RangeError: nobody waits"),
        ("exits", Raised, r"Error: process.exit\(3\) was called"),
        ("declines", NotOffered, "not today"),
        ("returns_a_list", AdapterBroken, "the data of y must be a typed array"),
        ("returns_another_shape", AdapterBroken, r"y has 24 elements and the shape \[ 1, 2 \]"),
        ("returns_nothing", AdapterBroken, "forward returned None for y"),
    ],
)
def test_what_goes_wrong_is_an_answer(mode: str, kind: type[Exception], said: str, opened: Open) -> None:
    session = opened(mode)
    with pytest.raises(kind, match=said):
        session.put(question(PLAIN))
    assert session.place.deaths == 0


def test_what_is_thrown_between_calls_is_told_in_the_next(opened: Open) -> None:
    session = opened("throws_between_calls")
    session.put(question(PLAIN))
    time.sleep(0.1)
    with pytest.raises(Raised, match=r"Cannot read properties.*the fault is that of the call before"):
        session.put(question(PLAIN))
    assert session.place.deaths == 0


def test_operands_are_watched(opened: Open) -> None:
    assert opened("writes").put(question(PLAIN)).modified == ("x",)
    assert opened("returns_a_view").put(question(PLAIN)).shared == ("y",)


def test_integers_come_back_as_such(opened: Open) -> None:
    assert opened("returns_integers").put(question(PLAIN)).arrays["y"].dtype == np.int32


def test_large_tensors_are_shared(opened: Open) -> None:
    session = opened("copies")
    for line in ("2d n9 c1 m1 i200x201 k1x1 bias=none", "2d n2 c1 m1 i200x201 k1x1 bias=none"):
        asked = question(line)
        np.testing.assert_array_equal(session.put(asked).arrays["y"], asked.operands.x)


def test_routes(opened: Open) -> None:
    assert opened("copies").place.route == "one"
    with pytest.raises(AdapterNotFound, match="no route 'three'; it has one, two"):
        opened("copies", route="three")


def test_a_blob_that_does_not_fit_its_header_ends_the_process(
    node: str, opened: Open, tmp_path: Path
) -> None:
    opened("copies")
    header = b'{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}} '
    for blob in (b"", b"1234567", bytes([255] * 9), (len(header)).to_bytes(8, "little") + header + bytes(4)):
        ask = {"op": "forward", "seq": 0, "dtype": "float64", "where": "pipe", "bytes": len(blob)}
        done = subprocess.run(
            [node, HOSTILE.name, "copies"],
            input=json.dumps(ask).encode() + b"\n" + blob,
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        if blob:
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"safetensors: " in done.stderr


# ---- 16 bits ----
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_are_widened_exactly_and_rounded_once_to_even(dtype: str, node: str, tmp_path: Path) -> None:
    """All 65,536 patterns; every midpoint of neighbours, and the float64 on either side of it."""
    numpy = np.dtype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
    infinite = int(np.array(np.inf, numpy).view(np.uint16))
    patterns = np.arange(2**16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = patterns.view(numpy).astype(np.float64)
    low = np.arange(infinite, dtype=np.uint16)  # those of positive numbers, and the next
    over = 2 * values[infinite - 1] - values[infinite - 2]  # where infinity begins, were it a number
    middle = (values[:infinite] + np.append(values[1:infinite], over)) / 2
    odd = low % 2
    numbers = np.concatenate([values, middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf), -middle])
    right = np.concatenate([patterns, low + odd, low, low + 1, (low + odd) | 0x8000]).astype(np.uint16)
    wide, narrow = _converted(dtype, patterns, numbers, node, tmp_path)
    there = ~np.isnan(values)
    right_bits = values[there].astype(np.float32).view(np.uint32)  # signs of zeros too
    np.testing.assert_array_equal(wide.view(np.uint32)[there], right_bits)
    np.testing.assert_array_equal(np.isnan(wide), np.isnan(values))
    nan = np.isnan(numbers)
    np.testing.assert_array_equal(narrow[~nan], right[~nan])
    assert np.isnan(narrow[nan].view(numpy).astype(np.float64)).all()


def _converted(dtype: str, bits: Any, numbers: Any, node: str, tmp_path: Path) -> tuple[Any, Any]:
    (tmp_path / "bits").write_bytes(bits.tobytes())
    (tmp_path / "numbers").write_bytes(numbers.tobytes())
    script = """
        import fs from "node:fs";
        import { narrowed, widened } from "./conformance.mjs";
        const read = (name) => new Uint8Array(fs.readFileSync(name)).buffer;
        fs.writeFileSync("wide", widened(new Uint16Array(read("bits")), process.argv[2]));
        fs.writeFileSync("narrow", narrowed(new Float64Array(read("numbers")), process.argv[2]));
    """
    (tmp_path / "convert.mjs").write_text(script, encoding="utf-8")
    shutil.copy(SDK, tmp_path)
    subprocess.run([node, "convert.mjs", dtype], cwd=tmp_path, check=True)
    return np.fromfile(tmp_path / "wide", np.float32), np.fromfile(tmp_path / "narrow", np.uint16)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_16_bits_go_there_and_back(dtype: str, opened: Open) -> None:
    asked = question(f"{PLAIN} {dtype}")
    got = opened("narrows").put(asked).arrays["y"]
    assert got.dtype == asked.operands.x.dtype
    np.testing.assert_array_equal(got, asked.operands.x)


# ---- the template ----
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_the_template_is_right(dtype: str, opened: Open) -> None:
    session = opened(file=TEMPLATE)
    assert all(remark.ok for remark in examine(session))
    for line in LINES:
        p = Problem.parse(f"{line} {dtype}")
        expected = compute(p.geometry, p.operands)
        for backward in (False, True):
            arrays = session.answer(question(str(p), backward=backward)).arrays
            for q in set(QUANTITIES) & set(arrays):
                assert arrays[q].dtype == p.format.numpy
                right = np.asarray(getattr(expected, q)).astype(np.float64)
                np.testing.assert_array_equal(arrays[q].astype(np.float64), right, err_msg=f"{q} of {p}")
