"""A case: one problem put to one implementation, as clauses see it.

Clauses know no adapters.  They see the problem, what is right, and a function that answers: a `Case` asks it for the
problem's own results and for variants (a permuted batch, x + v, another memory layout), and makes identical calls once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic, Expectation, FurtherExpectation
from conformance.problem import Geometry, Operands, Problem
from conformance.problem.fills import HEADROOM
from conformance.problem.operations import CALL_OF, CALLS, Call, shape_of

__all__ = [
    "GRADIENTS",
    "Answer",
    "Case",
    "Died",
    "Misshapen",
    "NotOffered",
    "Question",
    "Raised",
    "TimedOut",
    "named",
]

Array = NDArray[Any]
GRADIENTS = ("dx", "dw", "db")


class NotOffered(Exception):  # noqa: N818  (it is an answer, not an error)
    """The implementation does not offer this problem, and says why."""


class Raised(Exception):  # noqa: N818  (a record of someone else's error)
    """The implementation raised: the type, text and traceback of its exception."""

    def __init__(self, kind: str, text: str, traceback: str = "") -> None:
        super().__init__(kind, text, traceback)
        self.kind, self.text, self.traceback = kind, text, traceback

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Died(Raised):
    """The process of the implementation ended: how, and its last words."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


class TimedOut(Exception):  # noqa: N818  (a record of what did not come)
    """The implementation did not answer in time."""


Refused = Raised | NotOffered | TimedOut | AdapterBroken
"""In place of an answer: kept like one, so that what dies, hangs or breaks is asked once a question."""


class Misshapen(Exception):  # noqa: N818  (a record of what came back)
    """A result of another size than the geometry gives: there is nothing to compare element by element."""

    def __init__(self, quantity: str, got: tuple[int, ...], right: tuple[int, ...]) -> None:
        super().__init__(quantity, got, right)
        self.quantity, self.got, self.right = quantity, got, right

    def __str__(self) -> str:
        return f"{self.quantity} has shape {self.got}, the geometry gives {self.right}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One call of an implementation: geometry, operands, their memory layout, and forward (y) or backward.

    method: of an optional operation (`CALLS`), in place of forward and backward.  spoil: numbers of elements of blocks of
    fresh memory that shall have held NaN before.
    """

    geometry: Geometry
    operands: Operands
    memory: str
    backward: bool = False
    method: str = ""
    spoil: tuple[int, ...] = ()

    @property
    def call(self) -> Call:
        """What is called."""
        return CALLS[self.method or ("backward" if self.backward else "forward")]

    def handed(self) -> dict[str, Array | None]:
        """The operands of the call, by the names that the call knows them by."""
        return {name: getattr(self.operands, drawn) for name, drawn in self.call.reads.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The arrays that came back (y, or dx, dw and db), and what the call did to the operands.

    modified: operands that it changed.  shared: results that share memory with an operand.
    """

    arrays: dict[str, Array]
    modified: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


class Case:
    """One problem, one implementation.

    answer: computes a `Question`; raises `Raised` or `NotOffered`.  offered: the quantities that it has.  claims: does it
    claim a geometry?
    """

    def __init__(
        self,
        problem: Problem,
        answer: Callable[[Question], Answer],
        *,
        arithmetic: Arithmetic | Mapping[str, Arithmetic],
        offered: frozenset[str],
        claims: Callable[[Geometry], bool],
    ) -> None:
        self.problem, self.g, self.operands = problem, problem.geometry, problem.operands
        self._arithmetic, self.offered, self.claims = arithmetic, offered, claims
        self._answer = answer
        self._known: dict[Any, Answer | Refused] = {}

    def has(self, quantity: str) -> bool:
        """Is the quantity offered, and does this geometry have it?"""
        return quantity in self.offered and shape_of(self.g, quantity) is not None

    @functools.cached_property
    def offers(self) -> tuple[str, ...]:
        """The quantities to judge, in order."""
        return tuple(q for q in ("y", *GRADIENTS) if self.has(q))

    # ---- what is right ----
    @functools.cached_property
    def expected(self) -> Expectation:
        p = self.problem
        return FurtherExpectation(
            self.g,
            self.operands,
            dtype=p.format,
            arithmetic=self._arithmetic,
            quantum=p.quantum,
            amplitude=p.amplitude if p.integers else None,
            independent=p.fill == "real",
            further=lambda: p.further,
        )

    @functools.cached_property
    def exact(self) -> bool:
        """Can no sum round, not even with operands grown by what variants add (`HEADROOM`)?

        Then results that algebra says are equal must be equal bit for bit (for transforms: after `settled`).
        """
        if not self.problem.integers:
            return False
        return all(self._exact(q) for q in self.offers)

    def _exact(self, quantity: str) -> bool:
        expected = self.expected[quantity]
        if not expected.direct:
            return bool(np.all(HEADROOM * expected.bound < 0.5))
        n = int(expected.n.max()) if expected.n.size else 0
        n -= quantity == "y" and self.g.bias != "none"  # counted apart
        a = self.problem.amplitude
        return bool(HEADROOM * (n * a * a + a) <= 2**expected.precision)

    def settled(self, quantity: str, result: Array) -> Array:
        """A result of exact data in float64; a transform's is rounded to the integers that its error cannot leave."""
        values = result.astype(np.float64)
        return values if self.expected[quantity].direct else np.rint(values)

    # ---- what is answered ----
    def __getitem__(self, quantity: str) -> Array:
        """The problem's own y, dx, dw or db."""
        return self.ask(quantity)

    def ask(
        self,
        quantity: str,
        g: Geometry | None = None,
        *,
        memory: str | None = None,
        again: int = 0,
        spoil: tuple[int, ...] = (),
        **changes: Any,
    ) -> Array:
        """A quantity of a variant: another geometry, memory layout, or other operands (`x=`, `w=`, `b=`, `delta=`).

        Of an optional operation: other operands (also `u=`, `v=`, `r=`, `c=`), by the names that the problem knows them by.

        Raises:
            Misshapen: it has not the size that the geometry gives.
        """
        result = self.call(quantity, g, memory=memory, again=again, spoil=spoil, **changes).arrays[quantity]
        right = shape_of(g or self.g, quantity) or ()
        if result.shape != right:
            raise Misshapen(quantity, result.shape, right)
        return result

    def shape(self, quantity: str) -> tuple[int, ...]:
        """The shape of the problem's own result, right or not."""
        return tuple(self.call(quantity).arrays[quantity].shape)

    def call(
        self,
        quantity: str,
        g: Geometry | None = None,
        *,
        memory: str | None = None,
        again: int = 0,
        spoil: tuple[int, ...] = (),
        **changes: Any,
    ) -> Answer:
        """The whole answer of which `quantity` is a part; `again` other than 0 makes the same call anew.

        spoil: numbers of elements of blocks of fresh memory that shall have held NaN before.
        """
        if CALL_OF[quantity].operation:
            return self._further(CALL_OF[quantity], memory, again, changes)
        backward = quantity != "y"
        if g is None and not backward:
            changes.pop("delta", None)  # a forward pass does not know it
        if g is None and memory is None and not (again or changes):
            return self._own(backward=backward)
        question = Question(
            geometry=g or self.g,
            operands=self.operands.replace(**changes) if changes else self.operands,
            memory=memory or self._memory(changes),
            backward=backward,
            spoil=spoil,
        )
        key = (question.geometry, question.memory, question.backward, again, _content(changes))
        if key not in self._known:
            self._known[key] = self._put(question)
        return _given(self._known[key])

    def _further(self, call: Call, memory: str | None, again: int, changes: dict[str, Any]) -> Answer:
        """The answer of an optional operation on this geometry."""
        memory = memory or self._memory(changes)
        key = (call.method, memory, again, _content(changes))
        if key not in self._known:
            operands = self.problem.further.replace(**changes)
            self._known[key] = self._put(
                Question(geometry=self.g, operands=operands, memory=memory, method=call.method)
            )
        return _given(self._known[key])

    def _own(self, *, backward: bool) -> Answer:
        """The answer to the problem itself."""
        if backward not in self._known:
            p = self.problem
            self._known[backward] = self._put(
                Question(geometry=self.g, operands=self.operands, memory=p.memory, backward=backward)
            )
        return _given(self._known[backward])

    def refusal(self, *, backward: bool, **changes: Any) -> Raised | NotOffered | None:
        """The refusal that answers impossible operands; None if they were accepted.  To die, or hang, is no refusal."""
        operands = self.operands.replace(**changes)
        answer = self._put(
            Question(geometry=self.g, operands=operands, memory=self._memory(changes), backward=backward)
        )
        if isinstance(answer, TimedOut | Died | AdapterBroken):
            raise answer
        return None if isinstance(answer, Answer) else answer

    def _memory(self, changes: dict[str, Any]) -> str:
        """The problem's layout; but only the problem's own operands can be relied on to repeat one item."""
        return "c" if changes and self.problem.memory == "broadcast" else self.problem.memory

    def _put(self, question: Question) -> Answer | Refused:
        try:
            return self._answer(question)
        except (Raised, NotOffered, TimedOut, AdapterBroken) as refusal:
            return refusal


def named(operand: str, value: Array) -> dict[str, Any]:
    """An operand's name and value as keyword arguments of `Case.ask`."""
    return {operand: value}


def _given(known: Answer | Refused) -> Answer:
    if isinstance(known, Answer):
        return known
    raise known


def _content(changes: dict[str, Array | None]) -> Any:
    """Operands by value, so that two clauses that ask the same share one call."""
    return tuple((k, None if a is None else (a.shape, a.tobytes())) for k, a in sorted(changes.items()))
