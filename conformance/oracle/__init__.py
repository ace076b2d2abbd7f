"""What is RIGHT: independent derivations of y, dx, dw and db, and how far rounding may stray from them."""

from conformance.oracle.arithmetic import Arithmetic
from conformance.oracle.compare import (
    Evidence,
    Grade,
    compare,
    demanded,
    identical,
    rounded_once,
    sizes,
    within,
    wrong,
)
from conformance.oracle.expectation import Expectation, Expected
from conformance.oracle.operations import FurtherExpectation

__all__ = [
    "Arithmetic",
    "Evidence",
    "Expectation",
    "Expected",
    "FurtherExpectation",
    "Grade",
    "compare",
    "demanded",
    "identical",
    "rounded_once",
    "sizes",
    "within",
    "wrong",
]
