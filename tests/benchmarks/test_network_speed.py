"""How long a training step of a LeNet takes: at most three times PyTorch's time, and less than any NumPy peer's.

All compute in float32 on one thread of this process, in turns, and bit for bit the same (`lenet.py`).  Judged is the median
of the ratios of each round.  Also: how long it takes to learn the digits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Hashable, Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import lenet
from benchmarks.turns import in_turns, ratio
from conformance.reference.digits import digits
from conformance.reference.train import accuracy, digit_network, train

ROUNDS = 15
LIMIT = 3.0
SECONDS = 60.0

MODULES = {"autograd": "autograd", "mygrad": "mygrad", "numpy-ml": "numpy_ml", "dezero": "dezero"}


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Libraries written for Python < 3.10 or NumPy < 1.24, with what they miss of them; their warnings are no errors."""
    monkeypatch.setattr(np, "int", int, raising=False)
    monkeypatch.setattr("collections.Hashable", Hashable, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.benchmark
@pytest.mark.parametrize("batch", [1, 64])
def test_a_step_takes_at_most_three_times_as_long_as_torchs(
    batch: int, one_thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert _ratio("PyTorch", lenet.torch, batch, one_thread, capsys) <= LIMIT


@pytest.mark.benchmark
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("name", lenet.PEERS)
@pytest.mark.usefixtures("as_they_are")
def test_a_step_takes_less_time_than_a_numpy_peers(
    name: str, batch: int, one_thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec(MODULES[name]) is None:
        pytest.skip(f"{name} is not installed")
    assert _ratio(name, lenet.PEERS[name], batch, one_thread, capsys) < 1


def _ratio(name, library, batch, one_thread, capsys) -> float:
    ours, theirs = (make(*lenet.operands(batch)) for make in (lenet.reference, library))
    for result, same in zip(ours(), theirs(), strict=True):  # and the first call of each
        np.testing.assert_array_equal(result, same)
    mine, others = in_turns([ours, theirs], rounds=ROUNDS)
    measured = ratio(mine, others)
    with capsys.disabled():
        print(
            f"\n  LeNet, batch {batch}: {measured:.2f} times {name}'s time "
            f"({np.median(mine) * 1e3:.1f} ms, {name} {np.median(others) * 1e3:.1f} ms; {one_thread})",
            end=" ",
        )
    return measured


@pytest.mark.benchmark
def test_the_digits_are_learnt_in_a_minute(one_thread: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    training, test = digits()
    start = time.process_time()  # of one core, whatever else it does
    *_, last = train(digit_network(), training)
    seconds = time.process_time() - start
    with capsys.disabled():
        print(f"\n  digits: {accuracy(last.network, test):.2%} in {seconds:.1f} s ({one_thread})", end=" ")
    assert seconds < SECONDS
