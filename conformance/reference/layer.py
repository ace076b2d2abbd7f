"""What a network is stacked of: layers, each z^l from a^{l-1}, and back.

The seed: z^l = w^l * a^{l-1} + b^l and a^l = sigma(z^l).  A layer holds its parameters and its activation, and no state: the
way back is given the a^{l-1} that the way forward was.

Every multilayer perceptron is among them: a *dense* layer is a convolution whose kernel is its input; its one window reads
everything, y is 1x1, and nothing is shared (reader 16 of the seed).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from conformance.reference.activation import IDENTITY, Activation
from conformance.reference.convolution import backward_delta, forward, gradient_b, gradient_w

__all__ = ["ConvolutionLayer", "Gradients", "Layer", "Parameters", "dense_layer"]

Array = NDArray[Any]


class Parameters(NamedTuple):
    """What a layer learns; None for what it has not."""

    w: Array | None = None
    b: Array | None = None


class Gradients(NamedTuple):
    """dC/dw and dC/db, each as its parameter; None where there is none to learn."""

    dw: Array | None = None
    db: Array | None = None


class Layer(Protocol):
    """What a network asks of a layer.  Shapes: a^{l-1} (N, C, *I), z^l and delta^l (N, M, *O)."""

    @property
    def activation(self) -> Activation:
        """sigma of a^l = sigma(z^l)."""

    @property
    def parameters(self) -> Parameters:
        """What it learns."""

    def with_parameters(self, parameters: Parameters) -> Layer:
        """The same layer with others."""

    def forward(self, a: Array) -> Array:
        """z^l from a^{l-1}."""

    def backward_delta(self, delta: Array, a: Array) -> Array:
        """dC/da^{l-1} from delta^l = dC/dz^l."""

    def gradients(self, delta: Array, a: Array) -> Gradients:
        """dC/dw^l and dC/db^l from delta^l and a^{l-1}."""


@dataclass(frozen=True, eq=False)
class ConvolutionLayer:
    """z = w * a + b: `conformance.reference.convolution` with an activation behind it.

    w (M, C/G, *K); b (M,) tied, (M, *O) untied, or None.  The geometry is that of `convolution.forward`; a stride, dilation
    or padding that is left out is 1, 1, 0 on all axes.  A `constant` layer keeps its w and b: it has nothing to learn.

    >>> import numpy as np
    >>> layer = ConvolutionLayer(np.array([[[1.0, 2.0]]]), np.array([0.5]))
    >>> layer.forward(np.array([[[3.0, 4.0, 5.0]]]))
    array([[[11.5, 14.5]]])
    """

    w: Array
    b: Array | None = None
    _: KW_ONLY
    activation: Activation = IDENTITY
    stride: Sequence[int] = ()
    padding: Sequence[tuple[int, int]] = ()
    dilation: Sequence[int] = ()
    groups: int = 1
    convention: str = "correlation"
    constant: bool = False

    def __post_init__(self) -> None:
        rank = self.w.ndim - 2
        if rank < 1:
            raise ValueError(f"w needs axes (M, C/G, *K), but has shape {self.w.shape}")
        if self.w.dtype.kind in "biu":
            raise ValueError(f"w must hold floating-point numbers, but has dtype {self.w.dtype}")
        for name, absent in (("stride", 1), ("padding", (0, 0)), ("dilation", 1)):
            given = tuple(getattr(self, name)) or (absent,) * rank
            object.__setattr__(self, name, given)

    @property
    def geometry(self) -> dict[str, Any]:
        """The keywords of `convolution.forward`."""
        names = ("stride", "padding", "dilation", "groups", "convention")
        return {name: getattr(self, name) for name in names}

    @property
    def parameters(self) -> Parameters:
        """w and b."""
        return Parameters() if self.constant else Parameters(self.w, self.b)

    def with_parameters(self, parameters: Parameters) -> ConvolutionLayer:
        """The same layer with another w and b of the same shapes."""
        for name, old, new in zip("wb", self.parameters, parameters, strict=True):
            if _shape(old) != _shape(new):
                raise ValueError(f"{name} is {_shape(old)} and cannot become {_shape(new)}")
        return self if parameters.w is None else replace(self, w=parameters.w, b=parameters.b)

    def forward(self, a: Array) -> Array:
        """z^l = w^l * a^{l-1} + b^l."""
        return forward(a, self.w, self.b, **self.geometry)

    def backward_delta(self, delta: Array, a: Array) -> Array:
        """dC/da^{l-1} = delta^l * ROT180(w^l); of a only the size counts."""
        return backward_delta(delta, self.w, size=a.shape[2:], **self.geometry)

    def gradients(self, delta: Array, a: Array) -> Gradients:
        """dC/dw^l = delta^l * ROT180(a^{l-1}), dC/db^l = delta^l, summed over what shares."""
        if self.constant:
            return Gradients()
        dw = gradient_w(a, delta, kernel=self.w.shape[2:], **self.geometry)
        return Gradients(dw, None if self.b is None else gradient_b(delta, untied=self.b.ndim > 1))


def dense_layer(
    w: Array, b: Array | None = None, *, size: Sequence[int], activation: Activation = IDENTITY
) -> ConvolutionLayer:
    """A fully connected layer: row m of w (M, C * I1 * I2 ...) weighs all of an input (C, *I), I = `size`.

    z is (N, M, 1, 1, ...).

    >>> import numpy as np
    >>> dense_layer(np.array([[1.0, 2.0, 3.0]]), size=(3,)).forward(np.array([[[1.0, 10.0, 100.0]]]))
    array([[[321.]]])
    """
    if w.ndim != 2 or not size or w.shape[1] % math.prod(size):
        raise ValueError(f"w {w.shape} has not one row a map with entries for channels of size {tuple(size)}")
    return ConvolutionLayer(w.reshape(len(w), -1, *size), b, activation=activation)


def _shape(parameter: Array | None) -> str:
    return "absent" if parameter is None else f"{parameter.dtype} {parameter.shape}"
