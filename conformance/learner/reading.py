"""A reading: one way to understand someone's layer: how it is called, how its arrays lie, which convolution it means."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.protocol import Adapter, Capabilities
from conformance.learner.calling import Options, Values
from conformance.learner.forms import OWN, given, taken
from conformance.learner.limits import Limits
from conformance.learner.quiet import quietly
from conformance.learner.way import Parts, Way, array
from conformance.problem import DTYPES, Geometry

__all__ = ["Gradient", "Learned", "Reading"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """part: which of what came back it is.  mean: it comes divided by the number of items of the batch."""

    part: int
    form: str
    mean: bool = False


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Forms (`forms`) of x, w, b and y; `b` is None without a bias.  gradients: those that come back, by quantity."""

    way: Way
    x: str
    w: str
    b: str | None = None
    untied: bool = False
    y: str = "NCHW"
    y_part: int = 0
    gradients: Mapping[str, Gradient] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    dtype: str = "f64"

    @property
    def bias(self) -> str:
        return "none" if self.b is None else "untied" if self.untied else "tied"

    def own(self, name: str) -> str:
        """Our axes of an operand or a result."""
        return OWN.get(name) or ("CHW" if self.untied else "C")

    def form(self, name: str) -> str:
        """Its axes in the learner's code."""
        forms = {"x": self.x, "w": self.w, "b": self.b or "", "y": self.y, "delta": self.y}
        return self.gradients[name].form if name in self.gradients else forms[name]

    # ---- calls ----
    def values(self, g: Geometry, **operands: Any) -> Values:
        """What a call is made with; a bias of zeros where the geometry has none and the code takes one."""
        if operands.get("b") is None and self.b is not None:
            shape = (g.maps, *g.output) if self.untied else (g.maps,)
            operands["b"] = np.zeros(shape, operands["x"].dtype)
        arrays = {
            name: given(a, self.own(name), self.form(name)) for name, a in operands.items() if a is not None
        }
        return Values(g=g, arrays=arrays, options=options(g))

    def y_of(self, came: Parts) -> Array:
        """y among what came back, in our order of axes."""
        return self._taken("y", came[self.y_part][1])

    def gradient_of(self, quantity: str, came: Parts, batch: int) -> Array:
        """A gradient among what came back, in our order of axes; times the batch if it came as a mean."""
        known = self.gradients[quantity]
        a = self._taken(quantity, came[known.part][1])
        return a * a.dtype.type(batch) if known.mean else a

    def _taken(self, name: str, value: Any) -> Array:
        a = array(value)
        if a is None:
            raise TypeError(f"{name} came back as {type(value).__name__}, which is no array of numbers")
        return taken(a, self.own(name), self.form(name))


def options(g: Geometry) -> Options:
    """A dictionary of options under the usual names."""
    stride, pad = g.stride[0], g.padding[0][0]
    return Options(stride=stride, strides=stride, pad=pad, padding=pad)


class Learned(Adapter):
    """The adapter that a reading is."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        offered = frozenset({"y", *reading.gradients})
        self.capabilities = Capabilities(
            ranks=frozenset({2}),
            dtypes=frozenset({reading.dtype}),
            stride=True,
            padding="asymmetric",
            biases=frozenset(reading.limits.bias),
            quantities=offered,
            convention=reading.limits.convention,
        )

    @functools.cached_property
    def _numpy(self) -> Any:
        return DTYPES[self.reading.dtype].numpy

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return None if self.reading.limits.takes(g) else "this code does not take it"

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        with quietly():
            came = self.reading.way.forward(self.reading.values(g, x=x, w=w, b=b))
        return self._stored(self.reading.y_of(came))

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        with quietly():
            came = self.reading.way.backward(self.reading.values(g, x=x, w=w, b=b, delta=delta))
        known = self.reading.gradients
        return tuple(
            self._stored(self.reading.gradient_of(q, came, g.batch)) if q in known else None
            for q in ("dx", "dw", "db")
        )

    def _stored(self, a: Array) -> Array:
        """Rounded to float32, where that is what the code computes in: some of its results may be wider."""
        return a if self.reading.dtype == "f64" else a.astype(self._numpy)
