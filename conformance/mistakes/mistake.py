"""A mistake: what was done instead of the right thing, how to mend it, and an adapter that does it.

Everything else about that adapter is right.  It also declares what is true of the right implementation: it sums in
float32 at least (float64 for float64) and rounds once.  That this does not hold is the mistake.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.protocol import Adapter, Gradients
from conformance.engine.strategies import EVERYTHING
from conformance.oracle import Arithmetic
from conformance.oracle.operations import exact
from conformance.oracle.vectorised import Layer
from conformance.problem import QUANTITIES, Geometry, Operands, dtype_of
from conformance.problem.dtypes import CODES
from conformance.problem.operations import CALL_OF, CALLS, FURTHER, shape_of

__all__ = ["Compute", "Mistake", "right"]

Array = NDArray[Any]
Compute = Callable[[Geometry, Operands, str], Array]
"""(g, operands, quantity) -> the quantity in the dtype of the operands; db is never asked for without a bias."""

SUMS = {code: Arithmetic(accumulator="f32" if code in ("f16", "bf16") else None) for code in CODES}


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake, by its name.

    sentence: what is done instead of the right thing.  hint: how to mend it.  quantities: those that `compute` gets wrong;
    the others are right.  dtypes: codes of those in which it can be made.  switch: the change of a `Recipe` (of an
    optional operation: of a `Compound`) that makes it, if it is one: then it combines with others.  fresh: makes `compute`
    for one adapter, if it keeps state.
    """

    name: str
    sentence: str
    hint: str
    compute: Compute = dataclasses.field(repr=False)
    quantities: tuple[str, ...] = QUANTITIES
    dtypes: tuple[str, ...] = CODES
    switch: Callable[[Any], Any] | None = dataclasses.field(default=None, repr=False)
    fresh: Callable[[], Compute] | None = dataclasses.field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """Where it is made: layers or operations."""
        return "operations" if set(self.quantities) & set(FURTHER) else "layers"

    @property
    def stem(self) -> str:
        """Its name without the quantity: what it has in common with the same mistake in another one."""
        quantity, _, rest = self.name.partition("-")
        return rest if quantity in CALL_OF else self.name

    def adapter(self) -> Adapter:
        """A fresh implementation that makes it."""
        return _Mistaken(self, self.fresh() if self.fresh else self.compute)


def right(g: Geometry, operands: Operands, quantity: str) -> Array:
    """The right result: summed in float64, rounded once to the dtype of the operands."""
    dtype = dtype_of(operands.x.dtype)
    result = exact(g, operands, quantity) if quantity in FURTHER else getattr(Layer.of(g, operands), quantity)
    return dtype.rounded(result).astype(dtype.numpy)


class _Mistaken(Adapter):
    def __init__(self, mistake: Mistake, compute: Compute) -> None:
        super().__init__()
        self._mistake, self._compute = mistake, compute
        self.capabilities = dataclasses.replace(
            EVERYTHING,
            dtypes=frozenset(mistake.dtypes),
            operations=frozenset(CALL_OF[q].operation for q in mistake.quantities) - {""},
            arithmetic=SUMS,
        )

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        return self._result(g, Operands(x=x, w=w, b=b, delta=np.zeros(g.y_shape, x.dtype)), "y")

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        g.check(x=x, w=w, b=b, delta=delta)
        operands = Operands(x=x, w=w, b=b, delta=delta)
        db = None if b is None else self._result(g, operands, "db")
        return self._result(g, operands, "dx"), self._result(g, operands, "dw"), db

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._operation("transposed", g, x, w, b)[0]

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return self._operation("transposed_backward", g, x, w, b, delta)

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        return self._operation("double_backward", g, x, w, b, delta, u, v, r)

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return self._operation("forward_mode", g, x, w, b, u, v, r)[0]

    def _operation(self, method: str, g: Geometry, *handed: Any) -> list[Any]:
        """All results of an optional operation, None for those that this geometry does not have."""
        call = CALLS[method]
        drawn = dict(zip(call.reads.values(), handed, strict=True))
        g.check(**{name: a for name, a in drawn.items() if a is not None or name not in ("u", "v", "r")})
        dtype = drawn["w"].dtype
        blank = {"x": np.zeros(g.x_shape, dtype), "b": None, "delta": np.zeros(g.y_shape, dtype)}
        operands = Operands(**(blank | drawn))
        there = (q if shape_of(g, q) is not None else "" for q in map(call.quantity, call.gives))
        return [self._result(g, operands, q) if q else None for q in there]

    def _result(self, g: Geometry, operands: Operands, quantity: str) -> Array:
        compute = self._compute if quantity in self._mistake.quantities else right
        with np.errstate(all="ignore"):  # results may hold anything
            return compute(g, operands, quantity)
