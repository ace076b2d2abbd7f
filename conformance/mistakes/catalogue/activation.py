"""Activation: its derivative applied in the layer that has none, or taken of the wrong value."""

from __future__ import annotations

import numpy as np

from conformance.mistakes.catalogue.shared import weighted_input
from conformance.mistakes.recipe import Floats, Recipe, each, ending, operands

__all__ = ["MISTAKES"]

HINT = "delta is dC/dy of this layer: the activation's derivative is in it already, or belongs to the layer before"


def _positive(values: Floats) -> Floats:
    return (values > 0).astype(np.float64)


def _sigmoid_slope(r: Recipe) -> Floats:
    y = weighted_input(r)
    return y * (1 - y)


MISTAKES = (
    *each(
        "y",
        "relu-applied",
        "y went through a ReLU: negative values are zero",
        hint="y is the weighted input: the activation is a layer of its own",
        switch=ending(lambda out, r: np.maximum(out, 0)),
    ),
    *each(
        "dx dw db",
        "relu-derivative-applied",
        "delta is multiplied by the ReLU's derivative at y before {q} is computed",
        hint=HINT,
        switch=operands(delta=lambda r: r.delta * _positive(weighted_input(r))),
    ),
    *each(
        "dx dw db",
        "sigmoid-derivative-at-y",
        "delta is multiplied by y (1 - y), as for a sigmoid whose output is y, before {q} is computed",
        hint=HINT,
        switch=operands(delta=lambda r: r.delta * _sigmoid_slope(r)),
    ),
    *each(
        "dx",
        "relu-derivative-of-x-applied",
        "dx is multiplied by the ReLU's derivative at x",
        hint="dx is dC/dx: where x came from is the business of the layer before",
        switch=ending(lambda out, r: out * _positive(r.x)),
    ),
    *each(
        "dw",
        "relu-of-x-applied",
        "dw is computed from the ReLU of x: negative inputs count as zero",
        hint="dw correlates delta with x as it came in",
        switch=operands(x=lambda r: np.maximum(r.x, 0)),
    ),
)
