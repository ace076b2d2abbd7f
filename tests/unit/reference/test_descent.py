"""Steps against the gradient, bit for bit on numbers that do not round; errors."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from conformance.reference import (
    RELU,
    ConvolutionLayer,
    Gradients,
    MaxPoolingLayer,
    Momentum,
    Network,
    descend,
    mean_pooling_layer,
)

ETA, MU = 0.25, 0.5


def _network(dtype: object = np.float64) -> Network:
    rng = np.random.default_rng(0)
    w1, b1, w2 = (rng.integers(-4, 5, shape).astype(dtype) for shape in [(4, 1, 2), (4,), (2, 4, 3)])
    return Network(
        layers=[
            ConvolutionLayer(w1, b1, activation=RELU),
            MaxPoolingLayer(size=(2,)),
            mean_pooling_layer(4, (1,), dtype=dtype),
            ConvolutionLayer(w2),
        ]
    )


def _gradients(network: Network, seed: int) -> list[Gradients]:
    rng = np.random.default_rng(seed)
    return [
        Gradients(*(None if p is None else rng.integers(-8, 9, p.shape).astype(p.dtype) for p in pair))
        for pair in network.parameters
    ]


def _flat(pairs) -> list[np.ndarray]:
    return [part for pair in pairs for part in pair if part is not None]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("rate", [ETA, np.float64(ETA)])
def test_a_plain_step_moves_every_parameter_by_minus_eta_times_its_gradient(dtype, rate) -> None:
    network = _network(dtype)
    gradients, before = _gradients(network, 1), [p.copy() for p in _flat(network.parameters)]
    after = _flat(descend(network, gradients, rate=rate).parameters)
    for old, was, new, d in zip(_flat(network.parameters), before, after, _flat(gradients), strict=True):
        np.testing.assert_array_equal(
            new, (was.astype(float) - ETA * d.astype(float)).astype(dtype), strict=True
        )
        np.testing.assert_array_equal(old, was)
    assert len(after) == 3


def test_momentum_adds_up_what_it_was_given() -> None:
    """v1 = -eta g1, v2 = mu v1 - eta g2, v3 = mu v2 - eta g3; w moves by their sum."""
    network = moved = _network()
    descent, velocity = Momentum(rate=ETA, momentum=MU), None
    steps = [_gradients(network, seed) for seed in (1, 2, 3)]
    for gradients in steps:
        moved, velocity = descent.step(moved, gradients, velocity)
    each = zip(
        _flat(network.parameters), _flat(moved.parameters), _flat(velocity), *map(_flat, steps), strict=True
    )
    for old, new, v, g1, g2, g3 in each:
        v1 = -ETA * g1
        v2 = MU * v1 - ETA * g2
        v3 = MU * v2 - ETA * g3
        np.testing.assert_array_equal(v, v3)
        np.testing.assert_array_equal(new, old + v1 + v2 + v3)


def test_momentum_of_nothing_is_plain() -> None:
    network = _network()
    descent, velocity, plain, moved = Momentum(rate=ETA, momentum=0), None, network, network
    for seed in (1, 2):
        gradients = _gradients(network, seed)
        plain = descend(plain, gradients, rate=ETA)
        moved, velocity = descent.step(moved, gradients, velocity)
    for one, other in zip(_flat(plain.parameters), _flat(moved.parameters), strict=True):
        np.testing.assert_array_equal(one, other)


def test_momentum_keeps_the_dtype() -> None:
    network = _network(np.float32)
    descent = Momentum(rate=np.float64(ETA), momentum=np.float64(MU))
    moved, velocity = descent.step(network, _gradients(network, 1))
    moved, velocity = descent.step(moved, _gradients(network, 2), velocity)
    assert {p.dtype for p in _flat([*moved.parameters, *velocity])} == {np.dtype(np.float32)}


def test_a_step_lowers_the_cost_by_eta_times_the_gradients_square() -> None:
    """C(w - eta g) = C(w) - eta |g|^2 + eta^2 |X g|^2 / 2 for one linear layer: here exactly."""
    layer = ConvolutionLayer(np.array([[[1.0, -2.0]]]))
    network, x, target = Network(layers=[layer]), np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 1.0]]])
    cost, _, gradients = network.backpropagate(x, target)
    eta = 2.0**-10
    lower, _, _ = descend(network, gradients, rate=eta).backpropagate(x, target)
    squared = (gradients[0].dw ** 2).sum()
    bend = (ConvolutionLayer(gradients[0].dw).forward(x) ** 2).sum()
    assert lower == cost - eta * squared + eta**2 * bend / 2 < cost


@pytest.mark.parametrize("rate", [0.0, -0.1, float("inf"), float("nan")])
def test_a_rate_is_positive_and_finite(rate: float) -> None:
    network = _network()
    for call in (
        lambda: descend(network, _gradients(network, 1), rate=rate),
        lambda: Momentum(rate=rate, momentum=0.5),
    ):
        with pytest.raises(ValueError, match=f"the rate must be positive and finite, got {rate}"):
            call()


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_a_momentum_lies_below_one(momentum: float) -> None:
    with pytest.raises(ValueError, match=rf"momentum lies in \[0, 1\), got {momentum}"):
        Momentum(rate=0.1, momentum=momentum)


def test_gradients_of_another_network_are_refused() -> None:
    network = _network()
    gradients = _gradients(network, 1)
    wrong = [Gradients(np.zeros((4, 1, 1)), gradients[0].db), *gradients[1:]]
    missing = [Gradients(gradients[0].dw, None), *gradients[1:]]
    with pytest.raises(
        ValueError, match=r"layers\[0\] needs a gradient of shape \(4, 1, 2\), got \(4, 1, 1\)"
    ):
        descend(network, wrong, rate=ETA)  # which NumPy would stretch
    with pytest.raises(ValueError, match=r"layers\[0\] needs a gradient of shape \(4,\), got None"):
        Momentum(rate=ETA, momentum=MU).step(network, missing)
    with pytest.raises(ValueError, match="4 layers need as many pairs of gradients, got 3"):
        descend(network, gradients[:3], rate=ETA)
