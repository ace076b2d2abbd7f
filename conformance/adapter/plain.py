"""The plain problem: small integers on a geometry that an adapter offers, and what to change in it to try a feature.

Results are right where they round to the integers of the definition: what a transform leaves beside them does not matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.adapter.protocol import PADDINGS, Capabilities
from conformance.adapter.session import Session
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, Geometry, Problem
from conformance.spec import Question

__all__ = ["features", "plain", "results", "right", "same", "turned"]


def plain(session: Session) -> Problem | None:
    """The first plain problem that is offered: distinct sizes before square ones, with a bias before without."""
    able = session.capabilities
    dtype = next(d for d in DTYPES if d in able.dtypes)
    shapes = (((9, 8, 7), (3, 2, 2)), ((8, 8, 8), (3, 3, 3)))
    for (size, kernel), (n, c, m), bias in itertools.product(
        shapes, ((2, 3, 5), (1, 1, 1)), ("tied", "none", "untied")
    ):
        for rank, convention in itertools.product(sorted(able.ranks, key=(2, 1, 3).index), able.conventions):
            g = Geometry(
                batch=n,
                channels=c,
                maps=m,
                size=size[:rank],
                kernel=kernel[:rank],
                bias=bias,
                convention=convention,
            )
            if session.refusal(g, dtype) is None:
                return Problem(geometry=g, dtype=dtype, seed=1)
    return None


def features(able: Capabilities) -> Mapping[str, tuple[bool, dict[str, Any]]]:
    """What may be tried on a plain problem, one at a time: is it claimed, and what it changes in the geometry."""
    padding = PADDINGS.index(able.padding)
    return {
        "stride": (able.stride, {"stride": (2,)}),
        "dilation": (able.dilation, {"dilation": (2,)}),
        "groups": (able.groups, {"groups": 2, "channels": 4, "maps": 6}),
        "symmetric padding": (padding >= 1, {"padding": ((1, 1),)}),
        "asymmetric padding": (padding >= 2, {"padding": ((2, 1),)}),
        "an empty batch": (able.empty_batch, {"batch": 0}),
    }


def results(session: Session, problem: Problem, *, claimed: bool = True) -> dict[str, Any]:
    """What is offered of y, dx, dw and db; asked even if the problem is not claimed, if `claimed` is False."""
    ask = session.answer if claimed else session.put
    got: dict[str, Any] = {}
    for backward, part in ((False, {"y"}), (True, {"dx", "dw", "db"})):
        if part & session.capabilities.quantities:
            question = Question(
                geometry=problem.geometry, operands=problem.operands, memory="c", backward=backward
            )
            got |= ask(question).arrays
    return got


def right(problem: Problem) -> dict[str, Any]:
    """y, dx, dw and db (None without a bias) of the definition, in float64."""
    layer = Layer.of(problem.geometry, problem.operands)
    return {q: getattr(layer, q) for q in ("y", "dx", "dw", "db")}


def same(got: Any, expected: Any) -> bool:
    """Is a result the integers expected, once rounded to integers?"""
    return got.shape == expected.shape and np.array_equal(np.rint(got.astype(np.float64)), expected)


def turned(problem: Problem) -> Problem:
    """The same problem under the other convention."""
    other = "convolution" if problem.geometry.convention == "correlation" else "correlation"
    return problem.replace(geometry=replace(problem.geometry, convention=other))
