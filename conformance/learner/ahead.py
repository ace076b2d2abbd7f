"""The forward pass, understood: of all ways to call it, the one whose results are a convolution.

Where none is, the one that comes nearest over all probes: what is wrong is then for the steps to tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.learner.candidates import candidates
from conformance.learner.find import Subject
from conformance.learner.forms import Y_FORMS, reduced, taken
from conformance.learner.probes import PLAIN, PROBES, Meant, expected, meanings, near, padded, problem_of
from conformance.learner.quiet import Failed, tried
from conformance.learner.reading import Reading
from conformance.learner.way import Parts, array
from conformance.problem import Geometry

__all__ = ["Ahead", "read_forward"]

PATIENCE = 20.0
"""Seconds after which the other probes are not tried on further readings."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How near y comes on one probe, and what it was taken for.  sure: the other convention is farther off.  error: if it raised."""

    score: float
    meant: Meant = Meant(convention="correlation", always="none")
    form: str = "NCHW"
    part: int = 0
    sure: bool = False
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """A reading of the forward pass.

    exact: is it right on a probe?  score: else, how near it comes on average (`near`); others: readings that come as near.
    sure: does its y tell one convention from the other?  error: of the first probe, if it raised.
    """

    reading: Reading
    exact: bool
    score: float
    sure: bool = True
    others: tuple[Reading, ...] = ()
    error: BaseException | None = None


def read_forward(subject: Subject, seconds: float) -> Ahead | None:
    """The reading that fits best; None if there is no way to call it.

    Raises:
        Late: a call took longer than so many seconds.
    """
    tries: list[tuple[Reading, Seen]] = []
    for reading in candidates(subject, seconds):
        seen = _seen(reading, PLAIN, seconds)
        if seen.score == 3:
            return Ahead(reading=_completed(reading, [seen]), exact=True, score=3.0)
        tries.append((reading, seen))
    return _nearest(tries, seconds)


def _nearest(tries: list[tuple[Reading, Seen]], seconds: float) -> Ahead | None:
    end = time.monotonic() + PATIENCE
    found: list[Ahead] = []
    for reading, first in sorted(tries, key=lambda t: -t[1].score):
        others = [_seen(reading, probe, seconds) for probe in PROBES[1:]] if time.monotonic() < end else []
        seen = [first, *others]
        score = sum(s.score for s in seen) / len(PROBES)
        exact = any(s.score == 3 for s in seen)
        sure = max(seen, key=lambda s: s.score).sure
        found.append(Ahead(reading=_completed(reading, seen), exact=exact, score=score, sure=sure, error=first.error))
    if not found:
        return None
    best = max(found, key=lambda a: a.score)
    equal = tuple(a.reading for a in found if a.score == best.score and a is not best)
    return replace(best, others=equal)


def _completed(reading: Reading, seen: Iterable[Seen]) -> Reading:
    """With what the probe on which it came nearest says y is."""
    best = max(seen, key=lambda s: s.score)
    limits = replace(reading.limits, convention=best.meant.convention, always=best.meant.always)
    way = replace(reading.way, y=best.part)  # type: ignore[type-var]
    return replace(reading, way=way, y=best.form, y_part=best.part, limits=limits)


def _seen(reading: Reading, probe: Geometry, seconds: float) -> Seen:
    """On one probe, first without a bias, then with it: a mistake in the bias shall not hide what the rest is."""
    g = _for(reading, probe)
    kinds = [m for m in meanings() if m.always == "none" or not reading.way.has("pad", "options")]
    if not reading.untied:
        return _both(reading, g, kinds, seconds)
    each = [_both(reading, padded(g, a), [m for m in kinds if m.always == a], seconds) for a in dict.fromkeys(m.always for m in kinds)]
    return max(each, key=lambda s: s.score)


def _for(reading: Reading, probe: Geometry) -> Geometry:
    return replace(reduced(probe, reading.x, reading.w), **dict(reading.limits.fixed))


def _both(reading: Reading, g: Geometry, kinds: list[Meant], seconds: float) -> Seen:
    plain = _compared(reading, replace(g, bias="none"), kinds, seconds)
    if reading.b is None or plain.score < 1:
        return plain
    biased = _compared(reading, replace(g, bias=reading.bias), [plain.meant], seconds)
    return replace(plain, score=(2 * plain.score + biased.score) / 3)


def _compared(reading: Reading, g: Geometry, kinds: list[Meant], seconds: float) -> Seen:
    o = problem_of(g).operands
    values = reading.values(g, x=o.x, w=o.w, b=o.b)
    came = tried(lambda: reading.way.forward(values), seconds)
    if isinstance(came, Failed):
        return Seen(score=0.0, error=came.error)
    found = list(_kinds(reading, g, came, kinds))
    best = max(found, key=lambda s: s.score, default=Seen(score=0.0))
    equal = {s.meant.convention for s in found if s.score == best.score}
    return replace(best, sure=len(equal) == 1)


def _kinds(reading: Reading, g: Geometry, came: Parts, kinds: list[Meant]) -> Iterator[Seen]:
    forms = sorted(Y_FORMS, key=lambda form: form != reading.x)
    for part, (_, value) in enumerate(came):
        a = array(value)
        for meant in kinds if a is not None else ():
            right = expected(replace(padded(g, meant.always) if meant.always != "none" else g, convention=meant.convention))["y"]
            for form in forms:
                if len(form) == a.ndim:
                    score = near(taken(a, "NCHW", form), right)
                    yield Seen(score=score - 0.1 * (meant.always == "full"), meant=meant, form=form, part=part)
