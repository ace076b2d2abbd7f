"""How far a correct implementation of a whole network may stray from the right results.

An error E >= |computed - right| goes along with every tensor of an implementation in a dtype (u its unit roundoff):

* sums: of operands A, B that are off by E_A, E_B, with S = op(|A| + E_A, |B| + E_B) and n products,
      E = op(E_A, |B| + E_B) + op(|A|, E_B) + bounds.direct(n, S)
  and 0 where A and B are exact and S <= 2^p units of their lattice: no order of summation rounds, bits are demanded.
* activations: E_a = min(L, |sigma'| + M E_z) E_z + FUNCTION u max(1, |a| + E), L >= |sigma'| and M >= |sigma''| everywhere:
      sigmoid 1/4, 0.0963;   tanh 1, 0.7699;   softplus 1, 1/4;   straight pieces: L = 1, and one rounding.
  The assumption: an implementation's sigmoid, tanh and softplus are off by at most FUNCTION u max(1, |a|) *absolutely*, its
  exponential and logarithm by as many u relatively, for |z| <= RANGE (beyond it nothing is demanded).  Libraries state 1 to
  4.
* derivatives: E_s = M E_z + DERIVATIVE u, whether they are taken from z or from a (there 2 FUNCTION u and roundings).
  At a kink, where |z| <= E_z, either side is right: E_s is the whole step.  Where z is exactly 0 (and E_z = 0) the
  subgradient is the implementation's own, one everywhere (`Pass.kink`); not known, it is as if E_z were not 0.
* products of x and y: E = |x| E_y + |y| E_x + E_x E_y + PRODUCT u (|x| + E_x)(|y| + E_y).
* sigmoid with cross-entropy: delta = a - t directly, E_a + PRODUCT u; or (-t/a + (1-t)/(1-a)) sigma'(z), in which a, 1 - a
  and sigma' are off on their own: both errors, added.
* softmax: p = exp(z - m)/sum is off by a factor between exp(-R), exp(R), with R = 2 max E_z + (DERIVATIVE + M +
  (FUNCTION + 2) ln M + 8 max |z|) u (max over the maps of a position: the quotient, or exp of a difference of logarithms,
  that of the sum being at most max |z| + ln M).  delta = p - t directly, or by the softmax's derivative from -t/p': both,
  added.
* the n terms of a quadratic cost may be summed as they are, or make a norm that is squared again, item by item or of all:
  gamma_{n + 8} C, even where no term and no sum of them rounds.
* cross-entropy itself: by logarithms of a, or from z: both, added; then a sum of N terms.

Every E is computed in float64 and enlarged by SPARE, which covers its own rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle import bounds
from conformance.oracle.arithmetic import PRECISION, Arithmetic
from conformance.oracle.vectorised import Layer, counts
from conformance.problem import DType, Geometry
from conformance.problem.network import KINKED, NetworkLayer, NetworkOperands

__all__ = ["Errors", "unit"]

Floats = NDArray[np.float64]

FUNCTION = 16.0
"""Unit roundoffs by which an elementary function may be off."""
DERIVATIVE = 64.0
"""The same for a derivative made of it: twice the function, and what it takes to combine them."""
PRODUCT = 4.0
"""Roundings of an elementwise product, with room for one more factor."""
RANGE = 16.0
"""Weighted inputs of smooth activations beyond which nothing is demanded: some approximate there, on purpose."""
SPARE = 1 + 2.0**-30
"""What the errors' own rounding in float64 may hide."""

_LIPSCHITZ = {"sigmoid": 0.25, "tanh": 1.0, "softplus": 1.0}
_CURVED = {"sigmoid": 0.0963, "tanh": 0.7699, "softplus": 0.25}
_OPERANDS = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("x", "delta"), "db": ("delta",)}


def unit(values: Floats) -> float:
    """The largest power of two of which all values are multiples; infinite if all are zero.

    >>> unit(np.array([1.5, -4.0, 0.0]))
    0.5
    """
    mantissas, exponents = np.frexp(values[values != 0])
    if not mantissas.size:
        return np.inf
    wide = np.ldexp(mantissas, 53).astype(np.int64)
    lowest = np.log2((wide & -wide).astype(np.float64))
    return float(np.ldexp(1.0, int((exponents - 53 + lowest).min())))


@dataclass(frozen=True, kw_only=True, eq=False)
class Value:
    """Magnitudes of a tensor, its error, and the unit of its right values."""

    size: Floats
    error: Floats
    unit: float

    @classmethod
    def of(cls, values: Any, error: Any = 0.0) -> Value:
        right = np.asarray(values).astype(np.float64)
        unbounded = np.where(np.isnan(error), np.inf, error)  # of infinity times 0
        return cls(size=np.abs(right), error=np.broadcast_to(unbounded, right.shape), unit=unit(right))

    @property
    def reach(self) -> Floats:
        return self.size + self.error

    @property
    def exact(self) -> bool:
        return not self.error.any()


class Errors:
    """The errors of every result, along a right pass (its numbers are only read)."""

    def __init__(
        self, right: Any, operands: NetworkOperands, *, dtype: DType, arithmetic: Mapping[str, Arithmetic]
    ) -> None:
        self._right, self._dtype, self._arithmetic = right, dtype, arithmetic
        self._layers = right.network.layers
        self._target = Value.of(operands.target)
        self._w = [Value.of(w) for w, _ in operands.params]
        self._b = [None if b is None else Value.of(b) for _, b in operands.params]
        with np.errstate(all="ignore"):
            self._forward(operands)
            self.cost = self._cost()
            self.deltas, self.gradients = self._backward()

    @property
    def exact(self) -> bool:
        """Can no delta, no gradient and no sum of the cost's terms round?"""
        every = [*self.deltas, *(e for pair in self.gradients for e in pair if e is not None)]
        return self.cost_exact and not any(e.any() for e in every)

    # ---- forward ----
    def _forward(self, operands: NetworkOperands) -> None:
        self.a, self.z = [Value.of(operands.x)], []
        for number, layer in enumerate(self._layers):
            g = layer.geometry
            error = self._sum("y", g, self.a[-1], self._w[number], self._b[number])
            self.z.append(Value.of(self._right.z[number], error))
            self.a.append(Value.of(self._right.a[number + 1], self._activated(layer, number)))

    def _activated(self, layer: NetworkLayer, number: int) -> Floats:
        """E_a."""
        z, u = self.z[number], self._dtype.u
        if layer.activation == "identity":
            return z.error
        if layer.activation in KINKED:
            scaled = layer.below in (0.0, 1.0) or z.exact  # a power of two rounds nothing
            return z.error * SPARE + (0.0 if scaled else u * z.reach)
        a = np.abs(self._right.a[number + 1].astype(np.float64))
        if layer.activation == "softmax":
            return np.asarray(a * np.expm1(self._ratio(z)) * SPARE)
        s = np.abs(self._right.slope(number + 1).astype(np.float64)) + _CURVED[layer.activation] * z.error
        carried = np.minimum(_LIPSCHITZ[layer.activation], s) * z.error
        error = carried + FUNCTION * u * np.maximum(1, a + carried)
        return _in_range(z, error * SPARE)

    def _ratio(self, z: Value) -> Floats:
        """R, the logarithm of the factor by which a softmax may be off."""
        most = z.size.max(axis=1, keepdims=True)
        error = z.error.max(axis=1, keepdims=True)
        maps = z.size.shape[1]
        # of the sum: itself, and what it is added to and taken from
        logarithm = (FUNCTION + 2) * np.log(maps)
        ratio = 2 * error + (DERIVATIVE + maps + logarithm + 8 * most) * self._dtype.u
        return np.broadcast_to(np.where(most + error > RANGE, np.inf, ratio), z.size.shape)

    def _slope(self, number: int) -> Value:
        """sigma'(z^l) and its error."""
        layer, z = self._layers[number - 1], self.z[number - 1]
        right = Value.of(self._right.slope(number))
        if layer.activation == "identity":
            return right
        if layer.activation in KINKED:
            near = (z.size <= z.error) & ((z.error > 0) | (layer.word not in self._right.kink))
            return Value(size=right.size, error=np.where(near, 1 - layer.below, 0.0), unit=right.unit)
        error = (_CURVED[layer.activation] * z.error + DERIVATIVE * self._dtype.u) * SPARE
        return Value(size=right.size, error=_in_range(z, error), unit=right.unit)

    # ---- the cost and its delta ----
    @property
    def cost_exact(self) -> bool:
        """Can no sum of the cost's terms round?"""
        a, t = self.a[-1], self._target
        squares = ((a.reach + t.size) ** 2).sum()
        kept = self._settled(squares, min(a.unit, t.unit) ** 2 / 2, "y").all()
        return self._right.network.cost == "quadratic" and a.exact and bool(kept)

    def _cost(self) -> Floats:
        """Of C, a scalar."""
        a, t, u = self.a[-1], self._target, self._dtype.u
        costs = np.abs(self._right.costs.astype(np.float64))
        if self.cost_exact:
            each = np.zeros(costs.shape)
        elif self._right.network.cost == "quadratic":
            apart = Value.of(self._right.a[-1] - self._right.target, a.error)
            reach = (a.reach + t.size) ** 2
            each = apart.size * a.error + a.error**2 / 2 + PRODUCT * u * reach
        else:
            each = self._entropy(costs)
        summed = bounds.gamma(costs.size + 8, u) * (costs + each).sum() + each.sum()
        return np.asarray(summed * SPARE)

    def _entropy(self, costs: Floats) -> Floats:
        """Of each term of a cross-entropy."""
        a, t, z, u = self.a[-1], self._target, self.z[-1], self._dtype.u
        most = z.size.max(axis=1, keepdims=True) + z.error.max(axis=1, keepdims=True)
        by_z = 2 * z.error.max(axis=1, keepdims=True) + 2 * FUNCTION * u * (1 + most)
        if self._layers[-1].activation == "softmax":  # a target of 0 makes no term of its own
            each = np.where(t.size > 0, self._ratio(z) + by_z, 0.0)
        else:
            by_a = t.size * _of_log(a.error / a.size) + (1 - t.size) * _of_log((a.error + u) / (1 - a.size))
            each = by_a + by_z
        return np.asarray(each + FUNCTION * u * costs)

    def _output(self) -> Floats:
        """Of delta^L."""
        a, t, u, last = self.a[-1], self._target, self._dtype.u, len(self._layers)
        if self._right.network.cost == "quadratic":
            apart = self._right.a[-1] - self._right.target
            settled = self._settled(a.size + t.size, min(a.unit, t.unit), "y")
            rounding = 0.0 if a.exact and settled.all() else u * (a.reach + t.size)
            return self._product(Value.of(apart, (a.error + rounding) * SPARE), self._slope(last))
        direct = a.error + PRODUCT * u * (a.reach + t.size)
        if self._layers[-1].activation == "softmax":
            return np.asarray(
                (direct + t.size * np.expm1(2 * self._ratio(self.z[-1])) + FUNCTION * u) * SPARE
            )
        near, far = a.error / a.size, (a.error + u) / (1 - a.size)
        quotients = (t.size / a.size) * (_of_quotient(near) + PRODUCT * u) + ((1 - t.size) / (1 - a.size)) * (
            _of_quotient(far) + PRODUCT * u
        )
        grad = Value(size=t.size / a.size + (1 - t.size) / (1 - a.size), error=quotients, unit=0.0)
        return np.asarray((direct + self._product(grad, self._slope(last))) * SPARE)

    # ---- backward ----
    def _backward(self) -> tuple[list[Floats], list[tuple[Floats, Floats | None]]]:
        deltas: list[Floats] = [self._output()]
        gradients: list[tuple[Floats, Floats | None]] = []
        for number in range(len(self._layers), 0, -1):
            g = self._layers[number - 1].geometry
            delta = Value.of(self._right.deltas[number - 1], deltas[0])
            dw = self._sum("dw", g, self.a[number - 1], delta)
            gradients.insert(0, (dw, None if g.bias == "none" else self._sum("db", g, delta)))
            if number > 1:
                right = self._right.handed_back(number - 1, self._right.deltas[number - 1])
                handed = Value.of(right, self._sum("dx", g, delta, self._w[number - 1]))
                deltas.insert(0, self._product(handed, self._slope(number - 1)))
        return deltas, gradients

    def moved(self, before: Floats, gradient: Floats, error: Floats, rate: float) -> Floats:
        """Of w - rate dw."""
        size = np.abs(before) + rate * np.abs(gradient)
        lattice = min(unit(before), rate * unit(gradient))
        if not error.any() and self._settled(size, lattice, "y").all():
            return np.zeros_like(before)
        return np.asarray(
            (rate * error + PRODUCT * self._dtype.u * (size + rate * error) + self._step) * SPARE
        )

    # ---- what all are made of ----
    @property
    def _step(self) -> float:
        flushed = any(a.flushes for a in self._arithmetic.values())
        return self._dtype.smallest_normal if flushed else self._dtype.smallest_subnormal

    def _settled(self, size: Any, lattice: float, quantity: str) -> NDArray[np.bool_]:
        """Where numbers up to `size`, multiples of a lattice, are all kept exactly."""
        a = self._arithmetic[quantity]
        formats = [f for f in (a.accumulator, a.inputs, a.partial_sums) if f is not None]
        p = min([self._dtype.p, *(PRECISION[f] for f in formats)])
        kept = a.algorithm == "direct" and lattice >= self._step
        limit = min(2.0**p * lattice, self._dtype.largest)
        return np.asarray(np.asarray(size) <= limit) & kept

    def _sum(
        self, quantity: str, g: Geometry, first: Value, second: Value | None = None, bias: Value | None = None
    ) -> Floats:
        """Of y, dx, dw or db, from its operands."""
        factors = [first, *([second] if second else [])]
        n = counts(g)[quantity]
        s = _op(quantity, g, [f.reach for f in factors], bias) * (1 + n * 2.0**-50)
        if self._arithmetic[quantity].algorithm != "direct" and quantity != "db":
            return np.full(s.shape, np.inf)
        rounding = bounds.direct(s, n, s, dtype=self._dtype, arithmetic=self._arithmetic[quantity])
        if all(f.exact for f in factors):
            lattice = float(np.prod([f.unit for f in factors]))
            if bias is not None:
                lattice = min(lattice, bias.unit)
            return np.where(self._settled(s, lattice, quantity), 0.0, rounding * SPARE)
        carried = _op(quantity, g, [first.error, *(f.reach for f in factors[1:])])
        if second is not None:
            carried = carried + _op(quantity, g, [first.size, second.error])
        return np.asarray((carried + rounding) * SPARE)

    def _product(self, x: Value, y: Value) -> Floats:
        """Of an elementwise product."""
        u = self._dtype.u
        if x.exact and y.exact and self._settled(x.size * y.size, x.unit * y.unit, "y").all():
            return np.zeros_like(x.size)
        carried = x.size * y.error + y.size * x.error + x.error * y.error
        return np.asarray((carried + PRODUCT * (u * x.reach * y.reach + self._step)) * SPARE)


def _op(quantity: str, g: Geometry, operands: list[Floats], bias: Value | None = None) -> Floats:
    """y, dx, dw or db of magnitudes."""
    given = dict(zip(_OPERANDS[quantity], operands, strict=True))
    made = {name: given.get(name, np.zeros(shape)) for name, shape in _shapes(g).items()}
    layer = Layer(g, made["x"], made["w"], None if bias is None else bias.size, made["delta"])
    result: Floats = getattr(layer, quantity)
    return result


def _shapes(g: Geometry) -> dict[str, tuple[int, ...]]:
    return {"x": g.x_shape, "w": g.w_shape, "delta": g.y_shape}


def _in_range(z: Value, error: Floats) -> Floats:
    return np.where(z.reach > RANGE, np.inf, error)


def _of_log(ratio: Floats) -> Floats:
    """How far ln x may be off if x is, by a ratio of itself."""
    return np.where(ratio < 1, -np.log1p(-ratio), np.inf)


def _of_quotient(ratio: Floats) -> Floats:
    """By what ratio 1/x may be off if x is."""
    return np.where(ratio < 1, ratio / (1 - ratio), np.inf)
