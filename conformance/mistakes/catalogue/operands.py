"""Operands: y for delta, the weights after their update, transposed or without their sign; not the gradient itself."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import transposed, weighted_input
from conformance.mistakes.recipe import Floats, Recipe, each, ending, operands, recipe
from conformance.problem import Operands

__all__ = ["MISTAKES"]

ROW_COLUMN = "index arrays as [row, column] everywhere"


def _updated(r: Recipe) -> Floats:
    """The weights after a step of gradient descent with learning rate 1."""
    return r.w - recipe(r.g, Operands(x=r.x, w=r.w, b=None, delta=r.delta), "dw").result()


MISTAKES = (
    *each(
        "dx dw db",
        "y-for-delta",
        "{q} uses y where delta belongs",
        hint="gradients flow from delta, which is dC/dy",
        switch=operands(delta=weighted_input),
    ),
    *each(
        "dx",
        "w-after-update",
        "dx uses the weights after their update (of learning rate 1)",
        hint="compute dx first, and update the weights then",
        switch=operands(w=_updated),
    ),
    *each(
        "dx",
        "w-in-magnitude",
        "dx uses the magnitudes of the weights",
        hint="dx uses w as y did, signs included",
        switch=operands(w=lambda r: np.abs(r.w)),
    ),
    *each(
        "dx dw db",
        "delta-sign-lost",
        "{q} uses the magnitudes of delta",
        hint="delta has signs, and gradients keep them",
        switch=operands(delta=lambda r: np.abs(r.delta)),
    ),
    *each(
        "y dw",
        "x-transposed",
        "{q} reads x with height and width exchanged, where it is square",
        hint=ROW_COLUMN,
        switch=operands(x=lambda r: transposed(r.x)),
    ),
    *each(
        "dx dw",
        "delta-transposed",
        "{q} reads delta with height and width exchanged, where it is square",
        hint=ROW_COLUMN,
        switch=operands(delta=lambda r: transposed(r.delta)),
    ),
    *each(
        "dw",
        "weight-decay-folded-in",
        "the weights themselves are added to dw: a weight decay (of 1)",
        hint="weight decay belongs to the optimiser",
        switch=ending(lambda out, r: out + r.w),
    ),
    *each(
        "dw",
        "updated-weights-returned",
        "dw holds the weights after their update (of learning rate 1), not their gradient",
        hint="return the gradient; the optimiser updates",
        switch=ending(lambda out, r: r.w - out),
    ),
)
