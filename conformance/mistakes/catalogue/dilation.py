"""Dilation: ignored, counted as inserted zeros, exchanged with another axis' or with the stride."""

from __future__ import annotations

from conformance.mistakes.catalogue.shared import placed, swapped
from conformance.mistakes.recipe import each

__all__ = ["MISTAKES"]

MISTAKES = (
    *each(
        "y dx dw",
        "dilation-ignored",
        "{q} ignores the dilation: the taps stand side by side",
        hint="tap t stands at t * dilation, in y, dx and dw alike",
        switch=placed(dilation=lambda g, axis: 1),
    ),
    *each(
        "y dx dw",
        "dilation-counted-as-zeros",
        "{q} inserts as many zeros between taps as the dilation, one too many",
        hint="a dilation of d inserts d - 1 zeros: tap t stands at t * d",
        switch=placed(dilation=lambda g, axis: g.dilation[axis] + (g.dilation[axis] > 1)),
    ),
    *each(
        "y dx dw",
        "dilations-exchanged",
        "{q} uses the dilation of the width for the height and the other way round",
        hint="dilations are given in the order of the axes",
        switch=placed(dilation=lambda g, axis: swapped(g.dilation, axis)),
    ),
    *each(
        "y dx dw",
        "first-dilation-for-all-axes",
        "{q} uses the first axis' dilation along every axis",
        hint="one dilation an axis",
        switch=placed(dilation=lambda g, axis: g.dilation[0]),
    ),
    *each(
        "y dx dw",
        "stride-and-dilation-exchanged",
        "{q} takes the stride for the dilation and the dilation for the stride",
        hint="the stride is the step between outputs (it dilates delta in dw), the dilation the step between taps",
        switch=placed(stride=lambda g, axis: g.dilation[axis], dilation=lambda g, axis: g.stride[axis]),
    ),
)
