"""A line of text is a problem of one layer, or of a whole network if it begins with the word ``net``."""

from __future__ import annotations

from conformance.problem.network import NetworkProblem
from conformance.problem.problem import Problem

__all__ = ["parsed"]


def parsed(line: str) -> Problem | NetworkProblem:
    """The problem of a line; raises NotationError, pointing at the place, or GeometryError.

    >>> str(parsed("net in 1x4 | k2 | quadratic"))
    'net n1 in 1x4 | c1 k2 identity | quadratic f64'
    """
    return NetworkProblem.parse(line) if line.split()[:1] == ["net"] else Problem.parse(line)
