"""One thing that a probe saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

__all__ = ["UNOBSERVABLE", "Observation", "merged"]

UNOBSERVABLE = "not observable"
"""The value of a property that could not be seen; the evidence says why."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A property of an implementation, inferred from outside.

    dtype: a code, '' where it matters to none.  quantity: y, dx, dw or db; '' for all that are offered.  evidence: one line
    with the numbers seen.  declared: what the adapter declares, if that differs.  property and value:

    convention            correlation, convolution, neither
    claims                hold; and by the name of what is claimed or not: fails, works
    algorithm             direct (``direct, products not rounded once``), winograd F(m, k), fft, unknown
    input rounding        none, or a format: f32, tf32, f16, bf16 (``bf16 (w only)``, ``tf32, cut off``)
    output rounding       nearest-even, nearest-away, toward-zero, up, down (``nearest-even, of f16``: stored so before)
    accumulator           a format, or ``wider than`` one
    partial sums          none, or a format and the axes that lose bits: ``f16 over taps``
    rounding of sums      to nearest, toward zero, up, down, other
    subnormal operands, subnormal results       kept, flushed, other
    overflow              inf, saturated, nan, other
    NaN reaches           reads only, through zeros, further, swallowed
    repeatable            yes, no
    any of them           not observable
    """

    dtype: str
    quantity: str
    property: str
    value: str
    evidence: str
    declared: str = ""


def merged(observations: Iterable[Observation]) -> Iterator[Observation]:
    """Observations of one property that agree in all quantities become one, with the evidence of the first."""
    by_property: defaultdict[str, list[Observation]] = defaultdict(list)
    for seen in observations:
        by_property[seen.property].append(seen)
    for alike in by_property.values():
        first = alike[0]
        if len(alike) > 1 and len({(o.value, o.declared) for o in alike}) == 1:
            yield replace(first, quantity="", evidence=f"{first.quantity}: {first.evidence}")
        else:
            yield from alike
