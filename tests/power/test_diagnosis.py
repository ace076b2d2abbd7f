"""The name of a mistake is found from what an implementation computes: right, or not certain."""

from __future__ import annotations

import dataclasses
import functools
import random
from typing import Any

import pytest

from conformance import Capabilities
from conformance.adapter.session import Session
from conformance.engine.corpus import corpus
from conformance.engine.findings import Finding
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.diagnose import Diagnosis, diagnose
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.mistake import right as computed_right
from conformance.mistakes.observed import Asked, _ways
from conformance.mistakes.pairs import pair, pairs
from conformance.mistakes.roots import events
from conformance.problem import QUANTITIES, Geometry, Operands, Problem
from conformance.problem.operations import shape_of

SWITCHABLE = [m for m in CATALOGUE.values() if m.switch and m.kind == "layers"]
OPERATIONS = [m for m in CATALOGUE.values() if m.kind == "operations"]
LEARNER = Capabilities(ranks={2}, dtypes={"f64"}, stride=True, padding="symmetric")
"""What someone's own layer may offer: much of the catalogue cannot be told apart with it."""


@functools.cache
def small() -> tuple[Problem, ...]:
    """Problems on small integers, the smallest first."""
    found = [n.problem for name in ("covering", "seed") for n in corpus(name) if n.problem.fill == "small"]
    return tuple(sorted((p for p in found if p.geometry.batch), key=lambda p: p.geometry.products))


def computed(m: Mistake, a: Asked, q: str) -> bytes:
    result = m.compute(a.problem.geometry, a.operands(q), q)
    return repr(result.shape).encode() + (result + 0).tobytes()  # -0 is 0


def right(a: Asked, q: str) -> bytes:
    form = a.problem.format
    result = form.rounded(a.begun(q).result()).astype(form.numpy)
    return repr(result.shape).encode() + (result + 0).tobytes()  # -0 is 0


def asked(q: str, session: Session) -> list[Asked]:
    """All that is put to an implementation of a quantity: each problem, and along one direction alone."""
    offered = [p for p in small() if session.refusal(p.geometry, p.dtype) is None]
    return [a for p in offered if shape_of(p.geometry, q) is not None for a in _ways(p, q)]


def shows(m: Mistake, q: str, session: Session) -> list[Problem]:
    """The offered problems on which a mistake changes a quantity."""
    return [a.problem for a in asked(q, session) if computed(m, a, q) != right(a, q)]


def put(m: Mistake, able: Capabilities | None = None) -> Session:
    adapter = m.adapter()
    if able is not None:
        adapter.capabilities = able
    return Session(adapter, m.name)


def indistinguishable(diagnosis: Diagnosis, m: Mistake, q: str, session: Session) -> bool:
    """Is the first explanation the mistake, or one that gives the same on all problems that are offered?"""
    if not diagnosis.explanations:
        return False
    first = diagnosis.explanations[0].mistakes
    if {f.name for f in first} == set(m.name.split(" + ")):
        return True
    named = functools.reduce(pair, first)
    return all(computed(named, a, q) == computed(m, a, q) for a in asked(q, session))


def outcome(m: Mistake, able: Capabilities | None = None) -> tuple[bool, bool] | None:
    """(is the first name right, is it certain); None if the mistake does not show."""
    q = m.quantities[0]
    session = put(m, able)
    problems = shows(m, q, session)
    if not problems:
        return None
    diagnosis = diagnose(session, problems[0], q)
    certain = bool(diagnosis.explanations) and diagnosis.explanations[0].certain
    return indistinguishable(diagnosis, m, q, session), certain


def drawn_outcomes(mistakes: list[Mistake], count: int, seed: int) -> list[tuple[bool, bool]]:
    """Of pairs in one quantity, those that show."""
    both = [(a, b) for a, b in pairs(mistakes) if a.quantities == b.quantities]
    made = [pair(a, b) for a, b in random.Random(seed).sample(both, count)]
    return [o for m in made if (o := outcome(m)) is not None]


@pytest.fixture(scope="module")
def drawn() -> random.Random:
    return random.Random(2026)


def test_single_mistakes_are_named(drawn: random.Random) -> None:
    outcomes = [o for m in drawn.sample(SWITCHABLE, 40) if (o := outcome(m)) is not None]
    assert len(outcomes) > 30
    assert sum(named for named, _ in outcomes) >= 0.97 * len(outcomes)
    assert all(named for named, certain in outcomes if certain)
    assert sum(certain for _, certain in outcomes) >= 0.9 * len(outcomes)


def test_pairs_of_mistakes_in_one_quantity_are_named(drawn: random.Random) -> None:
    of = {q: [m for m in SWITCHABLE if m.quantities == (q,)] for q in QUANTITIES}
    made = [pair(*drawn.sample(of[drawn.choice(QUANTITIES)], 2)) for _ in range(12)]
    outcomes = [o for m in made if (o := outcome(m)) is not None]
    assert len(outcomes) > 8
    assert sum(named for named, _ in outcomes) >= 0.9 * len(outcomes)
    assert all(named for named, certain in outcomes if certain)


def test_pairs_of_mistakes_in_operations_are_named() -> None:
    outcomes = drawn_outcomes(OPERATIONS, 12, seed=1)
    assert len(outcomes) > 8
    assert sum(named for named, _ in outcomes) >= 0.9 * len(outcomes)
    assert all(named for named, certain in outcomes if certain)


def test_what_cannot_be_told_apart_is_not_certain(drawn: random.Random) -> None:
    outcomes = [o for m in drawn.sample(SWITCHABLE, 30) if (o := outcome(m, LEARNER)) is not None]
    assert len(outcomes) > 10
    assert all(named for named, certain in outcomes if certain)
    assert not all(certain for _, certain in outcomes)


def test_what_is_right_has_no_diagnosis() -> None:
    adapter = CATALOGUE["y-negated"].adapter()
    problem = Problem.parse("2d n2 c2 m2 i6x5 k3x2 p1 seed=4")
    assert diagnose(Session(adapter, "negated"), problem, "dx").text == ""


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_a_mean_of_which_each_term_was_divided_is_a_mean(batch: int) -> None:
    """delta / N comes into every product: thirds are rounded otherwise than a third of the sum."""
    mean = CATALOGUE["dw-mean-over-batch"]

    def compute(g: Geometry, o: Operands, q: str) -> Any:
        return computed_right(g, o.replace(delta=o.delta / max(g.batch, 1)), q)

    early = dataclasses.replace(mean, compute=compute)
    problem = Problem.parse(f"2d n{batch} c2 m3 i6x5 k3x2 seed=4")
    (explanation,) = diagnose(Session(early.adapter(), "early"), problem, "dw").explanations
    assert (explanation.name, explanation.certain) == ("dw-mean-over-batch", True)


def test_several_mistakes_in_different_quantities_do_not_mask_each_other() -> None:
    a, b = CATALOGUE["dx-kernel-unrotated"], CATALOGUE["dw-mean-over-batch"]
    together = dataclasses.replace(
        a, quantities=("dx", "dw"), compute=lambda g, o, q: (a if q == "dx" else b).compute(g, o, q)
    )
    problem = Problem.parse("2d n2 c2 m3 i6x5 k3x2 seed=4")
    names = [
        diagnose(Session(together.adapter(), "two"), problem, q).explanations[0].name for q in ("dx", "dw")
    ]
    assert names == ["dx-kernel-unrotated", "dw-mean-over-batch"]


# ---- one root cause, one finding ----
LINES = (
    "1d n2 c3 m4 i11 k3 seed=1",
    "1d n1 c3 m3 g3 i9 k4 s3 p1:2 d2 conv bias=untied f32 fill=sparse seed=2",
    "2d n3 c4 m6 g2 i7x6 k2x3 s2x2 p1:2x0 f32 mem=fortran seed=6",
    "2d n2 c3 m4 i3x4 k3x4 conv seed=7",
    "2d n2 c3 m2 i9x6 k3x2 p1:0x2 d1x2 f32 seed=10",
    "2d n2 c3 m2 i6x5 k3x3 p1 fill=real seed=10",
    "2d n2 c2 m3 i5x4 k2x3 fill=wide seed=14",
)


def found(m: Mistake) -> list[Finding]:
    run = Run(put(m), PROFILES["quick"], given_problems=tuple(map(Problem.parse, LINES)))
    return [event for event in events(run) if isinstance(event, Finding)]


def test_a_single_mistake_is_one_finding(drawn: random.Random) -> None:
    findings = [f for m in drawn.sample(SWITCHABLE, 24) if (f := found(m))]
    assert len(findings) >= 20
    assert sum(len(f) == 1 for f in findings) >= 0.95 * len(findings)


@pytest.mark.parametrize(
    ("name", "clause", "words"),
    [
        ("dw-accumulates", "HYG-3", "from call to call"),
        ("dx-of-the-call-before", "HYG-3", "dx is the right result of the call before"),
        ("dx-overwrites-x", "WGT-1", "the call overwrites x"),
        ("float64-in-float32", "NUM-2", "float64 operands are converted to float32"),
        ("dx-kernel-unrotated", "DEL-1", "unrotated"),
    ],
)
def test_a_finding_says_what_was_done(name: str, clause: str, words: str) -> None:
    (finding,) = found(CATALOGUE[name])
    assert clause in (finding.clause, *finding.fallen)
    assert words in finding.diagnosis


def test_the_same_mistake_in_two_quantities_is_one_finding() -> None:
    dx, dw = CATALOGUE["dx-dilation-ignored"], CATALOGUE["dw-dilation-ignored"]
    together = dataclasses.replace(
        dx, quantities=("dx", "dw"), compute=lambda g, o, q: (dx if q == "dx" else dw).compute(g, o, q)
    )
    (finding,) = found(together)
    assert finding.diagnosis == f"{dx.sentence}; {dw.sentence}"
    assert "WGT-1" in finding.fallen
    assert finding.hint
