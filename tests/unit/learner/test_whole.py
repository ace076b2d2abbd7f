from __future__ import annotations

import pytest

from conformance.adapter.session import Session
from conformance.learner import whole as module
from conformance.learner.reading import Learned, Reading
from conformance.learner.understand import understood
from conformance.problem import Problem
from learners import SECONDS, layer

PROBLEMS = [Problem.parse(line) for line in ("n9 i30x30 k3", "i3x3 k2", "n2 i9x9 k3", "i3x3 k2 fill=real")]


def reading_of(subject) -> Reading:
    seen = understood(subject, SECONDS)
    assert seen is not None
    return seen.reading


def test_small_problems_are_bought_before_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET", 1.0)
    costs = [p.geometry.products * module.CALLS[p.integers] for p in PROBLEMS]
    kept = module._affordable(PROBLEMS, 1.0 / (costs[1] + costs[2] + costs[3] + 1))
    assert kept == PROBLEMS[1:]
    assert module._affordable(PROBLEMS, 0.0) == PROBLEMS


def test_the_corpus_is_brought_to_what_is_taken_each_problem_once() -> None:
    reading = reading_of(layer("HW", "HW", ""))
    problems = list(module._fitted(reading))
    assert len(set(problems)) == len(problems) > 100
    assert all(reading.limits.takes(p.geometry) for p in problems)
    assert {"small", "real", "subnormal", "wide"} <= {p.fill for p in problems}


def test_means_are_spared_what_no_division_leaves_exact() -> None:
    reading = reading_of(layer(grown=lambda q, a, n: a / n))
    problems = list(module._fitted(reading))
    assert "subnormal" not in {p.fill for p in problems}
    assert {p.geometry.batch for p in problems} <= {1, 2}


@pytest.mark.parametrize(("wrong", "code"), [(False, 0), (True, 1)])
def test_all_clauses_but_one_are_asked(wrong: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET", 0.05)
    reading = reading_of(layer(grown=lambda q, a, n: a + (q == "dw") * wrong))
    done = module.whole(Session(Learned(reading), "mine"), reading)
    assert done.report.exit_code() == code
    assert module.LEFT_OUT not in done.report.header["clauses"]
    assert done.problems > 10
    assert bool(done.report.findings) == wrong
