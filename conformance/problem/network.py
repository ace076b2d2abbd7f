"""Whole networks of convolutional layers as one line of text, with operands that follow from it bit for bit.

    net n2 in 3x9x8 | c4 k3x2 s2 p1 relu | c2 k2 identity | quadratic f64 seed=3

The first part says the batch (``n2``; 1) and one input item, C x spatial sizes.  Then one part a layer: its maps (``c4``),
the tokens of `notation` that a layer has (k, s, p, d, g, ``conv``, ``bias=untied``) and its activation.  The last part says
the cost, and dtype, fill and seed as `notation` does.

=================  ==================================================================  =====================
activation         sigma(z)                                                            sigma'(z)
=================  ==================================================================  =====================
``identity``       z                                                                   1
``relu``           max(z, 0)                                                           0, 1 (kink at 0)
``leaky``          z for z > 0, slope z for z < 0; ``leaky=0.5``: the slope (1/4)      slope, 1 (kink at 0)
``sigmoid``        1 / (1 + exp(-z))                                                   a (1 - a)
``tanh``           tanh z                                                              1 - a^2
``softplus``       ln(1 + exp z)                                                       sigmoid z
``softmax``        exp z_m / sum_m' exp z_m', over the maps of each position           of the last layer alone
=================  ==================================================================  =====================

The cost C is the SUM over batch items (and maps and positions) of, with the last layer's a and a target t of its shape,

    quadratic       1/2 (a - t)^2
    cross-entropy   after sigmoid: -(t ln a + (1 - t) ln(1 - a));  after softmax: -t ln a, t one-hot over the maps

Fills.  ``small``: x, w, t are non-zero integers of at most 3, and the bias of each layer is an odd multiple of half the unit
of what it is added to: then no z is 0, and none lies on a kink (without a bias z may be 0).  ``kinks``: biases are integers
too, so that z is exactly 0 at places.  ``unit``: as ``kinks``, of -1 and 1.  ``real``: full mantissas, scaled by a power
of two so that z is of the order of 1.  Smooth activations take ``real`` alone.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import GeometryError
from conformance.problem.dtypes import DType, dtype_of
from conformance.problem.fills import bits
from conformance.problem.geometry import Geometry
from conformance.problem.network_notation import (
    ACTIVATIONS,
    COSTS,
    KINKED,
    NET_FILLS,
    PIECEWISE,
    parts_of,
    written,
)
from conformance.problem.network_operands import Exact, Real

__all__ = [
    "ACTIVATIONS",
    "COSTS",
    "KINKED",
    "NET_FILLS",
    "PIECEWISE",
    "Network",
    "NetworkLayer",
    "NetworkOperands",
    "NetworkProblem",
]

Array = NDArray[Any]
Params = tuple[tuple[Array, Array | None], ...]

NET_DTYPES = ("f64", "f32")
DEEPEST = 5
USUAL_SLOPE = 0.25


@dataclass(frozen=True, kw_only=True)
class NetworkLayer:
    """One layer: z = conv(a of the layer before, w) + b of its geometry, then a = sigma(z).

    slope: of ``leaky`` below 0, a power of two.
    """

    geometry: Geometry
    activation: str = "identity"
    slope: float = USUAL_SLOPE

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise GeometryError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )
        if not 2.0**-8 <= self.slope < 1 or math.frexp(self.slope)[0] != 0.5:
            raise GeometryError(f"the slope must be a power of two, from 1/256 to 1/2, got {self.slope}")
        if self.activation != "leaky":
            object.__setattr__(self, "slope", USUAL_SLOPE)  # it has none: all such layers are equal

    @property
    def word(self) -> str:
        """Its activation as problem lines write it: the slope too, where it is not the usual one."""
        return (
            f"leaky={self.slope!r}"
            if self.activation == "leaky" and self.slope != USUAL_SLOPE
            else self.activation
        )

    @property
    def below(self) -> float:
        """sigma' below the kink; 1 where there is none."""
        return {"relu": 0.0, "leaky": self.slope}.get(self.activation, 1.0)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A stack of layers, each reading what the one before gives, and a cost.

    >>> net = NetworkProblem.parse("net n2 in 1x5 | c3 k2 relu | c2 k3 | quadratic").network
    >>> [layer.geometry.y_shape for layer in net.layers]
    [(2, 3, 4), (2, 2, 2)]

    Raises:
        GeometryError: layers that do not fit each other, or a cost that the last activation does not have.
    """

    layers: tuple[NetworkLayer, ...]
    cost: str = "quadratic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not 1 <= len(self.layers) <= DEEPEST:
            raise GeometryError(f"a network here has 1 to {DEEPEST} layers, got {len(self.layers)}")
        if self.cost not in COSTS:
            raise GeometryError(f"the cost must be one of {', '.join(COSTS)}, got {self.cost!r}")
        if not self.layers[0].geometry.batch:
            raise GeometryError("a network needs at least one item")
        for number, (a, b) in enumerate(itertools.pairwise(la.geometry for la in self.layers), start=2):
            if (a.batch, a.maps, a.output) != (b.batch, b.channels, b.size):
                raise GeometryError(f"layer {number} does not read what layer {number - 1} gives")
        for layer in self.layers[:-1]:
            if layer.activation == "softmax":
                raise GeometryError("softmax stands in the last layer alone")
        ends = ("sigmoid", "softmax") if self.cost == "cross-entropy" else ACTIVATIONS[:-1]
        if self.activations[-1] not in ends:
            raise GeometryError(
                f"{self.cost} follows {' or '.join(ends)} in the last layer, not {self.activations[-1]}"
            )

    @classmethod
    def stacked(cls, first: Geometry, layers: list[dict[str, Any]], cost: str) -> Network:
        """Layers by what each has of its own (maps, kernel, ..., activation, slope); sizes follow from `first`'s x."""
        made: list[NetworkLayer] = []
        batch, channels, size = first.batch, first.channels, first.size
        for layer in layers:
            own = dict(layer)
            kept = {name: own.pop(name) for name in ("activation", "slope") if name in own}
            g = Geometry(batch=batch, channels=channels, size=size, **own)
            made.append(NetworkLayer(geometry=g, **kept))
            channels, size = g.maps, g.output
        return cls(layers=tuple(made), cost=cost)

    @property
    def activations(self) -> tuple[str, ...]:
        return tuple(layer.activation for layer in self.layers)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.layers[0].geometry.x_shape

    @property
    def target_shape(self) -> tuple[int, ...]:
        return self.layers[-1].geometry.y_shape

    @property
    def piecewise_linear(self) -> bool:
        """Are all activations straight but for kinks, and is the cost a square?  Then small numbers are exact."""
        return self.cost == "quadratic" and set(self.activations) <= set(PIECEWISE)

    @property
    def products(self) -> int:
        """Multiplications of a forward pass."""
        return sum(layer.geometry.products for layer in self.layers)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkOperands:
    """x (N, C, *I), target (as the last a), and (w, b) of every layer; b is None without a bias."""

    x: Array
    target: Array
    params: Params

    def arrays(self) -> dict[str, Array]:
        """x, target, w1, b1, w2, ...: those that are there."""
        named = {"x": self.x, "target": self.target}
        for number, (w, b) in enumerate(self.params, start=1):
            named |= {f"w{number}": w} | ({} if b is None else {f"b{number}": b})
        return named

    def replace(self, **changes: Any) -> NetworkOperands:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class NetworkProblem:
    """One line of text, one set of operands.  `fill` is ``small`` where all can be exact, else ``real``."""

    network: Network
    dtype: str = "f64"
    fill: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_of(self.dtype).code)
        object.__setattr__(self, "fill", self.fill or self.usual_fill)
        fills = NET_FILLS if self.network.piecewise_linear else ("real",)
        if self.dtype not in NET_DTYPES:
            raise GeometryError(f"networks are drawn in {' and '.join(NET_DTYPES)}, not in {self.dtype}")
        if self.fill not in fills:
            raise GeometryError(
                f"the fill of this network must be one of {', '.join(fills)}, got {self.fill!r}"
            )
        if not 0 <= self.seed < 2**64:
            raise GeometryError(f"seed must be between 0 and 2^64 - 1, got {self.seed}")

    @property
    def usual_fill(self) -> str:
        """The fill where the line says none."""
        return "small" if self.network.piecewise_linear else "real"

    def replace(self, **changes: Any) -> NetworkProblem:
        return dataclasses.replace(self, **changes)

    @functools.cached_property
    def format(self) -> DType:
        return dtype_of(self.dtype)

    @property
    def products(self) -> int:
        return self.network.products

    @functools.cached_property
    def operands(self) -> NetworkOperands:
        """x, target and the parameters, read-only."""
        net = self.network
        shapes: list[tuple[int, ...]] = [net.x_shape, net.target_shape]
        for layer in net.layers:
            shapes += [layer.geometry.w_shape, layer.geometry.b_shape or (0,)]
        counts = [math.prod(shape) for shape in shapes]
        words = np.split(bits(self.seed, sum(counts)), np.cumsum(counts)[:-1])
        draw = Real(self) if self.fill == "real" else Exact(self)
        dealt = zip(words, shapes, strict=True)
        x, target = draw.x(*next(dealt)), draw.target(*next(dealt))
        params = []
        for number, layer in enumerate(net.layers):
            w, b = draw.w(number, *next(dealt)), draw.b(number, *next(dealt))
            params.append((self._made(w), None if layer.geometry.bias == "none" else self._made(b)))
        return NetworkOperands(x=self._made(x), target=self._made(target), params=tuple(params))

    def _made(self, values: Array) -> Array:
        a: Array = values.astype(self.format.numpy)
        a.flags.writeable = False
        return a

    @classmethod
    def parse(cls, line: str) -> NetworkProblem:
        """The problem of a line; raises NotationError, pointing at the place, or GeometryError."""
        first, layers, fields = parts_of(line)
        return cls(network=Network.stacked(first, layers, fields.pop("cost", "quadratic")), **fields)

    def __str__(self) -> str:
        return written(self)
