"""Results written out: the terms are those of the definition, and those that a mistake adds up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from conformance.engine.corpus import corpus
from conformance.mistakes import terms
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.recipe import Recipe, operands, recipe, relations
from conformance.mistakes.terms import Sum, made_by, written
from conformance.oracle.vectorised import counts
from conformance.problem import QUANTITIES, Problem

SMALL = [
    n.problem for n in corpus("covering") if 0 < n.problem.geometry.products <= 300 and n.problem.integers
]
SWITCHED = [m for m in CATALOGUE.values() if m.switch is not None and m.kind == "layers"]
NO_SUM = {"y-relu-applied"}
"""A step that is not linear makes no sum of products."""
NO_PRODUCT_OF_GIVEN = {
    "y-for-delta",
    "w-after-update",
    "w-in-magnitude",
    "delta-sign-lost",
    "relu-of-x-applied",
}
"""Mistakes that use what is not linear in an operand: it gets a prime."""


def start(line: str, quantity: str) -> Recipe:
    p = Problem.parse(line)
    return recipe(p.geometry, p.operands, quantity)


def told(sum_: Sum) -> list[str]:
    return [str(t) for t in sum_.terms]


def places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The first, one in the middle, and the last."""
    every = list(np.ndindex(shape))
    yield from {every[0], every[len(every) // 2], every[-1]} if every else []


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_a_right_element_is_the_sum_of_as_many_terms_as_the_definition_counts(problem: Problem) -> None:
    for q in QUANTITIES[: 3 if problem.geometry.bias == "none" else 4]:
        r, n = recipe(problem.geometry, problem.operands, q), counts(problem.geometry)[q]
        for at in places(n.shape):
            sum_ = written(r, at)
            assert (sum_.whole, sum_.constant, sum_.total) == (True, 0.0, r.result()[at])
            assert len(sum_.terms) == n[at]
            for f in (f for t in sum_.terms for f in t.factors):
                assert f.value == getattr(problem.operands, f.name)[f.index]


def wrong_places(m: Mistake) -> Iterator[tuple[Recipe, tuple[int, ...]]]:
    """An element that it gets wrong, on two problems where sizes stay as they are."""
    found = 0
    for p in SMALL:
        for q in m.quantities:
            if found < 2 and not (q == "db" and p.geometry.bias == "none"):
                r = recipe(p.geometry, p.operands, q)
                try:
                    made = made_by(r, [m.switch]).result()
                except (ValueError, IndexError):
                    continue
                right = r.result()
                if made.shape == right.shape and not np.array_equal(made, right):
                    found += 1
                    yield r, tuple(int(i) for i in np.argwhere(made != right)[0])


@pytest.mark.parametrize("mistake", SWITCHED, ids=lambda m: m.name)
def test_what_a_mistake_adds_up_is_written_out_in_the_operands_as_they_were_given(mistake: Mistake) -> None:
    for r, at in wrong_places(mistake):
        sum_ = written(r, at, [mistake.switch])
        assert sum_.total == made_by(r, [mistake.switch]).result()[at]
        assert sum_.whole or mistake.name in NO_SUM
        given = {"x": r.x, "w": r.w, "delta": r.delta, "b": r.bias.reshape(r.g.b_shape or ())}
        for f in (f for t in sum_.terms for f in t.factors):
            primed = f.name.endswith("'")
            assert not primed or any(name in mistake.name for name in NO_PRODUCT_OF_GIVEN)
            assert primed or f.value == given[f.name][f.index]


def test_most_mistakes_that_can_combine_are_seen_by_the_test_above() -> None:
    seen = [m.name for m in SWITCHED if any(True for _ in wrong_places(m))]
    assert len(seen) > 0.8 * len(SWITCHED)


# ---- by name ----
def test_the_kernel_that_was_not_rotated() -> None:
    r = start("i3x3 k2x2 bias=none", "dx")
    assert told(written(r, (0, 0, 0, 1))) == [
        "delta[0, 0, 0, 0]*w[0, 0, 0, 1]",
        "delta[0, 0, 0, 1]*w[0, 0, 0, 0]",
    ]
    mistaken = written(r, (0, 0, 0, 1), [CATALOGUE["dx-kernel-unrotated"].switch])
    assert told(mistaken) == ["delta[0, 0, 0, 0]*w[0, 0, 1, 0]", "delta[0, 0, 0, 1]*w[0, 0, 1, 1]"]


def test_a_transposed_kernel_is_told_in_the_given_one() -> None:
    r = start("i2x2 k2x2 bias=none", "y")
    sum_ = written(r, (0, 0, 0, 0), [CATALOGUE["y-kernel-transposed"].switch])
    assert "x[0, 0, 0, 1]*w[0, 0, 1, 0]" in told(sum_)


def test_exchanged_axes_of_the_result_are_told_as_the_other_elements_terms() -> None:
    r = start("i3x3 k2x2 bias=none", "dw")
    mistaken = written(r, (0, 0, 0, 1), [CATALOGUE["dw-transposed"].switch])
    assert told(mistaken) == told(written(r, (0, 0, 1, 0)))


@pytest.mark.parametrize(
    ("name", "weight"), [("dw-mean-over-batch", 1 / 3), ("dw-doubled", 2), ("dw-negated", -1)]
)
def test_a_factor_is_the_weight_of_all_terms(name: str, weight: float) -> None:
    r = start("n3 i3 k2", "dw")
    sum_ = written(r, (0, 0, 0), [CATALOGUE[name].switch])
    assert {t.weight for t in sum_.terms} == {weight}
    assert sum_.whole


def test_a_bias_that_is_added_too_often_counts_so_often() -> None:
    r = start("c3 m2 i3 k2", "y")
    assert told(written(r, (0, 1, 0)))[-1] == "b[1]"
    last = written(r, (0, 1, 0), [CATALOGUE["y-bias-once-per-channel"].switch]).terms[-1]
    assert (str(last), last.weight, last.value) == ("b[1]", 3, 3 * r.bias[1, 0])


def test_an_untied_bias_has_the_indices_of_its_position() -> None:
    assert told(written(start("n2 m2 i4 k2 bias=untied", "y"), (1, 1, 2)))[-1] == "b[1, 2]"


def test_what_is_not_made_of_an_operand_gets_a_prime() -> None:
    r = start("i3 k2 bias=none", "dx")
    first, *_ = written(r, (0, 0, 1), [CATALOGUE["dx-y-for-delta"].switch]).terms
    y = recipe(r.g, Problem.parse("i3 k2 bias=none").operands, "y").result()
    assert str(first) == "delta'[0, 0, 0]*w[0, 0, 1]"
    assert first.factors[0].value == y[0, 0, 0]


def test_a_bias_that_is_squared_gets_a_prime_and_the_indices_of_y() -> None:
    r = start("n2 m2 i4 k2", "y")
    last = written(r, (1, 1, 2), [operands(bias=lambda r: r.bias**2)]).terms[-1]
    assert (str(last), last.value) == ("b'[1, 1, 2]", r.bias[1, 0] ** 2)


def test_what_is_added_afterwards_is_a_constant() -> None:
    r = start("i3 k2 bias=none", "dw")
    sum_ = written(r, (0, 0, 1), [CATALOGUE["dw-weight-decay-folded-in"].switch])
    assert (sum_.constant, sum_.whole) == (r.w[0, 0, 1], True)


def test_a_step_that_is_no_sum_leaves_the_plain_terms() -> None:
    r = start("i3 k2 bias=none seed=1", "y")
    negative = tuple(int(i) for i in np.argwhere(r.result() < 0)[0])
    sum_ = written(r, negative, [CATALOGUE["y-relu-applied"].switch])
    assert (told(sum_), sum_.total, sum_.whole) == (told(written(r, negative)), 0.0, False)


def test_a_relation_that_counts_twice_is_a_weight() -> None:
    r = start("i4x3 k2 bias=none", "dw")
    sum_ = written(r, (0, 0, 0, 1), [relations(lambda old, r, axis: 2 * old)])
    assert {t.weight for t in sum_.terms} == {4}
    assert sum_.whole


def test_two_mistakes_are_written_out_together() -> None:
    r = start("n2 i3 k2 bias=none", "dw")
    switches = [CATALOGUE["dw-rotated"].switch, CATALOGUE["dw-mean-over-batch"].switch]
    sum_ = written(r, (0, 0, 0), switches)
    assert sum_.whole
    assert (told(sum_), sum_.terms[0].weight) == (told(written(r, (0, 0, 1))), 0.5)


def test_of_a_large_array_nothing_is_probed_and_nothing_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "MOST_PROBES", 4)
    halved = [CATALOGUE["dx-halved"].switch]
    assert written(start("i4 k2 bias=none", "dx"), (0, 0, 0), halved).whole  # as many elements as are probed
    more = start("i5 k2 bias=none", "dx")
    plain, sum_ = written(more, (0, 0, 0)), written(more, (0, 0, 0), halved)
    assert (told(sum_), sum_.total, sum_.whole) == (told(plain), plain.total / 2, False)
    reversed_ = [CATALOGUE["dx-kernel-maps-reversed"].switch]
    assert told(written(start("m2 i3 k2 bias=none", "dx"), (0, 0, 0), reversed_))[0].startswith(
        "delta[0, 0, 0]*w'["
    )
