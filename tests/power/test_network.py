"""Every catalogued mistake in a network is caught, by a clause that says where, and named; a right way is not."""

from __future__ import annotations

import dataclasses

import pytest

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
from conformance.mistakes.roots import events
from conformance.problem.network import NetworkProblem
from conformance.spec import Severity, matching

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
    "bias": "NET-3",
    "gradient": "NET-3",
    "step": "NET-5",
}
"""By the first word of a mistake's name: the clause that a finding of it is named by."""


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
