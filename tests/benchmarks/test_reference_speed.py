"""How long the reference layer takes on ResNet-50's 3x3 layers: at most three times as long as PyTorch.

Both compute y, dx, dw and db in float32 on one thread of this process, in turns, so that whatever else the
machine does disturbs both.  Judged is the ratio of the medians.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from conformance.reference import Convolution

torch = pytest.importorskip("torch")
try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None

LIMIT = 3.0
ROUNDS = 9

LAYERS = [(64, 56, 1), (128, 28, 1), (256, 14, 1), (512, 7, 1), (128, 56, 2), (256, 28, 2), (512, 14, 2)]
"""(channels = maps, height = width, stride); the kernel is 3x3, the padding 1."""


@pytest.fixture
def one_thread() -> Iterator[str]:
    """One thread for PyTorch and for NumPy's BLAS; says whether the second could be had."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    limited = contextlib.nullcontext() if threadpool_limits is None else threadpool_limits(1)
    with limited:
        yield "one thread each" if threadpool_limits else "NumPy NOT limited to one thread: no threadpoolctl"
    torch.set_num_threads(before)


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
    mine, torchs = _medians(ours, theirs)
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


def _medians(*calls: Callable) -> list[float]:
    """The median seconds of each, called in turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]
