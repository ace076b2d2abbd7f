"""The C++ SDK under the sanitizers: what it tells and is told, bit for bit; and the template."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from adapter_checks import Bare, computed, definition
from conformance import Geometry, Problem
from conformance.adapter.process import Command
from conformance.adapter.remote import Remote
from conformance.adapter.session import Session
from conformance.adapter.wire import answer_of, as_geometry, capabilities_of
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from cpp_programs import ADAPTERS, SANITIZED, SDK, SOURCES, WARNINGS, Conversation, blob_of, built, once, run

Array = np.ndarray[Any, Any]
Start = Callable[..., Conversation]

GEOMETRY = as_geometry(Geometry(size=(3,), kernel=(2,)))
LAYER = {"geometry": GEOMETRY, "dtype": "float32", "memory": "c", "spoil": []}
X, W, DELTA = (np.arange(1, 1 + n, dtype=np.float32).reshape(1, 1, n) for n in (3, 2, 2))
MISTYPED = "data<T>() of a tensor of float32 asks for another type"
LARGE = Geometry(size=(300, 400), kernel=(2, 2))


@pytest.fixture(scope="session")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cpp/strange.cpp, linked with a library that prints."""
    home, lock = once(tmp_path_factory, "strange")
    with lock:
        if not home.exists():
            home.mkdir()
            run(["g++", "-shared", "-fPIC", "-o", "libnoise.so", str(SOURCES / "noise.cpp")], home)
            flags = ["-std=c++17", "-O0", *SANITIZED, *WARNINGS, f"-I{SDK}"]
            link = ["-L.", "-Wl,--no-as-needed", "-lnoise", "-Wl,-rpath,$ORIGIN"]
            said = run(["g++", *flags, str(SOURCES / "strange.cpp"), "-o", "strange", *link], home)
            (home / "warnings").write_text(said, encoding="utf-8")
    assert (home / "warnings").is_file(), "another process of this test run has failed to build it"
    return home / "strange"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, "_template/cpp", *WARNINGS, "-Werror")


@pytest.fixture
def start(strange: Path) -> Iterator[Start]:
    """Starts it on a route; what a test has not ended ends well."""
    started: list[Conversation] = []

    def conversation(route: str = "echo") -> Conversation:
        started.append(Conversation(strange, route))
        return started[-1]

    yield conversation
    assert all(c.ended or c.finish()[0] == 0 for c in started)


@pytest.fixture
def talk(start: Start) -> Conversation:
    return start()


def test_compiles_without_a_warning(strange: Path) -> None:
    assert (strange.parent / "warnings").read_text("utf-8") == ""


# ---- hello, and what is printed ----
def test_hello_is_a_message_of_the_protocol_and_declares_all(talk: Conversation) -> None:
    hello = answer_of(json.dumps(talk.hello).encode())
    can = capabilities_of(hello["capabilities"])
    assert hello["versions"]["printed"] == "yes"
    assert hello["routes"]["throws"] == 'a "text" with\nlines'
    assert next(iter(hello["routes"])) == "echo"
    assert (hello["conditional"], hello["spoils"], hello["shared"]) == (True, True, False)
    assert can.ranks == {1, 2, 3}
    assert can.memories == {"c"}
    assert can.network is not None
    assert can.network.step
    narrow = can.arithmetic_of("f16")
    assert narrow is not None
    assert (
        str(narrow["y"])
        == "accumulates in f32, stores partial sums in f16, flushes subnormals to zero, winograd F(2, k)"
    )


def test_what_is_printed_before_main_and_later_is_no_message(start: Start) -> None:
    conversation = start("prints")
    assert conversation.call("forward", {"x": X, "w": W}, **LAYER)[0]["answer"] == "tensors"
    status, said = conversation.finish()
    assert status == 0
    for noise in (b"of a library", b"of a static initialiser", b"of main", b"{}\n{}\n"):
        assert noise in said


def test_an_unknown_route_is_the_users_mistake(start: Start) -> None:
    answer = start("nowhere").hello
    assert (answer["answer"], answer["type"]) == ("error", "AdapterNotFound")
    assert answer["text"] == "strange has no route 'nowhere'"


def test_bye_ends_it(start: Start) -> None:
    conversation = start()
    assert conversation.ask({"op": "bye", "seq": 9}) == ({"answer": "bye", "seq": 9, "bytes": 0}, b"")


# ---- calls ----
def test_operands_and_results_pass_unchanged(talk: Conversation) -> None:
    for dtype in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16):
        operands = {
            name: a.astype(dtype) for name, a in {"x": X, "w": W, "delta": DELTA, "b": X[0, 0]}.items()
        }
        answer, found = talk.call("backward", operands, **LAYER)
        assert answer["modified"] == answer["aliased"] == []
        assert list(found) == ["dx", "dw", "db"]
        for name, a in found.items():
            assert a.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(a, operands[name[1:]])


def test_an_empty_batch_and_odd_bytes_pass(talk: Conversation) -> None:
    odd = {"x": np.zeros((0, 1, 3), np.float16), "w": np.ones((1, 1, 1), np.float16), "delta": DELTA}
    _, found = talk.call("backward", odd, **LAYER)
    assert found["dx"].shape == (0, 1, 3)
    assert found["dw"] == 1
    assert "db" not in found


def test_optional_operations_read_and_give_what_they_shall(talk: Conversation) -> None:
    directions = {"x": X, "w": W, "delta": DELTA, "u": X + 1, "v": W + 1, "r": W + 2}
    assert list(talk.call("transposed", directions, **LAYER)[1]) == ["y"]
    assert list(talk.call("double_backward", directions, **LAYER)[1]) == ["dx", "dw", "ddelta"]
    np.testing.assert_array_equal(talk.call("forward_mode", directions, **LAYER)[1]["dy"], W + 2)
    without = {name: a for name, a in directions.items() if name != "u"}
    assert list(talk.call("double_backward", without, **LAYER)[1]) == ["dw", "ddelta"]
    answer, _ = talk.call("transposed_backward", directions, **LAYER)
    assert (answer["fault"], answer["text"]) == ("adapter", "strange has no transposed_backward")


def test_networks(talk: Conversation) -> None:
    layers = [{"geometry": GEOMETRY, "activation": "relu", "slope": slope} for slope in (0, 0.25)]
    fields = {"network": {"layers": layers, "cost": "quadratic"}, "dtype": "float32", "rate": None}
    operands = {"x": X, "target": DELTA, "w1": W, "w2": W * 2, "b2": W * 3}
    _, found = talk.call("network", operands, **fields)
    assert list(found) == ["cost", "delta1", "delta2", "dw1", "dw2", "db2"]
    assert found["cost"].shape == ()
    assert found["cost"] == 0.25
    np.testing.assert_array_equal(found["db2"], W * 3)
    answer, moved = talk.call("step", operands, **(fields | {"rate": 1e-3}))
    assert list(moved) == ["w1", "w2", "b2"]
    assert moved["w1"].flat[0] == np.float32(1e-3)
    assert answer["modified"] == []


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        ("throws", ("error", "implementation", "std::range_error", "no good: \ufffd\xe9 \x01")),
        ("throws-int", ("error", "implementation", "int", "thrown, and no std::exception")),
        ("mistypes", ("error", "adapter", "conformance::AdapterFault", MISTYPED)),
        ("refuses", ("unsupported", None, None, None)),
    ],
)  # fmt: skip
def test_exceptions_are_answers(start: Start, route: str, answer: tuple[Any, ...]) -> None:
    conversation = start(route)
    for _ in range(2):
        got, _ = conversation.call("forward", {"x": X, "w": W}, **LAYER)
        answer_of(json.dumps(got).encode())
        assert tuple(got.get(key) for key in ("answer", "fault", "type", "text")) == answer


def test_changed_operands_are_named(start: Start) -> None:
    conversation = start("modifies")
    assert conversation.call("forward", {"x": X, "w": W}, **LAYER)[0]["modified"] == ["x"]
    layers = [{"geometry": GEOMETRY, "activation": "relu", "slope": 0}]
    fields = {"network": {"layers": layers, "cost": "quadratic"}, "dtype": "float32", "rate": 0.5}
    assert conversation.call("step", {"x": X, "target": X, "w1": W}, **fields)[0]["modified"] == ["w1"]


def test_what_is_not_written_is_nan_and_shapes_can_be_checked(start: Start) -> None:
    for dtype in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16):
        _, found = start("unwritten").call("forward", {"x": X.astype(dtype), "w": W}, **LAYER)
        assert np.isnan(found["y"].astype(np.float64)).all()
    checks = start("checks")
    answer, _ = checks.call("forward", {"x": X, "w": X}, **LAYER)
    assert answer["text"] == "w has shape (1, 1, 3), but this geometry needs (1, 1, 2)"
    assert answer["fault"] == "implementation"
    assert checks.call("forward", {"x": X, "w": W, "b": X[0, 0, :1]}, **LAYER)[0]["answer"] == "tensors"


def test_rules(talk: Conversation) -> None:
    asked = {"op": "unsupported", "geometry": GEOMETRY, "dtype": "float16"}
    assert talk.ask(asked)[0]["reason"] is None
    grouped = as_geometry(Geometry(size=(3,), kernel=(2,), channels=2, maps=2, groups=2))
    assert talk.ask({**asked, "geometry": grouped})[0]["reason"] == "groups in float16"
    assert talk.ask({"op": "tomorrow"}, b"any")[0]["answer"] == "unsupported"
    assert talk.call("tomorrow", {"x": X, "w": W}, **LAYER)[0]["answer"] == "unsupported"
    assert (
        talk.call("forward", {"x": X, "w": W}, **(LAYER | {"memory": "fortran"}))[0]["answer"]
        == "unsupported"
    )
    assert (
        talk.call("forward", {"x": X, "w": W}, **(LAYER | {"spoil": [0, 3, 10**6]}))[0]["answer"] == "tensors"
    )


def test_large_tensors_go_through_shared_memory(strange: Path) -> None:
    place = Remote(Command(args=(str(strange),)), "strange", time_limit=60)
    x, w = np.random.default_rng(1).random(LARGE.x_shape), np.ones(LARGE.w_shape)
    for scale in (1, 2, 0.5):
        got = computed(Bare(place), LARGE, x=x * scale, w=w, delta=np.ones(LARGE.y_shape))
        np.testing.assert_array_equal(got["y"], x * scale)
        np.testing.assert_array_equal(got["dx"], x * scale)
    place.close()


# ---- what breaks the rules ----
BROKEN = {
    "no JSON": b"hello",
    "no object": b"[1]",
    "a bare number": b"7",
    "nothing": b"",
    "no seq": b'{"op":"bye","bytes":0}',
    "no op": b'{"seq":1,"bytes":0}',
    "a name twice": b'{"op":"bye","seq":1,"seq":1,"bytes":0}',
    "negative bytes": b'{"op":"bye","seq":1,"bytes":-1}',
    "half a byte": b'{"op":"bye","seq":1,"bytes":0.5}',
    "bytes beyond numbers": b'{"op":"bye","seq":1,"bytes":1e999}',
    "bytes beyond integers": b'{"op":"bye","seq":1,"bytes":1e300}',
    "a leading zero": b'{"op":"bye","seq":01,"bytes":0}',
    "a plus": b'{"op":"bye","seq":+1,"bytes":0}',
    "no digits": b'{"op":"bye","seq":1.,"bytes":0}',
    "NaN": b'{"op":"bye","seq":NaN,"bytes":0}',
    "half a surrogate pair": b'{"op":"\\ud800","seq":1,"bytes":0}',
    "an unknown escape": b'{"op":"\\q","seq":1,"bytes":0}',
    "a control character": b'{"op":"\x01","seq":1,"bytes":0}',
    "no UTF-8": b'{"op":"\xff","seq":1,"bytes":0}',
    "overlong UTF-8": b'{"op":"\xc0\xaf","seq":1,"bytes":0}',
    "something behind": b'{"op":"bye","seq":1,"bytes":0}}',
    "a comma too many": b'{"op":"bye","seq":1,"bytes":0,}',
    "an open text": b'{"op":"bye',
    "depth": b"[" * 100_000,
    "length": b'{"op":"' + b"x" * 2**20 + b'"}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_line_that_breaks_the_rules_ends_it_with_a_sentence(start: Start, name: str) -> None:
    conversation = start()
    conversation.send(BROKEN[name] + b"\n")
    status, said = conversation.finish()
    assert status == 2
    assert b"strange: conformance.hpp: the request: " in said


@pytest.mark.parametrize("sent", [b'{"op":"by', b'{"op":"bye","seq":1,"bytes":9007199254740991}\n123'])
def test_an_input_that_ends_within_a_message(start: Start, sent: bytes) -> None:
    conversation = start()
    conversation.send(sent)
    status, said = conversation.finish()
    assert status == 2
    assert b"the input ended within a " in said


def test_escapes_are_understood(talk: Conversation) -> None:
    talk.send(
        b' { "op" : "\\u0062\\u0079e" , "seq":1e1,"bytes":0, "more":["\\ud83d\\ude00",{},[],null,true,-0.5e-3] } \n'
    )
    assert talk.read()[0] == {"answer": "bye", "seq": 10, "bytes": 0}


def _blob(entries: Any, data: bytes, *, length: int | None = None) -> bytes:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def _entry(*shape: int, begin: int = 0, end: int = 4, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


BLOBS = {
    "seven bytes": b"1234567",
    "a header beyond the blob": _blob({}, b"", length=2**63),
    "a header that is no JSON": _blob(b"{", b""),
    "a header that is no object": _blob(b"[1]", b""),
    "offsets reversed": _blob({"x": _entry(1, begin=4, end=0)}, b"1234"),
    "offsets beyond the data": _blob({"x": _entry(2, end=8)}, b"1234"),
    "too few bytes for the shape": _blob({"x": _entry(2)}, b"1234"),
    "an overlap": _blob({"x": _entry(1), "w": _entry(1)}, b"1234"),
    "a gap": _blob({"x": _entry(1), "w": _entry(1, begin=5, end=9)}, b"123456789"),
    "bytes behind": _blob({"x": _entry(1), "w": _entry(1, begin=4, end=8)}, b"123456789"),
    "a shape that overflows": _blob({"x": _entry(2**52, 2**52, 2**52)}, b"1234"),
    "a shape that overflows to nothing": _blob({"x": _entry(2**32, 2**32, end=0)}, b""),
    "a negative axis": _blob({"x": _entry(-1)}, b"1234"),
    "an unknown type": _blob({"x": _entry(1, dtype="F8")}, b"1234"),
    "no w": _blob({"x": _entry(1)}, b"1234"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", BLOBS)
def test_a_blob_that_breaks_the_rules_is_answered_with_an_error(talk: Conversation, name: str) -> None:
    answer, _ = talk.ask({"op": "forward", "seq": 5, "where": "pipe", **LAYER}, BLOBS[name])
    answer_of(json.dumps(answer).encode())
    assert (answer["answer"], answer["fault"], answer["seq"]) == ("error", "adapter", 5)
    assert talk.call("forward", {"x": X, "w": W}, **LAYER)[0]["answer"] == "tensors", "it does not live on"


@pytest.mark.parametrize(
    "change",
    [
        {"where": "shared"},
        {"dtype": "float8", "spoil": [1]},
        {"spoil": [-1]},
        {"geometry": GEOMETRY | {"padding": [[0]]}},
        {"geometry": GEOMETRY | {"stride": [1, 1]}},
        {"geometry": GEOMETRY | {"groups": 0}},
        {"geometry": {}},
    ],
)
def test_fields_that_break_the_rules_are_answered_with_an_error(
    talk: Conversation, change: dict[str, Any]
) -> None:
    blob = b"" if "where" in change else blob_of({"x": X, "w": W})
    answer, _ = talk.ask(
        {"op": "forward", "where": "pipe", **LAYER, **change, "bytes": max(len(blob), 1)}, blob or b""
    )
    assert (answer["answer"], answer["fault"]) == ("error", "adapter")


def test_whatever_a_blob_holds_it_answers(talk: Conversation) -> None:
    drawn, whole = random.Random(7), bytearray(blob_of({"x": X, "w": W, "b": W[0, 0]}))
    for _ in range(300):
        blob = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            blob[drawn.randrange(len(blob))] = (
                drawn.choice(b'{}[]":,0189-e\x00\xff') if drawn.random() < 0.8 else 7
            )
        answer, _ = talk.ask(
            {"op": "forward", "where": "pipe", **LAYER}, bytes(blob[: drawn.choice([None, len(blob) - 1])])
        )
        assert answer["answer"] in ("tensors", "error")


# ---- numbers of 16 bits ----
NARROW = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def _converted(start: Start, route: str, values: Array) -> Array:
    return start(route).call("forward", {"x": values, "w": W}, **LAYER)[1]["y"]


@pytest.mark.parametrize("route", NARROW)
def test_all_patterns_of_16_bits_are_widened(start: Start, route: str) -> None:
    patterns = np.arange(2**16, dtype=np.uint16).view(NARROW[route])
    _same(_converted(start, route, patterns), patterns.astype(np.float32), np.uint32)


@pytest.mark.parametrize("route", NARROW)
def test_narrowing_rounds_to_nearest_even_at_and_about_every_pattern(start: Start, route: str) -> None:
    with np.errstate(all="ignore"):
        at = np.arange(2**16, dtype=np.uint16).view(NARROW[route]).astype(np.float32)
        bits = at.view(np.uint32).astype(np.uint64)
        half = 2 ** (12 if route == "float16" else 15)
        about = [(bits + step) % 2**32 for step in (0, 1, 2**32 - 1, half, half - 1, half + 1)]
        tiny = np.ldexp(np.arange(2**14, dtype=np.float32), -26)  # between the subnormals of float16
        values = np.concatenate([np.array(about).astype(np.uint32).ravel().view(np.float32), tiny, -tiny])
        right = values.astype(NARROW[route])
    _same(_converted(start, route, values), right, np.uint16)


def _same(got: Array, right: Array, words: type) -> None:
    """The same bits; of a NaN, the same sign."""
    assert got.dtype == right.dtype
    nan = np.isnan(right)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(right))
    np.testing.assert_array_equal(got.view(words)[~nan], right.view(words)[~nan])


# ---- the template ----
@pytest.fixture(scope="module")
def loops(template: Path) -> Iterator[Session]:
    place = Remote(Command(args=(str(template),)), "template", time_limit=60)
    yield Session(place, "template")
    place.close()


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(
    "line",
    [
        "1d n2 c3 m4 i7 k3 s2 p1:2",
        "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:2x0:-1 d1x2",
        "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x-1:0 d2x1x3 bias=none",
        "2d n0 c4 m6 g2 i5x4 k2x3 p1",
    ],
)
def test_the_template_computes_the_definition(loops: Session, line: str, dtype: str) -> None:
    problem = Problem.parse(f"{line} {dtype}")
    g, o = problem.geometry, problem.operands
    got = computed(Bare(loops.place), g, x=o.x, w=o.w, b=o.b, delta=o.delta)
    for name, right in definition(g, o.x, o.w, o.b, o.delta).items():
        np.testing.assert_array_equal(got[name], right)


@pytest.mark.slow
def test_the_template_conforms(loops: Session) -> None:
    judged = [e for e in Run(loops, PROFILES["quick"], dtype="f32").events() if isinstance(e, Judgement)]
    assert not [j for j in judged if j.status.failed]
    passed = {j.clause for j in judged if j.status is Status.PASS}
    assert passed >= {"FWD-1", "DEL-1", "WGT-1", "BIA-1", "NUM-2", "NUM-4", "HYG-5", "HYG-6", "HYG-7"}


def test_the_template_is_to_be_named() -> None:
    texts = {path.name: path.read_text("utf-8") for path in (ADAPTERS / "_template" / "cpp").iterdir()}
    assert {name for name, text in texts.items() if "NAME" in text} == {"README.md", "adapter.toml"}
