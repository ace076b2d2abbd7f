"""What a mistake is: data, and an adapter that is right but for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from conformance.errors import GeometryError
from conformance.mistakes import Mistake, right
from conformance.oracle import Arithmetic
from conformance.oracle.definition import compute
from conformance.problem import DTYPES, Geometry, Operands, Problem
from conformance.problem.dtypes import CODES

LINE = "2d n2 c4 m6 g2 i5x4 k3x2 s2x1 p1 conv"


def doubled(g: Geometry, operands: Operands, quantity: str) -> np.ndarray:
    return 2 * right(g, operands, quantity)


DOUBLED = Mistake(
    name="doubled", sentence="dw is doubled", hint="halve it", compute=doubled, quantities=("dw",)
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", ["none", "tied", "untied"])
def test_right_is_the_definition_in_the_dtype_of_the_operands(bias: str, dtype: str) -> None:
    p = Problem.parse(f"{LINE} bias={bias} {dtype}")
    expected = compute(p.geometry, p.operands)
    for q in ("y", "dx", "dw", *(["db"] if bias != "none" else [])):
        got = right(p.geometry, p.operands, q)
        assert got.dtype == p.format.numpy
        np.testing.assert_array_equal(got.astype(np.float64), getattr(expected, q).astype(np.float64))


def test_right_rounds_once() -> None:
    """2^8 + 1 and a little more: to 8 bits at once 258, through the 11 bits of float16 256 (a tie, to even)."""
    g = Geometry(size=(1,), kernel=(1,), channels=2, bias="none")
    bf16 = DTYPES["bf16"].numpy
    x, w = np.array([[[256.0], [1.0]]]), np.array([[[1.0], [1 + 2.0**-7]]])
    operands = Operands(x=x.astype(bf16), w=w.astype(bf16), b=None, delta=np.zeros(g.y_shape, bf16))
    assert right(g, operands, "y").astype(np.float64).tolist() == [[[258.0]]]


def test_only_its_quantities_are_wrong() -> None:
    p = Problem.parse(LINE)
    adapter, o = DOUBLED.adapter(), p.operands
    dx, dw, db = adapter.backward(p.geometry, o.x, o.w, o.b, o.delta)
    for q, got, factor in (("dx", dx, 1), ("dw", dw, 2), ("db", db, 1)):
        np.testing.assert_array_equal(got, factor * right(p.geometry, o, q))
    np.testing.assert_array_equal(adapter.forward(p.geometry, o.x, o.w, o.b), right(p.geometry, o, "y"))


def test_without_a_bias_there_is_no_db() -> None:
    p = Problem.parse(f"{LINE} bias=none")
    o = p.operands
    assert DOUBLED.adapter().backward(p.geometry, o.x, o.w, None, o.delta)[2] is None


def test_it_declares_what_is_true_of_the_right_implementation() -> None:
    able = dataclasses.replace(DOUBLED, dtypes=("f32", "bf16")).adapter().capabilities
    assert able.dtypes == {"f32", "bf16"}
    assert DOUBLED.adapter().capabilities.dtypes == set(CODES)
    wide = {"f64": Arithmetic(), "f32": Arithmetic()}
    for dtype in CODES:
        classes = able.arithmetic_of(dtype)
        assert classes is not None
        assert set(classes.values()) == {wide.get(dtype, Arithmetic(accumulator="f32"))}


def wrong_shapes() -> Iterator[dict[str, np.ndarray]]:
    o = Problem.parse(LINE).operands
    for name, a in o.items():
        yield {**dict(o.items()), name: np.ones((*a.shape[:-1], a.shape[-1] + 1))}


@pytest.mark.parametrize("operands", list(wrong_shapes()))
def test_it_refuses_operands_that_do_not_fit(operands: dict[str, np.ndarray]) -> None:
    with pytest.raises(GeometryError, match="has shape"):
        DOUBLED.adapter().backward(Problem.parse(LINE).geometry, **operands)


def test_overflow_is_quiet() -> None:
    g = Geometry(size=(1,), kernel=(1,), bias="none")
    most = np.full((1, 1, 1), np.finfo(np.float64).max)
    dx, dw, _ = DOUBLED.adapter().backward(g, most, most, None, most)
    assert np.isinf([dx, dw]).all()
