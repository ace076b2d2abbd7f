"""How long it takes to name a mistake, beside the run that found it: both on one thread of this process, turn by turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from conformance.adapter.session import Session
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.diagnose import diagnose
from conformance.problem import Problem

pytestmark = pytest.mark.benchmark

SECONDS = 2.0
NAMES = ("dx-delta-not-stuffed", "dw-mean-over-batch", "y-padding-begin-and-end-exchanged", "db-per-item")
PROBLEM = Problem.parse("2d n2 c2 m3 i9x8 k3x2 s2 p1:0 seed=4")


def taken(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def test_a_diagnosis_costs_less_than_the_run_and_two_seconds() -> None:
    diagnoses, runs = [], []
    for name in NAMES:
        mistake = CATALOGUE[name]
        diagnoses.append(
            taken(lambda m=mistake: diagnose(Session(m.adapter(), m.name), PROBLEM, m.quantities[0]))
        )
        runs.append(
            taken(lambda m=mistake: list(Run(Session(m.adapter(), m.name), PROFILES["quick"]).events()))
        )
    ratio = statistics.median(d / r for d, r in zip(diagnoses, runs, strict=True))
    print(f"\na diagnosis: {max(diagnoses):.2f} s at most, {ratio:.3f} of the quick run that found it")
    assert ratio < 1
    assert max(diagnoses) < SECONDS
