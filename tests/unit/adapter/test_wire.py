from __future__ import annotations

import json
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from conformance.adapter.wire import (
    LARGEST,
    answer_of,
    as_geometry,
    as_network,
    capabilities_of,
    header_of,
    line_of,
    misnamed,
    request_of,
    tensors_of,
)
from conformance.errors import AdapterBroken, HarnessError
from conformance.problem import Geometry
from conformance.problem.network import NetworkProblem

GEOMETRY = Geometry(
    batch=2, channels=4, maps=6, groups=2, size=(5, 6), kernel=(3, 2), padding=((1, 1), (0, -1))
)
TENSORS = {
    "x": np.arange(6.0).reshape(1, 2, 3),
    "empty": np.zeros((0, 3), np.float32),
    "number": np.array(2.5),
    "half": np.array([1.5, -0.0, np.inf], np.float16),
    "brain": np.array([1.5, -2.0], ml_dtypes.bfloat16),
}


def blob(tensors: dict[str, Any] | None = None) -> bytes:
    head, arrays = header_of(TENSORS if tensors is None else tensors)
    return head + b"".join(a.tobytes() for a in arrays)


def forged(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[Any], first: Any, last: Any, dtype: str = "F64") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


# ---- blobs ----
def test_tensors_come_back_bit_for_bit() -> None:
    found = tensors_of(blob())
    assert list(found) == list(TENSORS)
    for name, a in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (a.dtype, a.shape)
        assert found[name].tobytes() == a.tobytes()


def test_the_library_reads_what_is_written_and_the_other_way_round() -> None:
    tensors = {name: a for name, a in TENSORS.items() if name != "brain"}
    read = safetensors.numpy.load(blob(tensors))
    assert {name: a.tobytes() for name, a in read.items()} == {n: a.tobytes() for n, a in tensors.items()}
    written = tensors_of(safetensors.numpy.save(tensors))
    assert {name: a.tolist() for name, a in written.items()} == {n: a.tolist() for n, a in tensors.items()}


def test_arrays_of_any_strides_are_written_in_c_order() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    for view in (a.T, a[:, ::-1], np.broadcast_to(a[:1], a.shape), np.asfortranarray(a)):
        assert (tensors_of(blob({"a": view}))["a"] == view).all()


def test_the_data_of_a_blob_begin_at_a_multiple_of_8() -> None:
    for name in ("a", "ab", "abc", "abcd", "abcdefgh"):
        head, _ = header_of({name: np.zeros(1)})
        assert len(head) % 8 == 0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (b"", "a blob of 0 bytes: its header's length alone takes 8"),
        (struct.pack("<Q", 2**60), "a blob of 8 bytes whose header would have 1152921504606846976"),
        (forged(b"{")[:-1], "a blob of 8 bytes whose header would have 1"),
        (forged(b"nonsense"), "the header of a blob is no JSON"),
        (forged(b"\xff\xfe{}"), "the header of a blob is no JSON"),
        (forged(b"[" * 100_000), "the header of a blob is no JSON"),
        (forged([1]), "the header of a blob is no JSON object"),
        (forged(b'{"a":1,"a":2}'), "a name stands twice"),
        (forged({"a": entry([2**60], 0, 2**60)}), "tensor 'a'"),
        (forged({"a": entry([-1], 0, 8)}, bytes(8)), "tensor 'a'"),
        (forged({"a": entry([1.0], 0, 8)}, bytes(8)), "tensor 'a'"),
        (forged({"a": entry([True], 0, 8)}, bytes(8)), "tensor 'a'"),
        (forged({"a": entry([1] * 9, 0, 8)}, bytes(8)), "tensor 'a'"),
        (forged({"a": entry([1], 0, 8, "F8")}, bytes(8)), "tensor 'a'"),
        (forged({"a": {"dtype": ["F64"], "shape": [1], "data_offsets": [0, 8]}}, bytes(8)), "tensor 'a'"),
        (forged({"a": None}), "tensor 'a'"),
        (forged({"a": entry([2], 0, 8)}, bytes(8)), "at bytes 0 to 8"),
        (forged({"a": entry([1], 0, 8), "b": entry([1], 0, 8)}, bytes(8)), "the one before ends at 8"),
        (forged({"a": entry([1], 0, 8), "b": entry([1], 4, 12)}, bytes(12)), "the one before ends at 8"),
        (forged({"a": entry([1], 8, 16)}, bytes(16)), "the one before ends at 0"),
        (forged({"a": entry([1], 0, 8)}, bytes(9)), "1 bytes behind its last tensor"),
        (forged({"a": entry([1], 0, 8)}), "the data are 0 bytes"),
        (forged({"\x1b[31m": entry([1], 0, 8)}), r"tensor '\x1b[31m'"),
    ],
)
def test_a_blob_that_does_not_fit_its_header(made: bytes, said: str) -> None:
    with pytest.raises(AdapterBroken) as broken:
        tensors_of(made)
    assert said in str(broken.value)
    assert "\x1b" not in str(broken.value)


def test_sizes_are_added_up_without_overflow() -> None:
    side = LARGEST
    with pytest.raises(AdapterBroken, match="tensor 'a'"):
        tensors_of(forged({"a": entry([side, side, side], 0, 0)}))  # the product is 0 in 64 bits


# ---- lines ----
def test_a_request_is_one_line_with_its_seq_and_its_size() -> None:
    made = request_of(
        {
            "op": "forward",
            "geometry": as_geometry(GEOMETRY),
            "dtype": "float32",
            "memory": "c",
            "spoil": [],
        }
    )
    line = line_of(made, 7, 312)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    message = json.loads(line)
    assert (message["seq"], message["where"], message["bytes"]) == (7, "pipe", 312)
    assert message["geometry"] == {
        "batch": 2,
        "channels": 4,
        "maps": 6,
        "groups": 2,
        "size": [5, 6],
        "kernel": [3, 2],
        "stride": [1, 1],
        "padding": [[1, 1], [0, -1]],
        "dilation": [1, 1],
        "output": [5, 4],
        "bias": "tied",
        "convention": "correlation",
    }


def test_a_request_of_ours_that_breaks_the_protocol_is_a_defect_of_ours() -> None:
    with pytest.raises(HarnessError, match="breaks the protocol"):
        request_of({"op": "forward", "geometry": {}, "dtype": "float32", "memory": "c", "spoil": []})


def test_a_network_is_told_layer_by_layer() -> None:
    net = NetworkProblem.parse("net n2 in 1x5 | c3 k2 leaky=0.5 | c2 k3 | quadratic").network
    told = as_network(net)
    assert told["cost"] == "quadratic"
    assert [(of["activation"], of["slope"], of["geometry"]["output"]) for of in told["layers"]] == [
        ("leaky", 0.5, [4]),
        ("identity", 0.25, [2]),
    ]


TENSORS_ANSWER = {"answer": "tensors", "seq": 1, "modified": [], "aliased": [], "where": "pipe", "bytes": 8}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            b"Hello from the framework",
            "carries 'Hello from the framework', which is no message of the protocol",
        ),
        (b"\x1b[2J", r"carries '\x1b[2J'"),
        (b"\xff\xff", "no message of the protocol"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", 'a message without "answer"'),
        (b"{}", 'a message without "answer"'),
        (b'{"answer": ["x"]}', 'a message without "answer"'),
        (b'{"answer": "tea"}', "or of an unknown one"),
        (b'{"answer": "bye", "seq": NaN, "bytes": 0}', "NaN is no JSON"),
        (b'{"answer": "bye", "answer": "bye"}', "a name stands twice"),
        (
            b'{"answer": "bye", "seq": -1, "bytes": 0}',
            "its answer 'bye': seq must be bigger than or equal to 0",
        ),
        (b'{"answer": "bye", "seq": 1.5, "bytes": 0}', "its answer 'bye': seq must be integer"),
        (b'{"answer": "bye", "seq": 1}', "its answer 'bye': must contain ['bytes'] properties"),
        (json.dumps({**TENSORS_ANSWER, "bytes": 2**60}).encode(), "bytes must be smaller than or equal to"),
        (json.dumps({**TENSORS_ANSWER, "where": "moon"}).encode(), "where must be one of ['pipe', 'shared']"),
        (json.dumps({**TENSORS_ANSWER, "more": 1}).encode(), "must not contain {'more'} properties"),
    ],
)
def test_a_line_that_is_no_answer(line: bytes, said: str) -> None:
    with pytest.raises(AdapterBroken) as broken:
        answer_of(line)
    assert said in str(broken.value)
    assert "\x1b" not in str(broken.value)
    assert len(str(broken.value)) < 400


def test_names_in_an_answer_are_those_of_its_call() -> None:
    said = {"modified": ["x", "delta"], "aliased": ["dx"]}
    assert misnamed("backward", said) == ""
    assert (
        misnamed("forward", said)
        == "its answer to forward says modified of 'delta', which is not an operand of it"
    )
    assert "says aliased of 'x', which is not a result of it" in misnamed(
        "backward", {**said, "aliased": ["x"]}
    )


def test_another_version_of_the_protocol_is_told_in_words() -> None:
    hello = {"answer": "hello", "seq": 0, "protocol": 2}
    rest = {
        "name": "mine",
        "versions": {},
        "language": "C",
        "routes": {},
        "capabilities": {"ranks": [1], "dtypes": ["float32"]},
    }
    flags = {"conditional": False, "spoils": False, "shared": False, "bytes": 0}
    with pytest.raises(AdapterBroken, match=r"its answer 'hello': protocol must be 1, not 2$"):
        answer_of(json.dumps({**hello, **rest, **flags}).encode())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "n" * 201}, f"name has 201 characters, at most 200 may be: '{'n' * 40}'..."),
        ({"language": "C" * 10**5}, f"language has 100000 characters, at most 200 may be: '{'C' * 40}'..."),
        (
            {"versions": {"a b": "v" * 201}},
            f"versions.a b has 201 characters, at most 200 may be: '{'v' * 40}'...",
        ),
        (
            {"versions": {"v" * 300: "1"}},
            f"versions has a name that has 300 characters, at most 200 may be: '{'v' * 40}'...",
        ),
        ({"routes": {"a": "r" * 201}}, f"routes.a has 201 characters, at most 200 may be: '{'r' * 40}'..."),
        (
            {"routes": {str(k): "" for k in range(101)}},
            "routes must contain less than or equal to 100 properties",
        ),
    ],
)
def test_the_texts_of_a_hello_are_short(changes: dict[str, Any], said: str) -> None:
    """They stand in every report."""
    hello = {
        "answer": "hello",
        "seq": 0,
        "protocol": 1,
        "name": "n" * 200,
        "versions": {"v" * 200: "1" * 200},
        "language": "C" * 200,
        "routes": {"r" * 200: "r" * 200},
        "capabilities": {"ranks": [1], "dtypes": ["float32"]},
        "conditional": False,
        "spoils": False,
        "shared": False,
        "bytes": 0,
    }
    assert answer_of(json.dumps(hello).encode()) == hello
    with pytest.raises(AdapterBroken) as caught:
        answer_of(json.dumps({**hello, **changes}).encode())
    assert str(caught.value) == f"its answer 'hello': {said}"


# ---- capabilities ----
def test_an_integer_may_be_written_as_a_float() -> None:
    answer = answer_of(b'{"answer":"reason","seq":1000000.0,"reason":null,"bytes":0e0}')
    assert [type(answer[name]) for name in ("seq", "bytes")] == [int, int]


def test_what_is_left_out_of_capabilities_has_its_default() -> None:
    able = capabilities_of({"ranks": [1], "dtypes": ["float32"], "memories": ["c"]})
    assert (able.ranks, able.dtypes, able.memories) == ({1}, {"f32"}, {"c"})
    assert (able.stride, able.padding, able.network, able.arithmetic_of("f32")) == (False, "none", None, None)


def test_networks_and_arithmetic_of_capabilities() -> None:
    able = capabilities_of(
        {
            "ranks": [2],
            "dtypes": ["float32"],
            "network": {"activations": ["relu"], "step": True},
            "arithmetic": {"float32": {"y": {"accumulator": "f64"}}},
        }
    )
    assert able.network
    assert (able.network.activations, able.network.step) == ({"relu"}, True)
    arithmetic = able.arithmetic_of("f32")
    assert arithmetic
    assert (arithmetic["y"].accumulator, arithmetic["dx"].accumulator) == ("f64", None)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"ranks": [], "dtypes": ["float32"]}, "Capabilities(ranks={})"),
        ({"ranks": [2], "dtypes": ["float32"], "x_layout": "NHCW"}, "Capabilities(x_layout='NHCW')"),
        (
            {"ranks": [2], "dtypes": ["float32"], "network": {"activations": ["gelu"]}},
            "Networks(activations=",
        ),
        (
            {"ranks": [2], "dtypes": ["float32"], "arithmetic": {"float32": {"y": {"accumulator": "f8"}}}},
            "Arithmetic(accumulator='f8')",
        ),
        (
            {"ranks": [2], "dtypes": ["float32"], "arithmetic": {"float8": {}}},
            "Capabilities(arithmetic=",
        ),
    ],
)
def test_capabilities_that_make_no_sense_are_the_adapters_fault(said: dict[str, Any], told: str) -> None:
    with pytest.raises(AdapterBroken) as broken:
        capabilities_of(said)
    assert told in str(broken.value)
