"""One run of one adapter, whole."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import find
from hypothesis import strategies as st

from conformance import Adapter, Geometry, Problem
from conformance.adapter.doctor import Remark
from conformance.adapter.session import Session
from conformance.engine.corpus import corpus
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import PROFILES, Profile
from conformance.engine.run import LARGEST_TO_SHRINK, Event, Run, drawn, in_regimes
from conformance.engine.runner import LARGE
from conformance.engine.strategies import EVERYTHING
from conformance.errors import GeometryError, UnknownClause
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES
from conformance.problem.fills import REGIMES
from conformance.spec import matching

SEED_ONLY = Profile(name="seed", corpora=("seed",), largest=10**6, explored=0, regimes=0)
EXPLORING = Profile(name="explore", corpora=(), largest=10**6, explored=12, regimes=0)


class Right(Adapter):
    """Nothing is wrong."""

    capabilities = EVERYTHING

    def __init__(self, **claims: Any) -> None:
        super().__init__()
        self.capabilities = dataclasses.replace(EVERYTHING, **claims)

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(x=x, w=w, b=b)
        return Layer(g, x, w, b, np.zeros(g.y_shape)).y.astype(x.dtype)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        g.check(x=x, w=w, b=b, delta=delta)
        layer = Layer(g, x, w, b, delta)
        return tuple(None if a is None else a.astype(x.dtype) for a in (layer.dx, layer.dw, layer.db))


class MeanOfTheBatch(Right):
    """dw is divided by the number of items."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dx, (dw / max(g.batch, 1)).astype(dw.dtype), db


class SwappedGradients(Right):
    """Wired wrongly."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        return dw, dx, db


class WrongAtRandom(Right):
    """One call of forward in three is wrong by one, whatever the problem."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return super().forward(g, x, w, b) + (self.dice.random() < 1 / 3)


class RefusesAll(Right):
    """Its conditional rule refuses everything."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return "never"


def run(adapter: Adapter, profile: Profile = SEED_ONLY, **more: Any) -> Run:
    return Run(Session(adapter, "mine"), profile, **more)


def kinds(events: list[Event]) -> list[type]:
    met: list[type] = []
    for event in events:
        if not met or met[-1] is not type(event):
            met.append(type(event))
    return met


# ---- which problems ----
def test_the_corpora_come_in_order_up_to_the_largest_problem_those_of_two_axes_first() -> None:
    profile = dataclasses.replace(PROFILES["standard"], explored=0, regimes=0)
    ids = [n.id for n in run(Right(), profile).problems()]
    every = [n for name in profile.corpora for n in corpus(name)]
    small = [n for n in every if n.problem.geometry.products <= profile.largest]
    of_rank = {rank: [n.id for n in small if n.problem.geometry.rank == rank] for rank in (1, 2, 3)}
    assert ids[: len(of_rank[2])] == of_rank[2]
    assert ids[len(of_rank[2]) :] == [n.id for n in small if n.id not in of_rank[2]]
    assert len(small) < len(every)


def test_drawn_problems_come_last() -> None:
    profile = dataclasses.replace(EXPLORING, corpora=("seed",))
    ids = [n.id for n in run(Right(), profile).problems()]
    assert set(ids[: len(corpus("seed"))]) == {n.id for n in corpus("seed")}
    assert set(ids[len(corpus("seed")) :]) == {"explored"}
    assert len(ids) == len(corpus("seed")) + 12


# ---- the numeric regimes ----
@pytest.mark.parametrize("name", ["quick", "standard"])
def test_problems_of_the_corpora_come_again_on_numeric_regimes(name: str) -> None:
    """After the corpora: the same problem but for its fill, told by its id."""
    profile = dataclasses.replace(PROFILES[name], explored=0)
    plain = {n.id: n.problem for n in run(Right(), dataclasses.replace(profile, regimes=0)).problems()}
    every = run(Right(), profile).problems()
    assert [n.id for n in every[: len(plain)]] == list(plain)
    again = every[len(plain) :]
    for n in again:
        base, _, fill = n.id.rpartition("+")
        assert n.problem == plain[base].replace(fill=fill)
        assert fill in REGIMES
    met = Counter(n.id.rpartition("+")[0] for n in again)
    small = [id_ for id_, p in plain.items() if p.geometry.batch and p.geometry.products <= LARGE]
    assert met == dict.fromkeys(small, profile.regimes)
    assert len(small) < len(plain)


def test_the_numeric_regimes_take_turns() -> None:
    """Each meets every dtype, and none meets more problems than another by more than those that are left out."""
    problems = [n.problem for n in run(Right(), PROFILES["quick"]).problems() if n.problem.rounding]
    met = Counter(p.fill for p in problems)
    assert set(met) == set(REGIMES)
    assert max(met.values()) <= 1.5 * min(met.values())
    assert {(p.fill, p.dtype) for p in problems} == {(fill, dtype) for fill in REGIMES for dtype in DTYPES}


def test_no_regimes_are_asked_for_and_none_come() -> None:
    seed = corpus("seed")
    assert list(in_regimes(seed, 0)) == []
    assert len(list(in_regimes(seed, 2))) == 2 * sum(n.problem.geometry.batch > 0 for n in seed)


def test_explored_problems_come_after_the_regimes() -> None:
    profile = dataclasses.replace(EXPLORING, corpora=("seed",), regimes=1)
    ids = [n.id for n in run(Right(), profile).problems()]
    assert ids[-12:] == ["explored"] * 12
    assert all("+" in id_ for id_ in ids[len(corpus("seed")) : -12])


def test_given_problems_stand_in_place_of_the_corpus() -> None:
    given = (Problem.parse("1d i5 k3"), Problem.parse("2d i5 k3 f32"))
    problems = run(Right(), PROFILES["standard"], given_problems=given).problems()
    assert [(n.id, n.problem) for n in problems] == [("given", given[0]), ("given", given[1])]


@pytest.mark.parametrize("dtype", ["f32", "float32"])
def test_one_dtype_is_put_on_every_problem(dtype: str) -> None:
    assert {
        n.problem.dtype
        for n in run(Right(), dataclasses.replace(EXPLORING, corpora=("seed",)), dtype=dtype).problems()
    } == {"f32"}


def test_one_dtype_is_put_on_given_problems_too() -> None:
    """What was asked for is not ignored in silence."""
    (only,) = run(Right(), dtype="f32", given_problems=(Problem.parse("1d i5 k3 f64"),)).problems()
    assert only.problem.dtype == "f32"


def test_clauses_and_dtypes_that_there_are_not() -> None:
    with pytest.raises(UnknownClause, match="no clause matches 'XYZ-\\*'"):
        run(Right(), only="XYZ-*")
    with pytest.raises(GeometryError, match="dtype must be one of"):
        run(Right(), dtype="int8")


# ---- drawn ----
def test_a_seed_draws_the_same_problems_every_time() -> None:
    session = Session(Right(), "mine")
    first, again, other = drawn(session, 25, 7), drawn(session, 25, 7), drawn(session, 25, 8)
    assert first == again
    assert first != other
    assert len(first) == len(other) == 25


def test_what_was_run_before_does_not_change_what_is_drawn() -> None:
    session = Session(Right(), "mine")
    first = drawn(session, 10, 7)
    np.random.default_rng(0).random(3)
    find(st.integers(), lambda n: n > 5)
    assert drawn(session, 10, 7) == first


def test_nothing_is_drawn_where_nothing_is_asked_for() -> None:
    assert drawn(Session(RefusesAll(), "mine"), 0, 0) == []


def test_everything_drawn_is_offered() -> None:
    class Conditional(Right):
        def unsupported(self, g: Geometry, dtype: str) -> str | None:
            return "odd channels" if g.channels % 2 else None

    session = Session(Conditional(stride=False), "mine")
    problems = drawn(session, 40, 0)
    assert len(problems) == 40
    assert all(session.refusal(p.geometry, p.dtype) is None for p in problems)


def test_an_adapter_that_refuses_everything_gets_nothing_drawn_and_its_run_ends() -> None:
    able = RefusesAll(ranks=frozenset({1}))
    events = list(run(able, dataclasses.replace(SEED_ONLY, explored=2), only="FWD-1").events())
    assert {e.status for e in events if isinstance(e, Judgement)} == {Status.UNSUPPORTED}


# ---- events ----
def test_remarks_then_judgements_and_no_findings_of_a_right_implementation() -> None:
    events = list(run(Right(), only="FWD-1,DEL-1,WGT-1,BIA-1,BIA-2").events())
    assert kinds(events) == [Remark, Judgement]
    assert {e.status for e in events if isinstance(e, Judgement)} == {Status.PASS}
    assert {e.origin for e in events if isinstance(e, Judgement)} == {n.id for n in corpus("seed")}


def test_a_broken_adapter_is_not_judged() -> None:
    events = list(run(SwappedGradients()).events())
    assert kinds(events) == [Remark]
    assert isinstance(events[-1], Remark)
    assert not events[-1].ok


def test_findings_come_last_on_their_smallest_problem() -> None:
    events = list(run(MeanOfTheBatch()).events())
    assert kinds(events) == [Remark, Judgement, Finding]
    (finding,) = [e for e in events if isinstance(e, Finding)]
    assert (finding.clause, finding.shrunk, finding.status) == ("WGT-1", True, Status.FAIL)
    assert "WGT-4" in finding.fallen
    assert finding.problem.startswith("2d n2 c1 m1 i1x1 k1x1 bias=none ")
    assert finding.problem.endswith("fill=unit")
    own = finding.judgement
    assert (own.clause, own.quantity, own.status) == ("WGT-1", "dw", Status.FAIL)
    assert own.got is not None
    assert own.expected is not None
    assert own.got == own.expected / 2 != 0


def test_a_shrunk_finding_can_be_pasted_back() -> None:
    (finding,) = [e for e in run(MeanOfTheBatch(), only="WGT-*").events() if isinstance(e, Finding)]
    pasted = run(MeanOfTheBatch(), given_problems=(Problem.parse(finding.problem),), only="WGT-1")
    (judgement,) = [e for e in pasted.events() if isinstance(e, Judgement)]
    assert dataclasses.replace(judgement, origin=finding.judgement.origin) == finding.judgement


def test_only_the_clauses_asked_for_are_judged() -> None:
    events = list(run(MeanOfTheBatch(), only="del-*,BIA-1").events())
    judged = {e.clause for e in events if isinstance(e, Judgement)}
    assert judged <= {c.id for c in matching("DEL-*,BIA-1")}
    assert {"DEL-1", "BIA-1"} <= judged
    assert Finding not in kinds(events)


def test_a_run_is_the_same_every_time() -> None:
    profile = dataclasses.replace(EXPLORING, corpora=("seed",))
    first, second = (list(run(MeanOfTheBatch(), profile, only="WGT-1", seed=5).events()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", range(4))
def test_what_does_not_fail_every_time_is_a_finding_all_the_same(seed: int) -> None:
    """And the run ends: a flaky implementation is no reason to stop with a traceback."""
    events = list(run(WrongAtRandom(seed), only="FWD-1").events())
    found = [e for e in events if isinstance(e, Finding)]
    assert len(found) == 1
    assert found[0].clause == "FWD-1"
    assert found[0].judgement.status is Status.FAIL


def test_a_finding_on_a_large_problem_is_not_shrunk() -> None:
    line = f"2d n2 c1 m1 i{LARGEST_TO_SHRINK // 2 + 1}x1 k1x1 bias=none f64"
    events = list(run(MeanOfTheBatch(), given_problems=(Problem.parse(line),), only="WGT-1").events())
    (finding,) = [e for e in events if isinstance(e, Finding)]
    assert (finding.shrunk, finding.problem) == (False, line)
