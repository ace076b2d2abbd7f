"""Scale: a constant factor."""

from __future__ import annotations

import math

import numpy as np

from conformance.mistakes.catalogue.shared import divided, times
from conformance.mistakes.recipe import each, ending

__all__ = ["MISTAKES"]

MISTAKES = (
    *each(
        "y dx dw db",
        "doubled",
        "{q} is twice too large",
        hint="it is added twice, or a factor 1/2 of the cost was lost",
        switch=times(lambda g: 2),
    ),
    *each(
        "dx dw db",
        "halved",
        "{q} is half of what it should be",
        hint="a factor 1/2 too many: delta is dC/dy already",
        switch=times(lambda g: 0.5),
    ),
    *each(
        "y", "negated", "y has the wrong sign", hint="y is the sum of w x, plus b", switch=times(lambda g: -1)
    ),
    *each(
        "dx dw db",
        "negated",
        "{q} has the wrong sign",
        hint="return the gradient; the optimiser goes against it",
        switch=times(lambda g: -1),
    ),
    *each(
        "y dx dw db",
        "zero",
        "{q} is never computed: it stays zero",
        hint="an array of zeros is made and nothing is written into it",
        switch=ending(lambda out, r: np.zeros_like(out)),
    ),
    *each(
        "dx dw db",
        "learning-rate-folded-in",
        "{q} is multiplied by a learning rate (of 1/8)",
        hint="return the gradient; the optimiser multiplies by the learning rate",
        switch=times(lambda g: 1 / 8),
    ),
    *each(
        "dx",
        "divided-by-batch",
        "dx is divided by the batch size",
        hint="each item has its own dx: if the cost is a mean, delta has the 1/N already",
        switch=divided(lambda g: g.batch),
    ),
    *each(
        "dx dw",
        "divided-by-kernel-area",
        "{q} is divided by the number of taps",
        hint="sums over taps are not means",
        switch=divided(lambda g: math.prod(g.kernel)),
    ),
    *each(
        "dx",
        "divided-by-positions",
        "dx is divided by the number of output positions",
        hint="sums over positions are not means",
        switch=divided(lambda g: math.prod(g.output)),
    ),
    *each(
        "dw",
        "divided-by-channels",
        "dw is divided by the number of channels of its group",
        hint="dw does not sum over channels",
        switch=divided(lambda g: g.channels // g.groups),
    ),
    *each(
        "dx dw",
        "multiplied-by-stride",
        "{q} is multiplied by the stride of every axis",
        hint="each output counts once, however far windows are apart",
        switch=times(lambda g: math.prod(g.stride)),
    ),
)
