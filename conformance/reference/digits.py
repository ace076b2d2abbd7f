"""Something to learn: 1,797 handwritten digits of 8x8 pixels, from scikit-learn, with a part of them held out.

The one place of the reference that needs more than NumPy, and only when it is called.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998, test part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "Examples", "digits", "one_hot"]

Array = NDArray[Any]
CLASSES = 10


class Examples(NamedTuple):
    """Images (N, 1, 8, 8), float32 in [0, 1], and what they show (N,)."""

    x: Array
    labels: Array

    @property
    def target(self) -> Array:
        """As the last layer's z: (N, 10, 1, 1)."""
        return one_hot(self.labels, CLASSES, dtype=self.x.dtype)[..., None, None]


def digits(*, held_out: int = 450, seed: int = 0) -> tuple[Examples, Examples]:
    """Those to train on and those to test on: no digit is in both.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    if not 0 < held_out < len(labels):
        raise ValueError(f"of {len(labels)} digits {held_out} cannot be held out")
    x = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)  # pixels are 0..16: exact
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[:held_out], order[held_out:]
    return Examples(x[train], labels[train]), Examples(x[test], labels[test])


def one_hot(labels: Array, classes: int, *, dtype: Any = np.float64) -> Array:
    """(N, classes): 1 at each label, 0 elsewhere."""
    if not np.all((labels >= 0) & (labels < classes)):
        raise ValueError(f"labels lie in 0..{classes - 1}, but reach from {labels.min()} to {labels.max()}")
    hot: Array = labels[:, None] == np.arange(classes)
    return hot.astype(dtype)
