"""What an implementation may be asked beyond forward and backward: one table of calls.

A call is one method of an adapter: the operands that it reads and the results that it gives.  The chapters TRN, SEC and JVP
are about the optional ones.  With the bilinear conv(x, w) of a geometry, y = conv(x, w) + b, and dx(delta, w), dw(x, delta),
db(delta) its gradients:

``transposed``       the transposed convolution of the same geometry: a layer that maps arrays of the shape of y to arrays of
                     the shape of x.  What the stride leaves over in x is its output padding.  Its operands have the
                     names of a layer's: its x has the shape of y, w that of w, its b (C,), its delta the shape of x.

                         y = dx(x, w) + b        dx = conv(delta, w)     dw = dw(delta, x)    db = sum of delta

``double_backward``  the derivatives of L = <dx, u> + <dw, v> + <db, r>, the backward pass followed by inner products with
                     directions u, v, r of the shapes of x, w, b (None: left out); L does not depend on b:

                         by x: dx(delta, v)      by w: dw(u, delta)      by delta: conv(u, w) + conv(x, v) + r

``forward_mode``     dy, the derivative of y along the directions (u, v, r) of x, w and b (None: it is zero):

                         dy = conv(u, w) + conv(x, v) + r
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from conformance.problem.geometry import Geometry

__all__ = ["CALLS", "CALL_OF", "DIRECTIONS", "FURTHER", "OPERATIONS", "Call", "offered_by", "shape_of"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One method of an adapter.

    operation: the capability that it belongs to; '' for forward and backward, which every adapter has.  reads: its operands
    in order, each with the name by which the problem knows it.  gives: its results in order, each with the name of what it
    has the shape and the layout of.
    """

    method: str
    operation: str = ""
    reads: Mapping[str, str]
    gives: Mapping[str, str]

    def quantity(self, result: str) -> str:
        """A result's name in reports: ``dx``, or ``double_backward.dx``."""
        return f"{self.operation}.{result}" if self.operation else result


LAYER = {"x": "x", "w": "w", "b": "b"}
DIRECTIONS = {"u": "u", "v": "v", "r": "r"}
"""Of x, w and b."""
MIRRORED = {"x": "delta", "w": "w", "b": "c"}

CALLS = {
    call.method: call
    for call in (
        Call(method="forward", reads=LAYER, gives={"y": "y"}),
        Call(method="backward", reads={**LAYER, "delta": "delta"}, gives={"dx": "x", "dw": "w", "db": "b"}),
        Call(method="transposed", operation="transposed", reads=MIRRORED, gives={"y": "x"}),
        Call(
            method="transposed_backward",
            operation="transposed",
            reads={**MIRRORED, "delta": "x"},
            gives={"dx": "y", "dw": "w", "db": "c"},
        ),
        Call(
            method="double_backward",
            operation="double_backward",
            reads={**LAYER, "delta": "delta", **DIRECTIONS},
            gives={"dx": "x", "dw": "w", "ddelta": "y"},
        ),
        Call(
            method="forward_mode",
            operation="forward_mode",
            reads={**LAYER, **DIRECTIONS},
            gives={"dy": "y"},
        ),
    )
}
"""Method -> call."""

OPERATIONS = tuple(dict.fromkeys(call.operation for call in CALLS.values() if call.operation))
"""What an adapter may offer besides."""

CALL_OF = {call.quantity(result): call for call in CALLS.values() for result in call.gives}
"""Quantity -> the call that gives it."""

FURTHER = tuple(quantity for quantity, call in CALL_OF.items() if call.operation)
"""The quantities of the optional operations."""

_LIKE = {call.quantity(result): like for call in CALLS.values() for result, like in call.gives.items()}


def offered_by(operations: Iterable[str]) -> frozenset[str]:
    """The quantities of some operations."""
    known = set(operations)
    return frozenset(quantity for quantity in FURTHER if CALL_OF[quantity].operation in known)


def shape_of(g: Geometry, quantity: str) -> tuple[int, ...] | None:
    """The shape of a quantity; None if a layer of this geometry does not have it: db without a bias."""
    return g.shape_of(_LIKE[quantity])
