"""The targets on drawn input, in every run of the tests: noise, and valid input that was changed a little.

`tox -e fuzz` puts the same targets under a fuzzer that looks for new code.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.errors import NotationError, ReportError
from fuzz.mutations import changed_json, changed_text
from fuzz.targets import FOUND, SEEDS, TARGETS, answered

NEAR = {name: changed_text(seeds) for name, seeds in SEEDS.items()}
NEAR["journal"] |= changed_json(SEEDS["journal"])


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_accepted_before_it_is_changed(name: str) -> None:
    """Else nothing but the first check of a parser would be fuzzed."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)
        assert len(seed) > 10


@pytest.mark.parametrize("name", TARGETS)
def test_what_once_broke_a_target_does_no_more(name: str) -> None:
    for data in FOUND[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_valid_input_that_was_changed_is_read_or_refused(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(NEAR[name]))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_noise_is_read_or_refused(name: str, data: bytes) -> None:
    TARGETS[name](data)


# ---- the rule tested: what counts as a finding ----
def test_an_exception_that_is_none_of_ours_is_a_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        answered(lambda: 1 / 0)


def test_an_answer_is_handed_on_and_a_refusal_is_none() -> None:
    def refuses() -> None:
        raise ReportError("no \x1b[31m such report\nnor this")

    assert answered(lambda: 3) == 3
    assert answered(refuses) is None


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb\nc\nd\ne", "x" * 6000])
def test_an_error_that_cannot_be_shown_is_a_finding(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReportError, "__str__", lambda error: error.args[0])

    def refuses() -> None:
        raise ReportError(text)

    with pytest.raises(AssertionError):
        answered(refuses)


def test_a_line_that_does_not_come_back_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from conformance.problem import Problem

    monkeypatch.setattr(Problem, "__str__", lambda problem: f"{problem.geometry.rank}d i3 k2 seed=1")
    with pytest.raises((AssertionError, NotationError)):
        TARGETS["layers"](b"1d i3 k2")
