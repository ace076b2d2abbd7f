"""The reference learns to read: whole trainings, by the functions and as a program."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_limits

from conformance.reference.digits import digits
from conformance.reference.train import accuracy, digit_network, train


@pytest.mark.slow
def test_ninety_seven_of_a_hundred_digits_held_out_are_read_right() -> None:
    """Of 450 digits that it never saw."""
    training, test = digits()
    start = digit_network()
    with threadpool_limits(1):  # small products: on a busy machine a second thread is only waited for
        *epochs, last = train(start, training)
    assert accuracy(start, test) < 0.3  # it is learnt, not built in
    assert last.cost < epochs[0].cost / 10
    assert accuracy(last.network, test) >= 0.97


def test_the_program_shows_each_epoch_and_then_kernels_and_deltas(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "conformance.reference.train", "--epochs", "2", "--seed", "1"]
    one_thread = {**environment, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_thread, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    progress = re.findall(
        r"^epoch +(\d) +cost (\d\.\d{4}) +accuracy +(\d+\.\d\d)% +\d+\.\d s$", done.stdout, re.MULTILINE
    )
    assert [number for number, *_ in progress] == ["1", "2"]
    assert float(progress[1][1]) < float(progress[0][1])
    for part in (
        "The kernels of the first layer:\n\n|",
        "read as",
        "back to the first layer, a map a kernel:\n\n|",
    ):
        assert part in done.stdout


def test_without_scikit_learn_the_program_says_so(environment: dict[str, str], tmp_path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ModuleNotFoundError('no scikit-learn here')\n", "utf-8")
    paths = {**environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])}
    command = [sys.executable, "-m", "conformance.reference.train"]
    done = subprocess.run(command, env=paths, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "conformance: the digits come with scikit-learn, which cannot be imported: no scikit-learn here\n"
    )
