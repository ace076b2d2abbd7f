"""A line of JSON that anybody may have written: smaller than what hurts, and with one meaning."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

__all__ = ["LARGEST", "LONGEST", "decoded"]

LONGEST = 2**24
"""Characters of a line."""
LARGEST = 2**64
"""No integer is as large."""


def decoded(line: str) -> Any:
    """What a line says.

    Raises:
        ValueError: it is no JSON, or longer, or has a number larger, than anything that is written here; it has NaN, an
            infinity, or an object in which a name stands twice.  RecursionError: it is nested too deeply.
    """
    if len(line) > LONGEST:
        raise ValueError(f"{len(line)} characters, more than {LONGEST}")
    return _DECODER.decode(line)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names stand once: of two values one reader takes the first, another one the last."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name!r} stands twice")
    return fields


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) >= LARGEST:
        raise ValueError(f"no integer here is as large as {text}")
    return value


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_real, parse_int=_integer, parse_constant=_real
)
