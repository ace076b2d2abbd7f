"""Training, on a few examples: its steps are those of descent, its orders those of the seed; its words."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from conformance.reference import QUADRATIC, ConvolutionLayer, Momentum, Network, pictures
from conformance.reference.digits import CLASSES, Examples
from conformance.reference.train import accuracy, digit_network, main, shown, train

RNG = np.random.default_rng(0)
FEW = Examples(RNG.random((10, 1, 8, 8), dtype=np.float32), np.arange(10))


def _same(one: Network, other: Network) -> bool:
    pairs = zip(one.parameters, other.parameters, strict=True)
    return all(np.array_equal(p, q) for a, b in pairs for p, q in zip(a, b, strict=True) if p is not None)


def test_one_batch_an_epoch_is_one_step_of_descent() -> None:
    """In another order, which changes no sum: all numbers are small multiples of 2^-12.  The velocity is handed on."""
    layer = ConvolutionLayer(np.ones((CLASSES, 1, 8, 8)))
    network = Network(layers=[layer], cost=QUADRATIC)
    pixels = Examples(np.round(FEW.x).astype(float), FEW.labels)
    epochs = train(network, pixels, epochs=2, batch=10, rate=2.0**-6, momentum=0.5)
    descent, velocity = Momentum(rate=2.0**-6, momentum=0.5), None
    for number, epoch in enumerate(epochs, 1):
        cost, _, gradients = network.backpropagate(pixels.x, pixels.target)
        network, velocity = descent.step(network, gradients, velocity)
        assert (epoch.number, epoch.cost) == (number, cost)
        assert _same(epoch.network, network)
    assert number == 2


def test_every_example_counts_once_an_epoch() -> None:
    """Quadratic cost, w = 0: the gradient of an item is -t x, and one pass with a tiny rate adds up all of them."""
    layer = ConvolutionLayer(np.zeros((CLASSES, 1, 8, 8)))
    x = RNG.integers(0, 2, (10, 1, 8, 8)).astype(float)
    rate = 2.0**-80  # so that later batches see the same w but for what rounding takes away
    (epoch,) = train(
        Network(layers=[layer]), Examples(x, FEW.labels), epochs=1, batch=4, rate=rate, momentum=0
    )
    np.testing.assert_array_equal(np.rint(epoch.network.layers[0].w / rate), x)  # one item a class


def test_the_seed_decides() -> None:
    runs = [list(train(digit_network(1), FEW, epochs=2, batch=3, seed=seed)) for seed in (5, 5, 6)]
    assert [epoch.number for epoch in runs[0]] == [1, 2]
    assert runs[0][1].cost == runs[1][1].cost != runs[2][1].cost
    assert _same(runs[0][1].network, runs[1][1].network)
    assert not _same(digit_network(1), digit_network(2))


def test_accuracy_is_the_share_of_labels_with_the_greatest_output() -> None:
    w = np.zeros((CLASSES, 1, 8, 8), np.float32)
    w[3] = 1
    network = Network(layers=[ConvolutionLayer(w)])
    assert accuracy(network, Examples(FEW.x[:4], np.array([3, 3, 0, 3]))) == 0.75


def test_the_end_shows_kernels_a_digit_and_its_deltas() -> None:
    network = digit_network()
    few = Examples(FEW.x[:2], network.output(FEW.x[:2]).argmax(axis=1).ravel())
    few.labels[1] += 1 if few.labels[1] < 9 else -1  # the second is the first that is read wrongly
    _, deltas, _ = network.backpropagate(few.x[1:], few.target[1:])
    told = shown(network, few)
    for planes in ([w[0] for w in network.parameters[0].w], [few.x[1, 0]], list(deltas[0][0])):
        assert pictures(planes) in told
    assert f"A {few.labels[1]}, read as {network.output(few.x[1:]).argmax()}:" in told


@pytest.mark.parametrize(("epochs", "batch"), [(0, 1), (1, 0), (1, 11)])
def test_no_training_with_nothing(epochs: int, batch: int) -> None:
    words = f"no training with {epochs} epochs, batches of {batch}, 10 examples"
    with pytest.raises(ValueError, match=words):
        next(train(digit_network(), FEW, epochs=epochs, batch=batch))


def test_without_scikit_learn_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("conformance: the digits come with scikit-learn, which cannot be imported: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "'0' is no whole number from 1"),
        (["--epochs", "two"], "'two' is no whole number from 1"),
        (["--seed", "-1"], "'-1' is no whole number from 0"),
    ],
)
def test_a_wrong_call_has_exit_code_2(arguments, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
