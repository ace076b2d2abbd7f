"""What clauses make of an implementation that is right: they pass, or have nothing to say; they never raise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic
from conformance.problem import DTYPES, Geometry, Operands
from conformance.problem.fills import REGIMES
from conformance.spec import REGISTRY, Case, Misshapen, NotOffered, Raised, Severity

CaseOf = Callable[..., Case]

SPREAD = [
    "1d n1 c1 m1 i3 k2 f64",
    "1d n3 c2 m3 i9 k4 s2 p2:1 d2 f32",
    "1d n2 c6 m4 g2 i7 k3 s5 f64 bias=untied",
    "1d n2 c2 m2 i3 k5 p2 conv f64",
    "2d n2 c3 m4 i7x6 k3x2 s2x1 p1:0x0:2 d1x2 f64",
    "2d n2 c3 m4 i7x6 k3x2 s2x1 p1:0x0:2 d1x2 conv f64 bias=none",
    "2d n2 c4 m6 g2 i5x6 k2x3 f32 bias=untied",
    "2d n3 c3 m6 g3 i6x5 k3 p1 s2 f32",
    "2d n2 c2 m2 i6x7 k2x3 p-1:1 f64",
    "2d n1 c1 m2 i9x8 k2 s3x4 f64",
    "2d n2 c2 m3 i3x4 k3x4 f64",
    "2d n2 c2 m3 i3x4 k3x4 s2 conv bias=untied f64",
    "2d n0 c2 m3 i4x5 k2 f64",
    "3d n2 c2 m3 i4x3x5 k2x3x2 s1x1x2 p0x1x0 f64",
    "3d n1 c2 m4 g2 i4 k2 d2 conv f32 bias=none",
    "2d n2 c3 m2 i5x4 k3x2 f16",
    "2d n1 c2 m3 i4x5 k2x3 bf16 bias=none",
    "2d n1 c2 m1 i3x4 k2 bf16 fill=unit",
    "2d n2 c3 m2 i5x4 k3x2 f64 fill=sparse",
    "2d n2 c3 m2 i5x4 k3x2 f64 fill=real",
    "2d n2 c4 m4 g2 i5x4 k3x2 f32 fill=real p1",
    "2d n2 c3 m2 i5x4 k3x2 f16 fill=real",
    "2d n2 c3 m2 i5x4 k3x2 bf16 fill=real",
    "1d n1 c1 m1 i400 k3 bf16 fill=real",
    "2d n3 c3 m4 i5x4 k3x2 f32 mem=fortran",
    "2d n3 c3 m4 i5x4 k3x2 f32 mem=sliced",
    "2d n3 c3 m4 i5x4 k3x2 f32 mem=reversed",
    "2d n3 c3 m4 i5x4 k3x2 f32 mem=channels-last",
    "2d n3 c3 m4 i5x4 k3x2 f32 mem=broadcast",
    "2d n2 c4 m4 g2 i5x4 k3x2 s2x1 p1 f64 mem=broadcast bias=untied conv",
    "1d n1 c1 m1 i1 k1 s9 p4:5 f64",
    *(f"2d n2 c4 m6 g2 i6x5 k3x2 {dtype} fill={fill} seed=1" for fill in REGIMES for dtype in DTYPES),
    *(f"1d n3 c3 m3 g3 i9 k3 s2 p1:2 bias=none f32 fill={fill} seed=2" for fill in REGIMES),
    *(f"2d n2 c2 m2 i6 k2 mem=broadcast f16 fill={fill}" for fill in REGIMES),
]


@pytest.mark.parametrize("line", SPREAD)
def test_a_right_implementation_passes_every_clause(line: str, case_of: CaseOf) -> None:
    case = case_of(line)
    failures = [(c.id, e) for c in REGISTRY.values() for e in c.check(case) if not e.ok]
    assert failures == []


@pytest.mark.parametrize("line", SPREAD)
def test_a_clause_says_the_same_alone_as_after_all_others(line: str, case_of: CaseOf) -> None:
    together = case_of(line)
    for clause in REGISTRY.values():
        alone = [(e.quantity, e.grade, e.note) for e in clause.check(case_of(line))]
        assert alone == [(e.quantity, e.grade, e.note) for e in clause.check(together)], clause.id


def test_over_the_spread_every_clause_has_something_to_say(case_of: CaseOf) -> None:
    said = {c.id for line in SPREAD for c in REGISTRY.values() if any(True for _ in c.check(case_of(line)))}
    assert said == {c.id for c in REGISTRY.values() if not c.of_networks}


# ---- transforms ----
@pytest.mark.parametrize(
    "line", ["2d n2 c3 m4 i6x5 k3x2 s2x1 p1:0", "1d n2 c4 m4 g2 i9 k3 d2 conv", "2d n2 c2 m3 i3x4 k3x4"]
)
def test_an_implementation_with_the_errors_of_a_transform_passes_if_it_says_so(
    line: str, case_of: CaseOf, right: Any
) -> None:
    def noisy(g: Geometry, o: Operands, backward: bool) -> Any:
        r = right(g, o, backward)
        noise = (3e-14, -3e-14, 0) if g.batch else (0,)  # the transform of nothing is zero
        return {q: a if q == "db" else a + np.resize(noise, a.shape) for q, a in r.items()}

    fft = case_of(line, noisy, arithmetic=Arithmetic(algorithm="fft"))
    assert fft.exact
    assert {c.id for c in REGISTRY.values() for e in c.check(fft) if not e.ok} == set()
    direct = case_of(line, noisy)
    assert {"FWD-1", "DEL-1", "WGT-1", "NUM-2"} <= {
        c.id for c in REGISTRY.values() for e in c.check(direct) if not e.ok
    }


# ---- where a clause does not apply ----
NOTHING_TO_SAY = [
    ("FWD-3", "1d n0 c1 m1 i4 k2"),
    ("FWD-5", "1d i6 k2 s2"),
    ("FWD-5", "1d i6 k2 p1"),
    ("FWD-5", "1d i6 k2 bias=untied"),
    ("FWD-5", "1d i3 k3"),
    ("FWD-6", "1d c2 m2 i6 k2"),
    ("FWD-7", "1d n1 i6 k2"),
    ("FWD-8", "1d i6 k2"),
    ("FWD-8", "1d i2 k2 p1"),
    ("DEL-6", "1d n0 i6 k2"),
    ("WGT-4", "1d n1 i6 k2"),
    ("WGT-6", "1d i6 k2"),
    ("BIA-1", "1d i6 k2 bias=untied"),
    ("BIA-2", "1d i6 k2 bias=tied"),
    ("BIA-3", "1d i6 k2 bias=none"),
    ("ALG-3", "1d i6 k2 s2"),
    ("NUM-2", "1d n2 m2 i6 k3 fill=real"),
    ("NUM-4", "1d n2 m2 i6 k3"),
    ("NUM-6", "1d n0 i6 k2"),
    ("NUM-6", "1d n2 i6 k2 fill=sparse"),
    ("HYG-6", "1d n0 i6 k2"),
]
EXACT_ALONE = [
    "FWD-3", "FWD-4", "FWD-5", "FWD-6", "FWD-7", "FWD-8", "FWD-9", "DEL-3", "DEL-4", "DEL-5", "DEL-6", "DEL-7",
    "WGT-3", "WGT-4", "WGT-5", "WGT-6", "BIA-3", "ALG-1", "ALG-2", "ALG-3", "NUM-6", "HYG-3", "HYG-4", "HYG-5",
]  # fmt: skip


@pytest.mark.parametrize(("id", "line"), NOTHING_TO_SAY)
def test_a_clause_is_silent_where_it_does_not_apply(id: str, line: str, case_of: CaseOf) -> None:  # noqa: A002
    assert list(REGISTRY[id].check(case_of(line))) == []


@pytest.mark.parametrize("id", EXACT_ALONE)
def test_a_clause_of_algebra_is_silent_on_data_that_round(id: str, case_of: CaseOf) -> None:  # noqa: A002
    for line in ("2d n2 c2 m2 g2 i3x4 k3x4 d1 fill=real", "2d n2 c2 m2 i4x5 k2 p1 d2 fill=real"):
        assert list(REGISTRY[id].check(case_of(line))) == []


@pytest.mark.parametrize(
    ("id", "line"),
    [("FWD-9", "1d i6 k2"), ("DEL-6", "1d i6 k2 s2"), ("ALG-3", "1d i6 k2 d2 p1"), ("HYG-7", "1d n2 i6 k2")],
)
def test_a_variant_that_is_not_claimed_is_not_asked(id: str, line: str, case_of: CaseOf) -> None:  # noqa: A002
    asked: list[Any] = []
    case = case_of(line, asked=asked, claims=lambda g: False)
    assert list(REGISTRY[id].check(case)) == []
    assert asked == []


# ---- hostile results ----
MISSHAPEN: dict[str, Callable[[Any], Any]] = {
    "one longer": lambda a: np.resize(a, (*a.shape[:-1], a.shape[-1] + 1)),
    "flat": lambda a: a.ravel(),
    "without its first axis": lambda a: a.sum(axis=0),
    "a number": lambda a: a.sum(),
    "transposed": lambda a: a.T,
    "empty": lambda a: a[:0],
}
FINDS_SIZES = {"y": "FWD-2", "dx": "DEL-2", "dw": "WGT-2", "db": "BIA-1"}


@pytest.mark.parametrize("q", ["y", "dx", "dw", "db"])
@pytest.mark.parametrize("shape", MISSHAPEN)
def test_a_result_of_another_size_never_breaks_a_clause(
    shape: str, q: str, case_of: CaseOf, right: Any
) -> None:
    def misshapen(g: Geometry, o: Operands, backward: bool) -> Any:
        return {
            name: np.asarray(MISSHAPEN[shape](a)) if name == q else a
            for name, a in right(g, o, backward).items()
        }

    found = set()
    for line in ("2d n2 c4 m6 g2 i6x5 k2x3 s1x2 p1:0 d2x1", "2d n2 c4 m6 g2 i4x5 k2x3", "1d n3 c2 m4 i5 k5"):
        case = case_of(line, misshapen)
        for clause in REGISTRY.values():
            try:
                found |= {clause.id for e in clause.check(case) if not e.ok}
            except Misshapen as refused:
                assert refused.quantity == q  # noqa: PT017
                found.add(clause.id)
    if not (shape in ("flat", "transposed") and q == "db"):  # one axis is flat, and its own transpose
        assert FINDS_SIZES[q] in found


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_results_that_are_no_numbers_fail_and_break_nothing(
    special: float, case_of: CaseOf, right: Any
) -> None:
    def no_numbers(g: Geometry, o: Operands, backward: bool) -> Any:
        return {q: np.full_like(a, special) for q, a in right(g, o, backward).items()}

    case = case_of("2d n2 c4 m6 g2 i6x5 k2x3 s1x2 p1:0 d2x1", no_numbers)
    failed = {c.id for c in REGISTRY.values() for e in c.check(case) if not e.ok}
    assert {"FWD-1", "DEL-1", "WGT-1", "BIA-1", "NUM-2", "NUM-6"} <= failed


@pytest.mark.parametrize("refusal", [Raised("RuntimeError", "no"), NotOffered("never")])
def test_a_refusal_reaches_whoever_judges(refusal: Exception, case_of: CaseOf) -> None:
    def refuse(g: Geometry, o: Operands, backward: bool) -> Any:
        raise refusal

    case = case_of("2d n2 c4 m6 g2 i6x5 k2x3 s1x2 p1:0 d2x1", refuse)
    for clause in REGISTRY.values():
        try:
            assert all(e.ok for e in clause.check(case))
        except (Raised, NotOffered) as reached:
            assert reached is refusal  # noqa: PT017


def test_one_that_refuses_nonsense_as_not_offered_has_refused_it(case_of: CaseOf, right: Any) -> None:
    """An adapter may say "unsupported" to operands that do not fit: that is an answer at once, and no garbage."""

    def particular(g: Geometry, o: Operands, backward: bool) -> Any:
        if any(a.shape != g.shape_of(name) for name, a in o.items()):
            raise NotOffered("these shapes")
        return right(g, o, backward)

    evidence = list(REGISTRY["HYG-6"].check(case_of("2d n2 c2 m3 i4x5 k2x3", particular)))
    assert evidence
    assert [e.note for e in evidence if not e.ok] == []


def test_only_must_clauses_decide() -> None:
    assert {c.severity for c in REGISTRY.values()} <= {Severity.MUST, Severity.SHOULD, Severity.INFO}
    assert dataclasses.fields(REGISTRY["FWD-1"])[1].name == "severity"
