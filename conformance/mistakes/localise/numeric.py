"""Only data that round are wrong: in how many bits was it computed, or is there a small factor or offset?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.mistakes.localise.looks import Floats, Look, Looks, same, varied
from conformance.mistakes.localise.parts import parts
from conformance.mistakes.localise.patterns import LEAST, Pattern, certain, counted
from conformance.oracle import Arithmetic, bounds
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, Problem

__all__ = ["drifting", "numeric"]

BITS = {24: "24 bits, as in float32", 11: "11 bits, as in float16 or TF32", 8: "8 bits, as in bfloat16"}
NAMES = {"f32": "float32 (24 bits)", "f16": "float16 (11 bits)", "bf16": "bfloat16 (8 bits)"}


def numeric(looks: Looks, problem: Problem) -> str:
    """What is wrong on a problem whose integer twin is right; '' if nothing is certain."""
    first = looks.at(problem)
    if first is None or first.ok or not first.fits:
        return ""
    seen = [first, *(look for p in _near(problem) if (look := looks.at(p)) is not None)]
    found = certain(itertools.chain(_narrow(first), parts(seen), drifting(first)), seen)
    said = f"{found[0].words} ({counted(seen, everywhere=found[1])})." if found else _size_of_errors(seen)
    return " ".join(filter(None, (said, _only_here(looks, seen))))


def _near(problem: Problem) -> Iterator[Problem]:
    """The same data on other seeds, and on two other geometries."""
    g, seeds = problem.geometry, [(problem.seed + k) % 2**64 for k in range(1, 6)]
    yield from (problem.replace(seed=seed) for seed in seeds)
    for larger in (varied(problem, size=tuple(n + 3 for n in g.size)), varied(problem, batch=g.batch + 1)):
        if larger is not None:
            yield larger


def _only_here(looks: Looks, seen: Sequence[Look]) -> str:
    """On which other data are the same problems right?"""
    wrong = [look.problem for look in seen if not look.ok][:LEAST]
    fills = [fill for fill in ("real", "small") if all(looks.ok(p.replace(fill=fill)) for p in wrong)]
    if len(wrong) < LEAST or not fills:
        return ""
    return f"With fill={' and fill='.join(fills)}, {len(wrong)} of them are right."


# ---- precision ----
def _narrow(first: Look) -> Iterator[Pattern]:
    """Results, or operands, that carry fewer bits than the dtype."""
    q, p = first.quantity, first.problem.format.p
    for bits, words in BITS.items():
        if bits < p:
            yield Pattern(
                words=f"no element of {q} carries more than {words}",
                holds=lambda look, bits=bits: same(look.got, _kept(look.got, bits)),  # type: ignore[misc]
                telling=lambda look, bits=bits: not same(look.right, _kept(look.right, bits)),  # type: ignore[misc]
            )
    names = [name for name, _ in first.problem.operands.items()]
    for bits, words in BITS.items():
        for few in (names, *([name] for name in names)) if bits < p else ():
            yield Pattern(
                words=f"{q} is what comes of {', '.join(few)} rounded to {words}",
                holds=lambda look, few=few, bits=bits: _near_to(look, _from_rounded(look, few, bits)),  # type: ignore[misc]
                telling=lambda look: not _near_to(look, look.right),
            )


def _kept(values: Floats, bits: int) -> Floats:
    """Rounded to so many bits."""
    mantissa, exponent = np.frexp(values)
    rounded: Floats = np.ldexp(np.rint(mantissa * 2.0**bits), exponent - bits)
    return rounded


def _from_rounded(look: Look, names: Sequence[str], bits: int) -> Floats:
    operands: dict[str, Any] = {name: a.astype(np.float64) for name, a in look.problem.operands.items()}
    changed = {name: _kept(operands[name], bits) for name in names if name in operands}
    layer = Layer.of(look.g, look.problem.operands.replace(**{**operands, **changed}))
    exact: Floats = getattr(layer, look.quantity)
    return exact


def _near_to(look: Look, values: Floats, more: Floats | float = 0.0) -> bool:
    """Is what came back within rounding of other values, as the right ones are?  more: what is unknown of them."""
    with np.errstate(invalid="ignore"):
        return look.fits and bool(np.all(np.abs(look.got - values) <= 2 * look.expected.bound + more))


# ---- a factor, an offset, a limit ----
def drifting(first: Look) -> Iterator[Pattern]:
    """A factor, an offset or a limit, within what rounding may do."""
    if not first.fits or not first.right.size:
        return
    q, (right, got, room) = first.quantity, _at_largest(first)
    if not right or not np.isfinite(got) or got == right:
        return
    f, off = got / right, got - right
    unknown = room / abs(right)
    yield Pattern(
        words=f"{q} is too {'large' if f > 1 else 'small'} by the factor {_factor(f)}",
        holds=lambda look: _near_to(look, f * look.right, unknown * np.abs(look.right)),
        telling=lambda look: not _near_to(look, look.right, unknown * np.abs(look.right)),
    )
    yield Pattern(
        words=f"{q} is {abs(off):.3g} too {'large' if off > 0 else 'small'} everywhere",
        holds=lambda look: _near_to(look, look.right + off, room),
        telling=lambda look: not _near_to(look, look.right, room),
    )
    yield Pattern(
        words=f"{q} is proportional to what is right, by a factor that each problem has its own of",
        holds=_proportional,
        telling=lambda look: look.right.size > 2 and not _near_to(look, look.right),
        whole=False,
    )
    c = float(np.max(np.abs(first.got)))
    yield Pattern(
        words=f"{q} is cut off at {-c:g} and {c:g}",
        holds=lambda look: _near_to(look, np.clip(look.right, -c, c)),
        telling=lambda look: not _near_to(look, look.right) and bool((np.abs(look.right) < c).any()),
    )


def _at_largest(look: Look) -> tuple[float, float, float]:
    """(right, got, bound) where right is largest in magnitude."""
    at = np.unravel_index(np.argmax(np.abs(look.right)), look.right.shape)
    bound = np.broadcast_to(look.expected.bound, look.right.shape)
    return float(look.right[at]), float(look.got[at]), float(bound[at])


def _proportional(look: Look) -> bool:
    """Is it right but for a factor, whatever that is?"""
    if not look.fits or not look.right.size:
        return False
    right, got, room = _at_largest(look)
    known = bool(right) and bool(np.isfinite(got))
    return known and _near_to(look, look.right * (got / right), room / abs(right) * np.abs(look.right))


def _factor(f: float) -> str:
    """As 1 + 2^-20 or 1 + 0.0005 where it is near 1."""
    if abs(f - 1) >= 2.0**-7:
        return f"{f:.4g}"
    power = math.log2(abs(f - 1))
    little = f"2^{power:.0f}" if abs(power - np.rint(power)) < 1e-3 else f"{abs(f - 1):.3g}"
    return f"1 {'+' if f > 1 else '-'} {little}"


# ---- errors, measured ----
def _size_of_errors(seen: Sequence[Look]) -> str:
    """Beyond what its format may lose; within what a narrower one may."""
    wrong = [look for look in seen if not look.ok]
    shares = [_share_lost(look) for look in wrong]
    if len(wrong) < LEAST or not all(map(math.isfinite, shares)):
        return ""
    text = f"Errors of {wrong[0].quantity} reach 2^{math.log2(max(shares)):.1f} of the sum of the products' magnitudes"
    within = next((NAMES[code] for code in NAMES if _within(wrong, code)), "")
    within = f", no more than sums in {within} lose" if within else ""
    return f"{text}{within} ({len(wrong)} problems)."


def _share_lost(look: Look) -> float:
    """The largest error over S; infinite where there is none to be over, or no number."""
    if not look.fits or not np.isfinite(look.got).all():
        return math.inf
    error, s = np.abs(look.got - look.right)[look.wrong], look.expected.s[look.wrong]
    return float(np.max(error / s)) if s.all() else math.inf


def _within(wrong: Sequence[Look], code: str) -> bool:
    """Are all errors within the bound of sums in a narrower format?"""
    dtype, arithmetic = wrong[0].problem.format, Arithmetic(accumulator=code)
    if DTYPES[code].p > dtype.p:
        return False
    bound = (
        bounds.direct(e.exact, e.n, e.s, dtype=dtype, arithmetic=arithmetic)
        for e in (look.expected for look in wrong)
    )
    return all(
        bool(np.all(np.abs(look.got - look.right) <= most)) for look, most in zip(wrong, bound, strict=True)
    )
