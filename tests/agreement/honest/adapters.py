"""What all honest implementations share: everything is claimed, and how sums round is declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from conformance import Adapter, Arithmetic, Capabilities, Geometry
from conformance.engine.strategies import EVERYTHING
from conformance.problem import dtype_of

from .formats import cast
from .products import terms
from .sums import Total

__all__ = ["ByProducts", "Honest"]

Gradients = tuple[Any, Any, Any]


class Honest(Adapter):
    """An implementation with a name, a sentence about how it sums, and its arithmetic class in each dtype that it has.

    focus: the capabilities from which problems are drawn that show what it does.
    """

    def __init__(self, name: str, says: str, classes: Mapping[str, Arithmetic], **focus: Any) -> None:
        super().__init__()
        self.name, self.says = name, says
        self.capabilities: Capabilities = dataclasses.replace(
            EVERYTHING, dtypes=frozenset(classes), arithmetic=dict(classes)
        )
        self.focus: Capabilities = dataclasses.replace(self.capabilities, **focus)

    def variant(self, number: int) -> Honest:
        """What a hunt puts to the test in its batch of that number; most have but one variant."""
        return self


class ByProducts(Honest):
    """Direct sums: each element's products, in the order of `products.terms`, are added up by `total`."""

    def __init__(self, name: str, says: str, total: Total, classes: Mapping[str, Arithmetic]) -> None:
        super().__init__(name, says, classes)
        self.total = total

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        return self._sums(g, "y", x.dtype, x=x, w=w, b=b)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        g.check(x=x, w=w, b=b, delta=delta)
        dx, dw, db = (
            self._sums(g, q, x.dtype, x=x, w=w, delta=delta) if q != "db" or b is not None else None
            for q in ("dx", "dw", "db")
        )
        return dx, dw, db

    def _sums(self, g: Geometry, quantity: str, dtype: Any, **operands: Any) -> Any:
        code = dtype_of(dtype).code
        sums = self.total(*terms(g, quantity, **operands), code)
        return cast(sums, code).reshape(g.shape_of(quantity))
