"""The registry: every clause by its id, which never changes."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.errors import UnknownClause
from conformance.oracle import Evidence, wrong
from conformance.spec.case import Case, Misshapen
from conformance.spec.network_case import NetworkCase

__all__ = ["CHAPTERS", "REGISTRY", "Clause", "Severity", "clause", "matching"]

CHAPTERS = {
    "FWD": "Forward",
    "DEL": "Delta of the layer before",
    "WGT": "Weight gradient",
    "BIA": "Bias gradient",
    "NET": "Network",
    "TRN": "Transposed convolution (optional)",
    "SEC": "Double backward (optional)",
    "JVP": "Forward mode (optional)",
    "ALG": "Algebra",
    "NUM": "Numerics",
    "HYG": "Hygiene",
}


class Severity(enum.StrEnum):
    """MUST decides conformance; SHOULD is reported and does not; INFO is measured."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    INFO = "INFO"


Property = Callable[[Any], Iterator[Evidence]]
"""Of a `Case`; in chapter NET, of a `NetworkCase`."""


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One requirement.

    check: the executable property; it yields the evidence that it gathers on one problem, and nothing where it does not
    apply.  needs: the quantities that an adapter must offer for it.  feature: that of `Capabilities.features` which the
    whole clause is about; '': none.  variants: does it ask for more calls than the problem's own?  (Then it is left out
    on large problems.)  falls_with: clauses whose failure on the same problem explains this one's.  readers: numbers of
    the seed's readers whose question it answers.
    """

    id: str
    severity: Severity
    text: str
    equation: str
    source: str
    check: Property = field(repr=False)
    needs: tuple[str, ...]
    feature: str = ""
    variants: bool = False
    falls_with: tuple[str, ...] = ()
    readers: tuple[int, ...] = ()

    @property
    def chapter(self) -> str:
        return self.id.partition("-")[0]

    @property
    def of_networks(self) -> bool:
        """Is it judged on whole networks (and on nothing else)?"""
        return self.chapter == "NET"


REGISTRY: dict[str, Clause] = {}
"""In the order of chapters."""


def clause(
    id: str,  # noqa: A002  (a clause's id is its name)
    text: str,
    *,
    equation: str,
    source: str,
    needs: Iterable[str],
    feature: str = "",
    severity: Severity = Severity.MUST,
    variants: bool = False,
    falls_with: Iterable[str] = (),
    readers: Iterable[int] = (),
) -> Callable[[Property], Property]:
    """Register the decorated property as a clause."""

    def register(check: Property) -> Property:
        if id in REGISTRY:
            raise ValueError(f"clause {id} is registered twice")

        def quiet(case: Case | NetworkCase) -> Iterator[Evidence]:
            if isinstance(case, NetworkCase) != id.startswith("NET"):
                return iter(())
            found: list[Evidence] = []
            with np.errstate(all="ignore"):  # results may hold anything
                try:
                    found.extend(check(case))
                except Misshapen as shape:
                    found.append(wrong(shape.quantity, str(shape)))
            return iter(found)

        REGISTRY[id] = Clause(
            id=id,
            severity=severity,
            text=text,
            equation=equation,
            source=source,
            check=quiet,
            needs=tuple(needs),
            feature=feature,
            variants=variants,
            falls_with=tuple(falls_with),
            readers=tuple(readers),
        )
        ordered = sorted(REGISTRY.values(), key=lambda c: list(CHAPTERS).index(c.chapter))
        REGISTRY.clear()
        REGISTRY.update({c.id: c for c in ordered})
        return check

    return register


def matching(pattern: str = "*") -> list[Clause]:
    """The clauses whose id matches a glob, or one of several separated by commas, in order of chapters.

    Raises:
        UnknownClause: one of them matches none.
    """
    found: dict[str, Clause] = {}
    for glob in map(str.strip, pattern.split(",")):
        matched = {c.id: c for c in REGISTRY.values() if fnmatch.fnmatchcase(c.id, glob.upper())}
        if not matched:
            raise UnknownClause(f"no clause matches {glob!r}; there are {', '.join(REGISTRY)}")
        found |= matched
    return [c for c in REGISTRY.values() if c.id in found]
