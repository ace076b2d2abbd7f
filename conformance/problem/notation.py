"""A problem as one line of text, both ways: the reproducer that every failure prints.

Tokens are separated by spaces and may come in any order.  ``AxB`` gives one number an axis; one number serves all axes.

=============  ===========================================================  ==============
token          meaning                                                      left out
=============  ===========================================================  ==============
``2d``         number of spatial axes (checked against i)                   follows from i
``n2``         batch                                                        1
``c6``         channels of x                                                1
``m4``         maps of y                                                    1
``g2``         groups                                                       1
``i11x13``     size of x, an axis each                                      required
``k3x2``       size of the kernel                                           required
``s2x3``       stride                                                       1
``p2:1x0:3``   padding begin:end an axis (``p1`` both sides; may be < 0)    0
``d1x2``       dilation                                                     1
``corr``       correlation, or ``conv``: true convolution                   corr
``bias=tied``  or ``none``, ``untied``                                      tied
``f32``        or ``f64``, ``f16``, ``bf16``                                f64
``fill=real``  data, one of `fills.FILLS`                                   small
``mem=c``      memory layout: ``c``, ``fortran``, ``sliced``,               c
               ``reversed``, ``channels-last``, ``broadcast``
``seed=7``     of the operands                                              0
=============  ===========================================================  ==============

>>> from conformance.problem import Problem
>>> str(Problem.parse("k3 i8x9 c2 s2 f32"))
'2d n1 c2 m1 i8x9 k3x3 s2x2 f32'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from conformance.errors import NotationError
from conformance.problem.dtypes import CODES
from conformance.problem.fills import FILLS
from conformance.problem.geometry import BIASES, CONVENTIONS, Geometry
from conformance.problem.memory import MEMORIES

if TYPE_CHECKING:
    from conformance.problem.problem import Problem

__all__ = ["layer_tokens", "parse_fields", "read_token", "write_line"]

_CONVENTION = {"corr": CONVENTIONS[0], "conv": CONVENTIONS[1]}
_COUNTS = {"n": "batch", "c": "channels", "m": "maps", "g": "groups", "seed=": "seed"}
_AXES = {"i": "size", "k": "kernel", "s": "stride", "d": "dilation"}
_WORDS = {"bias=": ("bias", BIASES), "fill=": ("fill", FILLS), "mem=": ("memory", MEMORIES)}
_GEOMETRY = (
    "batch",
    "channels",
    "maps",
    "groups",
    "size",
    "kernel",
    "stride",
    "padding",
    "dilation",
    "convention",
    "bias",
)


def parse_fields(line: str) -> dict[str, Any]:
    """The fields of a `Problem` that a line gives, its geometry among them.

    Raises:
        NotationError: a token that does not parse, twice the same, or one that is missing; it points at the place.
        GeometryError: the line parses, but no convolution has this geometry.
    """
    fields: dict[str, Any] = {}
    for match in re.finditer(r"\S+", line):
        name, value = read_token(match.group(), line, match.start())
        if name in fields:
            raise NotationError(f"{name} is given twice", line, match.start())
        fields[name] = value
    for name, letter in (("size", "i"), ("kernel", "k")):
        if name not in fields:
            raise NotationError(
                f"the {name} is missing: write {letter} and a number an axis, as in {letter}3x2",
                line,
                len(line),
            )
    rank, size = fields.pop("rank", None), fields["size"]
    if rank is not None:
        fields["size"] = size * rank if len(size) == 1 else size
        if len(fields["size"]) != rank:
            raise NotationError(f"{rank}d, but the size has {len(size)} axes", line, line.index(f"{rank}d"))
    return {
        "geometry": Geometry(**{name: fields.pop(name) for name in _GEOMETRY if name in fields}),
        **fields,
    }


def write_line(problem: Problem) -> str:
    """The canonical line: fixed order, defaults left out; parsing it gives the same problem back."""
    g = problem.geometry
    tokens = [f"{g.rank}d", f"n{g.batch}", f"c{g.channels}", f"m{g.maps}"]
    tokens += [f"g{g.groups}"] if g.groups != 1 else []
    tokens += ["i" + _by_axis(g.size), *_own_tokens(g)]
    tokens += [problem.dtype]
    tokens += [f"fill={problem.fill}"] if problem.fill != "small" else []
    tokens += [f"mem={problem.memory}"] if problem.memory != "c" else []
    tokens += [f"seed={problem.seed}"] if problem.seed else []
    return " ".join(tokens)


def layer_tokens(g: Geometry) -> list[str]:
    """What a layer of a network has of its own, but for its maps: groups, kernel, stride, ..., defaults left out."""
    return [*([f"g{g.groups}"] if g.groups != 1 else []), *_own_tokens(g)]


def _own_tokens(g: Geometry) -> list[str]:
    tokens = ["k" + _by_axis(g.kernel)]
    tokens += ["s" + _by_axis(g.stride)] if set(g.stride) != {1} else []
    tokens += ["p" + "x".join(_pad(*pair) for pair in g.padding)] if set(g.padding) != {(0, 0)} else []
    tokens += ["d" + _by_axis(g.dilation)] if set(g.dilation) != {1} else []
    tokens += ["conv"] if g.convention == "convolution" else []
    tokens += [f"bias={g.bias}"] if g.bias != "tied" else []
    return tokens


def _by_axis(values: Sequence[int]) -> str:
    return "x".join(map(str, values))


def _pad(lo: int, hi: int) -> str:
    return str(lo) if lo == hi else f"{lo}:{hi}"


def read_token(token: str, line: str, at: int) -> tuple[str, Any]:
    """(field, value) of one token."""
    if token in _CONVENTION:
        return "convention", _CONVENTION[token]
    if token in CODES:
        return "dtype", token
    if match := re.fullmatch(r"([1-3])d", token):
        return "rank", int(match[1])
    for prefix, (name, known) in _WORDS.items():
        if token.startswith(prefix):
            return name, _word(token, prefix, known, line, at)
    for prefix, name in _COUNTS.items():
        if token.startswith(prefix):
            return name, _numbers(token, prefix, r"\d+", int, line, at, axes=1)[0]
    for prefix, name in _AXES.items():
        if token.startswith(prefix):
            return name, _numbers(token, prefix, r"\d+", int, line, at)
    if token.startswith("p"):
        return "padding", _numbers(token, "p", r"-?\d+(?::-?\d+)?", _pair, line, at)
    raise NotationError(_unknown(token), line, at)


def _unknown(token: str) -> str:
    if re.match(r"b?f\d", token):
        return f"the dtype is one of {', '.join(CODES)}, not {token!r}"
    return f"no token begins like {token!r}"


def _word(token: str, prefix: str, known: Sequence[str], line: str, at: int) -> str:
    word = token.removeprefix(prefix)
    if word not in known:
        raise NotationError(f"{prefix} takes one of {', '.join(known)}, not {word!r}", line, at + len(prefix))
    return word


def _pair(text: str) -> tuple[int, int]:
    lo, _, hi = text.partition(":")
    return int(lo), int(hi or lo)


def _numbers(
    token: str, prefix: str, pattern: str, read: Callable[[str], Any], line: str, at: int, axes: int = 3
) -> tuple[Any, ...]:
    """The numbers of a token, an axis each; points at the first character that does not belong."""
    column = at + len(prefix)
    values: list[Any] = []
    for part in token.removeprefix(prefix).split("x"):
        if not re.fullmatch(pattern, part, re.ASCII) or len(part) > 30 or len(values) == axes:
            kind = "one number" if axes == 1 else "a number an axis, at most three"
            kind = "one number from 0 to 2^64 - 1" if prefix == "seed=" else kind
            raise NotationError(f"{token!r}: {prefix} takes {kind}, not {part!r}", line, column)
        values.append(read(part))
        column += len(part) + 1
    return tuple(values)
