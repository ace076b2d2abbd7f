"""The published comparison with tuned tolerances (reports/numerics.md) is what is measured: a small part of it, again."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_checks import load
from conformance.problem import DTYPES

pytest.importorskip("torch")

tolerances = load(Path(__file__).parents[1] / "power" / "tolerances.py")
PUBLISHED = tolerances.published()
RIGHT = {(s.sentence, DTYPES[s.dtype].name): s for s in tolerances.honest()}
MISTAKEN = {(s.name, DTYPES[s.dtype].name): s for s in tolerances.mistaken()}

QUICK = ("numpy allclose", "torch assert_close", "jax check_grads")
"""Tools that need few passes."""
SEEN_AGAIN = (
    ("tf32-inputs", "float32"),
    ("narrow-accumulator", "float16"),
    ("cut-off", "float32"),
    ("times-1+2^-20", "float32"),
    ("clipped-at-100", "float64"),
    ("nan-everywhere", "float64"),
    ("flushes-subnormals", "bfloat16"),
)
BY_GRADCHECK = (
    ("times-1+2^-20", "float64"),
    ("plus-1e-6", "float64"),
    ("float64-in-float32", "float64"),
    ("nan-everywhere", "float64"),
)


def measured(tool: str, subject: object) -> str:
    """`seen` or `missed`; skips where the tool is not installed."""
    try:
        return tolerances.SEEN if tolerances.rejected(tool, subject) else tolerances.MISSED
    except tolerances.NotApplicable as why:
        if str(why) != tolerances.NOT_INSTALLED:
            raise
        pytest.skip(f"{tool}: {why}")


def test_every_implementation_is_published_once() -> None:
    assert set(PUBLISHED) == {*RIGHT, *MISTAKEN}


def test_this_suite_accepts_what_is_right_and_sees_what_is_mistaken() -> None:
    assert {PUBLISHED[key]["this suite"] for key in RIGHT} == {tolerances.QUIET}
    assert tolerances.MISSED not in {PUBLISHED[key]["this suite"] for key in MISTAKEN}


@pytest.mark.parametrize("key", SEEN_AGAIN, ids="-".join)
@pytest.mark.parametrize("tool", QUICK)
def test_what_is_published_of_comparisons_is_measured(tool: str, key: tuple[str, str]) -> None:
    assert PUBLISHED[key][tool].rstrip(tolerances.WORTHLESS) == measured(tool, MISTAKEN[key])


@pytest.mark.parametrize("key", BY_GRADCHECK, ids="-".join)
def test_what_is_published_of_gradcheck_is_measured(key: tuple[str, str]) -> None:
    tool = "gradcheck, fast"
    assert PUBLISHED[key][tool].rstrip(tolerances.WORTHLESS) == measured(tool, MISTAKEN[key])


@pytest.mark.parametrize(
    ("sentence", "tool"),
    [
        ("nothing is wrong: summed pairwise in float32, rounded once", "numpy allclose"),
        ("nothing is wrong: summed pairwise in float32, rounded once", "torch assert_close"),
        ("nothing is wrong: summed exactly, rounded once", "gradcheck, slow"),
    ],
)
def test_what_is_published_of_right_implementations_is_measured(sentence: str, tool: str) -> None:
    key = sentence, "float32"
    assert PUBLISHED[key][tool] == tolerances.of_right(tool, RIGHT[key])


@pytest.mark.parametrize("key", SEEN_AGAIN[:3], ids="-".join)
def test_what_is_published_of_this_suite_is_measured(key: tuple[str, str]) -> None:
    found = tolerances.ours(MISTAKEN[key])
    assert PUBLISHED[key]["this suite"] == found.clause
    assert PUBLISHED[key]["fills"] == ", ".join(found.fills)
