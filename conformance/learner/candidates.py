"""Every reading of a forward pass that its signature, and the arrays of its object, do not rule out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.learner.calling import CONSTRUCTOR, FORWARD, Values, callings
from conformance.learner.find import Class, Plain, Subject
from conformance.learner.forms import BIASES, LAYOUTS, OWN, UNTIED, given, reduced, sizes_in
from conformance.learner.limits import Limits
from conformance.learner.probes import PLAIN, fitting, operands_of, padded
from conformance.learner.quiet import Failed, tried
from conformance.learner.reading import Reading, options
from conformance.learner.way import Function, Functions, Layer, Slot, Way, slots
from conformance.problem import Geometry

__all__ = ["candidates"]

Bias = tuple[str | None, bool]
"""(form of b, is it untied?)"""


def candidates(subject: Subject, seconds: float) -> Iterator[Reading]:
    """The likeliest first."""
    if isinstance(subject, Plain):
        yield from _of_functions(subject)
    else:
        yield from _of_class(subject, seconds)


def _of_functions(subject: Plain) -> Iterator[Reading]:
    for calling in callings(subject.function, FORWARD, ("x", "w")):
        way = Functions(ahead=Function(name=subject.name, function=subject.function, calling=calling))
        for x, w in LAYOUTS:
            for bias in _biases(w) if calling.has("b") else [(None, False)]:
                yield _reading(way, x, w, bias)


def _reading(way: Way, x: str, w: str, bias: Bias, fixed: tuple[tuple[str, Any], ...] = ()) -> Reading:
    b, untied = bias
    kinds = ("none",) if b is None else ("untied" if untied else "tied", "none")
    limits = Limits(
        x=x,
        w=w,
        bias=kinds,
        stride=way.has("stride", "options"),
        pad=way.has("pad", "options"),
        mode="half" if way.has("mode") else "",
        square_kernels=way.has("kernel") and not way.has("kernels"),
        square_images=way.has("size"),
        fixed=fixed,
    )
    return Reading(way=way, x=x, w=w, b=b, untied=untied, limits=limits)


def _biases(w: str) -> list[Bias]:
    """Those that have no axis for what the kernel has not."""
    one = "O" not in w
    tied: list[Bias] = [(form, False) for form in (("", *BIASES) if one else BIASES)]
    return tied + [(form, True) for form in UNTIED if "C" in form or one]


# ---- classes ----
def _of_class(subject: Class, seconds: float) -> Iterator[Reading]:
    for maker in callings(subject.cls, CONSTRUCTOR, ()):
        for name, function in subject.aheads:
            for calling in callings(function, FORWARD, ("x",)):
                layer = Layer(cls=subject.cls, maker=maker, ahead=(name, calling))
                for x, w in LAYOUTS:
                    yield from _of_layer(layer, x, w, seconds)


def _of_layer(layer: Layer, x: str, w: str, seconds: float) -> Iterator[Reading]:
    """Readings with the places where an object of the class keeps w and b."""
    g = reduced(PLAIN, x, w)
    made = tried(lambda: layer.maker(layer.cls, _values(g, x, w)), seconds)
    if isinstance(made, Failed):
        return
    for slot, fixed in _kernels(layer, made, g, w):
        fitted = fitting(g, **dict(fixed))
        if fitted is not None:
            for b_slot, bias in _bias_of(layer, made, fitted, w):
                yield _reading(replace(layer, w=slot, b=b_slot, made={}), x, w, bias, fixed)


def _values(g: Geometry, x: str, w: str) -> Values:
    o = operands_of(g)
    arrays = {"x": given(o["x"], OWN["x"], x), "w": given(o["w"], OWN["w"], w), "b": o["b"]}
    return Values(g=g, arrays=arrays, options=options(g))


def _kernels(
    layer: Layer, made: Any, g: Geometry, w: str
) -> Iterator[tuple[Slot | None, tuple[tuple[str, Any], ...]]]:
    """(where w is kept, what of the geometry it fixes)."""
    if layer.has("w"):
        yield from ((slot, ()) for slot in _given(layer, made, "w"))
        return
    for slot, value in slots(made, "w"):
        if value is None:
            yield slot, ()
        elif value.ndim == len(w):
            fixed = _fixed(layer, g, dict(zip(w, value.shape, strict=True)))
            if fixed is not None:
                yield slot, fixed


def _given(layer: Layer, made: Any, role: str) -> list[Slot | None]:
    """Where it keeps what it is given: with that it can be used again and again; else a new one is made for every call."""
    kept = [slot for slot, value in slots(made, role) if isinstance(value, np.ndarray)]
    return [*(kept[:1] if layer.maker.has(role) else []), None]


def _fixed(layer: Layer, g: Geometry, sizes: dict[str, int]) -> tuple[tuple[str, Any], ...] | None:
    """What the kernel's own size fixes; None if it is not of the size that was asked for."""
    own = {"kernel": (sizes["H"], sizes["W"]), "channels": sizes.get("I", 1), "maps": sizes.get("O", 1)}
    asked = {"kernel": ("kernel",), "channels": ("channels", "x_shape"), "maps": ("maps",)}
    differ = {name: value for name, value in own.items() if value != getattr(g, name)}
    if any(layer.has(*asked[name], "w_shape") for name in differ):
        return None
    return tuple((name, own[name]) for name in own if not layer.has(*asked[name], "w_shape"))


def _bias_of(layer: Layer, made: Any, g: Geometry, w: str) -> Iterator[tuple[Slot | None, Bias]]:
    """(where b is kept, its form)."""
    if layer.has("b"):
        yield from itertools.product(_given(layer, made, "b"), _biases(w))
        return
    there = next(slots(made, "b"), None)
    if there is None:
        yield None, (None, False)
        return
    slot, value = there
    for bias in _biases(w):
        if not isinstance(value, np.ndarray) or value.shape in _b_shapes(g, bias):
            yield slot, bias


def _b_shapes(g: Geometry, bias: Bias) -> set[tuple[int, ...]]:
    """The shapes of a bias in a form, whatever is always padded."""
    form, untied = bias
    outputs = {padded(g, always).output for always in ("none", "half", "full")} if untied else {()}
    return {sizes_in((g.maps, *output), "CHW" if untied else "C", form or "") for output in outputs}
