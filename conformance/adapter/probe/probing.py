"""All that can be seen of one implementation, in the order in which one thing explains the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from conformance.adapter.probe.algorithm import Algorithm, algorithms
from conformance.adapter.probe.bench import UNANSWERED, Bench
from conformance.adapter.probe.chains import chains
from conformance.adapter.probe.claims import claims
from conformance.adapter.probe.extremes import extremes, repeated
from conformance.adapter.probe.fit import Fit
from conformance.adapter.probe.footprints import footprints
from conformance.adapter.probe.invariance import unmoved
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation, merged
from conformance.adapter.probe.singles import fitted, singles, told
from conformance.adapter.probe.widths import Widths, direction
from conformance.adapter.session import Session
from conformance.oracle import Arithmetic
from conformance.oracle.arithmetic import PRECISION
from conformance.problem import DTYPES

__all__ = ["probe"]


def probe(session: Session) -> Iterator[Observation]:
    """Claims and convention; then, dtype by dtype, how numbers are rounded and by which algorithm.

    Raises:
        AdapterBroken: the adapter is at fault.
    """
    yield from claims(session)
    for dtype in (d for d in DTYPES if d in session.capabilities.dtypes):
        declared = session.capabilities.arithmetic_of(dtype) or {}
        seen = _Probing(Bench(session, dtype)).observations()
        yield from merged(_against(declared.get(o.quantity), o) for o in seen)


class _Probing:
    """One dtype.  fits and algorithms: what was found before, by quantity."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.fits: dict[str, Fit | None] = {}
        self.algorithms: dict[str, Algorithm] = {}
        self.widths = Widths(bench, self.fits)

    def observations(self) -> Iterator[Observation]:
        yield from self._guarded("single products", self._products)
        self.widths = Widths(self.bench, self.fits)
        for q in self.fits:
            yield from self._guarded("sums", lambda q=q: self._sums(q), q)  # type: ignore[misc]
        yield from self._guarded("NaN reaches", self._footprints)
        yield from self._guarded("repeatable", lambda: repeated(self.bench))

    def _guarded(
        self, what: str, look: Callable[[], Iterator[Observation]], quantity: str = ""
    ) -> Iterator[Observation]:
        try:
            yield from look()
        except UNANSWERED as reason:
            yield self.bench.saw(quantity, what, UNOBSERVABLE, str(reason))

    def _products(self) -> Iterator[Observation]:
        """Rounding of operands and results; the algorithm."""
        found = singles(self.bench)
        self.fits |= {q: fitted(seen, self.bench.code) for q, seen in found.items()}
        self.algorithms |= algorithms(self.bench, found, self.fits)
        for q, a in self.algorithms.items():
            yield self.bench.saw(q, "algorithm", str(a), a.evidence)
        for q, seen in found.items():
            yield from told(self.bench, q, seen, self.fits[q])
        if None in self.fits.values():
            for q, form in unmoved(self.bench).items():
                if self.fits[q] is None:
                    evidence = (
                        f"rounding operands to {form} before changes no bit"
                        if form != "none"
                        else "any rounding of operands shows"
                    )
                    yield self.bench.saw(q, "input rounding", form, evidence)

    def _sums(self, q: str) -> Iterator[Observation]:
        """Accumulator, partial sums and extremes of one quantity."""
        fit = self.fits[q]
        if fit is None:
            why = f"it is {self.algorithms[q]}, and rounds single products more than once"
            for what in ("accumulator", "rounding of sums", "subnormal results", "overflow"):
                yield self.bench.saw(q, what, UNOBSERVABLE, why)
            return
        seen = chains(self.bench, q)
        yield from self.widths.told(q, seen)
        narrow = self.bench.format.p < self.widths.base
        yield self.bench.saw(q, "rounding of sums", *direction(seen, fit.rounding, narrow=narrow))
        yield from extremes(self.bench, q, seen)

    def _footprints(self) -> Iterator[Observation]:
        for q, value, evidence in footprints(self.bench):
            yield self.bench.saw(q, "NaN reaches", value, evidence)


# ---- what was declared ----
def _against(declared: Arithmetic | None, seen: Observation) -> Observation:
    """The observation with what was declared, if that is something else."""
    if declared is None or seen.value == UNOBSERVABLE:
        return seen
    if seen.quantity == "db" and seen.property == "algorithm":  # it is summed directly beside every algorithm
        return seen
    word = _words(declared, seen.dtype).get(seen.property, seen.value)
    return seen if _agrees(seen.value, word) else replace(seen, declared=word)


def _words(a: Arithmetic, code: str) -> Mapping[str, str]:
    subnormal = "flushed" if a.flushes else "kept"
    return {
        "input rounding": a.inputs or "none",
        "accumulator": a.accumulator or code,
        "partial sums": a.partial_sums or "none",
        "rounding of sums": "toward zero" if a.truncates else "to nearest",
        "subnormal operands": subnormal,
        "subnormal results": subnormal,
        "algorithm": str(Algorithm(name=a.algorithm, tile=a.tile, evidence="")),
    }


def _agrees(value: str, word: str) -> bool:
    """Is a declared word what was seen, where that may say more (``f16 over taps``, ``wider than f32``)?"""
    base, _, wider = value.partition("wider than ")
    if wider:
        return PRECISION[word] > PRECISION[wider]
    return base == word or base.startswith((f"{word} ", f"{word},"))
