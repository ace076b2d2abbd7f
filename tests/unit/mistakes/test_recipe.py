"""A recipe without a switch is right; a switch changes what it says and nothing else."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from conformance.adapter.session import Session
from conformance.engine.corpus import Named, corpus
from conformance.engine.runner import judge
from conformance.mistakes import Mistake, right
from conformance.mistakes.recipe import (
    Recipe,
    computing,
    each,
    ending,
    operands,
    recipe,
    relation,
    relations,
)
from conformance.oracle import Arithmetic, Expectation, compare
from conformance.oracle.vectorised import Layer
from conformance.problem import QUANTITIES, Geometry, Problem
from conformance.spec import matching
from conformance.spec.footprint import footprint

PROBLEMS = [*corpus("covering"), *corpus("seed")]
LINE = "2d n2 c4 m6 g2 i5x4 k3x2 s2x1 p1 d1x2 conv"
UNSWITCHED = computing()


def quantities(g: Geometry) -> list[str]:
    return [q for q in QUANTITIES if q != "db" or g.bias != "none"]


def started(line: str, q: str) -> Recipe:
    p = Problem.parse(line)
    return recipe(p.geometry, p.operands, q)


# ---- without a switch ----
@pytest.mark.parametrize("named", PROBLEMS, ids=lambda n: n.id)
def test_without_a_switch_it_is_the_layer(named: Named) -> None:
    p = named.problem.replace(fill="small")
    layer = Layer.of(p.geometry, p.operands)
    for q in quantities(p.geometry):
        made = UNSWITCHED(p.geometry, p.operands, q)
        assert made.dtype == p.format.numpy
        np.testing.assert_array_equal(made.astype(np.float64), getattr(layer, q), err_msg=q)


@pytest.mark.parametrize("named", [n for n in PROBLEMS if not n.problem.integers], ids=lambda n: n.id)
def test_on_real_data_it_stays_within_the_bound(named: Named) -> None:
    p = named.problem
    expected = Expectation(
        p.geometry, p.operands, dtype=p.format, arithmetic=Arithmetic(accumulator="f64"), quantum=p.quantum
    )
    for q in quantities(p.geometry):
        assert compare(UNSWITCHED(p.geometry, p.operands, q), expected[q]).ok


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("operand", ["x", "w", "delta"])
@pytest.mark.parametrize("line", [LINE, "1d n3 c3 m3 g3 i9 k3 s4 p3:0 d2", "3d n1 c2 m2 i3x4x3 k2 p1"])
def test_what_is_not_finite_reaches_what_reads_it_and_nothing_else(
    line: str, operand: str, special: float
) -> None:
    p = Problem.parse(line)
    index = tuple(n // 2 for n in getattr(p.operands, operand).shape)
    spoiled = np.array(getattr(p.operands, operand))
    spoiled[index] = special
    for q in quantities(p.geometry):
        made = UNSWITCHED(p.geometry, p.operands.replace(**{operand: spoiled}), q)
        must, _ = footprint(p.geometry, operand, index)[q]
        np.testing.assert_array_equal(~np.isfinite(made), must)


@pytest.mark.parametrize(
    "line", [LINE, "1d n3 c3 m3 g3 i9 k3 s4 p3:0 d2 bias=untied f32 fill=real mem=sliced"]
)
def test_without_a_switch_it_conforms(line: str) -> None:
    """The whole specification: what fails of a mistake is the mistake's own."""
    session = Session(Mistake(name="none", sentence="", hint="", compute=UNSWITCHED).adapter(), "none")
    judged = list(judge(session, Problem.parse(line), "", matching()))
    assert {j.clause for j in judged} >= {"FWD-1", "NUM-4"} - ({"FWD-1"} if "real" in line else {"NUM-4"})
    assert [j for j in judged if j.status.failed] == []


# ---- relations ----
def test_a_relation_is_one_where_a_tap_reads() -> None:
    g = Geometry(size=(4,), kernel=(2,), stride=(2,), padding=((1, 0),), dilation=(2,))
    assert np.argwhere(relation(g, 0)).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 3]]


def test_under_true_convolution_taps_count_from_the_end() -> None:
    g = Geometry(size=(4,), kernel=(2,), stride=(2,), padding=((1, 0),), dilation=(2,))
    turned = relation(dataclasses.replace(g, convention="convolution"), 0)
    np.testing.assert_array_equal(turned, relation(g, 0)[:, ::-1])


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({"stride": 1}, [[0, 1, 1], [1, 0, 0], [1, 1, 2]]),
        ({"dilation": 1}, [[0, 1, 0], [1, 0, 1], [1, 1, 2]]),
        ({"begin": 0}, [[0, 0, 0], [0, 1, 2], [1, 0, 2]]),
    ],
)
def test_a_relation_of_other_numbers(changes: dict[str, int], reads: list[list[int]]) -> None:
    g = Geometry(size=(4,), kernel=(2,), stride=(2,), padding=((1, 0),), dilation=(2,))
    assert np.argwhere(relation(g, 0, **changes)).tolist() == reads


# ---- switches ----
def test_operands_are_exchanged_for_the_sum_alone() -> None:
    before = started(LINE, "dw")
    after = operands(x=lambda r: 2 * r.x)(before)
    np.testing.assert_array_equal(after.x, 2 * before.x)
    np.testing.assert_array_equal(after.result(), 2 * before.result())


def test_relations_change_along_each_axis() -> None:
    met: list[int] = []

    def change(r: np.ndarray, made: Recipe, axis: int) -> np.ndarray:
        met.append(axis)
        return r * (axis + 1)

    before = started(LINE, "y").replace(bias=np.zeros(1))
    np.testing.assert_array_equal(relations(change)(before).result(), 2 * before.result())
    assert met == [0, 1]


def test_endings_follow_one_another() -> None:
    before = started(LINE, "dx")
    after = ending(lambda out, r: out + 1)(before).then(lambda out: 2 * out)
    np.testing.assert_array_equal(after.result(), 2 * (before.result() + 1))


def test_the_recipe_itself_does_not_change() -> None:
    before = started(LINE, "dx")
    ending(lambda out, r: out + 1)(before)
    assert before.finish == ()


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_switches_are_made_in_order_and_the_result_is_rounded_once(dtype: str) -> None:
    """1 / 3 three times: rounded in between it would not be 1."""
    p = Problem.parse("1d n1 c1 m1 i3 k3 fill=unit").replace(dtype=dtype)
    thirds = ending(lambda out, r: np.ones_like(out) / 3)
    threefold = ending(lambda out, r: out * 3)
    assert np.all(computing(thirds, threefold)(p.geometry, p.operands, "dx") == 1)


def test_each_names_its_quantity() -> None:
    y, dx = each("y dx", "doubled", "{q} is twice {q}", hint="halve {q}", switch=lambda r: r)
    assert (y.name, y.sentence, y.hint, y.quantities) == ("y-doubled", "y is twice y", "halve y", ("y",))
    assert (dx.name, dx.quantities) == ("dx-doubled", ("dx",))


def test_a_switch_leaves_the_other_quantities_alone() -> None:
    (doubled,) = each("dw", "doubled", "", hint="", switch=ending(lambda out, r: 2 * out))
    p = Problem.parse(LINE)
    o, rightly = p.operands, functools.partial(right, p.geometry, p.operands)
    dx, dw, db = doubled.adapter().backward(p.geometry, o.x, o.w, o.b, o.delta)
    for got, q, factor in ((dx, "dx", 1), (dw, "dw", 2), (db, "db", 1)):
        np.testing.assert_array_equal(got, factor * rightly(q))
