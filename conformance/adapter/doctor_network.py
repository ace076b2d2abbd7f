"""Is an offered network wired rightly?  Certain faults alone: all is right once the wiring is undone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.protocol import Capabilities
from conformance.adapter.session import Session
from conformance.oracle.network import Pass
from conformance.problem.network import NetworkProblem
from conformance.spec import NetworkQuestion

__all__ = ["network_fault", "plain_network"]

Array = NDArray[Any]

SIZES = {
    1: (("n2 in 3x9", "c4 k3", "c2 k2"), ("n1 in 1x8", "c1 k3", "c1 k3")),
    2: (("n2 in 3x9x8", "c4 k3x2", "c2 k2x3"), ("n1 in 1x8x8", "c1 k3", "c1 k3")),
    3: (("n2 in 3x5x6x4", "c4 k3x2x2", "c2 k2x3x2"), ("n1 in 1x6x6x6", "c1 k3", "c1 k3")),
}
"""By rank: input and layers of distinct sizes, then square ones."""


def plain_network(
    layers: Capabilities, refusal: Callable[[NetworkProblem], str | None]
) -> NetworkProblem | None:
    """The first plain network of straight pieces that is claimed and not refused; None if there is none."""
    able = layers.network
    pieces = [a for a in ("relu", "identity") if able and a in able.activations]
    dtypes = [d for d in ("f64", "f32") if d in layers.dtypes]
    if not (able and pieces and dtypes):
        return None
    ranks = sorted(able.ranks & layers.ranks, key=(2, 1, 3).index)
    for rank, square, bias, convention in itertools.product(
        ranks, (0, 1), ("tied", "none", "untied"), layers.conventions
    ):
        size, first, second = SIZES[rank][square]
        own = f"bias={bias} {'conv' if convention == 'convolution' else 'corr'} {pieces[0]}"
        line = f"net {size} | {first} {own} | {second} {own} | quadratic {dtypes[0]} seed=1"
        problem = NetworkProblem.parse(line)
        if refusal(problem) is None:
            return problem
    return None


def network_fault(session: Session, problem: NetworkProblem) -> str | None:
    """What the adapter hands back in another order than it should, if undoing that makes everything right."""
    got = session.network(NetworkQuestion(network=problem.network, operands=problem.operands))
    right = Pass(problem.network, problem.operands, kink={})
    if _right(got.deltas, got.gradients, right):
        return None
    for back, upward, swapped in itertools.product((False, True), repeat=3):
        deltas = got.deltas[::-1] if back else got.deltas
        gradients = got.gradients[::-1] if upward else got.gradients
        gradients = tuple((b, w) if swapped and b is not None else (w, b) for w, b in gradients)
        if _right(deltas, gradients, right):
            faults = ("deltas from the last layer to the first",) * back
            faults += ("gradients from the last layer to the first",) * upward
            faults += ("(db, dw) in place of (dw, db)",) * swapped
            return f"network returns {' and '.join(faults)}"
    return None


def _right(deltas: Any, gradients: Any, right: Pass) -> bool:
    pairs: list[tuple[Any, Any]] = [*zip(deltas, right.deltas, strict=True)]
    pairs += [
        pair for own, of in zip(gradients, right.gradients, strict=True) for pair in zip(own, of, strict=True)
    ]
    return all(_same(a, b) for a, b in pairs)


def _same(got: Array | None, expected: Array | None) -> bool:
    """Equal but for what a transform leaves; biases of these networks make everything a multiple of 1/4."""
    if got is None or expected is None:
        return got is expected
    return got.shape == expected.shape and np.array_equal(np.rint(got.astype(np.float64) * 16), expected * 16)
