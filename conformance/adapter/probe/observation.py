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
    with the numbers seen.  declared: what the adapter declares, if that differs.
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
