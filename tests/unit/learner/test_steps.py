from __future__ import annotations

from typing import Any

import pytest

from conformance.adapter.session import Session
from conformance.learner.reading import Learned
from conformance.learner.steps import STEPS, Walked, ladder, walk
from conformance.learner.understand import understood
from learners import SECONDS, layer, plain

EVERY = [step.name for step in STEPS]


def walked(subject: Any) -> list[Walked]:
    seen = understood(subject, SECONDS)
    assert seen is not None
    return list(walk(Session(Learned(seen.reading), "mine", time_limit=SECONDS), seen.reading))


@pytest.mark.parametrize("always", ["none", "half", "same, more in front"])
def test_a_right_layer_makes_every_step(always: str) -> None:
    made = walked(layer("NHWC", "HWIO", "1C", always=always, convention="convolution"))
    assert [w.step.name for w in made] == EVERY
    assert all(w.broken is None and w.problems > 8 for w in made)


def test_means_over_the_batch_make_every_step() -> None:
    made = walked(layer(grown=lambda q, a, n: a / n))
    assert [w.step.name for w in made] == EVERY
    assert made[-1].broken is None


@pytest.mark.parametrize(
    ("quantity", "step", "clause"),
    [("dx", "delta", "DEL-1"), ("dw", "weight gradient", "WGT-1"), ("db", "bias gradient", "BIA-1")],
)
def test_the_first_broken_step_is_the_last(quantity: str, step: str, clause: str) -> None:
    made = walked(layer(grown=lambda q, a, n: -a if q == quantity else a))
    assert [w.step.name for w in made] == EVERY[: EVERY.index(step) + 1]
    broken = made[-1].broken
    assert broken is not None
    assert broken.clause == clause
    assert all(w.broken is None for w in made[:-1])


def test_a_bias_that_is_wrong_breaks_its_own_step() -> None:
    def conv_forward(x, w, b, stride=1):
        return layer().function(x, w, -b, stride)

    made = walked(plain(conv_forward))
    assert [w.step.name for w in made] == ["shape", "forward", "bias"]
    assert made[-1].broken is not None


def test_a_size_that_is_wrong_breaks_the_first_step() -> None:
    def conv_forward(x, w, b, stride=1):
        return layer().function(x, w, b, 1)

    (only,) = walked(plain(conv_forward))
    assert only.broken is not None
    assert (only.broken.clause, "s2x2" in only.broken.problem) == ("FWD-2", True)


def test_steps_that_are_not_offered_are_not_made() -> None:
    def conv2d(x, w):
        return layer("HW", "HW", "").function(x, w, 0.0 * x[0, 0])

    assert [w.step.name for w in walked(plain(conv2d))] == ["shape", "forward"]


def test_the_ladder_has_each_geometry_once() -> None:
    seen = understood(layer("HW", "HW", ""), SECONDS)
    assert seen is not None
    problems = ladder(seen.reading, biased=True)
    assert len({p.geometry for p in problems}) == len(problems) > 8
    assert {p.geometry.channels for p in problems} == {1}
