"""Single products: what becomes of a * b alone shows how operands and results are rounded.

A few elements of x (or of delta) are not zero, and so far from each other that no result sums two of them.  Direct
algorithms round such a product once; so the format to which operands were rounded before, and the way in which the result
was, are found by trying all of them: the one that gives every bit.  Transforms fit none, and leave noise where all
products are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.bench import Bench, words
from conformance.adapter.probe.fit import Fit, ways
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation
from conformance.adapter.probe.rounding import digits, rounded
from conformance.oracle.vectorised import Layer
from conformance.problem import DType, Geometry, dtype_of

__all__ = ["Singles", "fitted", "mantissas", "mixed", "singles", "told"]

Floats = NDArray[np.float64]

FACTORS = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("delta", "x"), "db": ("delta", "")}
"""By quantity: the operand of which few elements are not zero, and the other."""


@dataclass(frozen=True, kw_only=True)
class Singles:
    """What was seen of one quantity.

    out: the format of the result.  factors: of each element with one product that is not zero; got: what it came back as.
    zeros: the number of elements without any, strays: those of them that are not zero.
    """

    out: str
    factors: list[tuple[Fraction, Fraction]]
    got: list[float]
    zeros: int
    strays: list[float]

    def __add__(self, other: Singles) -> Singles:
        return Singles(
            out=self.out,
            factors=self.factors + other.factors,
            got=self.got + other.got,
            zeros=self.zeros + other.zeros,
            strays=self.strays + other.strays,
        )

    def fits(self, fit: Fit) -> bool:
        products = zip(self.factors, self.got, strict=True)
        return all(fit.product(a, b, self.out) == got for (a, b), got in products)

    @property
    def strayed(self) -> str:
        """What is not zero and should be, in words; nothing if all is."""
        if not self.strays:
            return ""
        return f"{len(self.strays)} of {self.zeros} sums of zeros are not 0 but up to {max(self.strays, key=abs):.3g}"

    def misfit(self) -> str:
        """An element that is not the product rounded once to nearest, in words; nothing if all are."""
        for (a, b), got in zip(self.factors, self.got, strict=True):
            right = Fit().product(a, b, self.out)
            if got != right:
                shown = [digits(v, self.out) for v in (float(a), float(b), got, right)]
                return "{} x {} came back as {}, rounded once it is {}".format(*shown)
        return ""


def singles(bench: Bench, *, altered: bool = False) -> dict[str, Singles]:
    """By quantity; raises what `Bench.ask` raises.

    altered: half of the elements of the operand that is full have other values.
    """
    g = bench.geometry("plane")
    hot = _values(bench.format)
    found: dict[str, Singles] = {}
    for start in range(0, len(hot), min(g.maps, len(hot))):
        for seen in _asked(bench, g, hot[start : start + min(g.maps, len(hot))], altered=altered):
            for q, one in seen.items():
                found[q] = found[q] + one if q in found else one
    return found


def _values(dtype: DType) -> list[float]:
    """Full odd mantissas, one too small for float16 to hold it whole; and a 3, whose products with `mantissas` are ties."""
    full = mantissas(dtype, (3,), scaled=False)
    return [64.0 * full[0], 64.0 * 3, 64.0 * full[1], full[2] * (1.0 if dtype.code == "f16" else 2.0**-20)]


def mantissas(dtype: DType, shape: tuple[int, ...], *, seed: int = 0, scaled: bool = True) -> Floats:
    """+- odd mantissas of p bits in [1, 4/3); every second one is so small that float16 cannot hold it whole."""
    random, half = words(dtype.p + len(shape) + seed, shape), 2 ** (dtype.p - 1)
    mantissa = (half + random % np.uint64(half // 3)).astype(np.uint64) | np.uint64(1)
    small = np.where((random >> np.uint64(61)) % np.uint64(2), 2.0**-20, 1.0)
    values: Floats = mantissa.astype(np.float64) / half * np.where(random >> np.uint64(63), -1.0, 1.0)
    return np.asarray(values * small) if scaled and dtype.code != "f16" else values


def _full(dtype: DType, shape: tuple[int, ...], *, altered: bool) -> Floats:
    values = mantissas(dtype, shape)
    if altered:
        values = np.where(words(9, shape) % np.uint64(2), values, mantissas(dtype, shape, seed=100))
    return values


def _asked(bench: Bench, g: Geometry, hot: list[float], *, altered: bool) -> Iterator[dict[str, Singles]]:
    """Forward with few elements of x, backward with few of delta."""
    full = {name: _full(bench.format, g.shape_of(name) or (), altered=altered) for name in ("x", "w")}
    forward = {**full, "x": _placed(g.x_shape, hot, g, edge=1)}
    yield _read(bench.ask(g, **forward), *_layers(g, "x", {**forward, "delta": np.zeros(g.y_shape)}))
    backward = {**full, "delta": _placed(g.y_shape, hot, g, edge=0)}
    yield _read(bench.ask(g, **backward), *_layers(g, "delta", backward))


def _layers(g: Geometry, few: str, operands: dict[str, Floats]) -> tuple[Layer, Layer, Layer]:
    """The numbers of products that are not zero; where that is one, its factor of few elements, and the other factor."""
    masks = {name: (a != 0).astype(np.float64) for name, a in operands.items()}
    terms, first = Layer(g, **masks, b=None), Layer(g, **{**masks, few: operands[few]}, b=None)
    return terms, first, Layer(g, **{**operands, few: masks[few]}, b=None)


def _placed(shape: tuple[int, ...], hot: list[float], g: Geometry, *, edge: int) -> Floats:
    """Zeros, but for one value in each channel (map), along the diagonal of the first item."""
    a, step = np.zeros(shape), max(1, min(g.output) // 4)
    for k, value in enumerate(hot):
        at = (k * step + edge * (size - 1) for size in g.kernel)
        a[(0, k % shape[1], *at)] = value
    return a


def _read(results: dict[str, Any], counted: Layer, first: Layer, second: Layer) -> dict[str, Singles]:
    found = {}
    for q, result in results.items():
        terms, a, b = (getattr(part, q) for part in (counted, first, second))
        got, single, none = result.astype(np.float64), terms == 1, terms == 0
        found[q] = Singles(
            out=dtype_of(result.dtype).code,
            factors=list(zip(_exact(a[single]), _exact(b[single]), strict=True)),
            got=got[single].tolist(),
            zeros=int(none.sum()),
            strays=got[none & (got != 0)].tolist(),
        )
    return found


def _exact(values: Floats) -> list[Fraction]:
    return [Fraction(v) for v in values.tolist()]


# ---- what explains them ----
def fitted(seen: Singles, code: str) -> Fit | None:
    """The first of all ways of rounding that gives every bit; None if there is none, or nothing was seen."""
    if seen.strays or not seen.factors:
        return None
    return next(filter(seen.fits, ways(code)), None)


def mixed(before: Singles, after: Singles) -> str:
    """A single product that changed, though neither factor did, in words; nothing if there is none.

    Direct sums multiply the values that were altered by zero, however they round; transforms mix them.
    """
    seen = zip(before.factors, before.got, after.factors, after.got, strict=True)
    changed = [(f, v, w) for f, v, same, w in seen if f == same and v != w]
    if not changed:
        return ""
    (a, b), v, w = changed[0]
    shown = [digits(n, before.out) for n in (float(a), float(b), v, w)]
    return "{} x {} came back as {}, and as {} when others changed".format(*shown)


def told(bench: Bench, q: str, seen: Singles, fit: Fit | None) -> Iterator[Observation]:
    """Rounding of operands and of results, in words."""
    if fit is None:
        why = seen.misfit() or "no result has one product alone"
        yield bench.saw(q, "output rounding", UNOBSERVABLE, f"a single product is not rounded once: {why}")
        return
    count = f"all {len(seen.got)} single products"
    if fit.inputs == "none":
        evidence = f"{count} of full mantissas are the product of the operands as they are, rounded once"
    else:
        verb = "cut off" if fit.cut else "rounded"
        evidence = f"{count} are those of operands {verb} to {fit.inputs}: {seen.misfit()}"
    yield bench.saw(q, "input rounding", _inputs(q, fit), evidence)
    if fit.stored != "none":
        evidence = f"{count} agree: {seen.misfit()}"
        yield bench.saw(q, "output rounding", f"{fit.rounding}, of {fit.stored}", evidence)
        return
    ties = sum(_tie(a * b, seen.out) for a, b in seen.factors)
    evidence = f"{count} agree, {ties} of them ties of {seen.out}"
    yield bench.saw(q, "output rounding", fit.rounding, evidence)


def _inputs(q: str, fit: Fit) -> str:
    first, second = FACTORS[q]
    cut = ", cut off" if fit.cut else ""
    return (
        fit.inputs + cut + {"both": "", "first": f" ({first} only)", "second": f" ({second} only)"}[fit.which]
    )


def _tie(value: Fraction, form: str) -> bool:
    up, down = (rounded(value, form, mode) for mode in ("up", "down"))
    return up != down and up - value == value - down
