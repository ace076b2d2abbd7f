"""Chapters TRN, SEC and JVP: every clause sees a small wrong implementation, and none accuses the right one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic, Evidence
from conformance.oracle.vectorised import counts
from conformance.problem import QUANTITIES, Geometry, Operands
from conformance.problem.operations import CALL_OF, FURTHER, Call
from conformance.spec import REGISTRY, Case

CHAPTERS = ("TRN", "SEC", "JVP")
CLAUSES = [c for c in REGISTRY.values() if c.chapter in CHAPTERS]

PLAIN = "2d n2 c3 m2 i4x5 k2x3 seed=2"
RICH = "2d n2 c4 m6 g2 i9x7 k3x2 s3x2 p1:0x2 d1x2 conv"
"""With a remainder, and positions of x that no output reads."""

Results = dict[str, Any]
Right = Callable[[Geometry, Operands, Call], Results]


@dataclass(frozen=True)
class Row:
    clause: str
    line: str
    q: str
    says: str
    mistake: Callable[[Right, Geometry, Operands, Call], Results]

    def __str__(self) -> str:
        return f"{self.clause} {self.mistake.__name__} {self.q}"


TABLE: list[Row] = []


def caught_by(clause: str, line: str, q: str, says: str = "") -> Callable[[Any], Any]:
    def add(mistake: Any) -> Any:
        TABLE.append(Row(clause, line, q, says, mistake))
        return mistake

    return add


@caught_by("TRN-1", PLAIN, "transposed.y")
@caught_by("TRN-6", RICH, "transposed.db")
def a_bias_counts_twice(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    r = right(g, o, call)
    if call.method == "transposed":
        assert o.c is not None
        r["transposed.y"] = r["transposed.y"] + o.c.reshape(-1, 1, 1)
    return {q: 2 * a if q == "transposed.db" else a for q, a in r.items()}


@caught_by("TRN-1", RICH, "transposed.y")
@caught_by("TRN-2", RICH, "transposed.dx")
@caught_by("TRN-3", RICH, "transposed.dw")
@caught_by("TRN-5", PLAIN, "transposed.y", "of the transposed against <y - b, delta>")
def the_convention_is_the_other_one(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    other = {"correlation": "convolution", "convolution": "correlation"}[g.convention]
    return right(dataclasses.replace(g, convention=other), o, call)


@caught_by("TRN-4", RICH, "transposed.y", "positions on which no product falls")
def what_the_stride_leaves_over_is_zero(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    r = right(g, o, call)
    return {q: np.where(counts(g)["dx"] == 0, 0, a) if q == "transposed.y" else a for q, a in r.items()}


@caught_by("TRN-4", RICH, "transposed.y", "has shape (2, 4, 8, 7), the geometry gives (2, 4, 9, 7)")
def there_is_no_output_padding(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    r = right(g, o, call)
    return {q: a[:, :, : g.size[0] - g.remainder[0]] if q == "transposed.y" else a for q, a in r.items()}


@caught_by("SEC-1", PLAIN, "double_backward.dx")
@caught_by("SEC-2", PLAIN, "double_backward.dw")
@caught_by("SEC-3", PLAIN, "double_backward.ddelta")
@caught_by("SEC-5", PLAIN, "double_backward.ddelta", "<double_backward.ddelta, delta> against <dx, u>")
@caught_by("SEC-5", PLAIN, "double_backward.dx", "<double_backward.dx, x> against <dw, v>")
@caught_by("SEC-5", PLAIN, "double_backward.dw", "<double_backward.dw, w> against <dx, u>")
@caught_by("JVP-1", PLAIN, "forward_mode.dy")
@caught_by("JVP-2", PLAIN, "forward_mode.dy", "<forward_mode.dy, delta> against <dx, u> + <dw, v> + <db, r>")
def there_is_a_factor_of_two(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    return {q: 2 * a for q, a in right(g, o, call).items()}


@caught_by("JVP-2", f"{PLAIN} bias=untied", "forward_mode.dy", "<forward_mode.dy, delta> against <dx, u>")
@caught_by("SEC-5", PLAIN, "double_backward.ddelta", "against <dx, u> + <dw, v> + <db, r>")
def the_direction_of_the_bias_is_left_out(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
    return right(g, o.replace(r=None), call)


def forgetting(direction: str) -> Callable[[Right, Geometry, Operands, Call], Results]:
    """One that goes another way where a direction is not given."""

    def wrong(right: Right, g: Geometry, o: Operands, call: Call) -> Results:
        r = right(g, o, call)
        return {q: 0 * a for q, a in r.items()} if getattr(o, direction) is None else r

    wrong.__name__ = f"nothing_without_{direction}"
    return wrong


for number, name in enumerate("uvr"):
    line_ = f"2d n2 c3 m2 i4x5 k2x3 seed={number}"
    forgets = forgetting("uvr"[(number + 1) % 3])
    caught_by("SEC-4", line_, "double_backward.ddelta", f"ddelta of {name} alone")(forgets)
    caught_by("JVP-3", line_, "forward_mode.dy", f"dy of {name} alone")(forgets)


def judged(case: Case, clause: str) -> list[Evidence]:
    return list(REGISTRY[clause].check(case))


# ---- the table ----
def test_every_clause_of_these_chapters_is_in_the_table() -> None:
    assert {row.clause for row in TABLE} == {c.id for c in CLAUSES}


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_clause_catches_the_mistake(row: Row, case_of: Any, right_operation: Right) -> None:
    case = case_of(row.line, operation=lambda g, o, call: row.mistake(right_operation, g, o, call))
    failures = [(e.quantity, e.note) for e in judged(case, row.clause) if not e.ok]
    assert any(q == row.q and row.says in note for q, note in failures), failures


@pytest.mark.parametrize(("clause", "line"), sorted({(row.clause, row.line) for row in TABLE}))
def test_the_right_implementation_passes_there_with_power(clause: str, line: str, case_of: Any) -> None:
    evidence = judged(case_of(line), clause)
    assert [e for e in evidence if not e.ok] == []
    assert any(e.powered for e in evidence)


# ---- what every call owes ----
@pytest.mark.parametrize("q", FURTHER)
def test_a_result_in_another_dtype_fails(q: str, case_of: Any, right_operation: Right) -> None:
    def double(g: Geometry, o: Operands, call: Call) -> Results:
        return {name: a.astype(np.float64) for name, a in right_operation(g, o, call).items()}

    assert says(
        case_of(f"{PLAIN} f32", operation=double), q, f"{q} has dtype float64, the operands have float32"
    )


@pytest.mark.parametrize("q", FURTHER)
def test_a_changed_operand_fails(q: str, case_of: Any, right_operation: Right) -> None:
    def writing(g: Geometry, o: Operands, call: Call) -> Results:
        r = right_operation(g, o, call)
        o.w.flat[0] += 1
        return r

    assert says(case_of(PLAIN, operation=writing), q, f"the call that computes {q} changed its operand w")


def test_shared_memory_fails(case_of: Any, right_operation: Right) -> None:
    """With a kernel of one tap, weight 1 and no bias, the transposed convolution of delta is delta."""

    def view(g: Geometry, o: Operands, call: Call) -> Results:
        return {**right_operation(g, o, call), **({"transposed.y": o.delta} if "y" in call.gives else {})}

    case = case_of("1d n2 c1 m1 i4 k1 bias=none", operation=view)
    assert says(case, "transposed.y", "transposed.y shares memory with an operand")


def says(case: Case, q: str, words: str) -> bool:
    """Does the clause on a quantity's values fail with these words?"""
    (clause,) = (c for c in CLAUSES if c.needs == (q,) and c.id not in ("TRN-4", "JVP-3"))
    return any(not e.ok and words in e.note for e in clause.check(case))


# ---- not offered ----
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda c: c.id)
def test_a_clause_asks_for_what_only_the_operation_gives(clause: Any) -> None:
    operations = {CALL_OF[q].operation for q in clause.needs} - {""}
    assert len(operations) == 1


@pytest.mark.parametrize("missing", ["dx", "dw", "db", "y"])
def test_identities_with_what_is_not_offered_are_not_asked(missing: str, case_of: Any) -> None:
    """A layer without db: its share of the inner products is not known."""
    offered = frozenset({*QUANTITIES, *FURTHER} - {missing})
    case = case_of(PLAIN, offered=offered)
    for clause in CLAUSES:
        if missing not in clause.needs:
            assert all(e.ok for e in clause.check(case)), clause.id


def test_a_geometry_without_a_bias_has_none_in_its_operations(case_of: Any) -> None:
    case = case_of("2d n2 c3 m2 i5x4 k2 s2 bias=none")
    assert not case.has("transposed.db")
    assert case.has("transposed.y")
    for clause in (c for c in CLAUSES if all(map(case.has, c.needs))):
        evidence = judged(case, clause.id)
        assert evidence
        assert all(e.ok for e in evidence), clause.id


# ---- asking ----
def test_one_call_serves_all_clauses(case_of: Any) -> None:
    asked: list[Any] = []
    case = case_of(PLAIN, asked=asked)
    for clause in CLAUSES:
        list(clause.check(case))
    methods = [question.call.method for question in asked]
    alone = ["double_backward", "forward_mode"]
    assert sorted(methods) == sorted(
        [
            "forward",
            "backward",
            "transposed",
            "transposed_backward",
            "double_backward",
            "forward_mode",
            *alone,
        ]
    )


def test_operands_are_handed_over_by_the_names_of_the_call(case_of: Any) -> None:
    asked: list[Any] = []
    case = case_of(f"{PLAIN} mem=fortran", asked=asked)
    case.call("transposed.dw")
    (question,) = asked
    handed, o = question.handed(), case.problem.further
    assert list(handed) == ["x", "w", "b", "delta"]
    assert [
        handed[k] is getattr(o, name) for k, name in zip(handed, ("delta", "w", "c", "x"), strict=True)
    ] == [True] * 4
    assert question.memory == "fortran"


def test_directions_that_are_left_out_are_none(case_of: Any) -> None:
    asked: list[Any] = []
    case = case_of(PLAIN, asked=asked)
    list(REGISTRY["JVP-3"].check(case))
    alone = next(q for q in asked if q.operands.u is None or q.operands.v is None)
    assert [name for name in ("u", "v", "r") if getattr(alone.operands, name) is not None] == ["r"]  # seed 2


# ---- data that round ----
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda c: c.id)
def test_on_real_data_only_values_are_judged(clause: Any, case_of: Any) -> None:
    evidence = list(clause.check(case_of(f"{RICH} f32 fill=real")))
    assert all(e.ok for e in evidence)
    assert bool(evidence) == (clause.id not in ("TRN-5", "SEC-4", "SEC-5", "JVP-2", "JVP-3"))


def test_transforms_are_settled_before_identities_are_asked(case_of: Any, right_operation: Right) -> None:
    """Noise of a transform is rounded away: nobody may be failed for it."""

    def noisy(g: Geometry, o: Operands, call: Call) -> Results:
        r = right_operation(g, o, call)
        return {q: a if q.endswith("db") else a + np.resize((3e-14, -3e-14), a.shape) for q, a in r.items()}

    fft = case_of(RICH, operation=noisy, arithmetic=Arithmetic(algorithm="fft"))
    assert [c.id for c in CLAUSES for e in c.check(fft) if not e.ok] == []
    direct = case_of(RICH, operation=noisy)
    assert {"TRN-1", "SEC-1", "JVP-1", "JVP-3"} <= {
        c.id for c in CLAUSES for e in c.check(direct) if not e.ok
    }
