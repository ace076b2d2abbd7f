"""What an adapter says of networks and hands back of them; what the doctor sees of its wiring."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance import Adapter, Capabilities, Networks
from conformance.adapter.doctor import examine
from conformance.adapter.networks import gradients_of, results_of
from conformance.adapter.session import Session
from conformance.engine.strategies import EVERY_NETWORK, EVERYTHING
from conformance.errors import AdapterBroken
from conformance.mistakes.network import Backpropagation, NetworkMistake
from conformance.problem.network import NetworkProblem
from conformance.spec import NetworkQuestion, NotOffered, Raised

LINE = "net n2 in 3x7x6 | c4 k3x2 relu | c2 k2x3 bias=none identity | quadratic f64 seed=5"
PROBLEM = NetworkProblem.parse(LINE)
QUESTION = NetworkQuestion(network=PROBLEM.network, operands=PROBLEM.operands)
RIGHT: Any = type(NetworkMistake(name="", sentence="", hint="", way=Backpropagation).adapter())


class Wired(RIGHT):  # type: ignore[misc]
    """Right, but for what the test changes before it comes back."""

    def __init__(self, change: Callable[[Any], Any] = lambda results: results) -> None:
        super().__init__(Backpropagation)
        self.change = change

    def network(self, net: Any, x: Any, target: Any, params: Any) -> Any:
        return self.change(super().network(net, x, target, params))


class LastAxis(RIGHT):  # type: ignore[misc]
    """Everything channels-last."""

    capabilities = dataclasses.replace(RIGHT.capabilities, x_layout="NHWC", w_layout="HWIO")

    def __init__(self) -> None:
        super().__init__(Backpropagation)

    def network(self, net: Any, x: Any, target: Any, params: Any) -> Any:
        assert x.shape == (2, 7, 6, 3)
        assert target.shape[-1] == 2
        first = lambda a: np.moveaxis(a, -1, 1)  # noqa: E731
        own = [(np.moveaxis(w, (-1, -2), (0, 1)), b) for w, b in params]
        cost, deltas, gradients = super().network(net, first(x), first(target), own)
        back = [(np.moveaxis(dw, (0, 1), (-1, -2)), db) for dw, db in gradients]
        return cost, [np.moveaxis(d, 1, -1) for d in deltas], back


# ---- claims ----
@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"activations": {"swish"}}, "activations=['swish']"),
        ({"costs": set()}, "costs=[]"),
        ({"ranks": {4}}, "ranks=[4]"),
    ],
)
def test_what_is_not_known_cannot_be_claimed(claims: dict[str, Any], says: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Networks(**claims)
    assert says in str(caught.value)


def test_a_claim_of_another_kind_is_refused() -> None:
    with pytest.raises(AdapterBroken, match="must be a Networks, or None"):
        Capabilities(network=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "layers", "reason"),
    [
        (None, {}, "network not offered"),
        (Networks(activations=frozenset({"identity"})), {}, "relu not claimed"),
        (
            Networks(activations=frozenset({"relu", "identity"}), costs=frozenset({"cross-entropy"})),
            {},
            "quadratic not claimed",
        ),
        (
            Networks(activations=frozenset({"relu", "identity"}), ranks=frozenset({1})),
            {},
            "networks of 2 spatial axes not claimed",
        ),
        (EVERY_NETWORK, {"biases": frozenset({"tied"})}, "bias none not claimed"),
        (EVERY_NETWORK, {}, None),
    ],
)
def test_a_network_is_refused_for_itself_or_for_one_of_its_layers(
    network: Any, layers: Any, reason: str | None
) -> None:
    adapter = Adapter()
    adapter.capabilities = dataclasses.replace(EVERYTHING, network=network, **layers)
    assert Session(adapter, "mine").network_refusal(PROBLEM) == reason


# ---- results ----
def test_results_come_back_in_our_layout() -> None:
    plain, last = (Session(a, "").network(QUESTION) for a in (Wired(), LastAxis()))
    for a, b in zip(plain.deltas, last.deltas, strict=True):
        np.testing.assert_array_equal(a, b)
    for (dw, _), (other, _) in zip(plain.gradients, last.gradients, strict=True):
        np.testing.assert_array_equal(dw, other)


def test_a_cost_of_one_number_needs_no_shape_of_its_own() -> None:
    session = Session(Wired(lambda r: (np.array([[float(r[0])]]), *r[1:])), "")
    assert session.network(QUESTION).cost.shape == ()


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "two": (lambda r: r[:2], "network must return (cost, deltas, gradients), not tuple of 2"),
    "deltas": (lambda r: (r[0], r[1][:1], r[2]), "deltas must be a list of one a layer (2), not list of 1"),
    "pair": (lambda r: (r[0], r[1], [r[2][0], r[2][1][0]]), "gradients of layer 2 must be a pair"),
    "bias": (
        lambda r: (r[0], r[1], [(r[2][0][0], None), r[2][1]]),
        "gradients of layer 1 must have an array of w",
    ),
    "no array": (lambda r: (r[0], [object(), r[1][1]], r[2]), "delta is"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_answer_breaks_the_adapter(what: str) -> None:
    change, says = BROKEN[what]
    with pytest.raises(AdapterBroken) as caught:
        Session(Wired(change), "mine").network(QUESTION)
    assert says in str(caught.value)


def test_the_helpers_take_what_is_right() -> None:
    right = Wired().network(
        PROBLEM.network, PROBLEM.operands.x, PROBLEM.operands.target, PROBLEM.operands.params
    )
    cost, deltas, gradients = results_of("", PROBLEM.network, right)
    assert float(cost) > 0
    assert len(deltas) == len(gradients) == 2
    assert gradients_of("", "params", PROBLEM.network, gradients) == gradients


def test_an_exception_is_the_implementations_but_a_missing_method_is_not() -> None:
    def fail(_: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(Raised, match="ValueError: no"):
        Session(Wired(fail), "").network(QUESTION)
    bare = Adapter()
    bare.capabilities = RIGHT.capabilities
    with pytest.raises(AdapterBroken, match="Adapter has no network"):
        Session(bare, "").network(QUESTION)
    with pytest.raises(AdapterBroken, match="Adapter has no step"):
        Session(bare, "").network(dataclasses.replace(QUESTION, rate=0.5))


class Misfits(RIGHT):  # type: ignore[misc]
    """It takes other arguments than it is given."""

    def __init__(self) -> None:
        super().__init__(Backpropagation)

    def network(self, net: Any, x: Any, target: Any) -> Any:
        raise AssertionError("it was called")

    def step(self, net: Any, x: Any, target: Any, params: Any, rate: Any, momentum: Any) -> Any:
        raise AssertionError("it was called")


def test_a_method_that_cannot_take_its_arguments_is_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken) as caught:
        Session(Misfits(), "mine").network(QUESTION)
    assert str(caught.value) == "mine: network must take (net, x, target, params); it takes (net, x, target)"
    with pytest.raises(AdapterBroken) as caught:
        Session(Misfits(), "mine").network(dataclasses.replace(QUESTION, rate=0.5))
    assert str(caught.value) == (
        "mine: step must take (net, x, target, params, rate); "
        "it takes (net, x, target, params, rate, momentum)"
    )


def test_another_type_error_of_a_network_is_the_implementations() -> None:
    with pytest.raises(Raised, match="TypeError: object of type 'int' has no len"):
        Session(Wired(lambda results: len(3)), "").network(QUESTION)  # type: ignore[arg-type]


def test_what_an_implementation_does_to_its_operands_is_its_own_business() -> None:
    def spoil(results: Any) -> Any:
        return results

    class Writes(Wired):
        def network(self, net: Any, x: Any, target: Any, params: Any) -> Any:
            made = super().network(net, x, target, params)
            for a in (x, target, *(w for w, _ in params)):
                a[...] = 0
            return made

    session = Session(Writes(spoil), "")
    first, second = session.network(QUESTION), session.network(QUESTION)
    np.testing.assert_array_equal(first.deltas[0], second.deltas[0])


# ---- the doctor ----
def remarks(adapter: Adapter) -> list[tuple[bool, str]]:
    return [(r.ok, r.text) for r in examine(Session(adapter, "mine")) if r.check == "network"]


def test_a_sound_network_is_told_so() -> None:
    ((ok, text),) = remarks(Wired())
    assert ok
    assert "no wiring fault of the network found on net n2 in 3x9x8" in text


WIRING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "deltas": (lambda r: (r[0], r[1][::-1], r[2]), "deltas from the last layer to the first"),
    "gradients": (lambda r: (r[0], r[1], r[2][::-1]), "gradients from the last layer to the first"),
    "pairs": (lambda r: (r[0], r[1], [(b, w) for w, b in r[2]]), "(db, dw) in place of (dw, db)"),
    "both": (
        lambda r: (r[0], r[1][::-1], r[2][::-1]),
        "deltas from the last layer to the first and gradients from",
    ),
}


@pytest.mark.parametrize("what", WIRING)
def test_a_wiring_fault_is_named(what: str) -> None:
    change, says = WIRING[what]
    ((ok, text),) = remarks(Wired(change))
    assert not ok
    assert text.startswith(f"mine: network returns {says}")


def test_a_wrong_implementation_is_no_wiring_fault() -> None:
    ((ok, _),) = remarks(Wired(lambda r: (r[0], [-d for d in r[1]], r[2])))
    assert ok


def test_a_broken_answer_is_a_fault_and_an_exception_is_not() -> None:
    assert remarks(Wired(lambda r: r[:2]))[0][0] is False

    def fail(_: Any) -> Any:
        raise ValueError("no")

    ((ok, text),) = remarks(Wired(fail))
    assert ok
    assert "that is for the clauses to judge" in text


@pytest.mark.parametrize("network", [None, Networks(activations=frozenset({"tanh"}))])
def test_without_a_plain_network_nothing_is_said(network: Networks | None) -> None:
    adapter = Wired()
    adapter.capabilities = dataclasses.replace(Wired.capabilities, network=network)
    assert remarks(adapter) == []


def test_not_offered_while_computing_is_no_fault() -> None:
    def decline(_: Any) -> Any:
        raise NotOffered("later")

    assert [ok for ok, _ in remarks(Wired(decline))] == [True]
