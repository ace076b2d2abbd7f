from __future__ import annotations

import itertools

from conformance.engine.corpus import SETS
from conformance.engine.profiles import PROFILES
from conformance.problem.fills import REGIMES


def test_each_profile_runs_at_least_what_the_smaller_one_runs() -> None:
    names = ["quick", "standard", "thorough"]
    assert list(PROFILES) == names
    assert [p.name for p in PROFILES.values()] == names
    for smaller, larger in itertools.pairwise(names):
        a, b = PROFILES[smaller], PROFILES[larger]
        assert set(a.corpora) <= set(b.corpora)
        assert a.largest < b.largest
        assert a.explored < b.explored
        assert 0 < a.regimes <= b.regimes <= len(REGIMES)


def test_profiles_run_sets_that_there_are_the_covering_array_first() -> None:
    for profile in PROFILES.values():
        assert set(profile.corpora) <= set(SETS)
        assert profile.corpora[0] == "covering"
    assert PROFILES["thorough"].corpora == SETS


def test_beyond_quick_every_problem_meets_every_numeric_regime() -> None:
    assert [p.regimes == len(REGIMES) for p in PROFILES.values()] == [False, True, True]
