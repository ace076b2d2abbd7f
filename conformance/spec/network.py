"""Chapter NET: backpropagation through a whole network.  Source: the seed's algorithm, steps 2 to 5.

z^l = conv(a^{l-1}, w^l) + b^l, a^l = sigma(z^l), a^0 = x; C is the SUM of the costs of all batch items.  Networks of
straight pieces (identity, relu, leaky relu) with the quadratic cost are exact on small numbers, and judged bit for bit
(but for C, which may be the square of a norm); the others by a bound that goes along with every tensor
(`conformance.oracle.network_errors`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import Evidence, Grade, sizes, within
from conformance.oracle.network import Right
from conformance.spec.network_case import NetworkCase
from conformance.spec.registry import Severity, clause

__all__ = ["RATE"]

RATE = 2.0**-3
"""Of gradient descent: a power of two, so that rate times gradient rounds nothing; not 1, and not its own square."""


def _agree(case: NetworkCase, got: Any, right: Right) -> Evidence:
    """A result against what is right."""
    layers = len(case.net.layers)
    where = f"layer {right.layer} of {layers}" if right.layer else "the cost"
    return within(right.quantity, got, right.exact, right.bound, certificate=right.certain, note=where)


@clause(
    "NET-1",
    "the cost is the sum over the batch, and the output error its gradient by a^L times sigma'(z^L)",
    equation="C = sum_n C_n; delta^L = grad_a C (.) sigma'(z^L)",
    source="output error, step 3: delta^L = grad_a C (.) sigma'(z^L)",
    needs=["network", "y"],
    falls_with=["FWD-1"],
)
def output_error(case: NetworkCase) -> Iterator[Evidence]:
    yield _agree(case, case.own.cost, case.expected.cost)
    yield _agree(case, case.own.deltas[-1], case.expected.deltas[-1])


@clause(
    "NET-2",
    "delta goes back through every layer: the full convolution with ROT180 of the next kernel, times sigma'",
    equation="delta^l = (delta^{l+1} * ROT180(w^{l+1})) (.) sigma'(z^l), l = L-1 ... 1",
    source="backpropagate the error, step 4",
    needs=["network", "y", "dx"],
    falls_with=["NET-1", "FWD-1", "DEL-1"],
    readers=[12, 13],
)
def deltas(case: NetworkCase) -> Iterator[Evidence]:
    for got, right in list(zip(case.own.deltas, case.expected.deltas, strict=True))[-2::-1]:
        yield _agree(case, got, right)


@clause(
    "NET-3",
    "dC/dw^l correlates the activations of the layer before with delta^l; dC/db^l sums delta^l",
    equation="dC/dw^l = dw(a^{l-1}, delta^l), a^{l-1} = sigma(z^{l-1}), a^0 = x; dC/db^l = db(delta^l)",
    source="gradient of the cost, step 5; readers 8, 13 and 15",
    needs=["network", "y", "dw", "db"],
    falls_with=["NET-1", "NET-2", "FWD-1", "WGT-1", "BIA-1", "BIA-2"],
    readers=[8, 13, 15],
)
def gradients(case: NetworkCase) -> Iterator[Evidence]:
    for got, right in zip(case.own.gradients, case.expected.gradients, strict=True):
        for g, r in zip(got, right, strict=True):
            if g is not None and r is not None:
                yield _agree(case, g, r)


@clause(
    "NET-4",
    "the gradient agrees with exact directional derivatives of the cost, layer by layer",
    equation="C(w^l + t v) - C(w^l - t v) = 2 t <dC/dw^l, v>, if C is exact: along one layer it is a parabola between kinks",
    source="definition of the gradient",
    needs=["network"],
    variants=True,
    falls_with=["NET-1", "NET-2", "NET-3"],
)
def directional(case: NetworkCase) -> Iterator[Evidence]:
    if not case.expected.exact:
        return
    for number, ((w, b), (dw, db)) in enumerate(
        zip(case.operands.params, case.own.gradients, strict=True), start=1
    ):
        direction = _direction(w), None if b is None else _direction(b)
        shapes = [sizes("dw", dw.shape, w.shape)]
        shapes += [] if b is None or db is None else [sizes("db", db.shape, b.shape)]
        if not all(e.ok for e in shapes):
            yield from shapes
            continue
        t = case.within_region(number, direction)
        if t is None:
            continue  # a kink is crossed: there is no derivative to be had so
        both = [case.moved(number, direction, sign * t) for sign in (1, -1)]
        ends = [_number(case.cost(o)) for o in both]
        slope = _inner(dw, direction[0]) + (_inner(db, direction[1]) if db is not None else 0)
        off = sum(_rounded(end, case.expected_of(o).cost) for end, o in zip(ends, both, strict=True))
        least = min(r.least for r in case.expected.gradients[number - 1] if r is not None)
        yield _equal(ends, slope, t, number, off / (2 * Fraction(t)), certain=not off or off < t * least)


def _direction(a: NDArray[Any]) -> NDArray[np.float64]:
    """Small non-zero integers, no two neighbours alike."""
    pattern = np.resize([1.0, -2.0, 3.0, -1.0, 2.0], a.size)
    return pattern.reshape(a.shape)


def _number(value: Any) -> Fraction | None:
    return Fraction(float(value)) if np.size(value) == 1 and math.isfinite(float(value)) else None


def _rounded(end: Fraction | None, right: Right) -> Fraction:
    """How far a cost may be off; not at all if it is the right one."""
    return Fraction() if end == Fraction(float(right.exact)) else Fraction(float(right.bound))


def _inner(a: NDArray[Any], v: Any) -> Fraction:
    if not np.isfinite(a.astype(np.float64)).all():
        return Fraction(10**40)  # no inner product: it equals no difference of costs
    return sum(
        (Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a.flat, v.flat, strict=True)), Fraction()
    )


def _equal(
    ends: list[Fraction | None], slope: Fraction, t: float, number: int, bound: Fraction, *, certain: bool
) -> Evidence:
    ahead, behind = ends
    seen = None if ahead is None or behind is None else (ahead - behind) / (2 * Fraction(t))
    apart = None if seen is None else abs(seen - slope)
    right = apart is not None and apart <= bound
    return Evidence(
        quantity="dw",
        grade=Grade.FAIL if not right else Grade.PROVEN if apart else Grade.EXACT,
        index=None,
        got=float(slope),
        expected=None if seen is None else float(seen),
        error_over_bound=0.0 if not apart else float(apart / bound) if bound else math.inf,
        certificate=float(certain),
        note=""
        if right
        else f"layer {number}: <gradient, v> is {float(slope):.17g}, but the cost moves by "
        + ("no number" if seen is None else f"{float(seen):.17g}")
        + " a unit of v",
    )


@clause(
    "NET-5",
    "one step of gradient descent moves every parameter by minus rate times its gradient, all taken before the step",
    equation="w^l <- w^l - eta dC/dw^l, b^l <- b^l - eta dC/db^l, eta = 2^-3",
    source="what the gradient is for: the seed's step 5 and its basis (M. Nielsen, chapter 2)",
    needs=["step", "y", "dw", "db"],
    falls_with=["NET-1", "NET-2", "NET-3"],
    readers=[8],
)
def descent(case: NetworkCase) -> Iterator[Evidence]:
    for got, right in zip(case.stepped(RATE), case.expected.stepped(RATE), strict=True):
        for g, r in zip(got, right, strict=True):
            if g is not None and r is not None:
                yield _agree(case, g, r)


@clause(
    "NET-6",
    "at a kink any subgradient is right, but one and the same everywhere: which one is reported",
    equation="relu: 0 <= sigma'(0) <= 1; leaky: slope <= sigma'(0) <= 1",
    source="sigma' of relu at 0 is not defined; NET-1 to NET-3 demand the reported one wherever z = 0",
    needs=["network"],
    severity=Severity.INFO,
)
def subgradient(case: NetworkCase) -> Iterator[Evidence]:
    if case.kinks:
        said = "; ".join(f"{name}: sigma'(0) = {value:g}" for name, value in sorted(case.kinks.items()))
        yield Evidence(quantity="delta", grade=Grade.EXACT, note=said)
