"""Problems x clauses x one adapter: who is asked what, how often, and what a verdict becomes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conformance import Adapter, Geometry, Problem, Unsupported
from conformance.adapter.session import Session
from conformance.engine.corpus import Named
from conformance.engine.judgement import Judgement, Status
from conformance.engine.runner import LARGE, case_of, judge, judge_all
from conformance.engine.strategies import EVERYTHING
from conformance.errors import HarnessError
from conformance.oracle import Arithmetic, Evidence
from conformance.oracle.vectorised import Layer
from conformance.problem import QUANTITIES
from conformance.problem.fills import GEOMETRIC, REGIMES
from conformance.spec import REGISTRY, Case, Clause, Severity, matching

LINE = "2d n2 c3 m4 i5x6 k3x2 f64"
ALL = matching("*")
WITHOUT_VARIANTS = [c.id for c in ALL if not (c.variants or c.of_networks)]


class Right(Adapter):
    """Nothing is wrong; counts its calls."""

    capabilities = EVERYTHING

    def __init__(self, **claims: Any) -> None:
        super().__init__()
        self.capabilities = dataclasses.replace(EVERYTHING, **claims)
        self.calls: Counter[Any] = Counter()

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        self._count("forward", g, x, w, b)
        g.check(x=x, w=w, b=b)
        return Layer(g, x, w, b, np.zeros(g.y_shape)).y.astype(x.dtype)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        self._count("backward", g, x, w, b, delta)
        g.check(x=x, w=w, b=b, delta=delta)
        layer = Layer(g, x, w, b, delta)
        return tuple(None if a is None else a.astype(x.dtype) for a in (layer.dx, layer.dw, layer.db))

    def _count(self, way: str, g: Geometry, *operands: Any) -> None:
        content = tuple(None if a is None else (a.shape, a.strides, a.tobytes()) for a in operands)
        self.calls[way, g, content] += 1

    @property
    def ways(self) -> list[str]:
        return sorted(way for (way, *_), count in self.calls.items() for _ in range(count))


def judgements(adapter: Adapter, line: str = LINE, only: str = "*") -> dict[str, Judgement]:
    found = list(judge(Session(adapter, "mine"), Problem.parse(line), "seed/x", matching(only)))
    assert len({j.clause for j in found}) == len(found)
    assert {(j.adapter, j.problem, j.origin) for j in found} <= {("mine", str(Problem.parse(line)), "seed/x")}
    return {j.clause: j for j in found}


# ---- a right implementation ----
OPTIONAL = ("TRN", "SEC", "JVP")
"""Chapters of operations that it does not offer: tests/unit/engine/test_operations.py has one that does."""


@pytest.mark.parametrize(
    "extra", ["", "s2 p1:2", "conv bias=untied", "fill=real", "f32 mem=reversed", "bias=none d2 i9x9"]
)
def test_a_right_implementation_passes_every_clause_that_applies(extra: str) -> None:
    line = f"2d n2 c3 m4 k3x2 {extra}" if "i9x9" in extra else f"2d n2 c3 m4 i5x6 k3x2 {extra}"
    found = {id_: j.status for id_, j in judgements(Right(), line).items()}
    assert {status for id_, status in found.items() if id_[:3] not in OPTIONAL} == {Status.PASS}
    assert {status for id_, status in found.items() if id_[:3] in OPTIONAL} == {Status.UNSUPPORTED}


def test_clauses_come_in_the_order_in_which_they_were_given() -> None:
    session = Session(Right(), "mine")
    asked = [REGISTRY[id_] for id_ in ("WGT-1", "FWD-2", "FWD-1")]
    assert [j.clause for j in judge(session, Problem.parse(LINE), "", asked)] == ["WGT-1", "FWD-2", "FWD-1"]


def test_a_clause_that_does_not_apply_has_no_judgement() -> None:
    found = judgements(Right())
    assert "FWD-6" not in found  # no groups
    assert "BIA-2" not in found  # no untied bias
    assert "FWD-6" in judgements(Right(), "2d n2 c4 m6 g2 i5x6 k3x2")


def test_without_a_bias_there_is_no_judgement_on_db() -> None:
    assert not [c for c in judgements(Right(), f"{LINE} bias=none") if c.startswith("BIA")]


# ---- how often an adapter is asked ----
def test_the_problems_own_results_are_computed_once_for_all_clauses() -> None:
    adapter = Right()
    found = judgements(adapter, only=",".join(WITHOUT_VARIANTS))
    assert len(found) >= 10
    assert adapter.ways == ["backward", "forward"]


@pytest.mark.parametrize(
    "line", [LINE, f"{LINE} mem=fortran", "1d n2 c4 m6 g2 i9 k3 s2 p1:2 d2 conv bias=untied"]
)
def test_identical_calls_are_made_once(line: str) -> None:
    """But for HYG-2, HYG-3 and HYG-5, which ask for the same call again."""
    adapter = Right()
    others = [c.id for c in ALL if c.id not in ("HYG-2", "HYG-3", "HYG-5")]
    judgements(adapter, line, ",".join(others))
    assert {key[0]: count for key, count in adapter.calls.items() if count > 1} == {}


def test_repeated_calls_are_really_made_again() -> None:
    adapter = Right()
    judgements(adapter, only="HYG-2,HYG-3,HYG-5")
    problem = Problem.parse(LINE)
    own = {
        way: count
        for (way, g, content), count in adapter.calls.items()
        if content[0][2] == problem.operands.x.tobytes()
    }
    assert own == {"forward": 4, "backward": 4}


def test_the_number_of_calls_of_a_whole_problem_is_bounded() -> None:
    """What a run costs: about 60 calls a small problem, not 60 a clause."""
    adapter = Right()
    judgements(adapter)
    assert 20 <= sum(adapter.calls.values()) <= 100


def test_one_clause_asks_for_no_more_than_it_needs() -> None:
    for clause, ways in (("FWD-1", ["forward"]), ("WGT-1", ["backward"]), ("DEL-3", ["backward", "forward"])):
        adapter = Right()
        judgements(adapter, only=clause)
        assert adapter.ways == ways


# ---- large problems ----
def line_of(products: int) -> str:
    line = f"1d i{products} k1 bias=none"
    assert Problem.parse(line).geometry.products == products
    return line


def test_a_large_problem_leaves_out_clauses_that_ask_for_more_calls() -> None:
    adapter = Right()
    found = judgements(adapter, line_of(LARGE + 1))
    assert set(found) <= set(WITHOUT_VARIANTS)
    assert {"FWD-1", "DEL-1", "WGT-1", "NUM-2", "HYG-1"} <= set(found)
    assert adapter.ways == ["backward", "forward"]


def test_a_problem_just_below_is_judged_by_all() -> None:
    found = judgements(Right(), line_of(LARGE), "FWD-1,FWD-4,HYG-2")
    assert set(found) == {"FWD-1", "FWD-4", "HYG-2"}


def test_left_out_is_left_out_even_where_it_would_be_unsupported() -> None:
    found = judgements(Right(ranks=frozenset({2})), line_of(LARGE + 1))
    assert set(found) == set(WITHOUT_VARIANTS)
    assert {j.status for j in found.values()} == {Status.UNSUPPORTED}


# ---- the numeric regimes ----
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("fill", REGIMES)
def test_on_a_numeric_regime_rounding_alone_is_judged(fill: str, dtype: str) -> None:
    """The right implementation sums in float64 and rounds once: nothing fails, and NUM says something every time."""
    found = judgements(Right(), f"2d n2 c4 m6 g2 i5x6 k3x2 {dtype} fill={fill}")
    assert {REGISTRY[id_].chapter for id_ in found} == {"NUM"}
    assert {"NUM-1"} < set(found)
    assert {j.status for j in found.values()} <= {Status.PASS, Status.WEAK}


@pytest.mark.parametrize("fill", GEOMETRIC)
def test_on_all_other_data_every_chapter_is_judged(fill: str) -> None:
    found = judgements(Right(), f"2d n2 c4 m6 g2 i5x6 k3x2 fill={fill}")
    assert {REGISTRY[id_].chapter for id_ in found} >= {"FWD", "DEL", "WGT", "NUM", "HYG"}


def test_a_mistake_of_geometry_is_not_judged_twice_on_a_numeric_regime() -> None:
    """It is found, but as a matter of numbers alone."""
    found = judgements(OneWrong(), f"{LINE} fill=wide")
    assert "WGT-1" not in found
    assert found["NUM-2"].status is Status.FAIL


# ---- what is not offered ----
def test_a_problem_that_is_not_offered_is_unsupported_for_every_clause_with_its_reason() -> None:
    adapter = Right(stride=False)
    found = judgements(adapter, f"{LINE} s2")
    assert set(found) == {c.id for c in REGISTRY.values() if not c.of_networks}
    assert {(j.status, j.note) for j in found.values()} == {(Status.UNSUPPORTED, "stride not claimed")}
    assert adapter.calls.total() == 0


@pytest.mark.parametrize("line", [LINE, "1d i5 k2"])
def test_a_clause_about_what_is_not_claimed_says_so_whatever_the_problem(line: str) -> None:
    """Fitting leaves out what is not claimed: no problem shows it, and the reason is not that of another problem."""
    little = Right(
        ranks={2}, groups=False, convention="correlation", biases=frozenset({"tied"}), empty_batch=False
    )
    found = judgements(little, line)
    notes = {id_: (found[id_].status, found[id_].note) for id_ in ("FWD-6", "FWD-9", "BIA-2", "HYG-7")}
    assert notes == {
        "FWD-6": (Status.UNSUPPORTED, "groups not claimed"),
        "FWD-9": (Status.UNSUPPORTED, "both conventions not claimed"),
        "BIA-2": (Status.UNSUPPORTED, "bias untied not claimed"),
        "HYG-7": (Status.UNSUPPORTED, "an empty batch not claimed"),
    }


def test_quantities_that_are_not_offered_are_named() -> None:
    found = judgements(Right(quantities=frozenset({"y"})))
    assert (found["DEL-3"].status, found["DEL-3"].note) == (Status.UNSUPPORTED, "dx not offered")
    assert (found["BIA-1"].status, found["BIA-1"].note) == (Status.UNSUPPORTED, "db not offered")
    assert found["FWD-1"].status is Status.PASS
    backward_only = judgements(Right(quantities=frozenset({"db"})))
    assert backward_only["DEL-3"].note == "dx, y not offered"


class DeclinesWhileComputing(Right):
    """It finds out only then that it does not do this."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        raise Unsupported("no gradients for kernels of 3")


def test_what_is_declined_while_computing_is_unsupported_with_the_reason() -> None:
    found = judgements(DeclinesWhileComputing(), only="FWD-1,WGT-1")
    assert found["FWD-1"].status is Status.PASS
    assert (found["WGT-1"].status, found["WGT-1"].note) == (
        Status.UNSUPPORTED,
        "no gradients for kernels of 3",
    )


# ---- what goes wrong ----
class Raises(Right):
    """Its backward raises."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        self._count("backward", g, x, w, b, delta)
        raise RuntimeError("no gradient\nfor you")


def test_an_exception_is_a_crash_with_its_place_in_every_clause_that_meets_it_and_is_met_once() -> None:
    adapter = Raises()
    found = judgements(adapter, only="FWD-1,DEL-1,WGT-1,BIA-1")
    assert found["FWD-1"].status is Status.PASS
    for clause in ("DEL-1", "WGT-1", "BIA-1"):
        assert found[clause].status is Status.CRASHED
        assert found[clause].note.startswith(f"raises RuntimeError: no gradient for you ({__file__}:")
    assert adapter.ways == ["backward", "forward"]


class OnePositionTooMany(Right):
    """y is one longer than it should be."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        y = super().forward(g, x, w, b)
        return np.pad(y, ((0, 0),) * (y.ndim - 1) + ((0, 1),))


def test_a_wrong_size_fails_whatever_reads_the_result_with_both_sizes() -> None:
    found = judgements(OnePositionTooMany())
    assert found["FWD-2"].status is Status.FAIL
    for clause in ("FWD-1", "FWD-2", "FWD-4", "NUM-2", "ALG-1", "HYG-2"):
        note = "y has shape (2, 4, 3, 6), the geometry gives (2, 4, 3, 5)"
        assert (found[clause].status, found[clause].note, found[clause].index) == (Status.FAIL, note, None)
    assert found["WGT-1"].status is Status.PASS


class ForgetsDw(Right):
    """dw is None although it is declared."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, _, db = super().backward(g, x, w, b, delta)
        return dx, None, db


def test_a_broken_adapter_is_no_failure_of_the_implementation() -> None:
    found = judgements(ForgetsDw(), only="FWD-1,WGT-1")
    assert found["FWD-1"].status is Status.PASS
    assert (found["WGT-1"].status, found["WGT-1"].note) == (
        Status.BROKEN_ADAPTER,
        "mine: backward returned None for dw, which its capabilities declare",
    )


class ForgetsY(Right):
    """y is None although it is declared."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return None


def test_a_forward_that_returns_nothing_is_a_broken_adapter_too() -> None:
    assert judgements(ForgetsY(), only="FWD-1")["FWD-1"].status is Status.BROKEN_ADAPTER


class OneWrong(Right):
    """The last element of dw is one too large."""

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, db = super().backward(g, x, w, b, delta)
        dw.flat[-1] += 1
        return dx, dw, db


def test_a_wrong_element_is_shown_with_its_place_and_values() -> None:
    j = judgements(OneWrong())["WGT-1"]
    right = Layer.of(Problem.parse(LINE).geometry, Problem.parse(LINE).operands).dw[-1, -1, -1, -1]
    assert (j.status, j.quantity, j.index, j.wrong) == (Status.FAIL, "dw", (3, 2, 2, 1), 1)
    assert (j.got, j.expected) == (right + 1, right)


# ---- a defect of ours ----
def a_clause(check: Any) -> Clause:
    return Clause(
        id="FWD-1", severity=Severity.MUST, text="", equation="", source="", check=check, needs=("y",)
    )


def divides_by_zero(case: Case) -> Iterator[Evidence]:
    yield Evidence(quantity="y", grade=case.g.batch // 0)  # type: ignore[arg-type]


def forgets_a_name(case: Case) -> Iterator[Evidence]:
    raise KeyError("dz")


@pytest.mark.parametrize(
    ("check", "error"), [(divides_by_zero, "ZeroDivisionError"), (forgets_a_name, "KeyError('dz')")]
)
def test_a_clause_that_raises_is_a_defect_of_ours_naming_clause_adapter_and_problem(
    check: Any, error: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        list(judge(Session(Right(), "mine"), Problem.parse(LINE), "", [a_clause(check)]))
    told = str(caught.value)
    assert told.startswith(f"clause FWD-1 raised {error}")
    assert told.endswith(f"on mine, problem {LINE}")
    assert (caught.value.fault, caught.value.exit_code) == ("harness", 3)


def test_an_interrupt_ends_the_run() -> None:
    def interrupted(case: Case) -> Iterator[Evidence]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(judge(Session(Right(), "mine"), Problem.parse(LINE), "", [a_clause(interrupted)]))


# ---- all problems ----
def named(*lines: str) -> list[Named]:
    return [Named(id=f"x/{k}", problem=Problem.parse(line)) for k, line in enumerate(lines)]


def test_problems_are_judged_in_order_each_whole() -> None:
    runs = list(judge_all(Session(Right(), "mine"), named(LINE, f"{LINE} s2"), matching("FWD-1,WGT-1")))
    assert [[(j.origin, j.clause) for j in js] for js in runs] == [
        [("x/0", "FWD-1"), ("x/0", "WGT-1")],
        [("x/1", "FWD-1"), ("x/1", "WGT-1")],
    ]


def test_problems_are_fitted_to_what_is_claimed_and_judged_once() -> None:
    """Both become the same without a stride."""
    adapter = Right(stride=False)
    runs = list(
        judge_all(Session(adapter, "mine"), named(f"{LINE} s2", f"{LINE} s3", LINE), matching("FWD-1"))
    )
    assert [[(j.origin, j.problem, j.status) for j in js] for js in runs] == [[("x/0", LINE, Status.PASS)]]
    assert adapter.ways == ["forward"]


def test_problems_are_judged_as_they_are_asked_for() -> None:
    adapter = Right()
    stream = judge_all(Session(adapter, "mine"), named(LINE, f"{LINE} s2"), matching("FWD-1"))
    assert adapter.calls.total() == 0
    next(stream)
    assert adapter.calls.total() == 1


def test_a_case_knows_what_the_adapter_declares() -> None:
    adapter = Right(
        quantities=frozenset({"y", "dw"}), arithmetic={"f32": Arithmetic(accumulator="f64")}, stride=False
    )
    case = case_of(Session(adapter, "mine"), Problem.parse(f"{LINE[:-3]}f32"))
    assert case.offers == ("y", "dw")
    assert case.expected.arithmetic == dict.fromkeys(QUANTITIES, Arithmetic(accumulator="f64"))
    assert case.claims(case.g)
    assert not case.claims(dataclasses.replace(case.g, stride=(2, 1)))
