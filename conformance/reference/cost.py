"""Costs: C and its gradient grad_a C, which opens the way back.

The seed: delta^L = grad_a C (.) sigma'(z^L).  A `Cost` compares what the last layer says, a = a^L, with the target t:

    name                           C, summed over all items           grad_a C
    quadratic                      1/2 sum (a - t)^2                  a - t
    cross_entropy_with_sigmoid     -sum t ln s + (1-t) ln(1-s)        s - t          s = sigmoid(a)
    cross_entropy_with_softmax     -sum t ln s                        s (sum t) - t  s = softmax(a), maps axis

a, t and grad_a C have shape (N, M, *O); softmax and sum t run over the M maps, at each item and position.

The two cross-entropies have their sigmoid and softmax inside, and the last layer's activation is the identity.  Apart, they
would make 1/s of the one meet s(1-s) of the other, which is 0/0 for a saturated neuron; together they leave s - t.
`output` gives s.

Numbers: ln s is never taken of a rounded s: -ln sigmoid(a) = softplus(-a), -ln softmax(a) = ln(sum e^(a-m)) - (a-m) with m
the greatest of a.  So nothing overflows, and the logarithm of 0 does not occur.  C is summed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.reference.activation import SIGMOID, SOFTPLUS

__all__ = ["COSTS", "CROSS_ENTROPY_WITH_SIGMOID", "CROSS_ENTROPY_WITH_SOFTMAX", "QUADRATIC", "Cost"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Cost:
    """C, grad_a C, and what a network trained for it says: `output(a)`.

    `activates` is true of a cost with an activation inside.

    >>> a, t = np.array([[[3.0]], [[5.0]]]), np.array([[[1.0]], [[6.0]]])
    >>> QUADRATIC(a, t), QUADRATIC.gradient(a, t).ravel()
    (2.5, array([ 2., -1.]))
    """

    name: str
    terms: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    output: Callable[[Array], Array]
    activates: bool

    def __call__(self, a: Array, target: Array) -> float:
        """C, the sum of all items'."""
        if target.shape != a.shape:
            raise ValueError(f"target has shape {target.shape}, but a^L has {a.shape}")
        if target.dtype != a.dtype:
            raise ValueError(f"target has dtype {target.dtype}, but a^L has {a.dtype}")
        if self.activates and not np.all((target >= 0) & (target <= 1)):
            wrong = target[~((target >= 0) & (target <= 1))][0]
            raise ValueError(f"the target of a cross-entropy lies in [0, 1], but one is {wrong}")
        return float(self.terms(a, target).sum(dtype=np.float64))


def _softmax(a: Array) -> Array:
    """e^(a-m) / sum e^(a-m), over the maps."""
    e = np.exp(a - a.max(axis=1, keepdims=True))
    s: Array = e / e.sum(axis=1, keepdims=True)
    return s


def _softmax_terms(a: Array, t: Array) -> Array:
    below = a - a.max(axis=1, keepdims=True)
    terms: Array = t * (np.log(np.exp(below).sum(axis=1, keepdims=True)) - below)
    return terms


QUADRATIC = Cost(
    "quadratic",
    terms=lambda a, t: (a - t) ** 2 / 2,
    gradient=lambda a, t: a - t,
    output=lambda a: a,
    activates=False,
)
CROSS_ENTROPY_WITH_SIGMOID = Cost(
    "cross_entropy_with_sigmoid",
    terms=lambda a, t: t * SOFTPLUS(-a) + (1 - t) * SOFTPLUS(a),
    gradient=lambda a, t: SIGMOID(a) - t,
    output=SIGMOID,
    activates=True,
)
CROSS_ENTROPY_WITH_SOFTMAX = Cost(
    "cross_entropy_with_softmax",
    terms=_softmax_terms,
    gradient=lambda a, t: _softmax(a) * t.sum(axis=1, keepdims=True) - t,
    output=_softmax,
    activates=True,
)

COSTS = {cost.name: cost for cost in (QUADRATIC, CROSS_ENTROPY_WITH_SIGMOID, CROSS_ENTROPY_WITH_SOFTMAX)}
"""By name."""
