"""What was read out of a file, in sentences: conventions and limits that are taken as they are, and not held against it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.learner.forms import named
from conformance.learner.reading import Reading
from conformance.learner.understand import Understood
from conformance.learner.way import Layer

__all__ = ["assumptions"]

CONVENTION = {
    "correlation": "cross-correlation: the kernel slides over x as it is",
    "convolution": "true convolution: the kernel slides rotated by 180 degrees",
}
ALWAYS = {
    "half": "it always pads k//2 on every side ('same')",
    "same": "it always pads so that y is as large as x ('same'); where that is uneven, more behind",
    "same, more in front": "it always pads so that y is as large as x ('same'); where that is uneven, more in front",
    "full": "it always pads k - 1 on every side ('full')",
}


def assumptions(seen: Understood) -> Iterator[str]:
    """One sentence each, without a full stop."""
    reading = seen.reading
    yield _arrays(reading)
    if not seen.score:
        yield "but whatever order of axes I tried, it raised"
        return
    yield CONVENTION[reading.limits.convention] + (
        "" if seen.exact else " (a guess: y is wrong in either case)"
    )
    yield from _returned(reading)
    yield from _conventions(reading)
    yield from _limits(reading)
    yield from _doubts(seen)


def _arrays(reading: Reading) -> str:
    """The axes of all operands, as the learner has them."""
    return _axes(reading) + (
        f", b is {named('b', reading.b)}" if reading.b is not None else "; there is no bias"
    )


def _axes(reading: Reading) -> str:
    return f"x is {named('x', reading.x)}, w is {named('w', reading.w)}, y is {named('y', reading.y)}"


def _returned(reading: Reading) -> Iterator[str]:
    """Which gradients come back, and how."""
    known, way = reading.gradients, reading.way
    order = sorted(known, key=lambda q: known[q].part)
    if not known:
        yield "there is no backward pass: only y is looked at"
    elif isinstance(way, Layer) and way.updates:
        moved = [q for q in order if q != "dx"]
        yield f"backward moves the weights itself: {_are(moved)} what a step of learning rate 1 takes off"
    else:
        yield f"backward gives {', '.join(order)}, in this order"
    if known and "dx" not in known:
        yield "no dx comes back, as in a first layer"
    for quantity in ("dw", "db") if known else ():
        if quantity not in known and (quantity == "dw" or reading.b is not None):
            yield f"no {quantity} comes back, so it is not looked at"


def _conventions(reading: Reading) -> Iterator[str]:
    means = [q for q, gradient in reading.gradients.items() if gradient.mean]
    if means:
        yield f"{_are(means)} divided by the number of images: a mean, where others have the sum"
    if reading.untied:
        yield "the bias is untied: one number for every output position"
    if reading.limits.always != "none":
        yield ALWAYS[reading.limits.always]
    if reading.dtype != "f64":
        yield {"f32": "it computes in float32", "f16": "it computes in float16"}.get(
            reading.dtype, reading.dtype
        )


def _are(quantities: list[str]) -> str:
    return f"{' and '.join(quantities)} {'is' if len(quantities) == 1 else 'are'}"


def _limits(reading: Reading) -> Iterator[str]:
    limits = reading.limits
    lacking = [
        word
        for word, has in (("stride", limits.stride), ("padding", limits.pad or limits.always != "none"))
        if not has
    ]
    if lacking:
        yield f"it takes no {' and no '.join(lacking)}"
    numbers = [
        word for word, has in (("stride", limits.stride), ("padding", limits.pad and not limits.mode)) if has
    ]
    if numbers:
        yield f"one {' and one '.join(numbers)} for both axes"
    if limits.mode:
        yield "padding is asked for by a word, 'valid' or 'same'"
    fixed = dict(limits.fixed)
    if "kernel" in fixed:
        yield f"its kernels are {fixed['kernel'][0]}x{fixed['kernel'][1]}, no others"
    trials = (
        (limits.square_kernels, "its kernels are square (it takes no others)"),
        (limits.odd_kernels, "it refuses kernels of even size"),
        (limits.square_images, "its images are square"),
        (limits.divides, "it refuses sizes that the stride does not divide"),
    )
    yield from (sentence for holds, sentence in trials if holds)


def _doubts(seen: Understood) -> Iterator[str]:
    """What does not go together, and readings that fit no worse."""
    if seen.uneven:
        other = {"dw": "db", "db": "dw"}[seen.uneven]
        yield f"{seen.uneven} is divided by the number of images and {other} is not: I take both to be meant as sums"
    own = _axes(seen.reading)
    others = list(dict.fromkeys(text for other in seen.others if (text := _axes(other)) != own))
    if others and not seen.exact:
        yield f"y is right in no reading, and these fit as well: {'; or '.join(others[:3])}"
