"""Rules: indices along one axis by a name, as ``the last row`` or ``columns from 4 on``, at any size of the axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from conformance.mistakes.localise.looks import Mask
from conformance.problem import Geometry

__all__ = ["Rule", "rules"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """words: the name.  indices: those of an axis of n, as a mask of shape (n,)."""

    words: str
    indices: Callable[[int, Geometry], Mask]


def rules(seen: Mask, name: str) -> Iterator[Rule]:
    """Rules that may give the indices `seen` along one axis, plainest first."""
    yield from _ends(name)
    yield from _counted(seen, name)
    yield from _periodic(name)


def _ends(name: str) -> Iterator[Rule]:
    yield Rule(words=f"the first {name}", indices=lambda n, g: np.arange(n) == 0)
    yield Rule(words=f"the last {name}", indices=lambda n, g: np.arange(n) == n - 1)
    yield Rule(words=f"all {name}s but the first", indices=lambda n, g: np.arange(n) > 0)
    yield Rule(words=f"all {name}s but the last", indices=lambda n, g: np.arange(n) < n - 1)
    yield Rule(words=f"the first and the last {name}", indices=lambda n, g: np.arange(n) % max(n - 1, 1) == 0)
    yield Rule(
        words=f"all {name}s but the first and the last", indices=lambda n, g: np.arange(n) % max(n - 1, 1) > 0
    )
    if name in ("map", "channel"):
        yield Rule(words=f"the {name}s of the first group", indices=lambda n, g: _group(n, g) == 0)
        yield Rule(words=f"the {name}s of the last group", indices=lambda n, g: _group(n, g) == g.groups - 1)
        yield Rule(words=f"the {name}s of all groups but the first", indices=lambda n, g: _group(n, g) > 0)


def _group(n: int, g: Geometry) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The group of each of n maps or channels."""
    return np.arange(n) * g.groups // n


def _counted(seen: Mask, name: str) -> Iterator[Rule]:
    """Rules about an index or a number that `seen` shows."""
    n, first, last = len(seen), int(np.argmax(seen)), len(seen) - 1 - int(np.argmax(seen[::-1]))
    yield Rule(words=f"{name} {first} (counted from 0)", indices=lambda n, g: np.arange(n) == first)
    yield Rule(words=f"{name}s from {first} on (counted from 0)", indices=lambda n, g: np.arange(n) >= first)
    yield Rule(words=f"the first {last + 1} {name}s", indices=lambda n, g: np.arange(n) <= last)
    yield Rule(words=f"the last {n - first} {name}s", indices=lambda m, g: np.arange(m) >= m - (n - first))


def _th(m: int) -> str:
    return {2: "second", 3: "third"}.get(m, f"{m}th")


def _periodic(name: str) -> Iterator[Rule]:
    """Every so manieth, and what is left over behind whole blocks."""
    for m in (2, 3, 4, 8, 16, 32, 64):
        for r in range(min(m, 4)):
            words = f"every {_th(m)} {name}, from {r} on (counted from 0)"
            yield Rule(words=words, indices=lambda n, g, m=m, r=r: np.arange(n) % m == r)  # type: ignore[misc]
        yield Rule(
            words=f"the last of every {m} {name}s",
            indices=lambda n, g, m=m: np.arange(n) % m == m - 1,  # type: ignore[misc]
        )
        yield Rule(
            words=f"every {_th(m)} {name} but the first (counted from 0)",
            indices=lambda n, g, m=m: (np.arange(n) % m == 0) & (np.arange(n) > 0),  # type: ignore[misc]
        )
        yield Rule(
            words=f"the {name}s behind the last whole block of {m}",
            indices=lambda n, g, m=m: (np.arange(n) >= n // m * m) & (n >= m),  # type: ignore[misc]
        )
