"""Where is it wrong?  Said in order: does it repeat, what pattern do values and places show, on which problems."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.adapter.session import Session
from conformance.mistakes.localise.features import detours, features
from conformance.mistakes.localise.looks import Look, Looks, same, varied
from conformance.mistakes.localise.numeric import drifting, numeric
from conformance.mistakes.localise.parts import parts
from conformance.mistakes.localise.patterns import Pattern, certain, counted
from conformance.mistakes.localise.places import places
from conformance.mistakes.localise.repeats import UNSTEADY, repeats
from conformance.mistakes.localise.thresholds import thresholds
from conformance.mistakes.localise.values import values
from conformance.problem import Geometry, Problem

__all__ = ["localise"]


def localise(session: Session, problem: Problem, quantity: str) -> str:
    """Where a quantity is wrong, in one to three sentences; '' if nothing is certain.

    Only what holds on every problem tried is said, and each sentence says on how many.  At most `CALLS` calls.
    """
    looks = Looks(session, quantity)
    with np.errstate(all="ignore"):  # what came back may be anything
        first = looks.at(_digits(problem))
        if first is not None and first.ok and problem.fill == "unit":
            first = looks.at(problem)
        if first is None:
            return ""
        unsteady = repeats(looks, first.problem)
        if unsteady:
            return unsteady
        said = numeric(looks, problem) if first.ok else " ".join(filter(None, _sentences(looks, first)))
        last = looks.again(first.problem)
        steady = last is None or same(first.got, last.got)
        return said if steady else f"{UNSTEADY.format(q=quantity)}."


def _digits(p: Problem) -> Problem:
    """With data on which every mistake of geometry shows: integers, and not only 1 and -1."""
    return p if p.fill == "sparse" else p.replace(fill="small")


def _sentences(looks: Looks, first: Look) -> Iterator[str]:
    """The pattern; and where it does not show on all problems, what decides whether it does."""
    for p in _near(first.problem):
        looks.at(p)
    seen = looks.seen
    wrong = [look for look in seen if not look.ok]
    found = certain(_patterns(seen), seen)
    decides = "" if found and found[0].whole and found[1] else _deciding(looks, wrong)
    yield _pattern(looks.seen)  # those seen on the way count too
    yield decides
    overwritten = set.intersection(*(set(look.overwritten) for look in seen))
    if overwritten:
        yield f"Every call overwrites {' and '.join(sorted(overwritten))}."


def _deciding(looks: Looks, wrong: Sequence[Look]) -> str:
    """What decides whether it is wrong; nothing, if that is the data."""
    first = wrong[0].problem
    if not all(look in wrong for look in looks.seen if look.g == first.geometry):
        return ""
    return features(looks, wrong) or thresholds(looks, wrong) or detours(looks, wrong)


def _pattern(looks: Sequence[Look]) -> str:
    """As a sentence; of those results that have as many axes as the first one: db has them of its bias."""
    seen = [look for look in looks if look.right.ndim == looks[0].right.ndim]
    found = certain(_patterns(seen), seen)
    if found is None:
        return ""
    words, everywhere = found[0].words, found[1]
    start = words if words.startswith(f"{seen[0].quantity} ") else words[0].upper() + words[1:]
    which = f" with bias={seen[0].g.bias}" if len(seen) < len(looks) else ""
    return f"{start} ({counted(seen, everywhere=everywhere, which=which)})."


def _patterns(seen: Sequence[Look]) -> Iterator[Pattern]:
    """Candidates, read off the largest of the wrong looks."""
    largest = max((look for look in seen if not look.ok), key=lambda look: look.right.size)
    return itertools.chain(values(largest), places(largest), parts(seen), drifting(largest))


def _near(p: Problem) -> Iterator[Problem]:
    """Other data; then one number after the other larger, and all of them; then all of them least."""
    for k in range(2, 5):
        yield p.replace(seed=(p.seed + k) % 2**64)
    for k, change in enumerate(_changes(p.geometry), start=5):
        near = varied(p, **change)
        if near is not None:
            yield near.replace(seed=(p.seed + k) % 2**64)


def _changes(g: Geometry) -> Iterator[dict[str, Any]]:
    """Changes of a geometry."""
    channels, maps = g.channels // g.groups, g.maps // g.groups
    larger = {
        "batch": g.batch + 1,
        "channels": g.channels + g.groups,
        "maps": g.maps + g.groups,
        "size": tuple(2 * n + 3 + axis for axis, n in enumerate(g.size)),
        "stride": tuple(s + 1 for s in g.stride),
    }
    longer = {
        "kernel": tuple(k + 1 for k in g.kernel),
        "size": tuple(n + 2 * d for n, d in zip(g.size, g.dilation, strict=True)),
    }
    plain = {"batch": 1, "groups": 1, "channels": channels, "maps": maps, "stride": (1,), "dilation": (1,)}
    least = {
        "channels": 1,
        "maps": 1,
        "kernel": (1,),
        "size": tuple(1 + abs(lo) + abs(hi) for lo, hi in g.padding),
    }
    yield from ({name: value} for name, value in larger.items())
    yield {"groups": g.groups + 1, "channels": channels * (g.groups + 1), "maps": maps * (g.groups + 1)}
    yield longer
    yield {**larger, **longer}
    yield plain
    yield {**plain, **least}
