"""A network learns to read digits: `python -m conformance.reference.train`.

Stochastic gradient descent: each epoch goes once through the training examples in a new order, and after every few of them,
a batch, makes one step against the gradient of their mean cost.  The accuracy is that on examples held out.

Exit codes: 0 it was trained; 2 the call has to change, or scikit-learn, which has the digits, is not installed.

Source: M. Nielsen, "Neural Networks and Deep Learning", chapter 1, to which the seed keeps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.reference.activation import RELU
from conformance.reference.cost import CROSS_ENTROPY_WITH_SOFTMAX
from conformance.reference.descent import Momentum
from conformance.reference.digits import CLASSES, Examples, digits
from conformance.reference.initial import initial
from conformance.reference.layer import ConvolutionLayer, dense_layer
from conformance.reference.network import Network
from conformance.reference.picture import pictures
from conformance.reference.pooling import MaxPoolingLayer, mean_pooling_layer

__all__ = ["Epoch", "accuracy", "digit_network", "main", "train"]

PAD = ((1, 1), (1, 1))


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The network after an epoch, and the mean cost of the epoch's batches, each before its own step."""

    number: int
    network: Network
    cost: float


def digit_network(seed: int = 0) -> Network:
    """Two convolutions, each with pooling, and a dense layer: 8x8 -> 16 maps 4x4 -> 32 maps 2x2 -> 10 numbers."""
    rng = np.random.default_rng(seed)
    shapes = ((16, 1, 3, 3), (32, 16, 3, 3), (CLASSES, 32 * 2 * 2))
    first, second, last = (initial(rng, shape, dtype=np.float32) for shape in shapes)
    return Network(
        layers=(
            ConvolutionLayer(*first, padding=PAD, activation=RELU),
            MaxPoolingLayer(size=(2, 2)),
            ConvolutionLayer(*second, padding=PAD, activation=RELU),
            mean_pooling_layer(32, (2, 2), dtype=np.float32),
            dense_layer(*last, size=(2, 2)),
        ),
        cost=CROSS_ENTROPY_WITH_SOFTMAX,
        reduction="mean",
    )


def train(
    network: Network,
    examples: Examples,
    *,
    epochs: int = 20,
    batch: int = 16,
    rate: float = 0.05,
    momentum: float = 0.9,
    seed: int = 0,
) -> Iterator[Epoch]:
    """Train, epoch by epoch; the same seed gives the same orders."""
    if epochs < 1 or not 1 <= batch <= len(examples.x):
        raise ValueError(f"no training with {epochs} epochs, batches of {batch}, {len(examples.x)} examples")
    rng, descent, velocity = np.random.default_rng(seed), Momentum(rate=rate, momentum=momentum), None
    target = examples.target
    for number in range(1, epochs + 1):
        costs = []
        order = rng.permutation(len(target))
        for start in range(0, len(order), batch):
            few = order[start : start + batch]
            cost, _, gradients = network.backpropagate(examples.x[few], target[few])
            network, velocity = descent.step(network, gradients, velocity)
            costs.append(cost)
        yield Epoch(number=number, network=network, cost=sum(costs) / len(costs))


def accuracy(network: Network, examples: Examples) -> float:
    """The share of examples whose label has the greatest output."""
    says = network.output(examples.x).argmax(axis=1).ravel()
    return float(np.mean(says == examples.labels))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and show how it went; returns the exit code."""
    options = _options(arguments)
    try:
        training, test = digits(seed=options.seed)
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"conformance: the digits come with scikit-learn, which cannot be imported: {error}\n"
        )
        return 2
    network = digit_network(options.seed)
    start = time.perf_counter()
    for epoch in train(network, training, epochs=options.epochs, seed=options.seed):
        network = epoch.network
        read, seconds = accuracy(network, test), time.perf_counter() - start
        _say(f"epoch {epoch.number:3}   cost {epoch.cost:.4f}   accuracy {read:6.2%}   {seconds:5.1f} s")
    _say(f"\n{shown(network, test)}")
    return 0


def shown(network: Network, test: Examples) -> str:
    """The kernels of the first layer, and the errors that one digit sends back to them."""
    says = network.output(test.x).argmax(axis=1).ravel()
    at = int((says != test.labels).argmax())  # the first that is read wrongly; of none, the first
    few = slice(at, at + 1)
    _, deltas, _ = network.backpropagate(test.x[few], test.target[few])
    return "\n\n".join(
        (
            "The kernels of the first layer:",
            pictures([kernel[0] for kernel in _kernels(network)]),
            f"A {test.labels[at]}, read as {says[at]}:",
            pictures([test.x[at, 0]]),
            "The deltas that it sends back to the first layer, a map a kernel:",
            pictures(list(deltas[0][0])),
        )
    )


def _kernels(network: Network) -> NDArray[Any]:
    w = network.parameters[0].w
    if w is None:
        raise ValueError("the first layer has no kernels to show")
    return w


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.reference.train", description="A small network learns to read digits."
    )
    parser.add_argument("--epochs", type=_whole(1), default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="of all that is drawn; default: 0"
    )
    return parser.parse_args(arguments)


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}")
        return int(text)

    return whole


if __name__ == "__main__":
    sys.exit(main())
