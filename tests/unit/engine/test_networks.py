"""The named networks, what an adapter is put of them, drawn ones, and the smallest that fails."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from conformance import Adapter, Capabilities, Geometry, Networks
from conformance.adapter.session import Session
from conformance.engine.judgement import Status
from conformance.engine.networks import drawn_networks, fitted_network, network_corpus, parse_networks
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge_network
from conformance.engine.shrink_network import shrunk_network
from conformance.engine.strategies import EVERY_NETWORK, EVERYTHING
from conformance.errors import HarnessError
from conformance.mistakes.network import Backpropagation, NetworkMistake
from conformance.oracle import Arithmetic
from conformance.oracle.network import NetworkExpectation, Pass
from conformance.problem.network import ACTIVATIONS, COSTS, NET_FILLS, NetworkProblem
from conformance.spec import matching

PLAIN = dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic())
PROBLEMS = {n.id: n.problem for n in network_corpus()}


def session_of(network: Networks | None = EVERY_NETWORK, **claims: Any) -> Session:
    adapter = Adapter()
    adapter.capabilities = dataclasses.replace(EVERYTHING, network=network, **claims)
    return Session(adapter, "mine")


# ---- corpus ----
def test_the_named_ones_have_every_activation_cost_fill_depth_rank_and_dtype() -> None:
    problems = PROBLEMS.values()
    nets = [p.network for p in problems]
    assert {a for net in nets for a in net.activations} == set(ACTIVATIONS)
    assert {net.cost for net in nets} == set(COSTS)
    assert {p.fill for p in problems} == set(NET_FILLS)
    assert {len(net.layers) for net in nets} == {1, 2, 3, 4, 5}
    geometries = [layer.geometry for net in nets for layer in net.layers]
    assert {g.rank for g in geometries} == {1, 2, 3}
    assert {g.bias for g in geometries} == {"none", "tied", "untied"}
    assert {g.convention for g in geometries} == {"correlation", "convolution"}
    assert max(g.groups for g in geometries) > 1
    assert max(max(g.stride) for g in geometries) > 1
    assert max(max(g.dilation) for g in geometries) > 1
    assert any(lo != hi for g in geometries for lo, hi in g.padding)
    assert {p.dtype for p in problems} == {"f64", "f32"}


@pytest.mark.parametrize("id_", [i for i, p in PROBLEMS.items() if p.fill != "real"])
def test_the_straight_ones_are_exact_to_the_last_bit(id_: str) -> None:
    p = PROBLEMS[id_]
    kink = {layer.word: layer.below for layer in p.network.layers}
    e = NetworkExpectation(p.network, p.operands, dtype=p.format, arithmetic=PLAIN, kink=kink)
    assert e.exact


def test_some_have_weighted_inputs_of_exactly_zero() -> None:
    for id_ in ("net/kinks", "net/leaky-kinks"):
        z = Pass(PROBLEMS[id_].network, PROBLEMS[id_].operands, kink={}).z
        assert any((a == 0).any() for a in z)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a net in 1x5 | k2 | quadratic\na net in 1x5 | k2 | quadratic", "line 2: the id 'a' stands twice"),
        ("a net in 1x5 | k9 | quadratic", "line 1: the kernel does not fit"),
        ("# nothing\na 1d i5 k2", "line 2: a network has an input"),
    ],
)
def test_a_line_that_is_none_names_its_place(text: str, says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        list(parse_networks(text, "mine.txt"))


# ---- fitting ----
def test_what_is_offered_stays_as_it_is() -> None:
    session = session_of()
    assert all(fitted_network(p, session) == p for p in PROBLEMS.values())


@pytest.mark.parametrize(
    ("network", "claims"),
    [
        (Networks(activations=frozenset({"identity"})), {}),
        (Networks(activations=frozenset({"sigmoid"})), {"dtypes": frozenset({"f32"})}),
        (Networks(activations=frozenset({"tanh", "softmax"}), costs=frozenset({"cross-entropy"})), {}),
        (EVERY_NETWORK, {"stride": False, "padding": "none", "dilation": False, "groups": False}),
        (EVERY_NETWORK, {"biases": frozenset({"none"}), "convention": "convolution"}),
        (
            Networks(activations=frozenset({"relu"})),
            {"padding": "symmetric", "biases": frozenset({"untied"})},
        ),
    ],
)
def test_what_is_not_claimed_is_left_out(network: Networks, claims: dict[str, Any]) -> None:
    session = session_of(network, **claims)
    fitted = [fitted_network(p, session) for p in PROBLEMS.values()]
    offered = [p for p in fitted if session.network_refusal(p) is None]
    assert len(offered) > 0.8 * len(PROBLEMS)
    assert any(len(p.network.layers) == 4 for p in offered)


def test_ranks_are_never_changed() -> None:
    session = session_of(ranks=frozenset({2}))
    for p in PROBLEMS.values():
        fitted = fitted_network(p, session)
        assert (fitted == p) or p.network.layers[0].geometry.rank == 2


# ---- runs ----
def test_without_a_network_every_clause_is_unsupported_and_nothing_is_asked() -> None:
    judged = list(judge_network(session_of(None), PROBLEMS["net/two"], "", matching("*")))
    assert [j.clause for j in judged] == [f"NET-{n}" for n in range(1, 7)]
    assert {(j.status, j.note) for j in judged} == {(Status.UNSUPPORTED, "network not offered")}


def test_without_a_step_one_clause_is_unsupported() -> None:
    adapter = NetworkMistake(name="", sentence="", hint="", way=Backpropagation).adapter()
    adapter.capabilities = dataclasses.replace(
        adapter.capabilities, network=dataclasses.replace(EVERY_NETWORK, step=False)
    )
    judged = {
        j.clause: j for j in judge_network(Session(adapter, ""), PROBLEMS["net/two"], "", matching("NET-*"))
    }
    assert (judged["NET-5"].status, judged["NET-5"].note) == (Status.UNSUPPORTED, "step not offered")
    assert {j.status for id_, j in judged.items() if id_ != "NET-5"} == {Status.PASS}


def test_a_run_puts_the_named_ones_and_drawn_ones() -> None:
    run = Run(session_of(), PROFILES["standard"], only="NET-*")
    ids = [n.id for n in run.networks()]
    assert ids[: len(PROBLEMS)] == list(PROBLEMS)
    assert set(ids[len(PROBLEMS) :]) == {"explored"}
    assert len(ids) > len(PROBLEMS) + 10
    assert Run(session_of(), PROFILES["standard"], only="FWD-1").networks() == []
    assert Run(session_of(), PROFILES["quick"], dtype="f16").networks() == []
    assert {n.problem.dtype for n in Run(session_of(), PROFILES["quick"], dtype="f32").networks()} == {"f32"}


def test_a_given_network_is_put_as_it_is_and_alone() -> None:
    p = PROBLEMS["net/two"]
    run = Run(session_of(None), PROFILES["quick"], given_problems=(p,))
    assert [n.problem for n in run.networks()] == [p]
    assert run.problems() == []


def test_drawn_ones_are_offered_and_the_same_every_time() -> None:
    session = session_of(
        Networks(activations=frozenset({"relu", "tanh"})), stride=False, ranks=frozenset({1})
    )
    drawn = drawn_networks(session, 40, 3)
    assert len(drawn) > 30
    assert all(session.network_refusal(p) is None for p in drawn)
    assert drawn == drawn_networks(session, 40, 3) != drawn_networks(session, 40, 4)
    assert drawn_networks(session_of(None), 40, 3) == []
    assert {p.network.piecewise_linear for p in drawn} == {True, False}


def test_a_hypothesis_strategy_knows_capabilities() -> None:
    able = Capabilities(network=Networks())
    adapter = Adapter()
    adapter.capabilities = able
    assert {a for p in drawn_networks(Session(adapter, ""), 20, 1) for a in p.network.activations} == {
        "identity"
    }


# ---- shrinking ----
def test_the_smallest_that_fails_has_nothing_to_spare() -> None:
    def fails(p: NetworkProblem) -> bool:
        return any(layer.activation == "leaky" and layer.geometry.maps > 1 for layer in p.network.layers)

    small = shrunk_network(PROBLEMS["net/four"], fails)
    assert fails(small)
    (layer,) = small.network.layers
    assert layer.geometry == Geometry(size=(1,), kernel=(1,), maps=layer.geometry.maps, bias="none")


def test_one_that_does_not_fail_smaller_stays() -> None:
    p = PROBLEMS["net/three"]
    assert shrunk_network(p, lambda q: q == p) == p


def test_tries_are_limited() -> None:
    asked: list[NetworkProblem] = []
    shrunk_network(PROBLEMS["net/five"], lambda q: asked.append(q) is not None, tries=7)
    assert len(asked) == 7
