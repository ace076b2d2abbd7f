"""Layers as learners write them, made by the reference, in any order of axes and either convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.learner.find import Plain
from conformance.learner.forms import OWN, given, taken
from conformance.learner.limits import PADDINGS
from conformance.reference import Convolution

__all__ = ["SECONDS", "layer", "plain"]

SECONDS = 20.0
"""A call may take so long."""


def plain(ahead: Callable[..., Any], *backs: Callable[..., Any]) -> Plain:
    """Functions as they would be found in a file."""
    named = tuple((back.__name__, back) for back in backs)
    return Plain(name=ahead.__name__, function=ahead, backs=named, likely=True)


def layer(
    x_form: str = "NCHW",
    w_form: str = "OIHW",
    b_form: str = "C",
    *,
    convention: str = "correlation",
    always: str = "none",
    grown: Callable[[str, Any, int], Any] = lambda quantity, a, batch: a,
) -> Plain:
    """conv_forward(x, w, b, stride=1) and conv_backward(dout, x, w, b, stride=1) in these forms; others raise.

    y has its maps where x has its channels, or behind the batch.  always: what is padded.  grown: what becomes of a gradient
    (quantity, array, batch) before it is returned.
    """
    y_form = x_form if "C" in x_form or "O" not in w_form else x_form.replace("HW", "CHW")

    def reference(x: Any, w: Any, b: Any, stride: int) -> Convolution:
        own_x, own_w, own_b = (
            taken(x, OWN["x"], x_form),
            taken(w, OWN["w"], w_form),
            taken(np.asarray(b), "C", b_form),
        )
        assert [np.ndim(a) for a in (x, w, b)] == [len(form) for form in (x_form, w_form, b_form)]
        assert own_x.shape[1] == own_w.shape[1]
        assert own_b.shape == own_w.shape[:1]
        sizes = zip(own_x.shape[2:], own_w.shape[2:], strict=True)
        padding = tuple(PADDINGS[always](size, kernel, stride) for size, kernel in sizes)
        steps = {"stride": (stride, stride), "padding": padding, "dilation": (1, 1)}
        made = Convolution(own_w, own_b, convention=convention, **steps)
        made.x = own_x
        return made

    def conv_forward(x: Any, w: Any, b: Any, stride: int = 1) -> Any:
        made = reference(x, w, b, stride)
        return given(made.forward(made.x), OWN["y"], y_form)

    def conv_backward(dout: Any, x: Any, w: Any, b: Any, stride: int = 1) -> Any:
        made = reference(x, w, b, stride)
        gradients = made.backward(taken(dout, OWN["y"], y_form))
        dx, dw, db = (grown(q, a, len(made.x)) for q, a in zip(("dx", "dw", "db"), gradients, strict=True))
        return given(dx, OWN["x"], x_form), given(dw, OWN["w"], w_form), given(db, "C", b_form)

    return plain(conv_forward, conv_backward)
