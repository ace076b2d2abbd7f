from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.problem import DTYPES, Problem
from conformance.problem.memory import MEMORIES, REARRANGEMENTS, laid_out

SHAPES = [(3,), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 4, 5)]
LINE = "2d n2 c4 m6 g2 i5x7 k3x2 bias=untied f32"


def numbered(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Distinct values, but for one item repeated along the first axis: what every layout can hold."""
    item = np.arange(1, 1 + int(np.prod(shape[1:])), dtype=np.float32).reshape(shape[1:])
    return np.broadcast_to(item, shape).astype(dtype)


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_layout_keeps_shape_dtype_and_values(memory: str, shape: tuple[int, ...], code: str) -> None:
    a = numbered(shape, DTYPES[code].numpy)
    b = laid_out(a, memory)
    assert (b.shape, b.dtype) == (a.shape, a.dtype)
    assert b.tolist() == a.tolist()


@pytest.mark.parametrize("source", MEMORIES)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_layout_shares_no_memory_with_its_source(memory: str, source: str) -> None:
    a = laid_out(numbered((2, 3, 4)), source)
    assert not np.shares_memory(a, laid_out(a, memory))


def test_c_order_has_the_last_axis_next_to_itself() -> None:
    for source in MEMORIES:
        assert laid_out(laid_out(numbered((2, 3, 4, 5)), source), "c").strides == (240, 80, 20, 4)


def test_fortran_order_has_the_first_axis_next_to_itself() -> None:
    assert laid_out(numbered((2, 3, 4, 5)), "fortran").strides == (4, 8, 24, 96)


def test_sliced_steps_over_every_second_element_along_channels_and_the_last_axis() -> None:
    b = laid_out(numbered((2, 3, 4, 5)), "sliced")
    assert b.strides == (960, 320, 40, 8)  # a larger array of (2, 6, 4, 10)
    assert not b.flags.contiguous
    assert laid_out(numbered((3,)), "sliced").strides == (8,)


def test_sliced_holds_nan_between_its_elements() -> None:
    b = laid_out(numbered((2, 3, 4, 5)), "sliced")
    assert b.base is not None
    assert b.base.shape == (2, 6, 4, 10)
    assert int(np.isnan(b.base).sum()) == b.base.size - b.size


def test_reversed_steps_backwards_on_every_axis() -> None:
    assert laid_out(numbered((2, 3, 4, 5)), "reversed").strides == (-240, -80, -20, -4)


def test_channels_last_has_channels_next_to_each_other() -> None:
    assert laid_out(numbered((2, 3, 4, 5)), "channels-last").strides == (240, 4, 60, 12)  # N, H, W, C


def test_broadcast_repeats_one_item_with_a_stride_of_zero() -> None:
    b = laid_out(numbered((2, 3, 4, 5)), "broadcast")
    assert b.strides == (0, 80, 20, 4)
    assert not b.flags.writeable


@pytest.mark.parametrize("memory", REARRANGEMENTS)
def test_a_rearrangement_is_another_layout_than_c_and_may_be_written(memory: str) -> None:
    b = laid_out(numbered((2, 3, 4, 5)), memory)
    assert b.strides != laid_out(b, "c").strides
    assert b.flags.writeable


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 1, 1)])
def test_layouts_of_empty_and_of_single_items(memory: str, shape: tuple[int, ...]) -> None:
    assert laid_out(np.ones(shape), memory).tolist() == np.ones(shape).tolist()


# ---- layouts of operands ----
@pytest.mark.parametrize("memory", REARRANGEMENTS)
def test_a_problem_has_the_same_values_in_any_layout(memory: str) -> None:
    c, other = Problem.parse(LINE).operands, Problem.parse(f"{LINE} mem={memory}").operands
    assert {name: a.tolist() for name, a in c.items()} == {name: a.tolist() for name, a in other.items()}
    assert [a.strides for _, a in other.items()] == [laid_out(a, memory).strides for _, a in c.items()]


def test_a_broadcast_problem_repeats_one_item_in_every_operand() -> None:
    operands = Problem.parse(f"{LINE} mem=broadcast").operands
    for name, a in operands.items():
        assert a.strides[0] == 0, name
        assert all(item.tolist() == a[0].tolist() for item in a)
    assert len(set(operands.x[0].ravel().tolist())) > 1


def test_an_empty_batch_has_any_layout() -> None:
    for memory in MEMORIES:
        operands = Problem.parse(f"2d n0 c2 m3 i4 k2 mem={memory}").operands
        assert (operands.x.shape, operands.delta.shape) == ((0, 2, 4, 4), (0, 3, 3, 3))


@pytest.mark.parametrize("memory", MEMORIES)
def test_operands_are_read_only_and_copies_are_fresh(memory: str) -> None:
    operands = Problem.parse(f"{LINE} mem={memory}").operands
    for layout in ("c", memory):
        copies = operands.in_memory(layout)
        for name, a in operands.items():
            assert not a.flags.writeable
            assert getattr(copies, name).flags.writeable == (layout != "broadcast")
            assert not np.shares_memory(a, getattr(copies, name))


@pytest.mark.parametrize("memory", MEMORIES)
def test_operands_share_no_memory_with_each_other(memory: str) -> None:
    arrays = dict(Problem.parse(f"{LINE} mem={memory}").operands.items())
    assert not any(np.shares_memory(a, b) for m, a in arrays.items() for n, b in arrays.items() if m < n)


def test_operands_without_a_bias_have_none_in_any_layout() -> None:
    operands = Problem.parse("i5 k3 bias=none").operands
    assert operands.b is None
    assert operands.in_memory("fortran").b is None
    assert [name for name, _ in operands.items()] == ["x", "w", "delta"]
