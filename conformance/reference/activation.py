"""Activations: sigma and its derivative sigma', elementwise.

The seed: a^l = sigma(z^l), and every delta^l is multiplied by sigma'(z^l).  An `Activation` is the pair; both take z, of
any shape, and return an array of its shape and dtype.

    name            sigma(z)                 sigma'(z)
    identity        z                        1
    relu            max(z, 0)                0 for z <= 0, else 1
    leaky_relu      slope z for z <= 0       slope for z <= 0, else 1
                    else z
    sigmoid         1 / (1 + e^-z)           e^-z / (1 + e^-z)^2
    tanh            tanh(z)                  4 e^-2z / (1 + e^-2z)^2, which is 1 - tanh(z)^2
    softplus        ln(1 + e^z)              1 / (1 + e^-z)

At the kink, z = 0, the derivative of relu does not exist; the value from the left, 0, is taken, as frameworks do.

Numbers: written as above, e^-z overflows and 1 - tanh(z)^2 cancels.  All formulas here take e^-|z|, which lies in [0, 1],
and subtract nothing, so the relative error is a few roundings everywhere, and sigma'(z) of a saturated neuron is small
rather than 0.  A NaN stays a NaN in the smooth ones and in sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "IDENTITY", "RELU", "SIGMOID", "SOFTPLUS", "TANH", "Activation", "leaky_relu"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Activation:
    """sigma and sigma'.

    >>> RELU(np.array([-2.0, 0.0, 3.0])), RELU.derivative(np.array([-2.0, 0.0, 3.0]))
    (array([0., 0., 3.]), array([0., 0., 1.]))
    """

    name: str
    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]

    def __call__(self, z: Array) -> Array:
        """sigma(z)."""
        return self.function(z)


def leaky_relu(slope: float = 0.01) -> Activation:
    """Relu that lets `slope` of a negative z through."""
    if not 0 <= slope < 1:
        raise ValueError(f"the slope of a leaky relu lies in [0, 1), got {slope}")
    return Activation(
        f"leaky_relu({slope:g})",
        lambda z: np.maximum(z, z.dtype.type(slope) * z),
        lambda z: np.where(z > 0, z.dtype.type(1), z.dtype.type(slope)),
    )


def _sigmoid(z: Array) -> Array:
    """1/(1+e) for z >= 0 and e/(1+e) below, where e = e^-|z|."""
    e = np.exp(-np.abs(z))
    s: Array = np.where(z < 0, e, z.dtype.type(1)) / (1 + e)
    return s


def _bell(e: Array) -> Array:
    """e/(1+e)^2."""
    bell: Array = e / (1 + e) ** 2
    return bell


def _softplus(z: Array) -> Array:
    """max(z, 0) + ln(1 + e^-|z|)."""
    soft: Array = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return soft


IDENTITY = Activation("identity", lambda z: z, np.ones_like)
RELU = Activation("relu", lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype))
SIGMOID = Activation("sigmoid", _sigmoid, lambda z: _bell(np.exp(-np.abs(z))))
TANH = Activation("tanh", np.tanh, lambda z: 4 * _bell(np.exp(-np.abs(z)) ** 2))
SOFTPLUS = Activation("softplus", _softplus, _sigmoid)

ACTIVATIONS = {
    "identity": IDENTITY,
    "relu": RELU,
    "leaky_relu": leaky_relu(),
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "softplus": SOFTPLUS,
}
"""By name; another slope: `leaky_relu(slope)`."""
