"""Layers as learners write them, made by the reference, in any order of axes and either convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.learner.find import Plain
from conformance.learner.forms import OWN, given, taken
from conformance.learner.limits import PADDINGS
from conformance.reference import Convolution

SECONDS = 20.0


def plain(ahead: Callable[..., Any], *backs: Callable[..., Any]) -> Plain:
    """Functions as they would be found in a file."""
    return Plain(
        name=ahead.__name__,
        function=ahead,
        backs=tuple((back.__name__, back) for back in backs),
        likely=True,
    )


def layer(
    x_form: str = "NCHW",
    w_form: str = "OIHW",
    b_form: str = "C",
    *,
    convention: str = "correlation",
    always: str = "none",
    grown: Callable[[str, Any, int], Any] = lambda quantity, a, batch: a,
) -> Plain:
    """conv_forward(x, w, b, stride, pad) and conv_backward(dout, x, w, b, stride, pad) in these forms.

    grown: what becomes of a gradient (quantity, array, batch) before it is returned.
    """

    def made(x: Any, w: Any, b: Any, stride: int) -> tuple[Any, Any]:
        own_x, own_w = taken(x, OWN["x"], x_form), taken(w, OWN["w"], w_form)
        assert own_x.ndim == own_w.ndim == 4
        assert own_x.shape[1] == own_w.shape[1]
        assert b.shape == taken(b, "C", b_form).shape or taken(b, "C", b_form).shape == (len(own_w),)
        pads = tuple(
            PADDINGS[always](i, k, stride) for i, k in zip(own_x.shape[2:], own_w.shape[2:], strict=True)
        )
        return Convolution(
            own_w, taken(np.asarray(b), "C", b_form), stride=(stride, stride), padding=pads, convention=convention
        ), own_x  # fmt: skip

    def conv_forward(x: Any, w: Any, b: Any, stride: int = 1) -> Any:
        convolution, own_x = made(x, w, b, stride)
        return given(convolution.forward(own_x), OWN["y"], x_form)

    def conv_backward(dout: Any, x: Any, w: Any, b: Any, stride: int = 1) -> Any:
        convolution, own_x = made(x, w, b, stride)
        convolution.forward(own_x)
        dx, dw, db = convolution.backward(taken(dout, OWN["y"], x_form))
        n = len(own_x)
        return (
            given(grown("dx", dx, n), OWN["x"], x_form),
            given(grown("dw", dw, n), OWN["w"], w_form),
            given(grown("db", db, n), "C", b_form),
        )

    return plain(conv_forward, conv_backward)
