"""Scale: a constant factor in a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

from conformance.mistakes.recipe import Recipe, Switch, each

__all__ = ["MISTAKES"]


def _times(factor: Callable[[Recipe], float]) -> Switch:
    return lambda r: r.then(lambda out: out * factor(r))


MISTAKES = (
    *each("dx dw db", "doubled", "{q} is twice too large", hint="it is added twice, or a 1/2 of the cost was lost", switch=_times(lambda r: 2)),
    *each("dx dw db", "halved", "{q} is half of what it should be", hint="a 1/2 too many", switch=_times(lambda r: 0.5)),
    *each("dx dw db", "negated", "{q} has the wrong sign", hint="return the gradient, not the descent direction", switch=_times(lambda r: -1)),
    *each("dx", "divided-by-batch", "dx is divided by the batch size", hint="each item has its own dx", switch=_times(
        lambda r: 1 / max(r.g.batch, 1))),
    *each("dx dw", "divided-by-kernel-area", "{q} is divided by the number of taps", hint="sums over taps are not means",
          switch=_times(lambda r: 1 / math.prod(r.g.kernel))),
    *each("dx", "divided-by-positions", "dx is divided by the number of output positions", hint="sums are not means",
          switch=_times(lambda r: 1 / max(math.prod(r.g.output), 1))),
    *each("dw", "divided-by-channels", "dw is divided by the number of channels", hint="dw does not sum over channels",
          switch=_times(lambda r: r.g.groups / r.g.channels)),
    *each("dx dw", "multiplied-by-stride", "{q} is multiplied by the stride of every axis", hint="each output counts once",
          switch=_times(lambda r: math.prod(r.g.stride))),
    *each("dx dw db", "learning-rate-folded-in", "{q} is multiplied by a learning rate of 1/8", hint="the optimiser multiplies by it",
          switch=_times(lambda r: 1 / 8)),
    *each("dx dw db", "zero", "{q} is never computed: it stays zero", hint="nothing is written into it", switch=_times(lambda r: 0)),
    *each("y", "doubled", "y is twice too large", hint="it is added twice", switch=_times(lambda r: 2)),
    *each("y", "negated", "y has the wrong sign", hint="y = w * x + b", switch=_times(lambda r: -1)),
    *each("y", "zero", "y stays zero", hint="nothing is written into it", switch=_times(lambda r: 0)),
)  # fmt: skip
