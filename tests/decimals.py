"""Smooth functions by their definitions, in so many digits that nothing of what doubles can see is lost.

What cancels here, 1 - s of a saturated s, say, has digits to lose: with |z| <= 700, 1 - s is above 10^-305, and a difference
quotient with a step of 10^-40 needs 40 more.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal

Function = Callable[[Decimal], Decimal]

DIGITS = 450
STEP = Decimal(10) ** -40
decimal_context = decimal.Context(prec=DIGITS, Emin=-(10**6), Emax=10**6)


def sigmoid(z: Decimal) -> Decimal:
    return 1 / (1 + (-z).exp())


def tanh(z: Decimal) -> Decimal:
    return (z.exp() - (-z).exp()) / (z.exp() + (-z).exp())


def softplus(z: Decimal) -> Decimal:
    return (1 + z.exp()).ln()


def derivative(f: Function, at: Decimal) -> Decimal:
    """The central difference quotient: off by STEP^2 / 6 times the third derivative, a 10^-79 part or so of the first."""
    return (f(at + STEP) - f(at - STEP)) / (2 * STEP)
