"""The forward pass, understood: of all ways to call it, the one whose results are a convolution.

Where none is, the one that comes nearest over all probes: what is wrong is then for the steps to tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from conformance.learner.candidates import candidates
from conformance.learner.find import Subject
from conformance.learner.forms import Y_FORMS, reduced, taken
from conformance.learner.probes import (
    CORRELATION,
    PROBES,
    Meant,
    expected,
    meanings,
    near,
    operands_of,
    padded,
)
from conformance.learner.quiet import Failed, tried
from conformance.learner.reading import Reading
from conformance.learner.way import Parts, array
from conformance.problem import Geometry

__all__ = ["Ahead", "read_forward"]

EXACT = 3.0
FULL = 0.1
"""What is taken off a full convolution: it may be a helper of the backward pass, and not the layer."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How near y comes on one probe, and what it was taken for.  error: if the call raised."""

    score: float
    meant: Meant = CORRELATION
    form: str = "NCHW"
    part: int = 0
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """A reading of the forward pass.

    exact: is it right on a probe?  score: else, how near it comes on average (`near`); others: readings that come as near.
    error: of the first probe, if it raised.
    """

    reading: Reading
    exact: bool
    score: float
    others: tuple[Reading, ...] = ()
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class Try:
    """A reading, and how near it came on the probes so far."""

    reading: Reading
    seen: list[Seen] = field(default_factory=list)

    @property
    def score(self) -> float:
        return sum(s.score for s in self.seen) / len(self.seen)


def read_forward(subject: Subject, seconds: float) -> Ahead | None:
    """The first reading that is right on a probe, the one that tells most before the easier ones; else the nearest on all.

    Where some readings give y its size, no others are tried any further.  None: there is no way to call it.

    Raises:
        Late: a call took longer than so many seconds.
    """
    tries = [Try(reading=reading) for reading in candidates(subject, seconds)]
    for probe in PROBES:
        for one in tries:
            one.seen.append(_seen(one.reading, probe, seconds))
            if one.seen[-1].score == EXACT:
                return Ahead(reading=_completed(one.reading, one.seen[-1]), exact=True, score=EXACT)
        full = next((one for one in tries if one.seen[-1].score >= EXACT - FULL), None)
        if full is not None:
            return Ahead(reading=_completed(full.reading, full.seen[-1]), exact=True, score=EXACT)
        sized = [one for one in tries if one.seen[-1].score >= 1]
        tries = sized or tries
    return _nearest(tries) if tries else None


def _nearest(tries: list[Try]) -> Ahead:
    best = max(tries, key=lambda one: one.score)
    seen = max(best.seen, key=lambda s: s.score)
    return Ahead(
        reading=_completed(best.reading, seen),
        exact=False,
        score=best.score,
        others=tuple(one.reading for one in tries if one.score == best.score and one is not best),
        error=best.seen[0].error,
    )


def _completed(reading: Reading, seen: Seen) -> Reading:
    """With what y was taken for."""
    limits = replace(reading.limits, convention=seen.meant.convention, always=seen.meant.always)
    way = replace(reading.way, y=seen.part)  # type: ignore[type-var]
    return replace(reading, way=way, y=seen.form, y_part=seen.part, limits=limits)


def _seen(reading: Reading, probe: Geometry, seconds: float) -> Seen:
    """On one probe, first without a bias, then with it: a mistake in the bias shall not hide what the rest is."""
    g = _for(reading, probe)
    kinds = [m for m in meanings() if m.always == "none" or not reading.way.has("pad", "options")]
    if not reading.untied:
        return _both(reading, g, kinds, seconds)
    by_padding = itertools.groupby(kinds, key=lambda m: m.always)
    each = [_both(reading, padded(g, always), list(same), seconds) for always, same in by_padding]
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
    o = operands_of(g)
    values = reading.values(g, x=o["x"], w=o["w"], b=o.get("b"))
    came = tried(lambda: reading.way.forward(values), seconds)
    if isinstance(came, Failed):
        return Seen(score=0.0, error=came.error)
    return max(_kinds(reading, g, came, kinds), key=lambda s: s.score, default=Seen(score=0.0))


def _kinds(reading: Reading, g: Geometry, came: Parts, kinds: list[Meant]) -> Iterator[Seen]:
    """Every part of what came back taken for every y that may be meant, in every form that has as many axes."""
    forms = sorted(Y_FORMS, key=lambda form: form != reading.x)
    arrays = [(part, a) for part, (_, value) in enumerate(came) if (a := array(value)) is not None]
    for (part, a), meant in itertools.product(arrays, kinds):
        right = expected(replace(padded(g, meant.always), convention=meant.convention))["y"]
        for form in forms:
            if len(form) == a.ndim:
                score = near(taken(a, "NCHW", form), right) - FULL * (meant.always == "full")
                yield Seen(score=score, meant=meant, form=form, part=part)
