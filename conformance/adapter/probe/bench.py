"""Where an implementation is put to the test: a few plain geometries, each the first of its kind that the adapter offers.

plane     a kernel of 3 on a wide plane, with several items, channels and maps: transforms show there
channels  a kernel of 1 and one item: y sums over channels alone, dx over maps alone, dw and db over positions alone
taps      one item, channel and map: y and dx sum over taps alone
batch     one output position: dw and db sum over the batch alone
borders   stride, dilation and padding, as far as they are offered: zeros that may be written to memory
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.probe.observation import Observation
from conformance.adapter.session import Session
from conformance.problem import QUANTITIES, Geometry, Operands, Problem, dtype_of
from conformance.problem.fills import bits
from conformance.spec import NotOffered, Question, Raised, TimedOut
from conformance.spec.case import Misshapen

__all__ = ["UNANSWERED", "Bench", "axes", "words"]

Array = NDArray[Any]

UNANSWERED = (NotOffered, Raised, TimedOut, Misshapen)
"""Why a question may bring no numbers to look at."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """counts: (N, C, M); sides: (size, kernel) for each number of spatial axes; extras: other fields.  Best first."""

    counts: tuple[tuple[int, int, int], ...]
    sides: Mapping[int, tuple[int, int]]
    extras: tuple[Mapping[str, Any], ...] = ({},)

    def geometries(self, ranks: frozenset[int], conventions: tuple[str, ...]) -> Iterator[Geometry]:
        known = [rank for rank in (2, 1, 3) if rank in ranks]
        choices = (self.extras, self.counts, known, ("tied", "untied", "none"), conventions)
        for extra, (n, c, m), rank, bias, convention in itertools.product(*choices):
            size, kernel = self.sides[rank]
            yield Geometry(
                batch=n, channels=c, maps=m, size=(size,) * rank, kernel=(kernel,), bias=bias,
                convention=convention, **extra,
            )  # fmt: skip


_STRIDE, _DILATION, _PADDING = {"stride": 2}, {"dilation": 3}, {"padding": 1}
_KINDS = {
    "plane": _Kind(counts=((4, 4, 4), (1, 1, 1)), sides={1: (24, 3), 2: (24, 3), 3: (10, 3)}),
    "channels": _Kind(counts=((1, 16, 16), (1, 1, 1)), sides={1: (36, 1), 2: (6, 1), 3: (3, 1)}),
    "taps": _Kind(counts=((1, 1, 1),), sides={1: (49, 25), 2: (9, 5), 3: (5, 3)}),
    "batch": _Kind(counts=((32, 2, 16), (32, 1, 1)), sides={1: (4, 4), 2: (2, 2), 3: (2, 2)}),
    "borders": _Kind(
        counts=((2, 2, 2), (1, 1, 1)),
        sides=dict.fromkeys((1, 2, 3), (9, 3)),
        extras=(
            _STRIDE | _DILATION | _PADDING,
            _STRIDE | _PADDING,
            _DILATION | _PADDING,
            _PADDING,
            _STRIDE,
            _DILATION,
            {},
        ),
    ),
}


class Bench:
    """One session in one dtype: geometries by kind, and questions with operands given as float64."""

    def __init__(self, session: Session, dtype: str) -> None:
        self.session, self.format = session, dtype_of(dtype)
        self.quantities = tuple(q for q in QUANTITIES if q in session.capabilities.quantities)
        self._geometries: dict[str, Geometry | None] = {}

    @property
    def code(self) -> str:
        return self.format.code

    def geometry(self, kind: str) -> Geometry:
        """The first geometry of a kind that is offered; raises NotOffered if none is."""
        if kind not in self._geometries:
            able = self.session.capabilities
            of_kind = _KINDS[kind].geometries(able.ranks, able.conventions)
            offered = (g for g in of_kind if self.session.refusal(g, self.code) is None)
            self._geometries[kind] = next(offered, None)
        found = self._geometries[kind]
        if found is None:
            raise NotOffered(f"no geometry of the kind {kind!r} is offered")
        return found

    def ask(self, g: Geometry, **operands: Any) -> dict[str, Array]:
        """y, or with a delta among the operands dx, dw and db: those that are offered.

        Operands are values of the dtype, of their shape or broadcast to it; those left out are zero.

        Raises:
            NotOffered, Raised, TimedOut, Misshapen: there is nothing to look at.
        """
        backward = "delta" in operands
        if not set(self.quantities) & ({"dx", "dw", "db"} if backward else {"y"}):
            return {}
        filled: dict[str, Any] = {
            name: self._filled(g.shape_of(name), operands.get(name, 0.0)) for name in ("x", "w", "b", "delta")
        }
        question = Question(geometry=g, operands=Operands(**filled), memory="c", backward=backward)
        arrays = self.session.answer(question).arrays
        for q, a in arrays.items():
            if a.shape != g.shape_of(q):
                raise Misshapen(q, a.shape, g.shape_of(q) or ())
        return arrays

    def _filled(self, shape: tuple[int, ...] | None, values: Any) -> Array | None:
        if shape is None:
            return None
        return np.broadcast_to(np.asarray(values, np.float64), shape).astype(self.format.numpy)

    def line(self, g: Geometry) -> str:
        """The geometry and the dtype in one line."""
        return str(Problem(geometry=g, dtype=self.code))

    def saw(self, quantity: str, what: str, value: str, evidence: str) -> Observation:
        return Observation(dtype=self.code, quantity=quantity, property=what, value=value, evidence=evidence)


def axes(g: Geometry, quantity: str) -> frozenset[str]:
    """What an element of a quantity sums over, by name."""
    several = {"taps": max(g.kernel) > 1, "positions": max(g.output) > 1, "batch": g.batch > 1}
    of = {
        "y": {"channels": g.channels > g.groups, "taps": several["taps"]},
        "dx": {"maps": g.maps > g.groups, "taps": several["taps"] and several["positions"]},
        "dw": {"batch": several["batch"], "positions": several["positions"]},
        "db": {"batch": several["batch"], "positions": several["positions"] and g.bias == "tied"},
    }
    return frozenset(axis for axis, summed in of[quantity].items() if summed)


def words(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Random 64-bit words, the same ever after."""
    return bits(seed, int(np.prod(shape))).reshape(shape)
