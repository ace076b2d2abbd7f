from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from conformance.engine.judgement import Judgement, Status, joined, judged, worst_ratio
from conformance.oracle import Evidence, Grade, wrong

ALL = tuple(Status)
FAILURES = {Status.FAIL, Status.CRASHED, Status.TIMED_OUT}
NEVER_GREEN = {*FAILURES, Status.BROKEN_ADAPTER, Status.KNOWN}
SUBSETS = [frozenset(s) for size in range(len(ALL) + 1) for s in itertools.combinations(ALL, size)]
P, W, U, K = Status.PASS, Status.WEAK, Status.UNSUPPORTED, Status.KNOWN
F, C, T, B = Status.FAIL, Status.CRASHED, Status.TIMED_OUT, Status.BROKEN_ADAPTER


# ---- one clause over many problems ----
JOINED = [
    ([], W),
    ([P], P),
    ([W], W),
    ([U], U),
    ([K], K),
    ([F], F),
    ([C], C),
    ([T], T),
    ([B], B),
    ([U, U], U),
    ([W, U], W),
    ([P, W], P),
    ([P, U], P),
    ([P, W, U], P),
    ([P, K], K),
    ([W, K], K),
    ([U, K], K),
    ([P, F], F),
    ([P, P, P, F], F),
    ([W, F], F),
    ([U, F], F),
    ([K, F], F),
    ([F, C], C),
    ([P, C], C),
    ([C, T], T),
    ([P, T], T),
    ([F, B], B),
    ([T, B], B),
    ([P, B], B),
    (list(ALL), B),
]


@pytest.mark.parametrize(
    ("statuses", "whole"), JOINED, ids=lambda value: "+".join(value) if isinstance(value, list) else value
)
def test_the_status_of_a_clause_over_many_problems(statuses: list[Status], whole: Status) -> None:
    assert joined(statuses) is whole
    assert joined(reversed(statuses)) is whole
    assert joined(statuses * 2) is whole


def test_only_what_ran_with_power_and_without_failure_is_green() -> None:
    for statuses in SUBSETS:
        assert (joined(statuses) is P) == (P in statuses and not statuses & NEVER_GREEN), statuses


def test_unsupported_is_said_only_where_nothing_else_was() -> None:
    for statuses in SUBSETS:
        assert (joined(statuses) is U) == (statuses == {U}), statuses


def test_a_failure_is_never_mended_by_more_problems() -> None:
    for statuses in SUBSETS:
        for more in ALL:
            before, after = joined(statuses), joined({*statuses, more})
            assert before not in NEVER_GREEN or after in NEVER_GREEN
            assert not before.failed or after.failed or after is B
            if more in NEVER_GREEN:
                assert after in NEVER_GREEN


def test_worse_statuses_stand_before_others() -> None:
    """Monotone: what a status joins with never makes it better in this order."""
    order = [U, W, P, K, F, C, T, B]  # PASS above WEAK: it says more, not worse
    for statuses in SUBSETS:
        if statuses:
            assert order.index(joined(statuses)) == max(order.index(s) for s in statuses)


def test_which_statuses_are_failures_of_the_implementation() -> None:
    assert {s for s in Status if s.failed} == FAILURES


def test_statuses_are_written_as_their_names() -> None:
    assert all(str(s) == s.value == s.name for s in Status)


# ---- one clause on one problem ----
def evidence(
    grade: Grade = Grade.EXACT, ratio: float = 0.0, certificate: float = 1.0, note: str = ""
) -> Evidence:
    mask = np.array([True, False, True]) if grade is Grade.FAIL else None
    return Evidence(
        quantity="dw", grade=grade, index=(2,), got=3.0, expected=4.0, error_over_bound=ratio, wrong=mask,
        certificate=certificate, note=note,
    )  # fmt: skip


def the_judgement(*seen: Evidence) -> Judgement:
    judgement = judged("mine", "WGT-1", "1d i5 k3", "seed/x", seen)
    assert judgement is not None
    return judgement


def test_without_evidence_the_clause_does_not_apply() -> None:
    assert judged("mine", "WGT-1", "1d i5 k3", "seed/x", []) is None


def test_good_evidence_with_power_passes() -> None:
    j = the_judgement(evidence(Grade.PROVEN, 0.5, certificate=0.25))
    assert (j.status, j.grade, j.error_over_bound, j.certificate, j.wrong) == (
        Status.PASS,
        "PROVEN",
        0.5,
        0.25,
        0,
    )
    assert (j.adapter, j.clause, j.problem, j.origin) == ("mine", "WGT-1", "1d i5 k3", "seed/x")


def test_what_is_suspicious_passes_and_says_so() -> None:
    """Inside the proof there is no failure, however unlikely it is; the grade tells."""
    j = the_judgement(evidence(Grade.PROVEN, 0.9), evidence(Grade.SUSPICIOUS, 0.1, note="here"), evidence())
    assert (j.status, j.grade, j.note) == (Status.PASS, "SUSPICIOUS", "here")
    failed = the_judgement(evidence(Grade.SUSPICIOUS, 0.1), evidence(Grade.FAIL, 2.0))
    assert (failed.status, failed.grade) == (Status.FAIL, "FAIL")


def test_good_evidence_without_power_is_weak() -> None:
    assert the_judgement(evidence(certificate=0.0)).status is Status.WEAK
    assert the_judgement(evidence(certificate=0.0), evidence(certificate=0.0)).status is Status.WEAK


def test_power_anywhere_is_power() -> None:
    j = the_judgement(evidence(certificate=0.0), evidence(certificate=0.125))
    assert (j.status, j.certificate) == (Status.PASS, 0.125)


def test_one_failure_among_good_evidence_fails_with_or_without_power() -> None:
    for certificate in (0.0, 1.0):
        j = the_judgement(evidence(), evidence(Grade.FAIL, math.inf, certificate, "seen here"), evidence())
        assert (j.status, j.grade, j.note, j.wrong) == (Status.FAIL, "FAIL", "seen here", 2)
        assert (j.quantity, j.index, j.got, j.expected) == ("dw", (2,), 3.0, 4.0)


def test_the_worst_evidence_is_shown() -> None:
    seen = [
        evidence(Grade.EXACT),
        evidence(Grade.PROVEN, 0.9, note="near"),
        evidence(Grade.PROVEN, 0.1),
        evidence(Grade.EXACT_ROUNDED),
    ]
    for order in itertools.permutations(seen):
        assert the_judgement(*order).note == "near"
    failures = [evidence(Grade.FAIL, 2.0), evidence(Grade.FAIL, math.inf, note="farther")]
    assert the_judgement(*failures).note == the_judgement(*failures[::-1]).note == "farther"


def test_a_failure_without_an_element_is_judged_too() -> None:
    j = the_judgement(wrong("y", "y has shape (1,), the geometry gives (2,)"))
    assert (j.status, j.index, j.got, j.wrong, j.error_over_bound) == (Status.FAIL, None, None, 0, math.inf)


def test_the_evidence_of_a_generator_is_read_once() -> None:
    assert judged("mine", "WGT-1", "1d i5 k3", "", (evidence() for _ in range(2))) is not None


def test_the_worst_ratio_of_many() -> None:
    ratios = [0.5, math.nan, 0.75, 0.0]
    assert worst_ratio([the_judgement(evidence(Grade.PROVEN, r)) for r in ratios]) == 0.75
    assert worst_ratio([]) == 0.0
