"""A network problem <-> one line of text: `network` says what its parts mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance.errors import NotationError
from conformance.problem.geometry import Geometry
from conformance.problem.notation import layer_tokens, read_token

if TYPE_CHECKING:
    from conformance.problem.network import NetworkProblem

__all__ = ["ACTIVATIONS", "COSTS", "KINKED", "NET_FILLS", "PIECEWISE", "parts_of", "written"]

KINKED = ("relu", "leaky")
PIECEWISE = ("identity", *KINKED)
ACTIVATIONS = (*PIECEWISE, "sigmoid", "tanh", "softplus", "softmax")
COSTS = ("quadratic", "cross-entropy")
NET_FILLS = ("small", "kinks", "unit", "real")


def parts_of(line: str) -> tuple[Geometry, list[dict[str, Any]], dict[str, Any]]:
    """(the input, as a geometry of a kernel of 1; fields of each layer; cost, dtype, fill and seed where they are said).

    Raises:
        NotationError: it does not parse; it points at the place.  GeometryError: the input has no such sizes.
    """
    parts = [(m.start(), m.group()) for m in re.finditer(r"[^|]+", line)]
    if len(parts) < 3:
        raise NotationError(
            "a network has an input, layers and a cost, with | between them, as in "
            "net in 3x9x8 | c4 k3 relu | quadratic",
            line,
            len(line),
        )
    first = _input(line, *parts[0])
    layers = [_layer(line, *part) for part in parts[1:-1]]
    fields = _ending(line, *parts[-1])
    for number, (layer, (at, _)) in enumerate(zip(layers, parts[1:-1], strict=True), start=1):
        if "kernel" not in layer:
            raise NotationError(f"layer {number} has no kernel: write k and a number an axis", line, at)
    return first, layers, fields


def _tokens(line: str, at: int, part: str) -> list[tuple[int, str]]:
    return [(at + m.start(), m.group()) for m in re.finditer(r"\S+", part)]


def _put(fields: dict[str, Any], name: str, value: Any, line: str, at: int) -> None:
    if name in fields:
        raise NotationError(f"{name} is given twice", line, at)
    fields[name] = value


def _input(line: str, at: int, part: str) -> Geometry:
    """The batch and the sizes of the input, as a geometry of a kernel of 1."""
    fields: dict[str, Any] = {}
    tokens = _tokens(line, at, part)
    if not tokens or tokens[0][1] != "net":
        raise NotationError("a network begins with the word net", line, at)
    for place, token in tokens[1:]:
        if token == "in":
            continue
        if re.fullmatch(r"\d+(x\d+){1,3}", token, re.ASCII) and len(token) < 60:
            channels, *size = map(int, token.split("x"))
            _put(fields, "input", (channels, tuple(size)), line, place)
        else:
            name, value = read_token(token, line, place)
            if name != "batch":
                raise NotationError(f"{token!r} does not belong to the input of a network", line, place)
            _put(fields, name, value, line, place)
    if "input" not in fields:
        raise NotationError("the input is missing: write in and C x sizes, as in in 3x9x8", line, at)
    channels, size = fields["input"]
    return Geometry(
        batch=fields.get("batch", 1), channels=channels, size=size, kernel=(1,), maps=1, bias="none"
    )


_OF_LAYERS = ("kernel", "stride", "padding", "dilation", "groups", "convention", "bias")
_OF_ENDS = ("dtype", "seed")


def _layer(line: str, at: int, part: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for place, token in _tokens(line, at, part):
        word, _, slope = token.partition("=")
        if word in ACTIVATIONS:
            _put(fields, "activation", word, line, place)
            if slope:
                fields["slope"] = _slope(token, slope, line, place)
            continue
        name, value = read_token(token, line, place)
        name = "maps" if name == "channels" else name
        if name not in ("maps", *_OF_LAYERS):
            raise NotationError(f"{token!r} does not belong to a layer of a network", line, place)
        _put(fields, name, value, line, place)
    return fields


def _slope(token: str, text: str, line: str, at: int) -> float:
    if not token.startswith("leaky=") or not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        raise NotationError(f"{token!r}: leaky alone takes a number, as in leaky=0.25", line, at)
    return float(text)


def _ending(line: str, at: int, part: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for place, token in _tokens(line, at, part):
        if token in COSTS:
            _put(fields, "cost", token, line, place)
        elif token.startswith("fill="):
            fill = token.removeprefix("fill=")
            if fill not in NET_FILLS:
                raise NotationError(
                    f"fill= takes one of {', '.join(NET_FILLS)}, not {fill!r}", line, place + 5
                )
            _put(fields, "fill", fill, line, place)
        else:
            name, value = read_token(token, line, place)
            if name not in _OF_ENDS:
                raise NotationError(f"{token!r} does not belong to the end of a network", line, place)
            _put(fields, name, value, line, place)
    return fields


def written(problem: NetworkProblem) -> str:
    """The canonical line; parsing it gives the same problem back."""
    net = problem.network
    batch, channels, *size = net.x_shape
    parts = [f"net n{batch} in " + "x".join(map(str, (channels, *size)))]
    parts += [" ".join([f"c{la.geometry.maps}", *layer_tokens(la.geometry), la.word]) for la in net.layers]
    end = [net.cost, problem.dtype]
    end += [f"fill={problem.fill}"] if problem.fill != problem.usual_fill else []
    end += [f"seed={problem.seed}"] if problem.seed else []
    return " | ".join([*parts, " ".join(end)])
