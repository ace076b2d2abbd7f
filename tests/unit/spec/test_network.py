"""Chapter NET: what each clause asks, and where it has nothing to say; tests/power/test_network.py has what each catches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.mistakes.network import Backpropagation
from conformance.oracle import Arithmetic, Evidence
from conformance.problem.network import NetworkProblem
from conformance.spec import REGISTRY, NetworkAnswer, NetworkCase, NetworkQuestion, NotOffered, Raised
from conformance.spec.network import RATE

Change = Callable[[NetworkAnswer], NetworkAnswer]
LINE = "net n2 in 2x7x6 | c3 k2x3 leaky | c4 k3x2 relu | quadratic f64 seed=5"
KINKS = "net n2 in 2x8x6 | c3 k2x3 relu | c4 k3x2 relu | quadratic f64 fill=kinks seed=20"


def case_of(
    line: str,
    change: Change = lambda answer: answer,
    *,
    asked: list[NetworkQuestion] | None = None,
    kinks: dict[str, float] | None = None,
) -> NetworkCase:
    """A network put to the right way, whose answers to the problem itself are changed."""
    problem = NetworkProblem.parse(line)

    def answer(question: NetworkQuestion) -> NetworkAnswer:
        if asked is not None:
            asked.append(question)
        way = Backpropagation(question.network, question.operands, kinks)
        if question.rate is not None:
            return change(NetworkAnswer(params=tuple(way.stepped(question.rate))))
        made = NetworkAnswer(
            cost=np.asarray(way.cost()), deltas=tuple(way.deltas), gradients=tuple(way.gradients)
        )
        return change(made) if question.operands is problem.operands else made

    return NetworkCase(problem, answer, arithmetic=dict.fromkeys(("y", "dx", "dw", "db"), Arithmetic()))


def seen(id_: str, case: NetworkCase) -> list[Evidence]:
    return list(REGISTRY[id_].check(case))


@pytest.mark.parametrize("id_", [f"NET-{n}" for n in range(1, 7)])
def test_the_right_way_passes_with_power(id_: str) -> None:
    evidence = seen(id_, case_of(LINE))
    assert evidence
    assert all(e.ok and e.powered for e in evidence)


def off(a: Any) -> Any:
    """One too large in the last element."""
    a = np.array(a)
    a[(-1,) * a.ndim] += 2.0**-20
    return a


def first_dw(r: NetworkAnswer) -> NetworkAnswer:
    (dw, db), *rest = r.gradients
    return dataclasses.replace(r, gradients=((off(dw), db), *rest))


def last_db(r: NetworkAnswer) -> NetworkAnswer:
    *rest, (dw, db) = r.gradients
    return dataclasses.replace(r, gradients=(*rest, (dw, off(db))))


def first_w(r: NetworkAnswer) -> NetworkAnswer:
    if not r.params:
        return r
    (w, b), *rest = r.params
    return dataclasses.replace(r, params=((off(w), b), *rest))


CHANGES: dict[str, tuple[str, Change]] = {
    "cost": ("NET-1", lambda r: dataclasses.replace(r, cost=r.cost + 2.0**-20)),
    "output": ("NET-1", lambda r: dataclasses.replace(r, deltas=(*r.deltas[:-1], off(r.deltas[-1])))),
    "first delta": ("NET-2", lambda r: dataclasses.replace(r, deltas=(off(r.deltas[0]), *r.deltas[1:]))),
    "dw": ("NET-3", first_dw),
    "db": ("NET-3", last_db),
    "w": ("NET-5", first_w),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_element_that_is_off_by_a_millionth_is_seen(what: str) -> None:
    id_, change = CHANGES[what]
    case = case_of(LINE, lambda r: change(r) if r.deltas or what == "w" else r)
    (bad,) = [e for e in seen(id_, case) if not e.ok]
    assert bad.quantity == {"output": "delta", "first delta": "delta"}.get(what, what)
    assert bad.note == (
        "the cost" if what == "cost" else f"layer {2 if what in ('output', 'db') else 1} of 2"
    )
    others = {f"NET-{n}" for n in (1, 2, 3, 5)} - {id_}
    assert all(e.ok for other in others for e in seen(other, case))


@pytest.mark.parametrize("what", ["dw", "db"])
def test_differences_of_the_cost_see_a_gradient_that_is_off(what: str) -> None:
    (bad,) = [e for e in seen("NET-4", case_of(LINE, CHANGES[what][1])) if not e.ok]
    assert bad.note.startswith(f"layer {1 if what == 'dw' else 2}: <gradient, v> is ")


def test_a_gradient_without_numbers_fails_and_breaks_nothing() -> None:
    def spoiled(r: NetworkAnswer) -> NetworkAnswer:
        nothing = tuple((w * np.nan, None if b is None else b * np.nan) for w, b in r.gradients)
        return dataclasses.replace(
            r, cost=r.cost * np.nan, deltas=tuple(d * np.nan for d in r.deltas), gradients=nothing
        )

    for id_ in ("NET-1", "NET-2", "NET-3", "NET-4"):
        assert not any(e.ok for e in seen(id_, case_of(LINE, spoiled)))


def test_a_result_of_another_shape_says_so() -> None:
    def short(r: NetworkAnswer) -> NetworkAnswer:
        return dataclasses.replace(
            r,
            deltas=tuple(d[..., :-1] for d in r.deltas),
            gradients=tuple((w[:-1], b) for w, b in r.gradients),
            params=tuple((w[:-1], b) for w, b in r.params),
        )

    for id_, words in {"NET-1": "(2, 4, 4, 2), not (2, 4, 4, 3)", "NET-2": "its shape is", "NET-3": "layer 1 of 2",
                       "NET-4": "dw has shape", "NET-5": "its shape is"}.items():  # fmt: skip
        assert any(words in e.note for e in seen(id_, case_of(LINE, short)) if not e.ok)


# ---- kinks ----
@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_any_subgradient_is_right_if_it_is_the_same_everywhere(kink: float) -> None:
    case = case_of(KINKS, kinks={"relu": kink})
    assert all(e.ok for n in range(1, 6) for e in seen(f"NET-{n}", case))
    (told,) = seen("NET-6", case)
    assert told.note == f"relu: sigma'(0) = {kink:g}"
    assert case.expected.exact


def test_another_subgradient_elsewhere_is_wrong() -> None:
    """What is seen in a last layer has to hold in the first."""
    problem = NetworkProblem.parse(KINKS)
    zeros = case_of(KINKS).expected.right.z[0] == 0
    assert zeros.any()

    def moved(r: NetworkAnswer) -> NetworkAnswer:
        other = Backpropagation(problem.network, problem.operands, {"relu": 1.0}).deltas[0]
        return dataclasses.replace(r, deltas=(other, *r.deltas[1:]))

    assert [e.ok for e in seen("NET-2", case_of(KINKS, moved))] == [False]


@pytest.mark.parametrize("kink", [-1.0, 2.0, float("nan")])
def test_what_is_no_subgradient_is_wrong(kink: float) -> None:
    case = case_of(KINKS, kinks={"relu": kink})
    assert case.kinks == {"relu": 0.0}
    assert not all(e.ok for n in (1, 2) for e in seen(f"NET-{n}", case))


# ---- NET-4 ----
def test_no_derivative_is_asked_for_across_a_kink() -> None:
    """Every layer has a z that is exactly 0: no step, however small, leaves it where it is."""
    case = case_of("net n2 in 2x8x6 | c3 k2x3 relu | quadratic f64 fill=kinks seed=20")
    zeros = [int((z == 0).sum()) for z in case.expected.right.z]
    assert min(zeros) > 0
    assert seen("NET-4", case) == []


def test_steps_are_as_large_as_the_region_allows() -> None:
    straight = case_of("net n2 in 2x8 | c3 k3 identity | c2 k2 identity | quadratic f64")
    ones = [tuple(None if a is None else np.ones(a.shape) for a in pair) for pair in straight.operands.params]
    assert [straight.within_region(n, ones[n - 1]) for n in (1, 2)] == [1.0, 1.0]  # type: ignore[arg-type]
    kinked = case_of(LINE)
    ones = [tuple(None if a is None else np.ones(a.shape) for a in pair) for pair in kinked.operands.params]
    assert 0 < (kinked.within_region(1, ones[0]) or 0) < 1  # type: ignore[arg-type]


def test_data_that_round_have_no_exact_differences() -> None:
    assert seen("NET-4", case_of(LINE.replace("f64", "f64 fill=real"))) == []
    assert seen("NET-4", case_of("net in 1x4 | k2 tanh | quadratic")) == []


# ---- calls ----
def test_the_answer_is_asked_for_once() -> None:
    asked: list[NetworkQuestion] = []
    case = case_of(LINE, asked=asked)
    for n in (1, 2, 3, 5):
        seen(f"NET-{n}", case)
    assert [q.rate for q in asked if q.network == case.net] == [None, RATE]


@pytest.mark.parametrize("refusal", [Raised("RuntimeError", "no"), NotOffered("never")])
def test_a_refusal_reaches_whoever_judges(refusal: Exception) -> None:
    def refuse(_: NetworkQuestion) -> NetworkAnswer:
        raise refusal

    case = NetworkCase(NetworkProblem.parse(LINE), refuse, arithmetic={"y": Arithmetic()})
    for _ in range(2):
        with pytest.raises(type(refusal)):
            seen("NET-1", case)


def test_clauses_of_networks_say_nothing_of_layers(case_of: Any) -> None:
    layer = case_of("2d n2 c3 m2 i4x5 k2x3")
    assert all(list(c.check(layer)) == [] for c in REGISTRY.values() if c.of_networks)


def test_clauses_of_layers_say_nothing_of_networks() -> None:
    network = case_of(LINE)
    assert all(list(c.check(network)) == [] for c in REGISTRY.values() if not c.of_networks)
