"""From a file to a reading: which layer it holds, and what of it is a convention or a limit, not a mistake.

What is refused by an exception is a limit; what comes out wrong is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from conformance.learner.ahead import read_forward
from conformance.learner.behind import MEAN, Behind, read_backward
from conformance.learner.find import Subject
from conformance.learner.limits import Limits
from conformance.learner.probes import PLAIN, expected, meant, near, operands_of
from conformance.learner.quiet import Failed, deliberate, tried
from conformance.learner.reading import Reading
from conformance.learner.way import Parts, array
from conformance.problem import DTYPES

__all__ = ["Understood", "understood"]


@dataclass(frozen=True, kw_only=True)
class Understood:
    """subject: what was found in the file.

    exact: is its forward pass right on a probe?  Else score says how near it comes (0: it always raises), and others are
    readings that come as near.  guessed: was it called by names that say nothing?
    uneven: the one of dw and db that comes divided by the batch, if the other does not.  error: what the forward pass raised
    on the first probe.
    """

    subject: Subject
    reading: Reading
    exact: bool
    score: float
    guessed: bool
    uneven: str = ""
    others: tuple[Reading, ...] = ()
    error: BaseException | None = None


def understood(subject: Subject, seconds: float) -> Understood | None:
    """None if there is no way to call it."""
    ahead = read_forward(subject, seconds)
    if ahead is None:
        return None
    reading = ahead.reading
    if ahead.exact:
        reading = replace(reading, limits=_limits(reading, seconds))
    behind = read_backward(subject, reading, seconds)
    uneven = ""
    if behind is not None:
        scales = {q: _scale(q, behind, reading, seconds) for q in behind.gradients}
        means, uneven = _means(scales), _uneven(scales)
        gradients = {q: replace(g, mean=q in means) for q, g in behind.gradients.items()}
        limits = replace(reading.limits, halves=bool(means))
        reading = replace(reading, way=behind.way, gradients=gradients, limits=limits)
    return Understood(
        subject=subject,
        reading=replace(reading, dtype=_dtype(reading, seconds)),
        exact=ahead.exact,
        score=ahead.score,
        guessed=reading.way.guessed,
        uneven=uneven,
        others=ahead.others,
        error=ahead.error,
    )


# ---- gradients divided by the batch ----
def _means(scales: Mapping[str, str]) -> frozenset[str]:
    """Which gradients are means over the batch, if that is what the code means: then those of w and b both are.

    One that is wrong whichever way it is read does not speak against it.
    """
    own = {scales[q] for q in ("dw", "db") if q in scales} - {"wrong"}
    if own != {"mean"}:
        return frozenset()
    return frozenset(q for q, scale in scales.items() if scale == "mean" or (q != "dx" and scale == "wrong"))


def _uneven(scales: Mapping[str, str]) -> str:
    """The mean, where one of dw and db is one and the other the sum."""
    if {scales.get("dw"), scales.get("db")} != {"mean", "sum"}:
        return ""
    return "dw" if scales["dw"] == "mean" else "db"


def _scale(quantity: str, behind: Behind, reading: Reading, seconds: float) -> str:
    """``mean``, ``sum`` or ``wrong``: on two sizes of batch, lest another factor of two be taken for one over the batch."""
    known = behind.gradients[quantity]
    if not known.mean:
        return "sum" if behind.scores.get(quantity, 0) >= MEAN else "wrong"
    g = meant(reading, replace(PLAIN, batch=4))
    read = replace(reading, way=behind.way, gradients={quantity: known})
    values = read.values(g, **operands_of(g))
    came = tried(lambda: read.gradient_of(quantity, behind.way.backward(values), 4), seconds)
    return "mean" if not isinstance(came, Failed) and near(came, expected(g)[quantity]) == 3 else "wrong"


# ---- what the forward pass takes ----
def _limits(reading: Reading, seconds: float) -> Limits:
    """The limits with what trials on other sizes show."""
    limits = _options(reading, seconds)

    def asked(**changes: Any) -> str:
        return _outcome(replace(reading, limits=limits), changes, seconds)

    if asked(size=(8, 9)) == "refuses":
        limits = replace(limits, square_images=True)
    free = "kernel" not in dict(limits.fixed)
    if free and not limits.square_kernels:
        raised = {asked(kernel=(5, 3)), asked(kernel=(3, 5))} <= {"raises", "refuses"}
        limits = replace(limits, square_kernels=raised)
    if free and asked(kernel=(2, 2)) == asked(kernel=(4, 4)) == "refuses":
        limits = replace(limits, odd_kernels=True)
    if limits.always == "half" or limits.mode:
        limits = _same(reading, limits, seconds)
    if limits.stride and asked(stride=(2,), size=(8, 8)) == "refuses":
        limits = replace(limits, divides=asked(stride=(2,), size=(9, 9)) == "right")
    return limits


def _options(reading: Reading, seconds: float) -> Limits:
    """Without what a dictionary of options was never asked for."""
    limits = reading.limits
    if not reading.way.has("options"):
        return limits
    o = operands_of(g := meant(reading, PLAIN))
    values = reading.values(g, x=o["x"], w=o["w"], b=o.get("b"))
    tried(lambda: reading.way.forward(values), seconds)
    asked = values.options.asked or {"stride", "pad"}  # none is asked for where it was copied
    stride = reading.way.has("stride") or bool(asked & {"stride", "strides"})
    return replace(limits, stride=stride, pad=reading.way.has("pad") or bool(asked & {"pad", "padding"}))


def _same(reading: Reading, limits: Limits, seconds: float) -> Limits:
    """Which padding keeps the size where kernels are even, or the stride is not 1; the simplest that is right."""
    trials: list[dict[str, Any]] = [{"kernel": (4, 4)}] if "kernel" not in dict(limits.fixed) else []
    trials += [{"stride": (2,)}, {"stride": (2,), "size": (9, 9)}] if limits.stride else []
    for rule in ("half", "same", "same, more in front"):
        kept = replace(limits, mode=rule) if limits.mode else replace(limits, always=rule)
        read = replace(reading, limits=kept)
        seen = [_outcome(read, {"padding": ((1, 1),), **trial}, seconds) for trial in trials]
        if set(seen) <= {"right", "refuses"}:
            return read.limits
    return limits


def _outcome(reading: Reading, changes: dict[str, Any], seconds: float) -> str:
    """``right``, ``wrong``, ``raises`` or ``refuses``: what y is on a square image, with these changes."""
    g = reading.limits.fitted(replace(PLAIN, bias=reading.bias, **{"size": (8, 8), **changes}))
    o = operands_of(g)
    values = reading.values(g, x=o["x"], w=o["w"], b=o.get("b"))
    came = tried(lambda: reading.y_of(reading.way.forward(values)), seconds)
    if isinstance(came, Failed):
        return "refuses" if deliberate(came.error) else "raises"
    return "right" if near(came, expected(g)["y"]) == 3 else "wrong"


def _dtype(reading: Reading, seconds: float) -> str:
    """The code of the narrowest format in which results of float64 operands come back."""
    g = reading.limits.fitted(replace(PLAIN, bias=reading.bias))
    values = reading.values(g, **operands_of(g))
    passes: list[Callable[[], Parts]] = [lambda: reading.way.forward(values)]
    passes += [lambda: reading.way.backward(values)] if reading.gradients else []
    came = [outcome for one in passes if not isinstance(outcome := tried(one, seconds), Failed)]
    wanted = [[reading.y_part], [g.part for g in reading.gradients.values()]]
    arrays = [
        array(parts[k][1]) for parts, ks in zip(came, wanted, strict=False) for k in ks if k < len(parts)
    ]
    codes = [
        code
        for code, dtype in DTYPES.items()
        if any(a is not None and a.dtype == dtype.numpy for a in arrays)
    ]
    return codes[-1] if codes else "f64"
