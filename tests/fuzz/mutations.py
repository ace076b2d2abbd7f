"""Valid input, changed a little: it comes further into a parser than noise does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

__all__ = ["changed_json", "changed_text"]

ODD = st.sampled_from(
    (b"\x00", b"\x1b[2J", b"\xff", b"\xe2\x80\xae", b"|", b"=", b"-", b"0", b"9" * 31, b"9" * 5000, b" ", b"\n", b"x",
     b"\xed\xa0\x80", b'"', b"[", b"[" * 3000, b"../", b"%s", b"{{7}}")
)  # fmt: skip
"""Bytes that mean something to somebody."""

VALUES = st.sampled_from(
    (None, True, -1, 0, 1.5, 2**63, 2**64, 10**400, 1e308, float("nan"), float("inf"), "", "inf", "\x1b[31m", "../../x",
     "/etc/passwd", "a\x00b", "\ud800", "|", "\u202e", "x" * 20000, [], {}, [[]], {"a": 1}, "i9999999999 k1", [-1], [2**70])
)  # fmt: skip
"""JSON values that no field expects; Python's writer also writes NaN and infinities."""


@st.composite
def changed_text(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with a few tokens or bytes deleted, doubled, replaced, put in, or cut off."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        pattern = draw(st.sampled_from((rb"[\w.]+|[^\w.]", rb"(?s).", rb"\S+|\s+")))
        pieces = re.findall(pattern, data)
        at = draw(st.integers(0, max(len(pieces) - 1, 0)))
        new = draw(ODD | st.binary(max_size=4) | st.sampled_from(pieces or [b""]))
        data = b"".join(draw(st.sampled_from(EDITS))(pieces, at, new))
    return data


Pieces = list[bytes]
EDITS: tuple[Callable[[Pieces, int, bytes], Pieces], ...] = (
    lambda p, at, new: p[:at] + p[at + 1 :],
    lambda p, at, new: p[:at] + p[at : at + 1] * 2 + p[at + 1 :],
    lambda p, at, new: [*p[:at], new, *p[at + 1 :]],
    lambda p, at, new: [*p[:at], new, *p[at:]],
    lambda p, at, new: p[:at],
    lambda p, at, new: p[at:] + p[:at],
)


@st.composite
def changed_json(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Lines of JSON in one of which a value is another, a field is missing, doubled or new, or a whole line stands twice."""
    lines = draw(st.sampled_from(seeds)).splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    how = draw(st.sampled_from(("value", "missing", "new", "doubled", "line")))
    if how == "line":
        lines.insert(draw(st.integers(0, len(lines))), lines[number])
    elif how == "doubled":
        lines[number] = lines[number].replace(b"{", b'{"record": "header", ', 1)
    else:
        lines[number] = _with_another(draw, json.loads(lines[number]), how)
    return b"".join(line + b"\n" for line in lines)


def _with_another(draw: st.DrawFn, loaded: dict[str, Any], how: str) -> bytes:
    """An object with a change at one place, however deep; half of the time with what stands elsewhere in it."""
    places = list(_places(loaded))
    holder, key = draw(st.sampled_from(places))
    value = draw(VALUES | st.sampled_from(places).map(lambda place: place[0][place[1]]))
    if how == "missing":
        del holder[key]
    elif how == "new" and isinstance(holder, dict):
        holder[draw(st.sampled_from(("\x1b", "note", "record", "../x")))] = value
    else:
        holder[key] = value
    return json.dumps(loaded).encode()


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """(dict or list, key) of every value in it."""
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])
