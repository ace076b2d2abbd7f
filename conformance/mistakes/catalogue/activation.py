"""Activation derivatives that leak into the layer: applied although they belong to the layer after, or of the wrong value."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.recipe import Floats, Recipe, each, ending, operands, recipe
from conformance.problem import Operands

__all__ = ["MISTAKES"]

HINT = "delta is dC/dy of this layer: the activation's derivative is already in it, or belongs to the layer before"


def _y(r: Recipe) -> Floats:
    given = Operands(x=r.x, w=r.w, b=None, delta=r.delta)
    y = recipe(r.g, given, "y").replace(bias=np.zeros(1)).result()
    return y if r.g.bias == "none" else y + r.bias


def _positive(values: Floats) -> Floats:
    return (values > 0).astype(np.float64)


MISTAKES = (
    *each("y", "relu-applied", "y went through a ReLU", hint="y is the weighted input z: the activation is a layer of its own",
          switch=ending(lambda out, r: np.maximum(out, 0))),
    *each("dx dw db", "relu-derivative-applied", "delta is multiplied by the ReLU's derivative of y in {q}", hint=HINT,
          switch=operands(delta=lambda r: r.delta * _positive(_y(r)))),
    *each("dx dw db", "sigmoid-derivative-at-y", "delta is multiplied by y (1 - y) in {q}", hint=HINT,
          switch=operands(delta=lambda r: r.delta * _y(r) * (1 - _y(r)))),
    *each("dx", "relu-derivative-of-x-applied", "dx is multiplied by the ReLU's derivative of x", hint=HINT,
          switch=ending(lambda out, r: out * _positive(r.x))),
    *each("dw", "relu-of-x-applied", "dw uses the ReLU of x", hint="dw correlates with x as it came in",
          switch=operands(x=lambda r: np.maximum(r.x, 0))),
)  # fmt: skip
