"""How arrays lie in someone's code: a form is the order of axes, as in ``NHWC``.

An axis that is left out has one entry: ``HW`` is one image of one channel.  A ``1`` is an axis of one entry that means
nothing, as in a bias of shape (M, 1).  The letters: N batch, C channels of x (or the maps of y), O and I maps and
channels of w, H and W.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.problem import Geometry

__all__ = ["BIASES", "LAYOUTS", "OWN", "UNTIED", "Y_FORMS", "given", "named", "reduced", "sizes_in", "taken"]

Array = NDArray[Any]

OWN = {"x": "NCHW", "dx": "NCHW", "w": "OIHW", "dw": "OIHW", "y": "NCHW", "delta": "NCHW"}
"""Ours; a tied bias is ``C``, an untied one ``CHW``."""

LAYOUTS = (
    ("NCHW", "OIHW"), ("NHWC", "HWIO"), ("NHWC", "OHWI"), ("NHWC", "OIHW"), ("NCHW", "IOHW"), ("NCHW", "HWIO"),
    ("CHW", "OIHW"), ("HWC", "HWIO"), ("HWC", "OHWI"), ("HWC", "OIHW"), ("CHW", "HWIO"), ("HWCN", "HWIO"),
    ("HW", "HW"), ("HW", "OHW"), ("HW", "HWO"), ("HWC", "HWI"), ("CHW", "IHW"), ("NHW", "HW"), ("NHW", "OHW"),
)  # fmt: skip
"""Forms of (x, w) that are tried."""

Y_FORMS = ("NCHW", "NHWC", "CHW", "HWC", "HW", "NHW", "HWCN")
BIASES = ("C", "C1", "1C", "1C11", "111C", "C11")
UNTIED = ("CHW", "HWC", "HW", "1CHW", "1HWC")

_NAMES = {
    "x": {"N": "N", "C": "C", "H": "H", "W": "W"},
    "w": {"O": "M", "I": "C", "H": "KH", "W": "KW"},
    "y": {"N": "N", "C": "M", "H": "OH", "W": "OW"},
    "b": {"C": "M", "H": "OH", "W": "OW", "1": "1"},
}


def named(operand: str, form: str) -> str:
    """A form as a reader meets it: ``(N, C, H, W)``."""
    names = [_NAMES[operand][axis] for axis in form]
    if not names:
        return "a number"
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def given(a: Array, own: str, form: str) -> Any:
    """A view of an array of ours in a form; the axes that it leaves out must have one entry."""
    kept = [axis for axis in own if axis in form]
    a = a[tuple(slice(None) if axis in form else 0 for axis in own)]
    a = np.transpose(a, [kept.index(axis) for axis in form if axis != "1"])
    return a[tuple(None if axis == "1" else slice(None) for axis in form)]


def taken(a: Array, own: str, form: str) -> Array:
    """A view in our order of an array that came back in a form; as it is if it has not as many axes."""
    if a.ndim != len(form) or any(n != 1 for n, axis in zip(a.shape, form, strict=True) if axis == "1"):
        return a
    axes = form.replace("1", "")
    a = a[tuple(0 if axis == "1" else slice(None) for axis in form)]
    a = np.transpose(a, [axes.index(axis) for axis in own if axis in axes])
    view: Array = a[tuple(slice(None) if axis in axes else None for axis in own)]
    return view


def sizes_in(shape: tuple[int, ...], own: str, form: str) -> tuple[int, ...]:
    """A shape of ours as it is in a form."""
    if len(shape) != len(own):
        return shape
    return tuple(1 if axis == "1" else shape[own.index(axis)] for axis in form)


def reduced(g: Geometry, x: str, w: str) -> Geometry:
    """The geometry with one entry along every axis that the forms leave out."""
    lacking = {"batch": "N" not in x, "channels": "C" not in x, "maps": "O" not in w}
    return replace(g, **{name: min(getattr(g, name), 1) for name, lacks in lacking.items() if lacks})
