"""Dilation: ignored, counted as inserted zeros, exchanged with another axis' or with the stride."""

from __future__ import annotations

from conformance.mistakes.catalogue.stride import _swapped
from conformance.mistakes.recipe import each, relation, relations

__all__ = ["MISTAKES"]

HINT = "tap t stands at t * dilation, in y, dx and dw alike"

MISTAKES = (
    *each("y dx dw", "dilation-ignored", "{q} ignores the dilation: the taps stand side by side",
          hint=HINT, switch=relations(lambda r, made, axis: relation(made.g, axis, dilation=1))),
    *each("y dx dw", "dilation-counted-as-zeros", "{q} inserts as many zeros between taps as the dilation, one too many",
          hint="dilation d inserts d - 1 zeros",
          switch=relations(lambda r, made, axis: relation(
              made.g, axis, dilation=made.g.dilation[axis] + (made.g.dilation[axis] > 1)))),
    *each("y dx dw", "dilations-exchanged", "{q} uses the dilation of the width for the height and the other way round",
          hint="dilations are given in the order of the axes",
          switch=relations(lambda r, made, axis: relation(made.g, axis, dilation=_swapped(made.g.dilation, axis)))),
    *each("y dx dw", "first-dilation-for-all-axes", "{q} uses the first axis' dilation along every axis", hint="one dilation an axis",
          switch=relations(lambda r, made, axis: relation(made.g, axis, dilation=made.g.dilation[0]))),
    *each("y dx dw", "stride-and-dilation-exchanged", "{q} takes the stride for the dilation and the dilation for the stride",
          hint="in dw the stride dilates delta, and the dilation is the step between taps",
          switch=relations(lambda r, made, axis: relation(
              made.g, axis, stride=made.g.dilation[axis], dilation=made.g.stride[axis]))),
)  # fmt: skip
