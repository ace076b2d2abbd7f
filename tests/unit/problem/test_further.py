"""The table of calls, and what is drawn for the optional ones."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from conformance import Adapter
from conformance.problem import DTYPES, QUANTITIES, Geometry, Problem
from conformance.problem.fills import FILLS, HEADROOM
from conformance.problem.memory import MEMORIES
from conformance.problem.operations import CALL_OF, CALLS, FURTHER, OPERATIONS, offered_by, shape_of

LINE = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:0x2 d1x2"
ALL = ("x", "w", "b", "delta", "u", "v", "r", "c")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_is_a_method_of_an_adapter_with_these_operands(call) -> None:  # type: ignore[no-untyped-def]
    _, g, *operands = inspect.signature(getattr(Adapter, call.method)).parameters
    assert g == "g"
    assert operands == list(call.reads)
    assert set(call.reads.values()) <= set(ALL)


def test_quantities_are_named_by_operation_and_result() -> None:
    assert tuple(q for q in CALL_OF if "." not in q) == QUANTITIES
    assert {q.partition(".")[0] for q in FURTHER} == set(OPERATIONS)
    assert offered_by(()) == frozenset()
    assert offered_by(OPERATIONS) == set(FURTHER)
    assert offered_by({"forward_mode"}) == {"forward_mode.dy"}


def test_shapes() -> None:
    g = Geometry(
        batch=2, channels=4, maps=6, groups=2, size=(7, 5), kernel=(3, 2), stride=(2, 1), bias="untied"
    )
    assert (g.output, g.remainder) == ((3, 4), (0, 0))
    assert shape_of(g, "transposed.y") == g.x_shape
    assert shape_of(g, "transposed.dx") == g.y_shape
    assert shape_of(g, "transposed.dw") == shape_of(g, "double_backward.dw") == g.w_shape
    assert shape_of(g, "transposed.db") == (4,)
    assert shape_of(g, "double_backward.ddelta") == shape_of(g, "forward_mode.dy") == g.y_shape
    without = Geometry(size=(3,), kernel=(2,), bias="none")
    assert shape_of(without, "transposed.db") is None
    assert [without.shape_of(name) for name in ("r", "c")] == [None, None]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_drawn_besides_changes_nothing_in_what_was_drawn_before(fill: str, dtype: str) -> None:
    p = Problem.parse(f"{LINE} {dtype} fill={fill} seed=3")
    further = p.further
    for name, a in p.operands.items():
        assert getattr(further, name).tobytes() == a.tobytes()
    for name in ("u", "v", "r", "c"):
        a = getattr(further, name)
        assert a.shape == p.geometry.shape_of(name)
        assert a.dtype == p.format.numpy
        assert not a.flags.writeable
        assert getattr(p.operands, name) is None
    assert p.operands_of("dx") is p.operands
    assert p.operands_of("transposed.dx") is further


@pytest.mark.parametrize("memory", MEMORIES)
def test_in_every_memory_layout_the_same_values(memory: str) -> None:
    lined = Problem.parse(f"{LINE} mem={memory} seed=3").further
    for name, a in lined.items():
        plain = Problem.parse(f"{LINE} seed=3").further
        if memory == "broadcast":
            assert a.strides[0] == 0 or a.shape[0] == 1
        else:
            np.testing.assert_array_equal(a, getattr(plain, name))


@pytest.mark.parametrize("dtype", DTYPES)
def test_directions_differ_from_operands_and_leave_room(dtype: str) -> None:
    """A mistake that takes x for u has to show; and a sum of two convolutions and a bias has to stay exact."""
    p = Problem.parse(f"2d n2 c3 m4 i6x5 k2x2 {dtype} seed=3")
    o = p.further
    for one, other in (("x", "u"), ("w", "v"), ("b", "r")):
        assert not np.array_equal(getattr(o, one), getattr(o, other))
    a, n = p.amplitude, 3 * 2 * 2
    assert all(np.abs(v.astype(np.float64)).max() <= a for _, v in o.items())
    assert 2 * n * a * a + a <= HEADROOM * (n * a * a + a) <= 2**p.format.p
