"""Every catalogued mistake in a network is caught, by a clause that says where, and named; a right way is not."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conformance import Networks
from conformance.adapter.session import Session
from conformance.engine.findings import findings
from conformance.engine.judgement import Judgement, Status
from conformance.engine.networks import network_corpus
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge_network
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE, NETWORK_MISTAKES
from conformance.mistakes.diagnose_network import diagnose_network
from conformance.mistakes.network import Backpropagation, NetworkMistake, made
from conformance.mistakes.pairs import drawn_pairs, pair
from conformance.mistakes.roots import events
from conformance.problem.network import NetworkProblem
from conformance.spec import NetworkQuestion, Severity, matching
from conformance.spec.network import RATE

Array = NDArray[Any]
CLAUSES = [c for c in matching("NET-*") if c.severity is not Severity.INFO]
RIGHT = NetworkMistake(name="right", sentence="", hint="", way=Backpropagation)
ROOTS = {
    "output": "NET-1",
    "softmax": "NET-1",
    "cost": "NET-1",
    "slope": "NET-2",
    "mask": "NET-2",
    "activation": "NET-2",
    "kernel": "NET-2",
    "dw": "NET-3",
    "db": "NET-3",
    "first": "NET-3",
    "last": "NET-3",
    "weight": "NET-3",
    "bias": "NET-3",
    "gradient": "NET-3",
    "step": "NET-5",
}
"""By the first word of a mistake's name: the clause that a finding of it is named by."""

DRAWN = drawn_pairs(NETWORK_MISTAKES, 20, seed=1)


def judged(m: NetworkMistake, *, until: int = len(network_corpus())) -> list[Judgement]:
    """All judgements, network by network, up to the `until`-th network on which one fails."""
    session, made_, failing = Session(m.adapter(), m.name), [], 0
    for named in network_corpus():
        new = list(judge_network(session, named.problem, named.id, CLAUSES))
        made_ += new
        failing += any(j.status.failed for j in new)
        if failing == until:
            break
    return made_


@pytest.mark.parametrize("m", NETWORK_MISTAKES, ids=lambda m: m.name)
def test_every_mistake_is_caught_where_it_is_made(m: NetworkMistake) -> None:
    failed = [j for j in judged(m, until=2) if j.status.failed]
    assert {j.status for j in failed} == {Status.FAIL}
    assert [f.clause for f in findings(failed)] == [ROOTS[m.name.partition("-")[0]]]


@pytest.mark.parametrize("m", DRAWN, ids=lambda m: m.name)
def test_two_together_are_caught(m: NetworkMistake) -> None:
    assert {j.status for j in judged(m, until=1) if j.status.failed} == {Status.FAIL}


@pytest.mark.parametrize("clause", [c.id for c in CLAUSES])
def test_every_clause_kills_a_mistake(clause: str) -> None:
    alone = {"NET-1": "cost-mean", "NET-2": "slope-missing", "NET-3": "dw-of-weighted-input"}
    alone |= {"NET-4": "cost-without-half", "NET-5": "step-upwards"}
    assert clause in {j.clause for j in judged(NETWORK_CATALOGUE[alone[clause]], until=3) if j.status.failed}


def test_the_right_way_passes_everything_with_power() -> None:
    statuses = [j.status for j in judged(RIGHT)]
    assert set(statuses) == {Status.PASS}


# ---- names ----
@pytest.mark.parametrize("m", NETWORK_MISTAKES, ids=lambda m: m.name)
def test_every_mistake_is_named_with_certainty(m: NetworkMistake) -> None:
    problem = network_corpus()[3].problem
    (explanation,) = diagnose_network(Session(m.adapter(), m.name), problem).explanations
    assert (explanation.name, explanation.certain) == (m.name, True)


def computed(m: NetworkMistake, p: NetworkProblem) -> list[Array]:
    """Everything, of one problem."""
    session = Session(m.adapter(), m.name)
    question = NetworkQuestion(network=p.network, operands=p.operands)
    answer = session.network(question)
    moved = session.network(dataclasses.replace(question, rate=RATE)).params
    layers = [a for two in (*answer.gradients, *moved) for a in two if a is not None]
    return [answer.cost, *answer.deltas, *layers]


def alike(a: NetworkMistake, b: NetworkMistake) -> bool:
    """Do two give the same on every network, but for the last bits?"""
    for n in network_corpus():
        near = 2.0**12 * n.problem.format.u
        for x, y in zip(computed(a, n.problem), computed(b, n.problem), strict=True):
            if not np.allclose(x, y, rtol=0, atol=near * np.abs(x).max(initial=0), equal_nan=True):
                return False
    return True


def named(m: NetworkMistake) -> tuple[bool, bool]:
    """(is the first name right, or that of what gives the same everywhere; is it certain)."""
    shown = next(j.problem for j in judged(m, until=1) if j.status.failed)
    found = diagnose_network(Session(m.adapter(), m.name), NetworkProblem.parse(shown)).explanations
    if not found:
        return False, False
    names = {one.name for one in found[0].mistakes}
    right = names == set(m.name.split(" + ")) or alike(functools.reduce(pair, found[0].mistakes), m)
    return right, found[0].certain


def test_two_together_are_named() -> None:
    outcomes = [named(m) for m in DRAWN]
    assert sum(right for right, _ in outcomes) >= 0.9 * len(outcomes)
    assert all(right for right, certain in outcomes if certain)
    assert any(certain for _, certain in outcomes)


def test_one_that_is_hidden_by_the_other_is_not_named() -> None:
    """Biases whose gradient is zero are not moved anyway."""
    both = pair(NETWORK_CATALOGUE["bias-gradient-missing"], NETWORK_CATALOGUE["step-without-biases"])
    (explanation,) = diagnose_network(Session(both.adapter(), ""), network_corpus()[3].problem).explanations
    assert (explanation.name, explanation.certain) == ("bias-gradient-missing", True)


def test_of_one_network_nothing_is_certain() -> None:
    problem = network_corpus()[4].problem
    adapter = NETWORK_CATALOGUE["slope-twice"].adapter()
    answer = adapter.network

    def once(net: Any, *operands: Any) -> Any:
        if net != problem.network:
            raise MemoryError
        return answer(net, *operands)

    adapter.network = once  # type: ignore[method-assign]
    found = diagnose_network(Session(adapter, "once"), problem).explanations
    assert [(e.name, e.certain) for e in found] == [("slope-twice", False)]


@pytest.mark.parametrize("line", ["net n2 in 3x6x5 | c4 k3x2 relu | c2 k2 identity | quadratic f64 seed=3"])
def test_what_is_not_in_the_catalogue_gets_no_name(line: str) -> None:
    """Among them one that is nearly a catalogued mistake, and one that is right."""
    strange = made("strange", "", "", output=lambda way: Backpropagation.output(way) * 1.0001)
    nearly = made(
        "nearly", "", "",
        through=lambda way, number, handed: handed * way.slope(number) ** (2 if number < 2 else 3),
    )  # fmt: skip
    for m in (strange, nearly, RIGHT):
        assert diagnose_network(Session(m.adapter(), m.name), NetworkProblem.parse(line)).explanations == ()


def test_two_that_cannot_be_told_apart_are_both_said() -> None:
    """Where every activation is a sigmoid, the delta of cross-entropy is that without sigma'."""
    m = NETWORK_CATALOGUE["output-of-cross-entropy"]
    adapter = m.adapter()
    adapter.capabilities = dataclasses.replace(
        adapter.capabilities, network=Networks(activations=frozenset({"sigmoid"}), step=True)
    )
    problem = NetworkProblem.parse("net n2 in 2x6 | c3 k2 sigmoid | quadratic f64 seed=1")
    names = [e.name for e in diagnose_network(Session(adapter, ""), problem).explanations]
    assert names == ["output-without-slope", "output-of-cross-entropy"]
    assert not any(e.certain for e in diagnose_network(Session(adapter, ""), problem).explanations)


def test_a_run_ends_in_one_finding_with_the_mistakes_name_on_a_small_network() -> None:
    m = NETWORK_CATALOGUE["slope-twice"]
    run = Run(Session(m.adapter(), m.name), PROFILES["quick"], only="NET-*")
    (finding,) = [e for e in events(run) if type(e).__name__ == "Finding"]
    assert finding.clause == "NET-2"
    assert finding.fallen == ("NET-3", "NET-4", "NET-5")
    assert finding.diagnosis == m.sentence
    assert finding.hint == m.hint
    assert finding.shrunk
    assert NetworkProblem.parse(finding.problem).products <= 4
