"""The ways in which one product may be rounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from conformance.adapter.probe.rounding import MODES, contains, rounded

__all__ = ["Fit", "ways"]

NARROWER = ("f32", "tf32", "f16", "bf16")
"""Formats to which operands may be rounded, finest first."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How every single product came about.

    inputs: the format to which operands were rounded, or ``none``.  which: ``both``, or the ``first`` alone, of which few
    elements are not zero, or the ``second``.  cut: cut off instead of to nearest.  rounding: of the result.  stored: a
    format to which the product was rounded before, or ``none``.
    """

    inputs: str = "none"
    which: str = "both"
    cut: bool = False
    rounding: str = "nearest-even"
    stored: str = "none"

    def product(self, a: Fraction, b: Fraction, out: str) -> float:
        """What it makes of a * b, in a dtype."""
        mode = "toward-zero" if self.cut else "nearest-even"
        if self.inputs != "none" and self.which != "second":
            a = rounded(a, self.inputs, mode)
        if self.inputs != "none" and self.which != "first":
            b = rounded(b, self.inputs, mode)
        product = a * b if self.stored == "none" else rounded(a * b, self.stored)
        return float(rounded(product, out, self.rounding))


def ways(code: str) -> Iterator[Fit]:
    """All of them for results of a dtype, the plainest first."""
    forms = [form for form in NARROWER if not contains(form, code)]
    operands = ("both", "first", "second")
    for stored in ("none", *forms):
        yield from (Fit(rounding=mode, stored=stored) for mode in MODES)
        for form, which, cut, mode in itertools.product(forms, operands, (False, True), MODES):
            yield Fit(inputs=form, which=which, cut=cut, rounding=mode, stored=stored)
