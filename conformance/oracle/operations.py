"""What is right of the optional operations: each result is a sum of results of plain convolutions.

    transposed.y            dx(x, w) + b            double_backward.dx       dx(delta, v)
    transposed.dx           conv(delta, w)          double_backward.dw       dw(u, delta)
    transposed.dw           dw(delta, x)            double_backward.ddelta   conv(u, w) + conv(x, v) + r
    transposed.db           the sum of delta        forward_mode.dy          the same

Exact data: no sum rounds where S of all terms together stays within the precision, whatever is added up first.

Real data: terms may be summed as one (n and S are those of all terms) or apart, each stored in the dtype and then added.
Each of k terms is rounded at most once when it is stored and k - 1 times as it is added to others, so beside the bound E of
one sum over all products

    E_stored = gamma_2k(u) (S + E) + 2k underflows          (k = 1: none, the result is the term)

Which of its kernels an implementation uses for a term is its own affair: the class is the weakest of all quantities', and
where some are transforms and others not, nothing is promised (the bound is infinite, which is no power).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import bounds, transforms
from conformance.oracle.arithmetic import FORMATS, PRECISION, Arithmetic
from conformance.oracle.expectation import Expectation, Expected
from conformance.oracle.vectorised import Layer
from conformance.problem import DType, Geometry, Operands
from conformance.problem.operations import FURTHER

__all__ = ["TERMS", "FurtherExpectation", "Term", "exact", "terms"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One result of a plain convolution: y, dx, dw or db, and what takes the place of its operands.

    on_x: a layer of one tap and one channel that reads nothing, whose y has the shape of x: it spreads or sums a bias of x.
    """

    quantity: str
    operands: Mapping[str, str] = dataclasses.field(default_factory=dict)
    on_x: bool = False

    def layer(self, g: Geometry, o: Operands) -> tuple[Geometry, Operands]:
        """The convolution that it is a result of.

        It has a bias only if the term names one; a direction that is None is zero.
        """
        if not self.on_x:
            changes: dict[str, Any] = {"b": None}
            for name, of in self.operands.items():
                a = getattr(o, of)
                changes[name] = np.zeros_like(getattr(o, name)) if a is None and name != "b" else a
            plain = g if changes["b"] is not None else dataclasses.replace(g, bias="none")
            return plain, o.replace(**changes)
        one = Geometry(batch=g.batch, maps=g.channels, size=g.size, kernel=(1,), bias="tied")
        nothing = Operands(
            x=np.zeros(one.x_shape, o.x.dtype), w=np.zeros(one.w_shape, o.x.dtype), b=o.c, delta=o.x
        )
        return one, nothing


_ALONG = (Term(quantity="y", operands={"x": "u"}), Term(quantity="y", operands={"w": "v", "b": "r"}))
TERMS: dict[str, tuple[Term, ...]] = {
    "transposed.y": (Term(quantity="dx"), Term(quantity="y", on_x=True)),
    "transposed.dx": (Term(quantity="y"),),
    "transposed.dw": (Term(quantity="dw"),),
    "transposed.db": (Term(quantity="db", on_x=True),),
    "double_backward.dx": (Term(quantity="dx", operands={"w": "v"}),),
    "double_backward.dw": (Term(quantity="dw", operands={"x": "u"}),),
    "double_backward.ddelta": _ALONG,
    "forward_mode.dy": _ALONG,
}
"""Quantity -> its terms."""


def terms(g: Geometry, o: Operands, quantity: str) -> Iterator[tuple[str, Geometry, Operands]]:
    """(quantity of a plain convolution, its geometry, its operands) of each term; a bias that is not there has none."""
    for term in TERMS[quantity]:
        if not (term.on_x and o.c is None):
            yield (term.quantity, *term.layer(g, o))


def exact(g: Geometry, o: Operands, quantity: str) -> Floats:
    """A quantity in float64."""
    parts: list[Floats] = [getattr(Layer.of(h, p), q) for q, h, p in terms(g, o, quantity)]
    return sum(parts[1:], parts[0])


class FurtherExpectation(Expectation):
    """The right results of a convolution, and those of the optional operations; `further` draws what these read."""

    def __init__(self, *args: Any, further: Callable[[], Operands], **options: Any) -> None:
        super().__init__(*args, **options)
        self._further = further

    def _made(self, quantity: str) -> Expected:
        return Combined(self, quantity) if quantity in FURTHER else super()._made(quantity)

    def terms(self, quantity: str, arithmetic: Arithmetic) -> Iterator[Expected]:
        """Each term as a result of its own."""
        for q, g, operands in terms(self.g, self._further(), quantity):
            whole = Expectation(
                g,
                operands,
                dtype=self.dtype,
                arithmetic=arithmetic,
                quantum=self.quantum,
                amplitude=self._amplitude,
                independent=self.independent,
            )
            yield whole[q]


class Combined(Expected):
    """A quantity that is a sum of terms."""

    def __init__(self, whole: FurtherExpectation, quantity: str) -> None:
        self.whole, self.quantity = whole, quantity
        self.arithmetic, self._known = weakest(whole.arithmetic, whole.dtype)
        self._terms = list(whole.terms(quantity, self.arithmetic))
        self.exact = sum((t.exact for t in self._terms[1:]), self._terms[0].exact)
        self.n = np.asarray(sum(t.n for t in self._terms))

    @functools.cached_property
    def s(self) -> Floats:
        """S of all terms together."""
        return np.asarray(sum(t.s for t in self._terms) * (1 + 2.0**-51))

    @property
    def direct(self) -> bool:
        return self._known and all(t.direct for t in self._terms)

    @property
    def quantum(self) -> float:
        return self._terms[0].quantum

    @property
    def least(self) -> float:
        """The smallest product of any term, or element of a bias, that is not zero."""
        biases = [
            t.whole.smallest["b"] for t in self._terms if t.quantity == "y" and t.whole.g.bias != "none"
        ]
        return min([*(t.least for t in self._terms if t.least), *biases], default=0.0)

    @functools.cached_property
    def single(self) -> Mask:
        """Nothing is claimed of single products: terms may be stored before they are added."""
        alone = self._terms[0].single
        return alone if len(self._terms) == 1 else np.zeros(self.exact.shape, bool)

    @property
    def _kept(self) -> int:
        """Terms that are stored are rounded to the dtype."""
        kept = super()._kept
        return kept if len(self._terms) == 1 else min(kept, self.whole.dtype.p)

    @property
    def _ceiling(self) -> float:
        return float(np.max(self.s, initial=0.0))

    @functools.cached_property
    def bound(self) -> Floats:
        """How far a correct implementation may be from `exact`, however it adds the terms up."""
        if not self._known:
            return np.full(self.exact.shape, np.inf)
        dtype, count = self.whole.dtype, len(self._terms)
        e = bounds.direct(self.exact, self.n, self.s, dtype=dtype, arithmetic=self.arithmetic)
        e = e + sum(t.lost_inputs for t in self._terms)
        e = e + sum(0.0 if t.direct else transforms.bound(t) for t in self._terms)
        if count > 1:
            stored = bounds.gamma(2 * count, dtype.u) * (self.s + e) + 2 * count * self._range[0]
            e = e + np.where(self.s > 0, stored, 0.0)
        reference = bounds.oracle_error(self.n + count, self.s, self.quantum)
        return np.asarray(reference + np.where(self.may_overflow, np.inf, e))

    @property
    def probable(self) -> Floats:
        """Nothing better than `bound` is believed."""
        return self.bound

    @functools.cached_property
    def may_overflow(self) -> Mask:
        reached = self.s * (1 + 2.0**-5) > self._range[1]
        for term in self._terms:
            reached = reached | term.may_overflow
        return np.asarray(reached)

    @property
    def certificate(self) -> float:
        return float(np.mean(self.certain)) if self.certain.size else 0.0

    @property
    def reads(self) -> Mask:
        """Where any product is read, or any element of a bias."""
        return np.asarray(self.s > 0)


def weakest(classes: Mapping[str, Arithmetic], dtype: DType) -> tuple[Arithmetic, bool]:
    """The class that is no stronger than any of y, dx, dw and db; and whether they have one algorithm in common."""
    sums = [classes[q] for q in ("y", "dx", "dw")]
    every = [*sums, classes["db"]]
    narrowest: dict[str, str | None] = {}
    for name in FORMATS:
        default = dtype.code if name == "accumulator" else None
        formats = [f for a in every if (f := getattr(a, name) or default)]
        narrowest[name] = min(formats, key=PRECISION.__getitem__, default=None)
    algorithms = {(a.algorithm, a.tile) for a in sums}
    algorithm, tile = algorithms.pop()
    return (
        Arithmetic(
            **narrowest,
            truncates=any(a.truncates for a in every),
            flushes=any(a.flushes for a in every),
            algorithm=algorithm,
            tile=tile,
        ),
        not algorithms,
    )
