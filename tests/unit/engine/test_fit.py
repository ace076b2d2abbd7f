"""Problems made for all, put to adapters that claim little."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import pytest

from conformance import Adapter, Capabilities, Geometry, Problem
from conformance.adapter.session import Session
from conformance.engine.corpus import SETS, corpus
from conformance.engine.fit import fitted
from conformance.engine.strategies import EVERYTHING

ALL = [n.problem for name in SETS for n in corpus(name)]


class Claims(Adapter):
    def __init__(self, capabilities: Capabilities) -> None:
        super().__init__()
        self.capabilities = capabilities


def session(**claims: Any) -> Session:
    return Session(Claims(Capabilities(**claims)), "mine")


def less(**claims: Any) -> Session:
    return Session(Claims(dataclasses.replace(EVERYTHING, **claims)), "mine")


SESSIONS = {
    "least": session(),
    "least of all ranks": session(ranks={1, 2, 3}),
    "only float32": less(dtypes=frozenset({"f32"})),
    "only bfloat16, untied": less(dtypes=frozenset({"bf16"}), biases=frozenset({"untied"})),
    "no stride": less(stride=False),
    "no dilation": less(dilation=False),
    "no groups": less(groups=False),
    "no padding": less(padding="none"),
    "symmetric": less(padding="symmetric"),
    "asymmetric": less(padding="asymmetric"),
    "no empty batch": less(empty_batch=False),
    "no bias": less(biases=frozenset({"none"})),
    "true convolution": less(convention="convolution"),
    "correlation": less(convention="correlation"),
    "no padding, no dilation": less(padding="none", dilation=False),
    "no padding but dilation": session(ranks={1, 2, 3}, dilation=True),
}


@functools.cache
def all_fitted(name: str) -> tuple[Problem, ...]:
    return tuple(fitted(p, SESSIONS[name]) for p in ALL)


@pytest.mark.parametrize("name", SESSIONS)
def test_every_problem_of_every_corpus_fits_an_adapter_of_its_rank(name: str) -> None:
    able = SESSIONS[name]
    for p, near in zip(ALL, all_fitted(name), strict=True):
        assert near.geometry.rank == p.geometry.rank
        if p.geometry.rank in able.capabilities.ranks:
            assert able.refusal(near.geometry, near.dtype) is None, f"{p} became {near}"


@pytest.mark.parametrize("name", SESSIONS)
def test_what_is_offered_stays_as_it_is(name: str) -> None:
    able = SESSIONS[name]
    offered = [k for k, p in enumerate(ALL) if able.refusal(p.geometry, p.dtype) is None]
    assert offered
    assert all(all_fitted(name)[k] is ALL[k] for k in offered)


@pytest.mark.parametrize("name", SESSIONS)
def test_fitting_twice_is_fitting_once(name: str) -> None:
    assert all(fitted(once, SESSIONS[name]) == once for once in all_fitted(name))


def test_everything_fits_who_claims_everything() -> None:
    assert all(fitted(p, less()) is p for p in ALL)


def test_another_rank_comes_back_as_it_was() -> None:
    one_axis = session(ranks={1})
    for p in ALL:
        if p.geometry.rank != 1:
            assert fitted(p, one_axis) is p
            assert one_axis.refusal(p.geometry, p.dtype) is not None


# ---- only what is not claimed is changed ----
RICH = Problem.parse(
    "2d n3 c4 m6 g2 i9x7 k3x2 s2x3 p1:2x3:0 d2x1 conv bias=untied f16 fill=sparse mem=sliced seed=5"
)
CHANGED = [
    ({"stride": False}, {"stride": (1, 1)}),
    ({"dilation": False}, {"dilation": (1, 1)}),
    ({"groups": False}, {"groups": 1, "channels": 2, "maps": 3}),
    ({"padding": "none"}, {"padding": ((0, 0), (0, 0))}),
    ({"padding": "symmetric"}, {"padding": ((1, 1), (3, 3))}),
    ({"padding": "asymmetric"}, {}),
    ({"convention": "correlation"}, {"convention": "correlation"}),
    ({"biases": {"tied", "none"}}, {"bias": "tied"}),
    ({"biases": {"none"}}, {"bias": "none"}),
    ({"stride": False, "padding": "none"}, {"stride": (1, 1), "padding": ((0, 0), (0, 0))}),
]


@pytest.mark.parametrize(("without", "change"), CHANGED)
def test_a_feature_that_is_not_claimed_is_left_out_and_nothing_else(
    without: dict[str, Any], change: dict[str, Any]
) -> None:
    near = fitted(RICH, less(**without))
    assert near == RICH.replace(geometry=dataclasses.replace(RICH.geometry, **change))


def test_a_dtype_that_is_not_claimed_becomes_the_widest_that_is() -> None:
    assert fitted(RICH, less(dtypes=frozenset({"bf16", "f32"}))) == RICH.replace(dtype="f32")
    assert fitted(RICH, less(dtypes=frozenset({"bf16", "f64"}))) == RICH.replace(dtype="f64")


def test_an_empty_batch_becomes_one_item() -> None:
    empty = RICH.replace(geometry=dataclasses.replace(RICH.geometry, batch=0))
    assert fitted(empty, less(empty_batch=False)).geometry.batch == 1
    assert fitted(empty, less()) is empty


def test_cropping_becomes_no_padding() -> None:
    p = Problem.parse("2d i9x7 k3x2 p-1:2x-2")
    assert fitted(p, less(padding="asymmetric")).geometry.padding == ((0, 2), (0, 0))
    assert fitted(p, less(padding="none")).geometry.padding == ((0, 0), (0, 0))


def test_the_input_grows_where_the_kernel_would_not_fit_any_more() -> None:
    p = Problem.parse("2d i2x9 k5x3 p2:2x0 d1x2")
    near = fitted(p, less(padding="none"))
    assert near.geometry.size == (5, 9)
    dilated = Problem.parse("1d i2 k3 p2 d2")
    assert fitted(dilated, less(padding="none")).geometry.size == (5,)
    assert fitted(dilated, less(padding="none", dilation=False)).geometry.size == (3,)


# ---- conditional rules ----
class Conditional(Claims):
    """It claims everything, and refuses what its rule says."""

    def __init__(self, rule: Any) -> None:
        super().__init__(EVERYTHING)
        self.rule = rule

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return "not this one" if self.rule(g, dtype) else None


RULES = {
    "stride with dilation": lambda g, dtype: max(g.stride) > 1 and max(g.dilation) > 1,
    "groups only in float32": lambda g, dtype: g.groups > 1 and dtype != "float32",
    "padding smaller than the kernel": lambda g, dtype: any(
        max(pair) >= k for pair, k in zip(g.padding, g.kernel, strict=True)
    ),
    "dilation in three axes": lambda g, dtype: g.rank == 3 and max(g.dilation) > 1,
    "all at once": lambda g, dtype: any(
        (max(g.stride) > 1, max(g.dilation) > 1, g.groups > 1, any(map(any, g.padding)))
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_conditional_rules_are_obeyed_by_leaving_out_what_they_refuse(rule: str) -> None:
    able = Session(Conditional(RULES[rule]), "mine")
    refused = [p for p in ALL if able.refusal(p.geometry, p.dtype)]
    assert refused
    for p in refused:
        near = fitted(p, able)
        assert able.refusal(near.geometry, near.dtype) is None, f"{p} became {near}"
        assert near.geometry.rank == p.geometry.rank
        assert math.prod(near.geometry.output) >= 1


def test_where_nothing_near_is_offered_the_problem_comes_back() -> None:
    able = Session(Conditional(lambda g, dtype: True), "mine")
    assert all(fitted(p, able) is p for p in ALL[:40])
