"""Where is it wrong?  Said in order: does it repeat, what pattern do values and places show, on which problems."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from conformance.adapter.session import Session
from conformance.mistakes.localise.features import features
from conformance.mistakes.localise.looks import Look, Looks, same, varied
from conformance.mistakes.localise.numeric import numeric
from conformance.mistakes.localise.parts import parts
from conformance.mistakes.localise.patterns import Pattern, certain, counted
from conformance.mistakes.localise.places import places
from conformance.mistakes.localise.repeats import UNSTEADY, repeats
from conformance.mistakes.localise.thresholds import thresholds
from conformance.mistakes.localise.values import values
from conformance.problem import Problem

__all__ = ["localise"]


def localise(session: Session, problem: Problem, quantity: str) -> str:
    """Where a quantity is wrong, in one to three sentences; '' if nothing is certain.

    Only what holds on every problem tried is said, and each sentence says on how many.  At most `CALLS` calls.
    """
    looks = Looks(session, quantity)
    start = problem if problem.integers else problem.replace(fill="small")
    unsteady = repeats(looks, start)
    first = looks.at(start)
    if unsteady or first is None:
        return unsteady
    said = numeric(looks, problem) if first.ok else " ".join(_sentences(looks, first))
    last = looks.again(start)
    if last is not None and not same(first.got, last.got):
        return f"{UNSTEADY.format(q=quantity)}."
    return said


def _sentences(looks: Looks, first: Look) -> Iterator[str]:
    """The pattern; and where it does not show on all problems, what decides."""
    for p in _near(first.problem):
        looks.at(p)
    seen = looks.seen
    wrong = [look for look in seen if not look.ok]
    found = certain(_patterns(seen), seen)
    if found is None or not found[1]:
        decides = [features(looks, wrong), thresholds(looks, wrong)]
    else:
        decides = []
    found = certain(_patterns(looks.seen), looks.seen)  # of everything that was seen on the way
    if found is not None:
        yield f"{_capital(found[0].words)} ({counted(looks.seen, everywhere=found[1])})."
    yield from filter(None, decides)
    overwritten = set.intersection(*(set(look.overwritten) for look in looks.seen))
    if overwritten:
        yield f"Every call overwrites {' and '.join(sorted(overwritten))}."
