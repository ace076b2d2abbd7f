"""Patterns: one sentence that says what came back, and the test of whether it is so.

Candidates come from one wrong look, with what they leave open (a factor, an index) read off it.  A pattern is certain
only if it holds in *every* wrong look, and in several of them could have failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from conformance.mistakes.localise.looks import Look

__all__ = ["LEAST", "Pattern", "certain", "counted"]

LEAST = 3
"""Wrong looks that have to agree before anything is said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pattern:
    """words: what is said, as in ``dx is half the right result``.  holds: is it so?  telling: could it have failed here?

    whole: does it say all, so that what else is found would add nothing?
    """

    words: str
    holds: Callable[[Look], bool]
    telling: Callable[[Look], bool] = lambda look: True
    whole: bool = True


def certain(candidates: Iterable[Pattern], looks: Sequence[Look]) -> tuple[Pattern, bool] | None:
    """The first pattern that holds in all wrong looks, and whether it holds in the right ones too.

    One that says all is preferred, then one that holds in the right looks too: nothing else decides whether it shows.
    """
    wrong = [look for look in looks if not look.ok]
    found: dict[tuple[bool, bool], Pattern] = {}
    for pattern in candidates:
        if all(map(pattern.holds, wrong)) and sum(map(pattern.telling, wrong)) >= LEAST:
            everywhere = all(pattern.holds(look) for look in looks if look.ok)
            found.setdefault((pattern.whole, everywhere), pattern)
            if pattern.whole and everywhere:
                break
    best = max(found, default=None)
    return None if best is None else (found[best], best[1])


def counted(looks: Sequence[Look], *, everywhere: bool, which: str = "") -> str:
    """On how many problems: the certainty, in numbers.  which: those that the pattern speaks of, if not all."""
    wrong = sum(not look.ok for look in looks)
    if everywhere:
        return f"on all {len(looks)} problems tried{which}"
    return f"on all {wrong} of the {len(looks)} problems tried{which} on which it is wrong"
