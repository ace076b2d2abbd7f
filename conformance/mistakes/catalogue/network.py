"""Whole networks: what goes wrong between layers, at the output, in the gradients and in the step.

Shapes are respected: where a wrong tensor would not fit, the right one is used (layers of one size give it away).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.network import Backpropagation, NetworkMistake, activated, made, slope
from conformance.problem.network import KINKED

__all__ = ["NETWORK_CATALOGUE", "NETWORK_MISTAKES"]

Floats = NDArray[np.float64]
Right = Backpropagation
Bias = Floats | None
Pair = tuple[Floats, Bias]

SLOPE = "delta^l = dC/da^l (.) sigma'(z^l): once in every layer, sigma' of that layer, taken at z"
OUTPUT = "delta^L = grad_a C (.) sigma'(z^L); with cross-entropy and its own activation that is a - t"
KERNEL = "dC/da^l is the full convolution of delta^{l+1} with ROT180 of w^{l+1}: dx of layer l+1"
GRADIENT = (
    "dC/dw^l correlates delta^l with a^{l-1} = sigma(z^{l-1}), the layer's own input; dC/db^l sums delta^l"
)
SUM = "C is the sum over the batch, and so are all gradients: take the mean everywhere or nowhere"
STEP = "take all gradients at the old parameters, then w <- w - eta dC/dw, once"


def _error(way: Right) -> Floats:
    return way.a[-1] - way.target


# ---- output ----
def _by_own_map(way: Right) -> Floats:
    return _error(way) * way.slope(way.last) if way.net.cost == "cross-entropy" else Right.output(way)


def _by_own_map_of_sigmoid(way: Right) -> Floats:
    return _by_own_map(way) if way.net.activations[-1] == "sigmoid" else Right.output(way)


def _as_entropy(way: Right) -> Floats:
    return _error(way) if way.net.activations[-1] == "sigmoid" else Right.output(way)


def _output_at_a(way: Right) -> Floats:
    return (
        _error(way) * slope(way.layer(way.last), way.a[-1])
        if way.net.cost == "quadratic"
        else Right.output(way)
    )


def _without_target(way: Right) -> Floats:
    return way.a[-1] * (way.slope(way.last) if way.net.cost == "quadratic" else 1.0)


def _across_positions(way: Right, number: int, z: Floats) -> Floats:
    layer = way.layer(number)
    if layer.activation != "softmax":
        return Right.activated(way, number, z)
    rows = z.reshape(*z.shape[:2], -1).swapaxes(1, 2)
    return activated(layer, rows).swapaxes(1, 2).reshape(z.shape)


# ---- sigma' between layers ----
def _first_bare(way: Right, number: int, handed: Floats) -> Floats:
    return handed if number == 1 else Right.through(way, number, handed)


def _of_layer_above(way: Right, number: int, handed: Floats) -> Floats:
    above = way.layer(number + 1)
    above = dataclasses.replace(above, activation="identity") if above.activation == "softmax" else above
    return handed * slope(above, way.z[number - 1])


def _at_layer_above(way: Right, number: int, handed: Floats) -> Floats:
    above = way.z[number]
    z = above if above.shape == handed.shape else way.z[number - 1]
    return handed * slope(way.layer(number), z)


def _masked_by_gradient(way: Right, number: int, handed: Floats) -> Floats:
    layer = way.layer(number)
    return handed * (slope(layer, handed) if layer.activation in KINKED else way.slope(number))


def _masked_by_both(way: Right, number: int, handed: Floats) -> Floats:
    masked = Right.through(way, number, handed)
    return np.maximum(masked, 0) if way.layer(number).activation == "relu" else masked


def _masked_by_item(way: Right, number: int, handed: Floats) -> Floats:
    """sigma' of the first item of the batch for all items."""
    return handed * way.slope(number)[:1]


# ---- kernels between layers ----
def _spatial(a: Floats) -> tuple[int, ...]:
    return tuple(range(2, a.ndim))


def _unrotated(way: Right, number: int, delta: Floats) -> Floats:
    w, _ = way.params[number]
    return way.convolution(number + 1, delta, w=np.flip(w, _spatial(w))).dx


def _kernel_below(way: Right, number: int, delta: Floats) -> Floats:
    own, above = way.params[number - 1][0], way.params[number][0]
    return way.convolution(number + 1, delta, w=own if own.shape == above.shape else above).dx


def _not_exchanged(way: Right, number: int, delta: Floats) -> Floats:
    w, _ = way.params[number]
    return way.convolution(number + 1, delta, w=w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else w).dx


def _last_map_alone(way: Right, number: int, delta: Floats) -> Floats:
    alone = np.zeros_like(delta)
    alone[:, -1] = delta[:, -1]
    return Right.handed_back(way, number, alone)


# ---- gradients ----
def _own_activation(way: Right, number: int, delta: Floats) -> Floats:
    a, before = way.a[number], way.a[number - 1]
    return way.convolution(number, delta, x=a if a.shape == before.shape else before).dw


def _weighted_input(way: Right, number: int, delta: Floats) -> Floats:
    return way.convolution(number, delta, x=way.z[number - 2] if number > 1 else way.a[0]).dw


def _bare(way: Right, number: int) -> Floats:
    """dC/da^l, without sigma'."""
    if number == way.last:
        return _error(way)
    return way.handed_back(number, way.deltas[number])


def _dw_of_bare(way: Right, number: int, delta: Floats) -> Floats:
    return Right.dw(way, number, _bare(way, number))


def _db_of_bare(way: Right, number: int, delta: Floats) -> Bias:
    return Right.db(way, number, _bare(way, number))


def _delta_above(way: Right, number: int, delta: Floats) -> Bias:
    """The bias of layer l gets delta^{l+1}, where there is one of as many maps."""
    own = Right.db(way, number, delta)
    above = None if number == way.last else Right.db(way, number + 1, way.deltas[number])
    return own if own is None or above is None or above.shape != own.shape else above


def _no_bias(way: Right, number: int, delta: Floats) -> Bias:
    return Right.db(way, number, 0 * delta)


def _batch(way: Right) -> int:
    return way.net.layers[0].geometry.batch


def _mean_of_weights(way: Right, number: int, delta: Floats) -> Floats:
    return Right.dw(way, number, delta) / _batch(way)


def _mean_of_biases(way: Right, number: int, delta: Floats) -> Bias:
    db = Right.db(way, number, delta)
    return None if db is None else db / _batch(way)


def _none(missing: Callable[[Right, int], bool]) -> dict[str, Any]:
    """Some layers get no gradient."""
    return {
        "dw": lambda way, number, delta: Right.dw(way, number, delta * (not missing(way, number))),
        "db": lambda way, number, delta: Right.db(way, number, delta * (not missing(way, number))),
    }


FIRST_MISSING = _none(lambda way, number: number == 1)
LAST_MISSING = _none(lambda way, number: number == way.last > 1)


# ---- step ----
def _layer_by_layer(way: Right, rate: float) -> list[Pair]:
    """Each layer is moved as soon as its gradient is known, and hands its delta back by the new kernel."""
    delta = way.deltas[-1]
    moving = copy.copy(way)
    moving.params = list(way.params)
    for number in range(way.last, 0, -1):
        dw, db = moving.gradient(number, delta)
        w, b = way.params[number - 1]
        moving.params[number - 1] = (w - rate * dw, None if b is None or db is None else b - rate * db)
        if number > 1:
            delta = moving.through(number - 1, moving.handed_back(number - 1, delta))
    return moving.params


def _biases_kept(way: Right, rate: float) -> list[Pair]:
    return [(w, b) for (w, _), (_, b) in zip(Right.stepped(way, rate), way.params, strict=True)]


def _only_last(way: Right, rate: float) -> list[Pair]:
    return [*way.params[:-1], Right.stepped(way, rate)[-1]]


def _by(factor: Any) -> Any:
    return lambda way, rate: way.moved(factor(way, rate), way.gradients)


NETWORK_MISTAKES: tuple[NetworkMistake, ...] = (
    made("output-without-slope", "delta of the output is a - t, without sigma'(z)", OUTPUT, output=_error),
    made(
        "output-of-quadratic-cost",
        "cross-entropy's delta is that of the quadratic cost, (a - t) a (1 - a)",
        OUTPUT,
        output=_by_own_map,
    ),
    made(
        "output-of-quadratic-cost-at-sigmoid",
        "after a sigmoid, cross-entropy's delta is that of the quadratic cost, (a - t) a (1 - a)",
        OUTPUT,
        output=_by_own_map_of_sigmoid,
    ),
    made(
        "output-of-cross-entropy",
        "after a sigmoid, the quadratic cost's delta is that of cross-entropy, a - t",
        OUTPUT,
        output=_as_entropy,
    ),
    made("output-slope-at-a", "sigma' of the output is taken at a, not at z", OUTPUT, output=_output_at_a),
    made(
        "output-sign",
        "delta of the output is t - a: all gradients have the wrong sign",
        OUTPUT,
        output=lambda way: -Right.output(way),
    ),
    made(
        "output-without-target",
        "delta of the output does not subtract the target",
        OUTPUT,
        output=_without_target,
    ),
    made(
        "output-twice",
        "delta of the output is twice what it should be, as of a cost without its 1/2",
        OUTPUT,
        output=lambda way: 2 * Right.output(way),
    ),
    made(
        "softmax-over-positions",
        "the softmax runs over positions, not over maps",
        OUTPUT,
        activated=_across_positions,
    ),
    made(
        "slope-missing",
        "sigma' is left out between all layers",
        SLOPE,
        through=lambda way, number, handed: handed,
    ),
    made("slope-missing-in-first", "sigma' is left out in the first layer", SLOPE, through=_first_bare),
    made(
        "slope-twice",
        "sigma' is multiplied in twice between layers",
        SLOPE,
        through=lambda way, number, handed: handed * way.slope(number) ** 2,
    ),
    made(
        "slope-at-a",
        "sigma' between layers is taken at a, not at z",
        SLOPE,
        through=lambda way, number, handed: handed * slope(way.layer(number), way.a[number]),
    ),
    made(
        "slope-of-layer-above",
        "sigma' between layers is that of the activation of the layer above",
        SLOPE,
        through=_of_layer_above,
    ),
    made(
        "slope-at-layer-above",
        "sigma' between layers is taken at z of the layer above, not at z of its own",
        SLOPE,
        through=_at_layer_above,
    ),
    made(
        "slope-of-first-item",
        "sigma' of the first item is used for the whole batch",
        SLOPE,
        through=_masked_by_item,
    ),
    made(
        "mask-of-gradient",
        "relu's mask is the sign of the gradient that comes back, not of z",
        SLOPE,
        through=_masked_by_gradient,
    ),
    made(
        "mask-of-both",
        "relu lets back only what is positive both in z and in the gradient",
        SLOPE,
        through=_masked_by_both,
    ),
    made(
        "activation-value-as-slope",
        "between layers a itself is multiplied in, not sigma'",
        SLOPE,
        through=lambda way, number, handed: handed * way.a[number],
    ),
    made(
        "kernel-unrotated",
        "delta slides the next kernel as the forward pass did, unrotated",
        KERNEL,
        handed_back=_unrotated,
    ),
    made(
        "kernel-of-same-layer",
        "delta goes back through w of its own layer, not of the next",
        KERNEL,
        handed_back=_kernel_below,
    ),
    made(
        "kernel-not-exchanged",
        "maps and channels of the next kernel are not exchanged on the way back",
        KERNEL,
        handed_back=_not_exchanged,
    ),
    made(
        "kernel-of-last-map",
        "delta comes back from the last map alone, not from the sum of all",
        KERNEL,
        handed_back=_last_map_alone,
    ),
    made(
        "dw-of-own-activation",
        "dw of layer l uses a^l, the layer's own output, not a^{l-1}",
        GRADIENT,
        dw=_own_activation,
    ),
    made(
        "dw-of-weighted-input",
        "dw uses z^{l-1}, not a^{l-1} = sigma(z^{l-1})",
        GRADIENT,
        dw=_weighted_input,
    ),
    made(
        "dw-without-slope",
        "dw is taken of dC/da^l, before sigma' is multiplied in",
        GRADIENT,
        dw=_dw_of_bare,
    ),
    made(
        "db-without-slope",
        "db is taken of dC/da^l, before sigma' is multiplied in",
        GRADIENT,
        db=_db_of_bare,
    ),
    made("db-of-layer-above", "db of layer l sums delta^{l+1}", GRADIENT, db=_delta_above),
    made("first-gradient-missing", "the first layer gets no gradient", GRADIENT, **FIRST_MISSING),
    made("last-gradient-missing", "the last layer gets no gradient", GRADIENT, **LAST_MISSING),
    made("bias-gradient-missing", "biases get no gradient", GRADIENT, db=_no_bias),
    made(
        "cost-mean",
        "the cost is the mean over the batch, its gradients are sums",
        SUM,
        cost=lambda way: Right.cost(way) / _batch(way),
    ),
    made(
        "gradient-mean",
        "dw and db are means over the batch, deltas and cost are sums",
        SUM,
        dw=_mean_of_weights,
        db=_mean_of_biases,
    ),
    made("weight-mean", "dw is the mean over the batch, db the sum", SUM, dw=_mean_of_weights),
    made("bias-mean", "db is the mean over the batch, dw the sum", SUM, db=_mean_of_biases),
    made(
        "output-mean",
        "deltas are divided by the batch, the cost is a sum",
        SUM,
        output=lambda way: Right.output(way) / _batch(way),
    ),
    made(
        "cost-without-half",
        "the quadratic cost has no 1/2, its delta is that with 1/2",
        "C = 1/2 sum (a - t)^2",
        cost=lambda way: Right.cost(way) * (2 if way.net.cost == "quadratic" else 1),
    ),
    made(
        "step-upwards",
        "the step goes with the gradient, not against it",
        STEP,
        stepped=_by(lambda way, rate: rate),
    ),
    made(
        "step-rate-twice",
        "the rate is multiplied in twice",
        STEP,
        stepped=_by(lambda way, rate: -rate * rate),
    ),
    made("step-without-rate", "the rate is not multiplied in", STEP, stepped=_by(lambda way, rate: -1.0)),
    made(
        "step-mean", "the step divides by the batch", STEP, stepped=_by(lambda way, rate: -rate / _batch(way))
    ),
    made(
        "step-before-deltas",
        "each layer is moved before its delta goes back: by the new kernel",
        STEP,
        stepped=_layer_by_layer,
    ),
    made("step-without-biases", "biases are not moved", STEP, stepped=_biases_kept),
    made("step-of-last-layer", "only the last layer is moved", STEP, stepped=_only_last),
)
"""In the order of the algorithm: output, backwards, gradients, step."""

NETWORK_CATALOGUE = {m.name: m for m in NETWORK_MISTAKES}
"""By name."""
