"""Each numeric mistake is seen by the clause that it breaks, on the data that show it, and on no others.

A row names the root of what is found, the clauses that must fail, each with the fills of the problems on which it must,
and the fills that are blind: on which no clause may fail, because the mistake does not change these results.  What runs
is the quick profile's one-dimensional part: chapter NUM and the clauses on values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from conformance import Adapter, Arithmetic
from conformance.adapter.session import Session
from conformance.engine.findings import Finding, findings
from conformance.engine.judgement import Judgement
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.engine.runner import judge_all
from conformance.mistakes import Mistake, right
from conformance.mistakes.catalogue import FAMILIES
from conformance.problem import DTYPES, Problem
from conformance.problem.fills import FILLS
from conformance.spec import matching

CLAUSES = matching("NUM-*,FWD-1,DEL-1,WGT-1,BIA-1,BIA-2")
MISTAKES = {m.name: m for m in FAMILIES["numerics"]}
NOTHING = Mistake(name="nothing", sentence="nothing is wrong", hint="", compute=right, quantities=())

ROUNDED = "real cancellation positive gaps"
"""Data whose sums have more bits than a narrow dtype keeps."""
INTEGERS = "small sparse"
EXACT = f"{INTEGERS} subnormal huge"
"""Data whose sums every dtype keeps."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What must be found of a mistake in each of `dtypes` (those of the mistake)."""

    mistake: str
    root: str = "NUM-2"
    shown: Mapping[str, str] = field(default_factory=dict)
    blind: str = ""
    dtypes: tuple[str, ...] = ()

    def outcomes(self) -> list[tuple[str, str]]:
        return [(self.mistake, dtype) for dtype in self.dtypes or MISTAKES[self.mistake].dtypes]


ROWS = (
    Row(
        mistake="float64-in-float32",
        shown={"NUM-2": "wide odd onehot stagnation subnormal huge", "NUM-4": "real stagnation cancellation"},
        blind=INTEGERS,
    ),
    Row(
        mistake="tf32-inputs",
        shown={"NUM-2": "odd onehot", "NUM-3": "odd onehot", "NUM-4": ROUNDED},
        blind=f"{EXACT} stagnation",
    ),
    Row(
        mistake="bfloat16-inputs",
        shown={"NUM-2": "wide odd onehot", "NUM-3": "wide odd onehot", "NUM-4": ROUNDED},
        blind=f"{INTEGERS} huge stagnation",
    ),
    Row(
        mistake="activation-kept-in-bfloat16",
        shown={"NUM-2": "wide onehot", "NUM-4": ROUNDED},
        blind=f"{INTEGERS} stagnation",
    ),
    Row(
        mistake="loss-scaled",
        root="DEL-1",
        shown={"WGT-1": "small", "NUM-2": "small wide odd huge", "NUM-6": "small"},
        blind="real onehot stagnation gaps subnormal",
    ),
    Row(
        mistake="narrow-accumulator",
        shown={"NUM-2": f"wide stagnation {ROUNDED}", "NUM-3": "wide stagnation"},
        blind=f"{EXACT} onehot",
    ),
    Row(mistake="narrow-accumulator", shown={"NUM-4": "real cancellation positive"}, dtypes=("f16",)),
    Row(
        mistake="float32-accumulator",
        shown={"NUM-2": "wide odd onehot stagnation subnormal huge", "NUM-4": "real stagnation cancellation"},
        blind=INTEGERS,
    ),
    Row(
        mistake="narrow-between-items",
        shown={"NUM-2": f"wide stagnation {ROUNDED}", "NUM-3": f"wide stagnation {ROUNDED}"},
        blind=f"{EXACT} onehot",
    ),
    Row(
        mistake="narrow-col2im",
        shown={"NUM-2": "wide stagnation real cancellation positive", "NUM-3": "wide stagnation real cancellation positive"},
        blind=f"{EXACT} onehot",
    ),
    Row(
        mistake="sums-toward-zero",
        shown={"NUM-2": f"onehot {ROUNDED}", "NUM-3": "onehot"},
        blind=f"{EXACT} wide odd stagnation",
    ),
    Row(
        mistake="bias-after-rounding",
        shown={"NUM-2": f"wide {ROUNDED}", "NUM-3": f"wide {ROUNDED}"},
        blind=f"{EXACT} onehot",
    ),
    Row(mistake="mean-times-batch", shown={"NUM-2": "subnormal", "NUM-3": "subnormal"}, blind=f"{INTEGERS} huge"),
    Row(
        mistake="mean-times-batch",
        shown={"NUM-2": "wide real positive gaps"},
        blind=f"{INTEGERS} huge",
        dtypes=("f16", "bf16"),
    ),
    Row(
        mistake="stored-as-float16",
        shown={"NUM-2": "wide odd onehot stagnation subnormal huge", "NUM-4": f"stagnation {ROUNDED}"},
        blind=INTEGERS,
    ),
    Row(mistake="cut-off", shown={"NUM-2": f"onehot {ROUNDED}", "NUM-3": f"onehot {ROUNDED}"}, blind=EXACT),
    Row(mistake="cut-off", shown={"NUM-2": "wide odd stagnation"}, dtypes=("f16", "bf16")),
    Row(
        mistake="half-away-from-zero",
        shown={"NUM-2": "wide odd stagnation", "NUM-3": "wide odd stagnation"},
        blind=EXACT,
    ),
    Row(
        mistake="stochastic-rounding",
        shown={"NUM-2": f"onehot {ROUNDED}", "NUM-3": f"onehot {ROUNDED}"},
        blind=EXACT,
    ),
    Row(
        mistake="rounded-twice",
        shown={"NUM-2": f"wide onehot huge subnormal {ROUNDED}", "NUM-3": f"wide onehot {ROUNDED}"},
        blind=INTEGERS,
    ),
    Row(
        mistake="six-decimals",
        shown={"NUM-2": "onehot stagnation subnormal", "NUM-4": ROUNDED},
        blind=f"{INTEGERS} odd",
    ),
    Row(
        mistake="times-1.0005",
        root="FWD-1",
        shown={"DEL-1": INTEGERS, "WGT-1": INTEGERS, "BIA-1": "small", "NUM-4": "real"},
        dtypes=("f64", "f32", "f16"),
    ),
    Row(mistake="times-1.0005", shown={"NUM-2": f"wide odd {ROUNDED}"}, blind=EXACT, dtypes=("bf16",)),
    Row(
        mistake="times-1+2^-20",
        root="FWD-1",
        shown={"DEL-1": INTEGERS, "WGT-1": INTEGERS, "NUM-2": "wide odd onehot", "NUM-4": ROUNDED},
    ),
    Row(
        mistake="plus-1e-6",
        root="FWD-1",
        shown={"DEL-1": INTEGERS, "WGT-1": INTEGERS, "NUM-2": "gaps subnormal", "NUM-5": "gaps onehot"},
    ),
    Row(
        mistake="errors-of-the-largest",
        root="FWD-1",
        shown={"NUM-2": "gaps onehot", "NUM-4": "real positive", "NUM-5": "gaps onehot", "NUM-6": "small"},
    ),
    Row(
        mistake="clipped-at-100",
        root="FWD-1",
        shown={"WGT-1": "small", "NUM-2": "small wide odd huge", "NUM-6": "small"},
        blind="real onehot stagnation gaps subnormal",
        dtypes=("f64", "f32", "f16"),
    ),
    Row(
        mistake="clipped-at-100",
        root="NUM-6",
        shown={"NUM-2": "wide odd huge"},
        blind="sparse real onehot stagnation gaps subnormal",
        dtypes=("bf16",),
    ),
    Row(
        mistake="gradients-clipped",
        root="DEL-1",
        shown={"WGT-1": INTEGERS, "BIA-1": INTEGERS, "NUM-2": "wide odd huge", "NUM-6": "small"},
        blind="subnormal",
    ),
    Row(
        mistake="gradient-norm-clipped",
        root="DEL-1",
        shown={"WGT-1": INTEGERS, "BIA-1": INTEGERS, "NUM-2": f"wide odd huge {ROUNDED}"},
        blind="subnormal",
    ),
    Row(mistake="flushes-subnormals", shown={"NUM-2": "subnormal"}, blind=f"{INTEGERS} wide odd onehot huge"),
    Row(mistake="nan-to-num", root="NUM-6", shown={"NUM-6": "small"}, blind=f"wide odd onehot huge {ROUNDED}"),
    Row(mistake="nan-skipped", root="NUM-6", shown={"NUM-6": "small"}, blind=f"wide odd onehot huge {ROUNDED}"),
    Row(mistake="nan-everywhere", root="NUM-6", shown={"NUM-6": "small"}, blind=f"wide odd onehot huge {ROUNDED}"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one mistake in one dtype."""

    judgements: list[Judgement]

    @functools.cached_property
    def failed(self) -> list[Judgement]:
        return [j for j in self.judgements if j.status.failed]

    @property
    def findings(self) -> list[Finding]:
        return findings(self.failed)

    @property
    def fills(self) -> dict[str, set[str]]:
        """Clause -> the fills on which it fails."""
        found: dict[str, set[str]] = defaultdict(set)
        for j in self.failed:
            found[j.clause].add(Problem.parse(j.problem).fill)
        return found

    @property
    def measured(self) -> set[str]:
        return {j.note for j in self.judgements if j.clause == "NUM-7" and j.note}


def judged(adapter: Adapter, dtype: str) -> Outcome:
    session = Session(adapter, "mistaken")
    problems = [
        n for n in Run(session, PROFILES["quick"], dtype=dtype).problems() if n.id.startswith("covering/1d")
    ]
    return Outcome(judgements=[j for js in judge_all(session, problems, CLAUSES) for j in js])


@functools.cache
def outcome(name: str, dtype: str) -> Outcome:
    return judged((NOTHING if name == NOTHING.name else MISTAKES[name]).adapter(), dtype)


EACH = [pytest.param(row, *o, id="-".join(o)) for row in ROWS for o in row.outcomes()]


@pytest.mark.parametrize(("row", "name", "dtype"), EACH)
def test_a_mistake_is_seen_by_its_clauses_on_the_data_that_show_it(row: Row, name: str, dtype: str) -> None:
    seen = outcome(name, dtype)
    assert row.root in {f.clause for f in seen.findings}
    assert "MUST" in {f.severity for f in seen.findings}
    for clause, fills in row.shown.items():
        assert set(fills.split()) <= seen.fills[clause], clause
    failing = set().union(*seen.fills.values())
    assert not failing & set(row.blind.split())


def test_every_numeric_mistake_has_a_row_in_every_dtype() -> None:
    named = {o for row in ROWS for o in row.outcomes()}
    made = {(m.name, dtype) for m in MISTAKES.values() for dtype in m.dtypes}
    assert made - named == {("saturates", dtype) for dtype in MISTAKES["saturates"].dtypes}
    assert named <= made


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_mistake_nothing_is_seen(dtype: str) -> None:
    seen = outcome("nothing", dtype)
    assert seen.failed == []
    assert {Problem.parse(j.problem).fill for j in seen.judgements} == set(FILLS) - {"unit"}
    assert seen.measured == {"results that overflow are not finite", "subnormal results are kept"}


@pytest.mark.parametrize("dtype", MISTAKES["saturates"].dtypes)
def test_saturation_is_measured_and_no_failure(dtype: str) -> None:
    """IEEE 754 asks for infinity; formats and modes that saturate exist, and no sum that fits is wrong."""
    seen = outcome("saturates", dtype)
    assert seen.failed == []
    assert seen.measured == {"results that overflow are finite numbers", "subnormal results are kept"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_flushing_is_measured_too(dtype: str) -> None:
    assert "subnormal results are flushed to zero" in outcome("flushes-subnormals", dtype).measured


DECLARED = (
    ("tf32-inputs", "f32", Arithmetic(inputs="tf32")),
    ("bfloat16-inputs", "f32", Arithmetic(inputs="bf16")),
    ("narrow-accumulator", "f16", Arithmetic(accumulator="f16")),
    ("narrow-accumulator", "bf16", Arithmetic(accumulator="bf16")),
    ("narrow-between-items", "f16", Arithmetic(accumulator="f32", partial_sums="f16")),
    ("narrow-col2im", "bf16", Arithmetic(accumulator="f32", partial_sums="bf16")),
    ("sums-toward-zero", "f32", Arithmetic(truncates=True)),
)


@pytest.mark.parametrize(("name", "dtype", "arithmetic"), DECLARED)
def test_what_is_declared_is_no_failure_but_is_still_shown(
    name: str, dtype: str, arithmetic: Arithmetic
) -> None:
    adapter = MISTAKES[name].adapter()
    adapter.capabilities = dataclasses.replace(adapter.capabilities, arithmetic={dtype: arithmetic})
    seen = judged(adapter, dtype)
    assert [(f.clause, f.severity) for f in seen.findings] == [("NUM-3", "SHOULD")]


@pytest.mark.parametrize(
    ("name", "dtype", "arithmetic"),
    [
        ("flushes-subnormals", "f32", Arithmetic(flushes=True)),
        ("flushes-subnormals", "f16", Arithmetic(accumulator="f32", flushes=True)),
        ("errors-of-the-largest", "f32", Arithmetic(algorithm="fft")),
        ("errors-of-the-largest", "f64", Arithmetic(algorithm="fft")),
    ],
)
def test_what_is_declared_and_allowed_is_not_shown(name: str, dtype: str, arithmetic: Arithmetic) -> None:
    adapter = MISTAKES[name].adapter()
    adapter.capabilities = dataclasses.replace(adapter.capabilities, arithmetic={dtype: arithmetic})
    assert judged(adapter, dtype).findings == []
