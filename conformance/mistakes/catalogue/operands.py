"""Operands: y for delta, the weights after the update, x transposed, one for another of the same shape."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.activation import _y
from conformance.mistakes.catalogue.rotation import _transposed
from conformance.mistakes.recipe import Floats, Recipe, each, ending, operands, recipe
from conformance.problem import Operands

__all__ = ["MISTAKES"]


def _updated(r: Recipe) -> Floats:
    dw = recipe(r.g, Operands(x=r.x, w=r.w, b=None, delta=r.delta), "dw").result()
    return r.w - dw


MISTAKES = (
    *each("dx dw db", "y-for-delta", "{q} uses y where delta belongs", hint="gradients flow from delta", switch=operands(delta=_y)),
    *each("dx", "w-after-update", "dx uses the weights after their update", hint="compute dx first, update then",
          switch=operands(w=_updated)),
    *each("dx", "w-in-magnitude", "dx uses |w|", hint="dx uses w as y did", switch=operands(w=lambda r: np.abs(r.w))),
    *each("y dw", "x-transposed", "{q} reads x with height and width exchanged, where it is square", hint="index [row, column] everywhere",
          switch=operands(x=lambda r: _transposed(r.x))),
    *each("dx dw", "delta-transposed", "{q} reads delta with height and width exchanged, where it is square",
          hint="index [row, column] everywhere", switch=operands(delta=lambda r: _transposed(r.delta))),
    *each("y", "w-of-first-map", "every map uses the first map's kernel", hint="index the maps of w",
          switch=operands(w=lambda r: np.broadcast_to(r.w[:1], r.w.shape))),
    *each("dx", "w-of-first-map", "dx uses the first map's kernel for every map", hint="index the maps of w",
          switch=operands(w=lambda r: np.broadcast_to(r.w[:1], r.w.shape))),
    *each("dx dw", "delta-of-first-map", "{q} uses the first map's delta for every map", hint="index the maps of delta",
          switch=operands(delta=lambda r: np.broadcast_to(r.delta[:, :1], r.delta.shape))),
    *each("y dw", "x-of-first-channel", "{q} reads the first channel of x for every channel", hint="index the channels of x",
          switch=operands(x=lambda r: np.broadcast_to(r.x[:, :1], r.x.shape))),
    *each("dx dw db", "delta-sign-lost", "{q} uses |delta|", hint="gradients have signs",
          switch=operands(delta=lambda r: np.abs(r.delta))),
    *each("dw", "weight-decay-folded-in", "dw has the weights themselves added", hint="weight decay belongs to the optimiser",
          switch=ending(lambda out, r: out + r.w)),
    *each("dw", "w-added-to-gradient", "dw is the updated weights, not the gradient", hint="return the gradient; the optimiser updates",
          switch=ending(lambda out, r: r.w - out)),
)  # fmt: skip
