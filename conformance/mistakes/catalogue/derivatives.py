"""Double backward and forward mode: a term missing, x for u, w for v, a factor 2, two directions in one product."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.optional import first, given, made, then, without
from conformance.mistakes.catalogue.shared import TURNED
from conformance.mistakes.recipe import Floats
from conformance.problem import Geometry, Operands

__all__ = ["MISTAKES"]

BY_X = "dw = dw(x, delta) is all that depends on x: by x it is dx(delta, v)"
BY_W = "dx = dx(delta, w) is all that depends on w: by w it is dw(u, delta)"
BY_DELTA = "dx, dw and db all depend on delta: by delta it is conv(u, w) + conv(x, v) + r"
RULE = "the product rule: dy = conv(u, w) + conv(x, v) + r"
ALONE = "a gradient that is not asked for adds nothing, and takes nothing from the others"


def _biased(out: Floats, g: Geometry, o: Operands) -> Floats:
    """With b added, though it is a constant."""
    if o.b is None:
        return out
    b = o.b.astype(np.float64)
    return out + (b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank))


TWICE = then(lambda out, g: 2 * out)

SECOND = (
    made(
        "double_backward.dx-zero",
        "the second derivative by x is zero: that dw depends on x is forgotten",
        hint=BY_X,
        end=then(lambda out, g: 0 * out),
    ),
    made(
        "double_backward.dx-w-for-v",
        "the second derivative by x goes back through w and not through v",
        hint=BY_X,
        operands=given(v="w"),
    ),
    made(
        "double_backward.dx-kernel-turned",
        "the second derivative by x slides v unrotated",
        hint="it is a full convolution with v rotated by 180 degrees, as dx is with w",
        change=first(TURNED),
    ),
    made(
        "double_backward.dx-doubled",
        "the second derivative by x is twice what it should be",
        hint="L is linear in x, not quadratic: there is no factor 2",
        end=TWICE,
    ),
    made(
        "double_backward.dx-lost-without-u",
        "without a direction of x, the second derivative by x is zero",
        hint=ALONE,
        end=lambda out, g, o: 0 * out if o.u is None else out,
    ),
    made(
        "double_backward.dw-zero",
        "the second derivative by w is zero: that dx depends on w is forgotten",
        hint=BY_W,
        end=then(lambda out, g: 0 * out),
    ),
    made(
        "double_backward.dw-x-for-u",
        "the second derivative by w correlates x and not u with delta",
        hint=BY_W,
        operands=given(u="x"),
    ),
    made(
        "double_backward.dw-kernel-turned",
        "the second derivative by w comes out rotated by 180 degrees",
        hint="it is dw of the input u: what is done to dw is done to it",
        change=first(TURNED),
    ),
    made(
        "double_backward.dw-doubled",
        "the second derivative by w is twice what it should be",
        hint="L is linear in w, not quadratic: there is no factor 2",
        end=TWICE,
    ),
    made(
        "double_backward.dw-lost-without-v",
        "without a direction of w, the second derivative by w is zero",
        hint=ALONE,
        end=lambda out, g, o: 0 * out if o.v is None else out,
    ),
)

PRODUCT = (
    ("double_backward.ddelta", "the second derivative by delta", BY_DELTA),
    ("forward_mode.dy", "dy", RULE),
)
"""Both are conv(u, w) + conv(x, v) + r."""

SHARED = tuple(
    mistake
    for q, what, hint in PRODUCT
    for mistake in (
        made(
            f"{q}-term-of-u-missing",
            f"{what} leaves out conv(u, w)",
            hint=hint,
            change=without(0),
        ),
        made(
            f"{q}-term-of-v-missing",
            f"{what} leaves out conv(x, v)",
            hint=hint,
            operands=lambda o: o.replace(v=None),
        ),
        made(
            f"{q}-term-of-r-missing",
            f"{what} leaves out r, the direction of the bias",
            hint=hint,
            operands=lambda o: o.replace(r=None),
        ),
        made(
            f"{q}-doubled",
            f"{what} is twice what it should be",
            hint=hint,
            end=TWICE,
        ),
        made(
            f"{q}-x-for-u",
            f"{what} takes conv(x, w) where conv(u, w) belongs",
            hint=hint,
            operands=given(u="x"),
        ),
        made(
            f"{q}-w-for-v",
            f"{what} takes conv(x, w) where conv(x, v) belongs",
            hint=hint,
            operands=given(v="w"),
        ),
        made(
            f"{q}-both-in-one-product",
            f"{what} is conv(u, v) + r: both directions in one product",
            hint=hint,
            change=without(0),
            operands=given(x="u"),
        ),
        made(
            f"{q}-bias-added",
            f"{what} adds b as y does",
            hint="b is a constant: its derivative is r, and b itself is in no derivative",
            end=_biased,
        ),
        made(
            f"{q}-lost-without-u",
            f"without a direction of x, {what} is zero",
            hint=ALONE,
            end=lambda out, g, o: 0 * out if o.u is None else out,
        ),
    )
)

MISTAKES = (*SECOND, *SHARED)
