from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic
from conformance.problem import DTYPES, QUANTITIES, Geometry
from conformance.problem.fills import FILLS, HEADROOM, REGIMES
from conformance.spec import REGISTRY, Answer, Case, Misshapen, NotOffered, Question, Raised, matching

LINE = "2d n2 c2 m3 i4x5 k2x3"
CaseOf = Callable[..., Case]


# ---- one call for all who ask the same ----
def test_a_forward_and_a_backward_call_serve_all_quantities(case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of(LINE, asked=asked)
    for q in ("y", "dx", "dw", "db", "dx", "y"):
        assert case[q].shape == case.g.shape_of(q)
    assert [question.backward for question in asked] == [False, True]


def test_identical_variants_are_asked_once(case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of(LINE, asked=asked)
    x = case.operands.x
    for _ in range(3):
        case.ask("y", x=np.flip(x))
        case.ask("y", x=np.array(np.flip(x)))
    case.ask("dx", x=np.flip(x))
    case.ask("dw", x=np.flip(x))
    assert len(asked) == 2


@pytest.mark.parametrize(
    "variant", ["x", "w", "b", "no b", "delta", "geometry", "memory", "again", "shape", "swapped names"]
)
def test_different_calls_are_different_questions(variant: str, case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of("1d n1 c1 m1 i3 k3 bias=untied", asked=asked)
    o = case.operands
    case.ask("dx", x=o.x, w=o.w)
    changes: dict[str, tuple[Any, dict[str, Any]]] = {
        "x": (None, {"x": o.x + 1, "w": o.w}),
        "w": (None, {"x": o.x, "w": o.w + 1}),
        "b": (None, {"x": o.x, "w": o.w, "b": o.b}),
        "no b": (dataclasses.replace(case.g, bias="none"), {"x": o.x, "w": o.w, "b": None}),
        "delta": (None, {"x": o.x, "w": o.w, "delta": o.delta * 2}),
        "geometry": (dataclasses.replace(case.g, stride=(2,)), {"x": o.x, "w": o.w}),
        "memory": (None, {"x": o.x, "w": o.w, "memory": "fortran"}),
        "again": (None, {"x": o.x, "w": o.w, "again": 1}),
        "shape": (Geometry(size=3, kernel=(3,), batch=1), {"x": o.x, "w": o.w, "b": np.ones(1)}),
        "swapped names": (None, {"x": o.w, "w": o.x}),
    }
    g, others = changes[variant]
    case.call("dx", g, **others)
    assert len(asked) == 2


def test_the_same_values_for_different_operands_are_different_questions(case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of("1d n1 c1 m1 i3 k3", asked=asked)
    values = np.ones((1, 1, 3))
    assert case.ask("dw", x=values).tolist() != case.ask("dw", w=values).tolist()
    assert len(asked) == 2


def test_again_makes_the_same_call_anew_and_once(case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of(LINE, asked=asked)
    answers = [case.call("dx", again=again) for again in (0, 1, 1, 2, 0)]
    assert len(asked) == 3
    assert answers[0] is answers[4]
    assert answers[1] is answers[2] is not answers[0]
    assert len({id(question.operands) for question in asked}) == 1


def test_all_clauses_together_ask_far_less_than_each_alone(case_of: CaseOf) -> None:
    line = "2d n2 c4 m4 g2 i5x4 k2x3 s1x2 p1:0"
    together: list[Question] = []
    case, alone = case_of(line, asked=together), 0
    for clause in matching():
        asked: list[Question] = []
        list(clause.check(case_of(line, asked=asked)))
        list(clause.check(case))
        alone += len(asked)
    assert len(together) < 0.75 * alone


def test_a_question_holds_what_was_asked(case_of: CaseOf) -> None:
    asked: list[Question] = []
    case = case_of(f"{LINE} mem=fortran", asked=asked)
    b = case.operands.b
    assert b is not None
    case.ask("dw", dataclasses.replace(case.g, convention="convolution"), memory="sliced", b=b * 2)
    case.ask("y")
    first, second = asked
    assert (first.geometry.convention, first.memory, first.backward) == ("convolution", "sliced", True)
    assert first.operands.b is not None
    assert first.operands.b.tolist() == (b * 2).tolist()
    assert first.operands.x is case.operands.x
    assert (second.geometry, second.memory, second.backward) == (case.g, "fortran", False)


def test_operands_of_a_variant_of_a_broadcast_problem_are_handed_over_as_they_are(case_of: CaseOf) -> None:
    """Only the problem's own operands repeat one item; a variant's would lose all others."""
    asked: list[Question] = []
    case = case_of(f"{LINE} mem=broadcast", asked=asked)
    x = np.array(case.operands.x)
    x[1, 0, 2, 2] = 0
    case.ask("y")
    case.ask("y", x=x)
    assert [question.memory for question in asked] == ["broadcast", "c"]


# ---- results of another size ----
@pytest.mark.parametrize("q", ["y", "dx", "dw", "db"])
def test_a_result_of_another_size_is_misshapen_but_its_shape_can_be_asked(
    q: str, case_of: CaseOf, right: Any
) -> None:
    def longer(g: Geometry, o: Any, backward: bool) -> Any:
        return {
            name: np.resize(a, (*a.shape[:-1], a.shape[-1] + 1)) for name, a in right(g, o, backward).items()
        }

    case = case_of(LINE, longer)
    there = case.g.shape_of(q) or ()
    with pytest.raises(Misshapen) as caught:
        _ = case[q]
    wrong = (*there[:-1], there[-1] + 1)
    assert str(caught.value) == f"{q} has shape {wrong}, the geometry gives {there}"
    assert case.shape(q) == wrong


def test_the_size_of_a_variants_result_is_that_of_its_geometry(case_of: CaseOf) -> None:
    case = case_of(LINE)
    padded = dataclasses.replace(case.g, padding=((1, 1), (0, 0)))
    assert case.ask("y", padded).shape == padded.y_shape != case.g.y_shape


# ---- refusals ----
@pytest.mark.parametrize("refusal", [Raised("RuntimeError", "out of memory"), NotOffered("only on Sundays")])
def test_a_refusal_is_remembered_and_raised_to_all_who_ask(refusal: Exception, case_of: CaseOf) -> None:
    calls = []

    def refuse(question: Question) -> Answer:
        calls.append(question)
        raise refusal

    like = case_of(LINE)
    case = Case(like.problem, refuse, arithmetic=Arithmetic(), offered=like.offered, claims=lambda g: True)
    for _ in range(2):
        with pytest.raises(type(refusal)) as caught:
            _ = case["y"]
        assert caught.value is refusal
    assert len(calls) == 1


def test_another_exception_is_no_answer_and_passes_through(case_of: CaseOf) -> None:
    def broken(g: Any, o: Any, backward: bool) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = case_of(LINE, broken)["y"]


def test_what_an_implementation_raised_is_told_as_kind_and_text() -> None:
    assert str(Raised("ValueError", "bad stride")) == "ValueError: bad stride"


def test_a_refusal_of_nonsense_is_returned_and_acceptance_is_none(case_of: CaseOf) -> None:
    case = case_of(LINE)
    refused = case.refusal(backward=False, x=np.ones((2, 3, 4, 5)))
    assert isinstance(refused, Raised)
    assert str(refused) == "GeometryError: x has shape (2, 3, 4, 5), but this geometry needs (2, 2, 4, 5)"
    assert case.refusal(backward=True, x=case.operands.x * 2) is None


# ---- what is offered, what is exact ----
@pytest.mark.parametrize(
    ("line", "offered", "offers"),
    [
        (LINE, {"y", "dx", "dw", "db"}, ("y", "dx", "dw", "db")),
        (f"{LINE} bias=none", {"y", "dx", "dw", "db"}, ("y", "dx", "dw")),
        (LINE, {"db", "dw"}, ("dw", "db")),
        (LINE, {"y"}, ("y",)),
    ],
)
def test_a_case_offers_what_is_offered_and_there(
    line: str, offered: set[str], offers: Any, case_of: CaseOf
) -> None:
    case = case_of(line, offered=frozenset(offered))
    assert case.offers == offers
    assert [q for q in ("y", "dx", "dw", "db") if case.has(q)] == list(offers)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", ["small", "unit", "sparse"])
def test_integers_are_exact_and_reals_are_not(fill: str, dtype: str, case_of: CaseOf) -> None:
    assert case_of(f"2d n1 c2 m2 i4 k3 {dtype} fill={fill}").exact
    assert not case_of(f"2d n1 c2 m2 i4 k3 {dtype} fill=real").exact


@pytest.mark.parametrize("bias", ["none", "tied"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_data_whose_sums_have_headroom_are_exact(dtype: str, bias: str, case_of: CaseOf) -> None:
    """The fill chose its amplitude so that HEADROOM times the largest possible sums stay exact."""
    lost = []
    for n in range(1, 64):
        case = case_of(f"1d n1 c{n} m1 i1 k1 bias={bias} {dtype}")
        a = case.problem.amplitude
        largest = n * a * a + (a if bias == "tied" else 0)
        if HEADROOM * largest <= 2**case.problem.format.p and not case.exact:
            lost.append((n, a))
    assert lost == [], "(products, amplitude) of exact data that the clauses of algebra skip"


def test_too_many_summands_are_not_exact(case_of: CaseOf) -> None:
    assert case_of("1d n1 c60 m1 i1 k1 bias=none bf16").exact
    assert not case_of("1d n1 c65 m1 i1 k1 bias=none bf16").exact
    assert not case_of("1d n1 c9 m1 i1 k1 bias=none f32", arithmetic=Arithmetic(accumulator="bf16")).exact


def test_exactness_concerns_what_is_offered_alone(case_of: CaseOf) -> None:
    """dw sums over 80 positions: too many for bfloat16; y sums two products."""
    line = "1d n1 c1 m1 i81 k2 bias=none bf16 fill=unit"
    assert not case_of(line).exact
    assert case_of(line, offered=frozenset({"y", "dx"})).exact


def test_a_transform_is_exact_where_its_error_can_not_reach_the_next_integer(case_of: CaseOf) -> None:
    fft = Arithmetic(algorithm="fft")
    assert case_of("1d n1 c2 m2 i8 k3 f64", arithmetic=fft).exact
    assert not case_of("1d n1 c2 m2 i8 k3 f16", arithmetic=fft).exact


def test_results_of_a_transform_settle_on_integers_and_direct_ones_stay(case_of: CaseOf) -> None:
    got = np.array([1.25, -2.0, 2.9999], np.float32)
    direct, transformed = case_of(LINE), case_of(LINE, arithmetic=Arithmetic(algorithm="fft"))
    assert direct.settled("dx", got).tolist() == got.astype(np.float64).tolist()
    assert transformed.settled("dx", got).tolist() == [1, -2, 3]
    assert (
        transformed.settled("db", got).tolist() == got.astype(np.float64).tolist()
    )  # a plain sum in any case
    assert direct.settled("dx", got).dtype == np.float64


def test_a_class_for_each_quantity_judges_each_by_its_own(case_of: CaseOf) -> None:
    """y is transformed, all else is summed directly, dw in bfloat16: too narrow to be exact."""
    classes = dict.fromkeys(QUANTITIES, Arithmetic()) | {"y": Arithmetic(algorithm="fft")}
    mixed = case_of("1d n1 c9 m1 i8 k3 f32", arithmetic=classes)
    got = np.array([1.25, 2.9999], np.float32)
    assert mixed.settled("y", got).tolist() == [1, 3]
    assert mixed.settled("dx", got).tolist() == got.astype(np.float64).tolist()
    assert mixed.exact
    narrow = classes | {"dw": Arithmetic(accumulator="bf16")}
    assert not case_of("1d n1 c9 m1 i8 k3 f32", arithmetic=narrow).exact
    assert case_of("1d n1 c9 m1 i8 k3 f32", arithmetic=narrow, offered=frozenset({"y", "dx"})).exact


@pytest.mark.parametrize("fill", FILLS)
def test_roundings_are_taken_to_be_independent_on_random_mantissas_alone(fill: str, case_of: CaseOf) -> None:
    assert case_of(f"{LINE} fill={fill}").expected.independent == (fill == "real")


@pytest.mark.parametrize("fill", REGIMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_data_of_a_numeric_regime_are_not_exact_for_the_clauses_of_algebra(
    fill: str, dtype: str, case_of: CaseOf
) -> None:
    """Wide integers have no headroom: x + v would leave the regime."""
    assert not case_of(f"{LINE} {dtype} fill={fill}").exact


def test_every_clause_with_its_needs_alone_asks_for_nothing_else(case_of: CaseOf, right: Any) -> None:
    """An implementation without some quantities is never asked for them."""
    for offered in ({"y"}, {"dx"}, {"dw"}, {"db"}, {"y", "dx"}, {"y", "dw"}, {"dw", "db"}, {"dx", "dw"}):

        def part(g: Any, o: Any, backward: bool, offered: set[str] = offered) -> Any:
            return {q: a for q, a in right(g, o, backward).items() if q in offered}

        for clause in REGISTRY.values():
            if set(clause.needs) <= offered:
                case = case_of("2d n2 c2 m4 g2 i4x5 k2 s1x2 p1:0 bias=tied", part, offered=frozenset(offered))
                for evidence in clause.check(case):
                    assert evidence.ok, (clause.id, offered)
                    assert evidence.quantity in offered
