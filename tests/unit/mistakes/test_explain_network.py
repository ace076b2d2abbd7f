"""A network's fault on a page: the first wrong quantity, its worst element, and the right sum of it."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.adapter.session import Session
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE
from conformance.mistakes.explain_network import explained_network
from conformance.mistakes.network import Backpropagation, NetworkMistake, made
from conformance.problem.network import NetworkProblem

LINE = "net n2 in 1x4x4 | c2 k2x2 relu | c1 k2x2 identity | quadratic f64 seed=28"
ENTROPY = "net n2 in 1x4 | c2 k2 tanh | c2 k2 sigmoid | cross-entropy f64 seed=2"


def page(m: NetworkMistake, line: str = LINE) -> str:
    told = explained_network(Session(m.adapter(), "mine"), NetworkProblem.parse(line))
    assert told is not None
    return told


@pytest.mark.parametrize("line", [LINE, ENTROPY])
def test_nothing_is_told_of_what_is_right(line: str) -> None:
    right = NetworkMistake(name="right", sentence="", hint="", way=Backpropagation)
    assert explained_network(Session(right.adapter(), "mine"), NetworkProblem.parse(line)) is None


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("cost-mean", ["The cost: C should be 5463.5, got 2731.75."]),
        (
            "output-sign",
            [
                "Layer 2 of 2: delta[0,0,0] should be 73.75, got -73.75.",
                "(a - t)*sigma'(z^2) = (71.75 - (-2))*1",
            ],
        ),
        (
            "slope-missing",
            [
                "Layer 1 of 2: delta[0,1,0,0] should be 0, got -221.25.",
                "dx is dC/da^1, of delta^2 and w^2; both are right here:",
                "dx[0,1,0,0] is delta[0,0,0]*w[1,0,0] = 73.75*(-3) = -221.25",
                "times sigma'(z^1) = 0",
            ],
        ),
        (
            "dw-of-weighted-input",
            ["x is a^1, delta is delta^2; both are right here:"],
        ),
        ("bias-mean", ["Layer 1 of 2: db[1] should be 880.25, got 440.125.", "sum = 880.25"]),
        (
            "step-mean",
            [
                "Layer 1 of 2: w[1,1,0] should be -238.84375, got -117.921875.",
                "after a step, w - rate*dw is 3 - 0.125*1934.75",
            ],
        ),
    ],
)
def test_the_first_wrong_quantity_is_counted(name: str, lines: list[str]) -> None:
    m, told = NETWORK_CATALOGUE[name], page(NETWORK_CATALOGUE[name])
    for line in lines:
        assert f"{line}\n" in told, told
    assert told.startswith(f"mine on {LINE}\n\n")
    assert f"What was done: {m.sentence}.\n\nTo mend it: {m.hint}.\n" in told


def test_both_of_two_are_told() -> None:
    """What is counted is the first; what was done are both."""
    first, second = (NETWORK_CATALOGUE[name] for name in ("output-twice", "bias-mean"))
    both = made("both", "", "", **{k: getattr(m.way, k) for m in (first, second) for k in m.methods})
    told = page(both)
    assert f"What was done: {first.sentence}; and {second.sentence}." in told
    assert "Layer 2 of 2: delta[" in told


def test_what_the_catalogue_does_not_have_is_counted_all_the_same() -> None:
    strange = made("strange", "", "", output=lambda way: Backpropagation.output(way) * 1.5)
    told = page(strange, ENTROPY)
    assert "Layer 2 of 2: delta[" in told
    assert "a - t = " in told
    assert "What was done" not in told


def test_another_shape_is_said() -> None:
    long = made("long", "", "", db=lambda way, number, delta: np.zeros(7))
    assert "Layer 1 of 2, db: its shape is (7,), not (2,)" in page(long)


def test_an_exception_is_said() -> None:
    def raising(way: Backpropagation) -> float:
        raise ZeroDivisionError("no items")

    assert "network answers with ZeroDivisionError: no items" in page(made("raising", "", "", cost=raising))
