"""The backward pass, understood: what it is given, and which of what comes back is which gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.learner.calling import BACKWARD, callings
from conformance.learner.find import Plain, Subject
from conformance.learner.forms import BIASES, UNTIED, taken
from conformance.learner.probes import PROBES, expected, meant, near, operands_of
from conformance.learner.quiet import Failed, tried
from conformance.learner.reading import Gradient, Reading
from conformance.learner.way import Function, Functions, Layer, Parts, Way, array, got
from conformance.learner.words import is_backward, quantity_in, quantity_of
from conformance.problem import Geometry

__all__ = ["Behind", "read_backward"]

GRADIENTS = ("dx", "dw", "db")
MEAN = 2.9
"""What a gradient is worth that is right but for a division by the batch: less than one that is right."""
LEFT = 0.3
"""What a part is worth that has another number of axes, if it may yet be meant: the right size, or what is left for db."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A way with a backward pass, the gradients that were seen in what it returns, and how near each comes.

    parts: how many it returns.  probe: the number of the first that it answers.  named: is its name one of a backward pass?
    """

    way: Way
    gradients: Mapping[str, Gradient] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    parts: int = 0
    probe: int = len(PROBES)
    named: bool = True

    @property
    def worth(self) -> tuple[int, float]:
        return -self.probe, sum(self.scores.values())


def read_backward(subject: Subject, reading: Reading, seconds: float) -> Behind | None:
    """The backward pass that fits best, of one function or of several that have a gradient each; None if there is none."""
    ways = (
        _of_functions(subject, reading.way) if isinstance(subject, Plain) else _of_class(subject, reading.way)
    )
    best = [max((_tried(way, reading, seconds) for way in same), key=lambda b: b.worth) for same in ways]
    useful = [b for b in best if b.named or min(b.scores.values(), default=0) >= MEAN]
    useful.sort(key=lambda b: b.worth, reverse=True)
    return _joined(useful, reading) if useful else None


def _of_functions(subject: Plain, way: Any) -> Iterator[list[Way]]:
    """The ways of calling each function."""
    for name, function in subject.backs:
        given = list(callings(function, BACKWARD, ("delta",)))
        same: list[Way] = [
            replace(way, backs=(Function(name=name, function=function, calling=c),)) for c in given
        ]
        if same:
            yield same


def _of_class(subject: Any, way: Any) -> Iterator[list[Way]]:
    for name, function in subject.backs:
        same: list[Way] = [
            replace(way, back=(name, c), made={}) for c in callings(function, BACKWARD, ("delta",))
        ]
        if same:
            yield same


def _joined(found: list[Behind], reading: Reading) -> Behind:
    """The best one; of functions, others that have what it lacks."""
    first = found[0]
    if not isinstance(first.way, Functions):
        return first
    backs, gradients, scores, parts = first.way.backs, dict(first.gradients), dict(first.scores), first.parts
    for more in found[1:]:
        new = [q for q in more.gradients if q not in gradients and (more.named or more.scores.get(q, 0) >= 1)]
        if new and isinstance(more.way, Functions):
            backs += more.way.backs
            gradients |= {q: replace(more.gradients[q], part=more.gradients[q].part + parts) for q in new}
            scores |= {q: more.scores[q] for q in new if q in more.scores}
            parts += more.parts
    return replace(
        first, way=replace(first.way, backs=backs), gradients=gradients, scores=scores, parts=parts
    )


# ---- one way ----
def _tried(way: Way, reading: Reading, seconds: float) -> Behind:
    """On the first probe that it answers."""
    named = is_backward(_back_name(way))
    for number, probe in enumerate(PROBES):
        g = meant(reading, probe)
        came, way = _answer(way, reading, g, seconds)
        if not isinstance(came, Failed):
            gradients, scores = _taken_for(reading, g, came)
            return Behind(
                way=way, gradients=gradients, scores=scores, parts=len(came), probe=number, named=named
            )
    return Behind(way=way, gradients=_usual(way, reading), named=named)


def _back_name(way: Way) -> str:
    if isinstance(way, Functions):
        return way.backs[0].name
    return way.back[0] if isinstance(way, Layer) and way.back else ""


def _usual(way: Way, reading: Reading) -> dict[str, Gradient]:
    """What a backward pass that never answers is expected to return: what it is named for, or the usual three."""
    mine = quantity_in(_back_name(way))
    count = 1 if isinstance(way, Layer) else 2 if reading.b is None else 3
    names = (mine,) if mine else GRADIENTS[:count]
    return {q: Gradient(part=k, form=_form(reading, q)) for k, q in enumerate(names)}


def _answer(way: Way, reading: Reading, g: Geometry, seconds: float) -> tuple[Any, Way]:
    """What comes back, and the way itself: a layer that was seen to update its kernel is asked as such."""
    came = _asked(way, reading, g, seconds)
    if isinstance(way, Layer) and not isinstance(came, Failed) and _moved(way, reading, g):
        way = replace(way, updates=True, made={})
        came = _asked(way, reading, g, seconds)
    return came, way


def _asked(way: Way, reading: Reading, g: Geometry, seconds: float) -> Any:
    values = reading.values(g, **operands_of(g))
    return tried(lambda: way.backward(values), seconds)


def _moved(way: Layer, reading: Reading, g: Geometry) -> bool:
    values = reading.values(g, **operands_of(g))
    kept = got(way.instance(values), way.w) if way.w else None
    return kept is not None and not np.array_equal(kept, values.arrays["w"])


# ---- which is which ----
def _taken_for(reading: Reading, g: Geometry, came: Parts) -> tuple[dict[str, Gradient], dict[str, float]]:
    """The quantities dealt out to the parts so that most is right; in their usual order where that leaves a choice."""
    wanted = [q for q in GRADIENTS if q != "db" or reading.b is not None]
    seen = {q: [_seen(reading, g, q, part, *one) for part, one in enumerate(came)] for q in wanted}
    best: tuple[float, tuple[int | None, ...]] = (-1.0, ())
    for dealt in itertools.permutations([*range(len(came)), *[None] * len(wanted)], len(wanted)):
        total = sum(seen[q][k][0] for q, k in zip(wanted, dealt, strict=True) if k is not None)
        if total > best[0] + 1e-9:
            best = (total, dealt)
    chosen = {
        q: seen[q][k] for q, k in zip(wanted, best[1], strict=True) if k is not None and seen[q][k][0] > 0
    }
    return {q: seen[1] for q, seen in chosen.items()}, {q: seen[0] for q, seen in chosen.items()}


def _seen(
    reading: Reading, g: Geometry, quantity: str, part: int, name: str, value: Any
) -> tuple[float, Gradient]:
    """How near a part comes to a gradient, and in which form."""
    a, right = array(value), expected(g)[quantity]
    found = [(0.0, Gradient(part=part, form=_form(reading, quantity)))]
    if a is None:
        return found[0]
    for form in (form for form in _forms(reading, quantity) if len(form) == a.ndim):
        own = taken(a, reading.own(quantity), form)
        found.append((near(own, right), Gradient(part=part, form=form)))
        if g.batch > 1 and near(own * g.batch, right) == 3:
            found.append((MEAN, Gradient(part=part, form=form, mean=True)))
    if len(found) == 1 and (quantity == "db" or a.size == right.size):
        found.append((LEFT, found[0][1]))
    score, gradient = max(found, key=lambda f: f[0])
    return (score + _said(name, quantity) if score else 0.0), gradient


def _said(name: str, quantity: str) -> float:
    """What a part's own name is worth, if it has one: enough to choose between two that come equally near."""
    called = quantity_of(name) if name else None
    return 0.0 if called is None else 0.25 if called == quantity else -0.5


def _form(reading: Reading, quantity: str) -> str:
    return {"dx": reading.x, "dw": reading.w, "db": reading.b or ""}[quantity]


def _forms(reading: Reading, quantity: str) -> Iterable[str]:
    """That of the operand; a bias may also come back in another."""
    own = _form(reading, quantity)
    if quantity != "db":
        return (own,)
    one = "O" not in reading.w
    others = UNTIED if reading.untied else BIASES
    return dict.fromkeys([own, *others, *([""] if one else [])])
