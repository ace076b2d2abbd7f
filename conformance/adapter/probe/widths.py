"""How wide sums are kept, where they are stored narrower, and whether they are rounded to nearest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conformance.adapter.probe.bench import Bench
from conformance.adapter.probe.chains import Chain
from conformance.adapter.probe.fit import Fit
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation
from conformance.adapter.probe.sums import EVERYWHERE, FORMATS, Sums, lossy, sums
from conformance.oracle.arithmetic import PRECISION

__all__ = ["Widths", "direction"]


class Widths:
    """Sums of one implementation in one dtype, asked at as many widths as it takes.

    fits: how single products are rounded, by quantity (None: not as single products are).  kinds: of geometries.
    """

    def __init__(
        self, bench: Bench, fits: Mapping[str, Fit | None], kinds: Sequence[str] = EVERYWHERE
    ) -> None:
        self.bench, self._kinds = bench, kinds
        known = [fit for fit in fits.values() if fit]
        self._rounding = {q: fit.rounding for q, fit in fits.items() if fit}
        self._inputs = min(
            [PRECISION[fit.inputs] for fit in known if fit.inputs != "none"], default=bench.format.p
        )
        self._asked: dict[int, dict[str, list[Sums]]] = {}

    @property
    def base(self) -> int:
        """The bits that may be asked of every implementation of the dtype."""
        return max(24, self.bench.format.p)

    def at(self, bits: int) -> dict[str, list[Sums]]:
        if bits not in self._asked:
            self._asked[bits] = sums(
                self.bench, bits, kinds=self._kinds, inputs=self._inputs, rounding=self._rounding
            )
        return self._asked[bits]

    def right(self, bits: int, q: str) -> bool:
        return not any(s.wrong for s in self.at(bits)[q])

    def told(self, q: str, chains: Mapping[str, Chain]) -> Iterator[Observation]:
        """Accumulator and partial sums of one quantity that is summed directly."""
        seen = self.at(self.base)[q]
        if not seen:
            yield self.bench.saw(q, "accumulator", UNOBSERVABLE, "no geometry that is offered sums it")
            return
        narrow = self._widest_right(q)
        axes = lossy(seen)
        evidence = _evidence(self.base, seen)
        if narrow is None:
            yield self.bench.saw(q, "accumulator", UNOBSERVABLE, evidence)
        elif narrow == self.base:
            yield self.bench.saw(q, "accumulator", *self._width(q, chains, evidence))
            yield self.bench.saw(q, "partial sums", "none", evidence)
        elif axes:
            yield self.bench.saw(q, "accumulator", FORMATS[self.base], evidence)
            where = ", ".join(" with ".join(sorted(over)) for over in axes)
            yield self.bench.saw(q, "partial sums", f"{FORMATS[narrow]} over {where}", evidence)
        else:
            chain = f"; {chains['chain']}" if "chain" in chains else ""
            yield self.bench.saw(q, "accumulator", FORMATS[narrow], evidence + chain)

    def _widest_right(self, q: str) -> int | None:
        """The most bits at which no sum is wrong, of those that may be asked and of formats that lie within the dtype."""
        widths = sorted({self.base, *(bits for bits in FORMATS if bits <= self.bench.format.p)}, reverse=True)
        return next((bits for bits in widths if self.right(bits, q)), None)

    def _width(self, q: str, chains: Mapping[str, Chain], evidence: str) -> tuple[str, str]:
        """(value, evidence), where the base width is kept: is it even wider?"""
        base = FORMATS[self.base]
        if self.bench.code == "f32":
            wide = self.at(53)[q]
            return (base if any(s.wrong for s in wide) else f"wider than {base}"), _evidence(53, wide)
        if (wider := chains.get("wide")) is None:
            return base, evidence
        right = wider.right and self._rounding.get(q) == "nearest-even"
        return (f"wider than {base}" if right else base), f"{evidence}; {wider}"


def _evidence(bits: int, seen: list[Sums]) -> str:
    """What is wrong, and how many are right over which axes."""
    right, wrong = [s for s in seen if not s.wrong], [s for s in seen if s.wrong]
    parts = [f"{', '.join(map(str, wrong))} are wrong: {wrong[0].example}"] if wrong else []
    if right:
        over = ", ".join(dict.fromkeys(s.named for s in right))
        parts.append(f"all {sum(s.of for s in right)} over {over} are right")
    return f"of sums within 2^{bits} units {'; '.join(parts)}"


def direction(chains: Mapping[str, Chain], rounding: str, *, narrow: bool) -> tuple[str, str]:
    """(value, evidence): how sums are rounded, seen where results of a narrow dtype are rounded to nearest, ties to even."""
    if not {"control", "grows", "falls"} <= set(chains):
        return UNOBSERVABLE, "too few terms are summed"
    grows, falls = chains["grows"], chains["falls"]
    evidence = f"{grows}, {falls}"
    if not chains["control"].right:
        return UNOBSERVABLE, f"sums are not right: {chains['control']}"
    if narrow and rounding != "nearest-even":
        return UNOBSERVABLE, f"results are rounded {rounding}"
    top = float(grows.terms[0])
    kinds = {
        (True, True): "to nearest",
        (False, False): "toward zero",
        (True, False): "up",
        (False, True): "down",
    }
    known = grows.got in (top, grows.once) and falls.got in (-top, falls.once)
    return (kinds[grows.right, falls.right] if known else "other"), evidence
