"""The CLAUSES: what a conforming implementation must do, one chapter a file, each an executable property."""

from conformance.spec import (  # noqa: F401  (they register)
    algebra,
    bias,
    delta,
    double_backward,
    forward,
    forward_mode,
    hygiene,
    network,
    numerics,
    transposed,
    weight,
)
from conformance.spec.case import Answer, Case, Died, Misshapen, NotOffered, Question, Raised, TimedOut
from conformance.spec.network_case import NetworkAnswer, NetworkCase, NetworkQuestion
from conformance.spec.registry import CHAPTERS, REGISTRY, Clause, Severity, matching

__all__ = [
    "CHAPTERS",
    "REGISTRY",
    "Answer",
    "Case",
    "Clause",
    "Died",
    "Misshapen",
    "NetworkAnswer",
    "NetworkCase",
    "NetworkQuestion",
    "NotOffered",
    "Question",
    "Raised",
    "Severity",
    "TimedOut",
    "matching",
]
