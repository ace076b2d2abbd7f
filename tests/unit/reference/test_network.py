"""The seed's five steps: by hand, as the seed writes them, by exact differences of C, and with smooth activations.

C is a polynomial of second degree in any one weight, bias or z, wherever no activation's kink lies near: the central
difference [C(p + h) - C(p - h)] / 2h is its derivative, not nearly, and in integers and halves nothing rounds.
"""

from __future__ import annotations

import decimal
import itertools
from dataclasses import replace
from decimal import Decimal

import ml_dtypes
import numpy as np
import pytest
from scipy.signal import convolve2d

import decimals
from conformance.reference import (
    COSTS,
    CROSS_ENTROPY_WITH_SIGMOID,
    CROSS_ENTROPY_WITH_SOFTMAX,
    IDENTITY,
    QUADRATIC,
    RELU,
    SIGMOID,
    SOFTPLUS,
    TANH,
    ConvolutionLayer,
    MaxPoolingLayer,
    Network,
    Parameters,
    dense_layer,
    leaky_relu,
    mean_pooling_layer,
)

STEP = 2.0**-8


# ---- the seed's network: one map, true convolution, a bias for every neuron ----
def test_the_seeds_equations_as_scipy_computes_them() -> None:
    rng = np.random.default_rng(0)
    sizes = [(7, 8), (5, 7), (4, 4), (2, 3)]
    kernels = [_integers(rng, i - o + 1, j - p + 1) for (i, j), (o, p) in itertools.pairwise(sizes)]
    biases = [_integers(rng, *size) for size in sizes[1:]]
    activations = [RELU, leaky_relu(0.5), IDENTITY]
    x, target = _integers(rng, *sizes[0]), _integers(rng, *sizes[-1])
    layers = [
        ConvolutionLayer(w[None, None], b[None], activation=activation, convention="convolution")
        for w, b, activation in zip(kernels, biases, activations, strict=True)
    ]
    network = Network(layers=layers)
    cost, deltas, gradients = network.backpropagate(x[None, None], target[None, None])

    zs, a = [], [x]  # 1. input
    for w, b, sigma in zip(kernels, biases, activations, strict=True):  # 2. feedforward
        zs.append(convolve2d(a[-1], w, "valid") + b)
        a.append(sigma(zs[-1]))
    delta = {2: (a[-1] - target) * activations[2].derivative(zs[2])}  # 3. output error
    for l in (1, 0):  # 4. backpropagate
        back = convolve2d(delta[l + 1], kernels[l + 1][::-1, ::-1], "full")
        delta[l] = back * activations[l].derivative(zs[l])
    assert cost == ((a[-1] - target) ** 2).sum() / 2
    for l in range(3):  # 5. output
        np.testing.assert_array_equal(deltas[l][0, 0], delta[l])
        np.testing.assert_array_equal(gradients[l].dw[0, 0], convolve2d(a[l][::-1, ::-1], delta[l], "valid"))
        np.testing.assert_array_equal(gradients[l].db[0], delta[l])
        assert delta[l].any()


# ---- all kinds of layers: exact differences ----
def _integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-3, 4, shape).astype(float)


def _halves(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Odd halves: with them as biases few z are 0."""
    return _integers(rng, *shape) + 0.5


def _plain(rng):
    """Stride, padding, groups, dilation, both conventions, tied, untied and no bias, both poolings, dense."""
    return (2, 2, 9, 8), [
        ConvolutionLayer(
            _integers(rng, 4, 1, 2, 3), _halves(rng, 4), groups=2, padding=((1, 0), (0, 2)), activation=RELU
        ),
        MaxPoolingLayer(size=(2, 2), stride=(1, 2)),
        ConvolutionLayer(
            _integers(rng, 2, 4, 2, 2),
            _halves(rng, 2, 4, 3),
            stride=(2, 1),
            dilation=(2, 1),
            padding=((1, 0), (0, 0)),
            convention="convolution",
            activation=leaky_relu(0.5),
        ),
        mean_pooling_layer(2, (2, 1)),
        ConvolutionLayer(_integers(rng, 3, 2, 1, 2), activation=IDENTITY),
        dense_layer(_integers(rng, 2, 12), _halves(rng, 2), size=(2, 2)),
    ]


def _line(rng):
    return (2, 3, 11), [
        ConvolutionLayer(_integers(rng, 4, 3, 3), _halves(rng, 4, 9), activation=RELU),
        MaxPoolingLayer(size=(3,), stride=(2,)),
        ConvolutionLayer(_integers(rng, 2, 4, 2), _halves(rng, 2), activation=RELU),
    ]


def _volume(rng):
    return (1, 1, 4, 5, 4), [
        ConvolutionLayer(_integers(rng, 2, 1, 2, 2, 2), _halves(rng, 2), activation=leaky_relu(0.25)),
        mean_pooling_layer(2, (1, 2, 1)),
        ConvolutionLayer(_integers(rng, 2, 2, 3, 2, 2), _halves(rng, 2), activation=RELU),
    ]


def _case(make) -> tuple[Network, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    shape, layers = make(rng)
    network = Network(layers=layers)
    x = _integers(rng, *shape)
    return network, x, _integers(rng, *network.feedforward(x).zs[-1].shape)


def _pieces(network: Network, x: np.ndarray) -> list[np.ndarray]:
    """Where each activation and each maximum is on: the same for two inputs on one linear piece."""
    zs, activations = network.feedforward(x)
    signs = [np.sign(z) for z in zs if z.size]
    winners = [
        layer.backward_delta(np.ones_like(z), a)
        for layer, z, a in zip(network.layers, zs, activations, strict=False)
        if isinstance(layer, MaxPoolingLayer)
    ]
    return signs + winners


def _cost(network: Network, x: np.ndarray, target: np.ndarray) -> float:
    return network.cost(network.feedforward(x).activations[-1], target)


def _on_one_piece(network, x, others) -> bool:
    """No z is 0 where that matters, and the moved networks are on the piece of the network."""
    here = _pieces(network, x)
    return all(
        all(np.array_equal(p, q) for p, q in zip(here, _pieces(other, x), strict=True)) for other in others
    )


@pytest.mark.parametrize("make", [_plain, _line, _volume])
def test_gradients_are_exact_differences_of_the_cost(make) -> None:
    network, x, target = _case(make)
    _, _, gradients = network.backpropagate(x, target)
    seen = 0
    for at, (parameters, gradient) in enumerate(zip(network.parameters, gradients, strict=True)):
        for name, parameter, derivative in zip("wb", parameters, gradient, strict=True):
            assert (parameter is None) == (derivative is None)
            for index in () if parameter is None else np.ndindex(*parameter.shape):
                moved = [_moved(network, at, name, index, step) for step in (STEP, -STEP)]
                if _on_one_piece(network, x, moved):
                    plus, minus = (_cost(other, x, target) for other in moved)
                    assert (plus - minus) / (2 * STEP) == derivative[index], (at, name, index)
                    seen += derivative[index] != 0
    every = sum(p.size for pair in network.parameters for p in pair if p is not None)
    assert seen > every / 2


def _moved(network: Network, at: int, name: str, index, step: float) -> Network:
    parameters = list(network.parameters)
    moved = getattr(parameters[at], name).copy()
    moved[index] += step
    parameters[at] = parameters[at]._replace(**{name: moved})
    return network.with_parameters(parameters)


@pytest.mark.parametrize("make", [_plain, _line, _volume])
def test_deltas_are_exact_differences_of_the_cost_by_z(make) -> None:
    """C as a function of z^l: the layers behind it do the rest."""
    network, x, target = _case(make)
    zs, _ = network.feedforward(x)
    _, deltas, _ = network.backpropagate(x, target)
    seen = 0
    for at, (z, delta) in enumerate(zip(zs, deltas, strict=True)):
        assert delta.shape == z.shape
        identity = ConvolutionLayer(
            np.ones((z.shape[1], 1, *[1] * (z.ndim - 2))),
            groups=z.shape[1],
            activation=network.layers[at].activation,
        )
        behind = replace(network, layers=(identity, *network.layers[at + 1 :]))  # reads z^l, computes C
        for index in np.ndindex(*z.shape):
            plus, minus = z.copy(), z.copy()
            plus[index] += STEP
            minus[index] -= STEP
            pieces = [_pieces(behind, p) for p in (z, plus, minus)]
            if all(np.array_equal(a, b) for p in pieces[1:] for a, b in zip(pieces[0], p, strict=True)):
                quotient = (_cost(behind, plus, target) - _cost(behind, minus, target)) / (2 * STEP)
                assert quotient == delta[index], (at, index)
                seen += delta[index] != 0
    assert seen > sum(z.size for z in zs) / 3


def test_a_relu_at_zero_stops_the_error() -> None:
    layers = [
        ConvolutionLayer(np.ones((1, 1, 1)), np.array([-2.0]), activation=RELU),
        ConvolutionLayer(np.ones((1, 1, 3))),
    ]
    _, deltas, gradients = Network(layers=layers).backpropagate(
        np.array([[[2.0, 3.0, 1.0]]]), np.zeros((1, 1, 1))
    )
    np.testing.assert_array_equal(deltas[0], [[[0, 1, 0]]])  # z = (0, 1, -1)
    np.testing.assert_array_equal(gradients[0].dw, [[[3]]])


# ---- batches ----
def test_a_batch_sums_what_its_items_give_and_its_mean_divides() -> None:
    network, x, target = _case(_plain)
    x, target = np.concatenate((x, x[::-1] + 1)), np.concatenate((target, target - 1))
    cost, deltas, gradients = network.backpropagate(x, target)
    each = [network.backpropagate(x[n : n + 1], target[n : n + 1]) for n in range(4)]
    assert cost == sum(one.cost for one in each)
    mean = replace(network, reduction="mean").backpropagate(x, target)
    assert mean.cost == cost / 4
    for l in range(len(network.layers)):
        np.testing.assert_array_equal(deltas[l], np.concatenate([one.deltas[l] for one in each]))
        np.testing.assert_array_equal(mean.deltas[l], deltas[l] / 4)
        for gradient, of_mean, *of_each in zip(
            gradients[l], mean.gradients[l], *(one.gradients[l] for one in each), strict=True
        ):
            if gradient is not None:
                np.testing.assert_array_equal(gradient, sum(of_each))
                np.testing.assert_array_equal(of_mean, gradient / 4)


def test_an_empty_batch_costs_nothing_and_teaches_nothing() -> None:
    network, x, target = _case(_plain)
    cost, deltas, gradients = network.backpropagate(x[:0], target[:0])
    assert cost == 0
    assert [len(delta) for delta in deltas] == [0] * 6
    assert all(not g.any() for pair in gradients for g in pair if g is not None)


# ---- smooth activations ----
U = 2.0**-53
DEFINITIONS = {"sigmoid": decimals.sigmoid, "tanh": decimals.tanh, "softplus": decimals.softplus}
STEEPEST = {"sigmoid": (1 / 4, 0.1), "tanh": (1, 0.8), "softplus": (1, 1 / 4)}
"""The greatest |sigma'| and |sigma''|."""
ROUNDINGS = {"sigmoid": (15, 21), "tanh": (9, 39), "softplus": (18, 15)}
"""Those of sigma and sigma' (`test_activation`)."""


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("sigma", [SIGMOID, TANH, SOFTPLUS], ids=lambda a: a.name)
def test_a_smooth_network_is_as_right_as_its_roundings_allow(sigma, cost) -> None:
    """Two dense layers, 4 -> 3 -> 2, against difference quotients in 450 digits.

    Errors by first-order analysis, |.| elementwise, gamma = n u of a sum of n products:

        z        |W| e_a + gamma (|W| |a| + |b|)                a       max|sigma'| e_z + roundings of sigma
        delta^L  e_z (no cost here has |d delta / d z| > 1 in the greatest norm) + roundings of grad_a C
        da       |W|^T e_delta + gamma |W|^T |delta|            sigma'  max|sigma''| e_z + roundings of sigma'
        delta    e_da |sigma'| + |da| e_sigma' + u |delta|      dW      e_delta |a| + |delta| e_a + u |delta| |a|
    """
    rng = np.random.default_rng(8)
    w1, b1, w2, b2 = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=(2, 3)), rng.normal(size=2)
    x, t = rng.normal(size=4), np.array([1.0, 0.0])
    layers = [dense_layer(w1, b1, size=(1,), activation=sigma), dense_layer(w2, b2, size=(1,))]
    network = Network(layers=layers, cost=cost)
    _, deltas, gradients = network.backpropagate(x[None, :, None], t[None, :, None])
    (z1, z2), (_, a1, _) = (list(map(np.ravel, part)) for part in network.feedforward(x[None, :, None]))
    d1, d2 = map(np.ravel, deltas)

    values, slopes = ROUNDINGS[sigma.name]
    steep, bent = STEEPEST[sigma.name]
    e_z1 = 5 * U * (abs(w1) @ abs(x) + abs(b1))
    e_a1 = steep * e_z1 + values * U * abs(a1)
    e_z2 = abs(w2) @ e_a1 + 4 * U * (abs(w2) @ abs(a1) + abs(b2))
    e_d2 = e_z2.max() + (2 * np.ptp(z2) + 25) * U * (1 + abs(d2))
    da = w2.T @ d2
    e_da = abs(w2).T @ e_d2 + 2 * U * (abs(w2).T @ abs(d2))
    slope = sigma.derivative(z1)
    e_d1 = e_da * slope + abs(da) * (bent * e_z1 + slopes * U * slope) + U * abs(d1)
    bounds = [
        np.outer(e_d1, abs(x)) + U * np.outer(abs(d1), abs(x)),
        e_d1,
        np.outer(e_d2, abs(a1)) + np.outer(abs(d2), e_a1) + U * np.outer(abs(d2), abs(a1)),
        e_d2,
    ]
    got = [
        part.reshape(bound.shape) for part, bound in zip([*gradients[0], *gradients[1]], bounds, strict=True)
    ]
    exact = _quotients(DEFINITIONS[sigma.name], cost.name, x, t, [w1, b1, w2, b2])
    for result, right, bound in zip(got, exact, bounds, strict=True):
        with decimal.localcontext(decimals.decimal_context):
            off = np.array(
                [float(abs(Decimal(g) - r)) for g, r in zip(result.ravel().tolist(), right, strict=True)]
            )
        # second order: products of two errors of at most 2^-40 each
        assert np.all(off <= bound.ravel() * (1 + 2.0**-38))


def _quotients(sigma, cost: str, x, t, parameters) -> list[list[Decimal]]:
    with decimal.localcontext(decimals.decimal_context):
        exact = [np.vectorize(lambda v: Decimal(float(v)), otypes=[object])(p) for p in (x, t, *parameters)]

        def cost_of(w1, b1, w2, b2) -> Decimal:
            a = np.array([sigma(z) for z in w1 @ exact[0] + b1])
            a = w2 @ a + b2
            if cost == "quadratic":
                return ((a - exact[1]) ** 2).sum() / 2
            if cost == "cross_entropy_with_sigmoid":
                s = [decimals.sigmoid(z) for z in a]
                return -sum(p.ln() if one else (1 - p).ln() for p, one in zip(s, exact[1], strict=True))
            e = [z.exp() for z in a]
            return -(e[0] / sum(e)).ln()

        return [_partial(cost_of, exact[2:], at) for at in range(4)]


def _partial(cost_of, parameters, at: int) -> list[Decimal]:
    quotients = []
    for index in np.ndindex(*parameters[at].shape):

        def along(value: Decimal, index=index) -> Decimal:
            moved = [p.copy() for p in parameters]
            moved[at][index] = value
            return cost_of(*moved)

        quotients.append(decimals.derivative(along, parameters[at][index]))
    return quotients


# ---- what a network says, is made of, and refuses ----
def test_the_output_is_the_costs() -> None:
    layer, x = ConvolutionLayer(np.ones((2, 1, 1))), np.zeros((1, 1, 1))
    says = {
        name: Network(layers=[layer], cost=cost).output(x).ravel().tolist() for name, cost in COSTS.items()
    }
    assert says == {
        "quadratic": [0, 0],
        "cross_entropy_with_sigmoid": [0.5, 0.5],
        "cross_entropy_with_softmax": [0.5, 0.5],
    }


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
def test_the_dtype_is_kept_all_the_way(dtype, reduction: str) -> None:
    layers = [
        ConvolutionLayer(np.ones((2, 1, 2)).astype(dtype), np.ones(2).astype(dtype), activation=TANH),
        mean_pooling_layer(2, (2,), dtype=dtype),
        dense_layer(np.ones((1, 2)).astype(dtype), size=(1,)),
    ]
    network = Network(layers=layers, cost=CROSS_ENTROPY_WITH_SIGMOID, reduction=reduction)
    _, deltas, gradients = network.backpropagate(
        np.ones((2, 1, 3)).astype(dtype), np.ones((2, 1, 1)).astype(dtype)
    )
    made = [*deltas, *(g for pair in gradients for g in pair if g is not None)]
    assert {part.dtype for part in made} == {np.dtype(dtype)}


def test_x_target_and_parameters_are_left_as_they_were() -> None:
    network, x, target = _case(_plain)
    kept = [p for pair in network.parameters for p in pair if p is not None] + [x, target]
    before = [p.copy() for p in kept]
    network.backpropagate(x, target)
    for one, was in zip(kept, before, strict=True):
        np.testing.assert_array_equal(one, was)


def _two(**changes) -> Network:
    return Network(
        **{
            "layers": [ConvolutionLayer(np.zeros((2, 1, 3))), ConvolutionLayer(np.zeros((1, 2, 2)))],
            **changes,
        }
    )


X, T = np.zeros((1, 1, 5)), np.zeros((1, 1, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Network(layers=[]), "a network needs at least one layer, got none"),
        (lambda: _two(reduction="max"), "reduction must be sum or mean, got 'max'"),
        (
            lambda: _two(layers=[dense_layer(np.ones((1, 1)), size=(1,), activation=RELU)], cost=CROSS_ENTROPY_WITH_SOFTMAX),
            "the last layer's relu would come before that of cross_entropy_with_softmax: use identity",
        ),
        (
            lambda: _two().backpropagate(np.zeros((1, 2, 5)), T),
            r"layers\[0\]: x has 2 channels, but w reads 1 in each of 1 groups",
        ),
        (
            lambda: _two().feedforward(X[..., :3]),
            r"layers\[1\]: kernel 2 with dilation 1 does not fit an input of 1 padded 0:0",
        ),
        (
            lambda: _two().backpropagate(X.astype("f4"), T),
            r"layers\[0\]: operands must have one dtype, got float32 and float64",
        ),
        (
            lambda: _two().backpropagate(X, np.zeros((1, 2))),
            r"target has shape \(1, 2\), but a\^L has \(1, 1, 2\)",
        ),
        (lambda: _two(reduction="mean").backpropagate(X[:0], T[:0]), "an empty batch has no mean cost; its sum is 0"),
        (lambda: _two().with_parameters([Parameters()]), r"2 layers need 2 pairs of parameters, got 1"),
    ],
)  # fmt: skip
def test_errors_name_the_numbers(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_quadratic_is_the_cost_if_none_is_named() -> None:
    assert _two().cost is QUADRATIC
