"""How long the reference layer takes on ResNet-50's 3x3 layers: at most three times as long as PyTorch.

Both compute y, dx, dw and db in float32 on one thread of this process, in turns, so that whatever else the
machine does disturbs both.  Judged is the ratio of the medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.turns import in_turns
from conformance.reference import Convolution

torch = pytest.importorskip("torch")

LIMIT = 3.0
ROUNDS = 9

LAYERS = [(64, 56, 1), (128, 28, 1), (256, 14, 1), (512, 7, 1), (128, 56, 2), (256, 28, 2), (512, 14, 2)]
"""(channels = maps, height = width, stride); the kernel is 3x3, the padding 1."""


@pytest.mark.benchmark
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("channels", "size", "stride"), LAYERS, ids=[f"{c}@{i}s{s}" for c, i, s in LAYERS])
def test_resnet_layer_takes_at_most_three_times_as_long_as_torch(
    channels: int, size: int, stride: int, batch: int, one_thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = (size - 1) // stride + 1
    shapes = (
        (batch, channels, size, size),
        (channels, channels, 3, 3),
        (channels,),
        (batch, channels, out, out),
    )
    rng = np.random.default_rng(0)
    operands = [rng.integers(-3, 4, shape).astype(np.float32) for shape in shapes]

    ours, theirs = _reference(*operands, stride=stride), _torch(*operands, stride=stride)
    for result, same in zip(ours(), theirs(), strict=True):  # exact on integers, and the first call of each
        np.testing.assert_array_equal(result, same)
    mine, torchs = map(statistics.median, in_turns([ours, theirs], rounds=ROUNDS))
    with capsys.disabled():
        print(
            f"\n  {channels}@{size} stride {stride} batch {batch}: {mine / torchs:.2f} times torch's time "
            f"({mine * 1e3:.1f} ms, torch {torchs * 1e3:.1f} ms; {one_thread})",
            end=" ",
        )
    assert mine <= LIMIT * torchs


def _reference(x: np.ndarray, w: np.ndarray, b: np.ndarray, delta: np.ndarray, *, stride: int) -> Callable:
    layer = Convolution(w, b, stride=(stride, stride), padding=((1, 1), (1, 1)), dilation=(1, 1))
    return lambda: (layer.forward(x), *layer.backward(delta))


def _torch(*operands: np.ndarray, stride: int) -> Callable:
    x, w, b, delta = map(torch.from_numpy, operands)
    geometry = ([stride, stride], [1, 1], [1, 1], False, [0, 0], 1)

    def run() -> tuple[np.ndarray, ...]:
        y = torch.ops.aten.convolution(x, w, b, *geometry)
        gradients = torch.ops.aten.convolution_backward(delta, x, w, [len(b)], *geometry, [True, True, True])
        return tuple(result.numpy() for result in (y, *gradients))

    return run
