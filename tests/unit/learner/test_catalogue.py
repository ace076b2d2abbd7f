"""No mistake changes how a layer is read, and each that shows stops at a step that it touches."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from conformance.adapter.session import Session
from conformance.learner.reading import Learned, Reading
from conformance.learner.steps import Walked, walk
from conformance.learner.understand import understood
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.mistake import right
from conformance.problem import Geometry, Operands
from learners import SECONDS, plain

SEEN = ("rotation", "modes", "reductions", "bias", "scale", "operands")
MISTAKES = [m.name for family in SEEN for m in FAMILIES[family] if "f64" in m.dtypes]
MEANT_OTHERWISE = {"y-kernel-rotated"}
"""A forward pass that rotates the kernel is no mistake: it is a true convolution."""


@functools.cache
def read(name: str) -> tuple[Reading, list[Walked]]:
    """How functions that make the mistake are read, and how far their steps go."""
    mistake = CATALOGUE[name]

    def asked(quantity: str, x: Any, w: Any, b: Any, delta: Any, stride: int, pad: int) -> Any:
        g = Geometry(
            batch=len(x), channels=x.shape[1], maps=len(w), size=x.shape[2:], kernel=w.shape[2:], stride=(stride,),
            padding=((pad, pad),),
        )  # fmt: skip
        g.check(x=x, w=w, b=b)
        operands = Operands(x=x, w=w, b=b, delta=np.zeros(g.y_shape) if delta is None else delta)
        compute = mistake.compute if quantity in mistake.quantities else right
        with np.errstate(all="ignore"):
            return compute(g, operands, quantity)

    def conv_forward(x, w, b, stride, pad):
        return asked("y", x, w, b, None, stride, pad)

    def conv_backward(dout, x, w, b, stride, pad):
        return tuple(asked(q, x, w, b, dout, stride, pad) for q in ("dx", "dw", "db"))

    seen = understood(plain(conv_forward, conv_backward), SECONDS)
    assert seen is not None
    return seen.reading, list(walk(Session(Learned(seen.reading), "mistaken"), seen.reading))


@pytest.mark.parametrize("name", [name for name in MISTAKES if name not in MEANT_OTHERWISE])
def test_a_mistake_is_no_convention_and_stops_at_its_own_step(name: str) -> None:
    reading, walked = read(name)
    assert (reading.x, reading.w, reading.b, reading.y) == ("NCHW", "OIHW", "C", "NCHW")
    assert {q: (g.part, g.mean) for q, g in reading.gradients.items()} == {
        "dx": (0, False),
        "dw": (1, False),
        "db": (2, False),
    }
    limits = (reading.limits.square_kernels, reading.limits.odd_kernels, reading.limits.divides)
    assert limits == (False, False, False)
    assert reading.limits.always == "none"
    if walked[-1].broken is not None:
        assert walked[-1].step.quantity in CATALOGUE[name].quantities


def test_most_mistakes_show_in_the_steps() -> None:
    broken = [name for name in MISTAKES if read(name)[1][-1].broken is not None]
    unseen = set(MISTAKES) - set(broken)
    assert len(broken) > 0.9 * len(MISTAKES), unseen


def test_a_rotated_kernel_in_y_alone_is_read_as_true_convolution() -> None:
    reading, walked = read("y-kernel-rotated")
    assert reading.limits.convention == "convolution"
    assert walked[-1].step.quantity == "dx"
