"""Digits: complete, apart, exact in float32; labels as targets."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from conformance.reference.digits import Examples, digits, one_hot


def test_every_digit_is_in_one_of_the_two_parts() -> None:
    from sklearn.datasets import load_digits

    training, test = digits(held_out=450, seed=3)
    assert (len(training.x), len(test.x)) == (1347, 450)
    images, labels = load_digits(return_X_y=True)
    ours = np.concatenate((training.x, test.x)).reshape(-1, 64)
    rows = np.column_stack((16 * ours, np.concatenate((training.labels, test.labels))))
    theirs = np.column_stack((images, labels))
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], theirs[np.lexsort(theirs.T)])
    assert ours.dtype == np.float32


def test_the_seed_decides_who_is_held_out() -> None:
    assert np.array_equal(digits(seed=1)[1].x, digits(seed=1)[1].x)
    assert not np.array_equal(digits(seed=1)[1].x, digits(seed=2)[1].x)


def test_a_target_is_one_at_the_label() -> None:
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    target = Examples(np.zeros((2, 1, 8, 8), "f4"), np.array([7, 0])).target
    assert (target.shape, target.dtype) == ((2, 10, 1, 1), np.float32)
    assert target[0, 7, 0, 0] == target[1, 0, 0, 0] == target.sum() / 2 == 1


@pytest.mark.parametrize("held_out", [0, 1797])
def test_neither_part_may_be_empty(held_out: int) -> None:
    with pytest.raises(ValueError, match=f"of 1797 digits {held_out} cannot be held out"):
        digits(held_out=held_out)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 2]])
def test_a_label_without_class_is_named(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"labels lie in 0..2, but reach from {labels[0]} to {labels[1]}"):
        one_hot(np.array(labels), 3)


def test_without_scikit_learn_its_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="sklearn"):
        digits()
