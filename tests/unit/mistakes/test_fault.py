"""What is wrong on a problem, in the order in which it is looked for, and the same on a simpler problem."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

import miniatures
from conformance import Arithmetic, Capabilities
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken, UserError
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.fault import LARGEST, LONGEST, READS, Fault, fault, simplest
from conformance.problem import Problem

SMALL = Problem.parse("2d n2 i3 k2 f64")
LARGE = Problem.parse("2d n2 c4 m6 g2 i8x9 k3x2 s2x1 p1 d1x2 conv f32 fill=sparse mem=sliced seed=7")


def mistaken(name: str) -> Session:
    return Session(CATALOGUE[name].adapter(), name)


def seen(session: Session, problem: Problem = SMALL) -> Fault:
    found = fault(session, problem)
    assert found is not None
    return found


class Raises(miniatures.Right):
    """backward raises where x has more than two columns."""

    def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
        if x.shape[-1] > 2:
            raise ValueError("no more than two columns")
        return super().backward(g, x, w, b, delta)


class Endless(miniatures.Right):
    """forward takes its time."""

    def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
        time.sleep(5)


class Flawed(miniatures.Right):
    """y is off by one, dx by a hundred: of float data, both by a multiple of their bound."""

    capabilities = Capabilities(dtypes=frozenset({"f64"}), arithmetic=Arithmetic())

    def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
        return super().forward(g, x, w, b) + 1

    def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dx + 100, dw, db


# ---- what is wrong ----
def test_of_a_right_result_nothing_is_wrong() -> None:
    assert fault(Session(miniatures.Right(), "right"), SMALL) is None


def test_a_wrong_value_is_told_with_its_place() -> None:
    found = seen(mistaken("dw-rotated"))
    assert (found.kind, found.quantity, found.call) == ("value", "dw", 1)
    assert found.wrong is not None
    assert found.wrong[found.index]
    assert found.got is not None
    assert found.got[found.index] != found.expected.exact[found.index]


def test_the_worst_quantity_is_chosen_and_the_first_of_those_alike() -> None:
    session = Session(Flawed(), "flawed")
    assert seen(session, Problem.parse("2d i4 k2 fill=real")).quantity == "dx"
    assert (
        seen(session, Problem.parse("2d i4 k2")).quantity == "y"
    )  # only equality is right: both are infinitely far off


def test_a_wrong_size_is_told() -> None:
    found = seen(mistaken("dx-of-padded-size"), Problem.parse("2d i3 k2 p1"))
    assert (found.kind, found.quantity) == ("size", "dx")
    assert found.said == "dx has shape (1, 1, 5, 5), the geometry gives (1, 1, 3, 3)"
    assert found.got is not None
    assert found.got.shape == (1, 1, 5, 5)


def test_an_exception_is_told() -> None:
    found = seen(Session(Raises(), "raises"))
    assert (found.kind, found.quantity, found.got) == ("raises ValueError", "dx", None)
    assert found.said.startswith("backward raises ValueError: no more than two columns (")


def test_no_answer_is_told() -> None:
    found = seen(Session(Endless(), "endless", time_limit=0.1))
    assert found.kind == "late"
    assert "did not answer within 0.1 s" in found.said


def test_if_the_first_call_is_right_the_second_is_looked_at() -> None:
    found = seen(mistaken("dw-accumulates"))
    assert (found.kind, found.quantity, found.call) == ("value", "dw", 2)
    np.testing.assert_array_equal(found.got, 2 * found.expected.exact)


def test_if_values_are_right_clauses_are_asked() -> None:
    found = seen(Session(miniatures.WritesItsInput(), "writes"))
    assert found.kind == "HYG-1"
    assert found.said.endswith(": forward changed its operand x")
    assert found.wrong is None


def test_what_is_not_offered_is_the_callers_mistake() -> None:
    class Little(miniatures.Right):
        capabilities = Capabilities()

    with pytest.raises(UserError, match="little does not offer this problem: stride not claimed"):
        fault(Session(Little(), "little"), Problem.parse("2d i5 k2 s2"))


def test_what_breaks_the_protocol_is_the_adapters() -> None:
    class Nothing(miniatures.Right):
        def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
            return None

    with pytest.raises(AdapterBroken, match="forward returned None for y"):
        fault(Session(Nothing(), "nothing"), SMALL)


def test_an_arithmetic_that_is_not_declared_is_inferred_as_a_run_does() -> None:
    class Silent(miniatures.Right):
        capabilities = Capabilities(dtypes=frozenset({"float32"}))

    session = Session(Silent(), "silent")
    assert fault(session, Problem.parse("2d i3 k2 f32 fill=real")) is None
    assert set(session.inferred) == {"f32"}


# ---- simpler ----
def test_what_fits_on_a_page_stays_as_it_is() -> None:
    session = mistaken("dx-kernel-unrotated")
    found = seen(session)
    assert simplest(session, found) is found


@pytest.mark.parametrize(
    "name", ["y-stride-ignored", "dx-kernel-unrotated", "dw-last-item-only", "db-mean-over-batch"]
)
def test_what_does_not_is_made_small_with_data_that_tell_terms_apart(name: str) -> None:
    session = mistaken(name)
    found = seen(session, LARGE)
    small = simplest(session, found)
    assert found.same(small)
    assert small.problem.fill == "small"
    g = small.problem.geometry
    assert max(map(math.prod, (g.x_shape, g.w_shape, g.y_shape))) <= LARGEST
    assert small.expected.n.max() <= LONGEST
    read = np.concatenate(
        [a.ravel() for n, a in small.problem.operands.items() if n in READS[small.quantity]]
    )
    assert len(set(read.tolist())) == read.size
    assert 1 not in abs(read)


def test_ones_are_replaced_even_in_a_small_problem() -> None:
    session = mistaken("dx-kernel-unrotated")
    small = simplest(session, seen(session, Problem.parse("1d i2 k2 bias=none fill=unit")))
    assert (small.problem.geometry, small.problem.fill) == (
        Problem.parse("1d i2 k2 bias=none").geometry,
        "small",
    )


def test_data_on_which_alone_it_shows_are_kept() -> None:
    session = mistaken("narrow-accumulator")
    found = seen(session, Problem.parse("1d n2 c3 m2 i9 k3 bias=none f16 fill=real"))
    assert simplest(session, found).problem.fill == "real"


def test_a_mistake_of_the_second_call_is_made_small_though_each_shape_can_be_asked_but_once() -> None:
    session = mistaken("dw-accumulates")
    found = seen(session, LARGE)
    small = simplest(session, found)
    assert found.same(small)
    assert small.problem.geometry.products < LARGE.geometry.products / 10


def test_what_goes_wrong_in_the_first_call_is_not_what_the_second_one_does() -> None:
    class Both(miniatures.Accumulates):
        def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
            dx, dw, db = super().backward(g, x, w, b, delta)
            return dx, dw + (x.shape[-1] < 3), db

    session = Session(Both(), "both")
    small = simplest(session, seen(session, LARGE))
    assert small.call == 2
    assert small.problem.geometry.size[-1] >= 3


def test_an_exception_is_made_small() -> None:
    session = Session(Raises(), "raises")
    small = simplest(session, seen(session, LARGE))
    assert small.kind == "raises ValueError"
    assert small.problem.geometry.x_shape == (1, 1, 1, 3)


def test_what_does_not_answer_is_not_asked_again() -> None:
    session = Session(Endless(), "endless", time_limit=0.1)
    found = seen(session, LARGE)
    assert simplest(session, found) is found
