"""Interface: the sums are right, but not the call: results in another dtype, shapes not checked, memory misread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.adapter.protocol import Adapter, Gradients
from conformance.mistakes.mistake import Mistake, right
from conformance.problem import QUANTITIES, Geometry, Operands

__all__ = ["MISTAKES", "Unchecked"]

Fit = Callable[[Any, tuple[int, ...]], Any]
"""(array, shape) -> an array of that shape."""


# ---- shapes ----
@dataclass(frozen=True, kw_only=True)
class Unchecked(Mistake):
    """A layer that makes operands fit in place of refusing them."""

    fit: Fit = field(repr=False)

    def adapter(self) -> Adapter:
        return _Unchecked(super().adapter(), self.fit)


class _Unchecked(Adapter):
    def __init__(self, layer: Adapter, fit: Fit) -> None:
        super().__init__()
        self._layer, self._fit, self.capabilities = layer, fit, layer.capabilities

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._layer.forward(g, *self._fitted(g, x=x, w=w, b=b))

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        return self._layer.backward(g, *self._fitted(g, x=x, w=w, b=b, delta=delta))

    def _fitted(self, g: Geometry, **operands: Any) -> list[Any]:
        return [None if a is None else self._fit(a, g.shape_of(name) or ()) for name, a in operands.items()]


def _cut(a: Any, shape: tuple[int, ...]) -> Any:
    return a[tuple(map(slice, shape))]


# ---- results ----
def _in_float64(g: Geometry, operands: Operands, quantity: str) -> Any:
    return right(g, operands, quantity).astype(np.float64)


def _refusing_none(g: Geometry, operands: Operands, quantity: str) -> Any:
    if not g.batch:
        raise IndexError("index 0 is out of bounds for axis 0 with size 0")
    return right(g, operands, quantity)


def _mean_of_none(g: Geometry, operands: Operands, quantity: str) -> Any:
    result = right(g, operands, quantity)
    return result if g.batch else np.full_like(result, np.nan)


# ---- memory ----
def _misread(name: str) -> Callable[[Geometry, Operands, str], Any]:
    def compute(g: Geometry, operands: Operands, quantity: str) -> Any:
        a = getattr(operands, name)
        return right(g, operands.replace(**{name: a.ravel(order="K").reshape(a.shape)}), quantity)

    return compute


MISTAKES = (
    *(
        Mistake(
            name=f"{q}-in-float64",
            sentence=f"{q} comes back in float64, whatever dtype the operands have",
            hint="np.zeros(shape) makes float64: write np.zeros(shape, x.dtype)",
            quantities=(q,),
            dtypes=("f32", "f16", "bf16"),
            compute=_in_float64,
        )
        for q in QUANTITIES
    ),
    *(
        Mistake(
            name=f"{name}-read-as-it-lies",
            sentence=f"the memory of {name} is read as if it were in C order, whatever its strides are",
            hint="use the strides, or begin with np.ascontiguousarray",
            quantities=reads,
            compute=_misread(name),
        )
        for name, reads in {"x": ("y", "dw"), "w": ("y", "dx"), "delta": ("dx", "dw", "db")}.items()
    ),
    *(
        Mistake(
            name=f"{q}-nan-for-empty-batch",
            sentence=f"{q} of an empty batch is NaN: zero divided by zero",
            hint="the sum over no items is zero: do not divide by their number",
            quantities=(q,),
            compute=_mean_of_none,
        )
        for q in ("dw", "db")
    ),
    Mistake(
        name="empty-batch-raises",
        sentence="an empty batch raises an exception",
        hint="a loop over no items has nothing to do: make results before it, not out of its first item",
        compute=_refusing_none,
    ),
    Unchecked(
        name="too-large-accepted",
        sentence="operands that are larger than the geometry says are accepted, and what is too much is not read",
        hint="compare the shapes of x, w, b and delta before anything is computed",
        compute=right,
        fit=_cut,
    ),
    Unchecked(
        name="broadcast-accepted",
        sentence="an operand with one item or map where there should be several is repeated silently",
        hint="compare the shapes of x, w, b and delta: broadcasting hides that they differ",
        compute=right,
        fit=np.broadcast_to,
    ),
)
