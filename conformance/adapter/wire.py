"""The messages of the wire protocol: JSON lines and safetensors blobs, checked in both directions (adapters/PROTOCOL.md).

Pure: nothing here starts a process or reads a pipe.  What comes from an adapter is not trusted: a line is checked against
the schema of its message, a blob's header against the blob, both before anything is allocated.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import fastjsonschema
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from conformance.adapter.networks import Networks
from conformance.adapter.protocol import Capabilities
from conformance.errors import AdapterBroken, ConformanceError, HarnessError
from conformance.oracle import Arithmetic
from conformance.problem import Geometry
from conformance.problem.network import Network
from conformance.problem.operations import CALLS

__all__ = [
    "LARGEST",
    "LONGEST",
    "PROTOCOL",
    "answer_of",
    "as_geometry",
    "as_network",
    "capabilities_of",
    "header_of",
    "line_of",
    "misnamed",
    "network_names",
    "request_of",
    "tensors_of",
]

Array = NDArray[Any]
PROTOCOL = 1
LONGEST = 2**20
"""Bytes of a line, and of a blob's header."""
LARGEST = 2**32
"""Bytes of a blob."""

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
DEEPEST = 8
"""Axes of a tensor: a mistaken implementation may return more than a layer has."""

_KIND = dict.fromkeys(
    ("forward", "backward", "transposed", "transposed_backward", "double_backward", "forward_mode"), "layer"
) | {"step": "network"}


# ---- lines ----
@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schemas of all messages."""
    text = resources.files("conformance.adapter").joinpath("schemas/wire.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def _checked(definition: str) -> Callable[[Any], Any]:
    """The validator of one message."""
    of = {
        "$schema": schema()["$schema"],
        "definitions": schema()["definitions"],
        "$ref": f"#/definitions/{definition}",
    }
    check: Callable[[Any], Any] = fastjsonschema.compile(of, use_default=False)
    return check


def request_of(fields: Mapping[str, Any]) -> bytes:
    """What stays the same of a request that is made often: all but its seq, and where its tensors are.

    Raises:
        HarnessError: it is none of the protocol.
    """
    op = fields["op"]
    kind = _KIND.get(op, op)
    rest = {"seq": 0, "bytes": 0} | ({"where": "pipe"} if kind in ("layer", "network") else {})
    try:
        _checked(f"request {kind}")({**fields, **rest})
    except fastjsonschema.JsonSchemaException as error:
        raise HarnessError(f"a request of ours breaks the protocol: {error.message}") from error
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()[:-1]


def line_of(request: bytes, seq: int, size: int | None = None, where: str = "pipe") -> bytes:
    """The line of a request; size: the bytes of its tensors, None if it has none."""
    if size is None:
        return b'%b,"seq":%d,"bytes":0}\n' % (request, seq)
    return b'%b,"seq":%d,"where":"%b","bytes":%d}\n' % (request, seq, where.encode(), size)


def answer_of(line: bytes) -> dict[str, Any]:
    """An answer from its line.

    Raises:
        AdapterBroken: it is no message, or none of the protocol.
    """
    try:
        answer = json.loads(
            line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_number
        )
    except (ValueError, RecursionError) as error:
        raise AdapterBroken(
            f"its standard output carries {_shown(line)}, which is no message of the protocol ({_told(error)}): what is "
            "printed has to go to standard error"
        ) from None
    kind = answer.get("answer") if isinstance(answer, dict) else None
    if not isinstance(kind, str) or f"answer {kind}" not in schema()["definitions"]:
        raise AdapterBroken(f'a message without "answer", or of an unknown one: {_shown(line)}')
    try:
        _checked(f"answer {kind}")(answer)
    except fastjsonschema.JsonSchemaException as error:
        raise AdapterBroken(f"its answer {kind!r}: {_told_of(error)}") from None
    return dict(answer)


def misnamed(op: str, answer: Mapping[str, Any]) -> str:
    """What is wrong with the names that an answer of tensors says of a layer's call; '' if nothing is."""
    for field, known in (("modified", CALLS[op].reads), ("aliased", CALLS[op].gives)):
        if strange := sorted(set(answer[field]) - set(known)):
            what = "an operand" if field == "modified" else "a result"
            return f"its answer to {op} says {field} of {', '.join(map(ascii, strange))}, which is not {what} of it"
    return ""


def network_names(net: Network, *, step: bool) -> tuple[list[str], list[tuple[str, str | None]]]:
    """What an answer to `network` or `step` has besides the cost: those of deltas, and each layer's pair (None: no bias)."""
    of_w, of_b = ("w", "b") if step else ("dw", "db")
    layers = list(enumerate(net.layers, start=1))
    pairs = [(f"{of_w}{k}", None if layer.geometry.bias == "none" else f"{of_b}{k}") for k, layer in layers]
    return [] if step else [f"delta{k}" for k, _ in layers], pairs


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _number(text: str) -> float:
    """1000000.0 is an integer to JSON Schema, and some languages write it so."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _told(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _told_of(error: fastjsonschema.JsonSchemaException) -> str:
    said = str(error.message).removeprefix("data ").replace("data.", "")
    if error.rule == "const":
        return f"{said.partition(' ')[0]} must be {error.rule_definition!r}, not {ascii(error.value)[:80]}"
    what = str(error.name).removeprefix("data.")
    if error.rule == "maxLength":
        return _too_long(what, error.value, error.rule_definition)
    if error.rule == "propertyNames":
        longest = max(error.value, key=len)
        return _too_long(f"{what} has a name that", longest, error.rule_definition["maxLength"])
    return said


def _too_long(what: str, text: str, most: int) -> str:
    return f"{what} has {len(text)} characters, at most {most} may be: {text[:40]!a}..."


def _shown(line: bytes, length: int = 80) -> str:
    """The beginning of a line as Python writes it: no control character reaches a terminal."""
    return ascii(line[:length].decode("utf-8", "replace")) + ("..." if len(line) > length else "")


# ---- blobs ----
def header_of(tensors: Mapping[str, Array]) -> tuple[bytes, list[Array]]:
    """The head of the blob of some tensors, and the arrays, in C order, whose bytes follow it."""
    arrays = [np.ascontiguousarray(a).reshape(a.shape) for a in tensors.values()]
    return _header(
        tuple(zip(tensors, (a.dtype for a in arrays), (a.shape for a in arrays), strict=True))
    ), arrays


@functools.lru_cache(maxsize=1024)
def _header(named: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]) -> bytes:
    end, entries = 0, {}
    for name, dtype, shape in named:
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        entries[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def tensors_of(blob: memoryview | bytes) -> dict[str, Array]:
    """The tensors of a blob, as views of it.

    Raises:
        AdapterBroken: the header does not fit the blob: a size, an overlap, a gap, a type.
    """
    view = memoryview(blob).cast("B")
    if len(view) < 8:
        raise AdapterBroken(f"a blob of {len(view)} bytes: its header's length alone takes 8")
    length = int.from_bytes(view[:8], "little")
    if length > min(len(view) - 8, LONGEST):
        raise AdapterBroken(f"a blob of {len(view)} bytes whose header would have {length}")
    data = view[8 + length :]
    return {
        name: np.frombuffer(data[first:last], dtype).reshape(shape)
        for name, dtype, shape, first, last in _entries(bytes(view[8 : 8 + length]), len(data))
    }


@functools.lru_cache(maxsize=1024)
def _entries(header: bytes, size: int) -> tuple[tuple[str, np.dtype[Any], list[int], int, int], ...]:
    """(name, dtype, shape, begin, end) of each tensor of a header whose data are `size` bytes."""
    try:
        said = json.loads(header.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AdapterBroken(f"the header of a blob is no JSON: {_told(error)}") from None
    if not isinstance(said, dict):
        raise AdapterBroken("the header of a blob is no JSON object")
    said.pop("__metadata__", None)
    found = [(name, *_entry(name, entry)) for name, entry in said.items()]
    end = 0
    for name, dtype, shape, first, last in sorted(found, key=lambda entry: entry[3:]):
        if first != end or last - first != math.prod(shape) * dtype.itemsize or last > size:
            raise AdapterBroken(
                f"tensor {name!a} of {dtype} {tuple(shape)} at bytes {first} to {last}: the one before ends at {end}, "
                f"and the data are {size} bytes"
            )
        end = last
    if end != size:
        raise AdapterBroken(f"a blob has {size - end} bytes behind its last tensor")
    return tuple(found)


def _entry(name: str, entry: Any) -> tuple[np.dtype[Any], list[int], int, int]:
    """(dtype, shape, begin, end) of a tensor as its header says it."""
    try:
        dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        numbers = [*shape, first, last]
    except (KeyError, TypeError, ValueError):
        numbers, dtype, shape, first, last = [-1], np.dtype("b"), [], 0, 0
    whole = all(type(n) is int and 0 <= n <= LARGEST for n in numbers)
    if not whole or not isinstance(shape, list) or len(shape) > DEEPEST:
        told = _shown(json.dumps(entry).encode())
        raise AdapterBroken(f"tensor {name!a}: {told} says no dtype, shape and data_offsets of one")
    return dtype, shape, first, last


# ---- what is talked about ----
@functools.lru_cache(maxsize=4096)
def as_geometry(g: Geometry) -> dict[str, Any]:
    """A geometry as messages carry it."""
    names = ("batch", "channels", "maps", "groups", "bias", "convention")
    axes = ("size", "kernel", "stride", "dilation", "output")
    listed = {name: list(getattr(g, name)) for name in axes}
    return {name: getattr(g, name) for name in names} | listed | {"padding": [list(p) for p in g.padding]}


def as_network(net: Network) -> dict[str, Any]:
    """A network as messages carry it."""
    layers = [
        {"geometry": as_geometry(layer.geometry), "activation": layer.activation, "slope": layer.slope}
        for layer in net.layers
    ]
    return {"layers": layers, "cost": net.cost}


def capabilities_of(said: Mapping[str, Any]) -> Capabilities:
    """The capabilities that a hello declares.

    Raises:
        AdapterBroken: they contradict themselves.
    """
    fields = dict(said)
    if fields.get("network") is not None:
        fields["network"] = Networks(**fields["network"])
    if fields.get("arithmetic") is not None:
        fields["arithmetic"] = {
            dtype: {quantity: Arithmetic(**words) for quantity, words in of.items()}
            for dtype, of in fields["arithmetic"].items()
        }
    try:
        return Capabilities(**fields)
    except ConformanceError:
        raise
    except (TypeError, ValueError) as error:
        raise AdapterBroken(f"its capabilities: {error}") from None
