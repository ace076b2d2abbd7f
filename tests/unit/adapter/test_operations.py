"""Optional operations through a session: layouts in and out, what is watched, whose fault it is."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

import miniatures
from conformance import Capabilities, Geometry, Unsupported
from conformance.adapter.doctor import Remark, examine
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.oracle.operations import exact
from conformance.problem import Problem
from conformance.problem.operations import CALLS, OPERATIONS, shape_of
from conformance.spec import Answer, NotOffered, Question, Raised, TimedOut

LINE = "2d n2 c4 m6 g2 i9x7 k3x2 s3x2 p1:0x2 d1x2 conv"
METHODS = tuple(method for method, call in CALLS.items() if call.operation)


def asked(line: str, method: str, **changes: Any) -> Question:
    p = Problem.parse(line)
    operands = p.further.replace(**changes)
    return Question(geometry=p.geometry, operands=operands, memory=p.memory, method=method)


def put(adapter: Any, method: str, line: str = LINE, **options: Any) -> Answer:
    return Session(adapter, "mine", **options).answer(asked(line, method))


class Last(miniatures.Whole):
    """Channels last, kernels HWIO; sees to it that everything comes in that order."""

    capabilities = dataclasses.replace(miniatures.Whole.capabilities, x_layout="NHWC", w_layout="HWIO")

    def __init__(self) -> None:
        super().__init__()
        self.inner = miniatures.Whole()

    def _seen(self, name: str, a: Any) -> Any:
        if a is None or a.ndim == 1:
            return a
        return np.moveaxis(a, (-1, -2), (0, 1)) if name in ("w", "v") else np.moveaxis(a, -1, 1)

    def _call(self, method: str, g: Geometry, operands: dict[str, Any]) -> Any:
        seen = {name: self._seen(name, a) for name, a in operands.items()}
        for name, a in seen.items():
            assert a is None or a.shape == g.shape_of(CALLS[method].reads[name]), name
        results = getattr(self.inner, method)(g, **seen)
        gives = list(CALLS[method].gives)
        back = [
            a if r == "db" else np.moveaxis(a, (0, 1), (-1, -2)) if r == "dw" else np.moveaxis(a, 1, -1)
            for r, a in zip(gives, results if len(gives) > 1 else [results], strict=True)
        ]
        return tuple(back) if len(gives) > 1 else back[0]

    def transposed(self, g: Geometry, **operands: Any) -> Any:
        return self._call("transposed", g, operands)

    def transposed_backward(self, g: Geometry, **operands: Any) -> Any:
        return self._call("transposed_backward", g, operands)

    def double_backward(self, g: Geometry, **operands: Any) -> Any:
        return self._call("double_backward", g, operands)

    def forward_mode(self, g: Geometry, **operands: Any) -> Any:
        return self._call("forward_mode", g, operands)


@pytest.mark.parametrize("adapter", [miniatures.Whole, Last])
@pytest.mark.parametrize("memory", ["c", "fortran", "reversed", "broadcast", "channels-last"])
@pytest.mark.parametrize("method", METHODS)
def test_results_come_back_in_our_layout(method: str, memory: str, adapter: Any) -> None:
    p = Problem.parse(f"{LINE} mem={memory}")
    answer = put(adapter(), method, str(p))
    assert list(answer.arrays) == [CALLS[method].quantity(r) for r in CALLS[method].gives]
    for q, a in answer.arrays.items():
        np.testing.assert_array_equal(a, exact(p.geometry, p.further, q))
    assert (answer.modified, answer.shared) == ((), ())


def test_without_a_bias_none_is_handed_over_and_none_expected() -> None:
    answer = put(miniatures.Whole(), "transposed_backward", "1d n2 c2 m3 i5 k2 bias=none")
    assert list(answer.arrays) == ["transposed.dx", "transposed.dw"]


# ---- what is watched ----
class Writing(miniatures.Whole):
    def forward_mode(self, g: Geometry, **operands: Any) -> Any:
        dy = super().forward_mode(g, **operands)
        operands["u"][...] = 0
        return dy

    def double_backward(self, g: Geometry, **operands: Any) -> Any:
        dx, dw, ddelta = super().double_backward(g, **operands)
        delta = operands["delta"]
        delta[...] = ddelta
        return dx, dw, delta


def test_operands_that_are_changed_or_handed_back_are_seen() -> None:
    assert put(Writing(), "forward_mode").modified == ("u",)
    answer = put(Writing(), "double_backward")
    assert (answer.modified, answer.shared) == (("delta",), ("double_backward.ddelta",))


class Failing(miniatures.Whole):
    def transposed(self, g: Any, **operands: Any) -> Any:
        raise RuntimeError("no kernel")

    def double_backward(self, g: Any, **operands: Any) -> Any:
        raise Unsupported("not here")

    def forward_mode(self, g: Any, **operands: Any) -> Any:
        time.sleep(0.5)
        return super().forward_mode(g, **operands)


def test_errors_are_given_their_names() -> None:
    with pytest.raises(Raised, match="RuntimeError: no kernel"):
        put(Failing(), "transposed")
    with pytest.raises(NotOffered, match="not here"):
        put(Failing(), "double_backward")
    with pytest.raises(TimedOut):
        put(Failing(), "forward_mode", time_limit=0.2)


class Declaring(miniatures.Right):
    """It declares what it does not have."""

    capabilities = dataclasses.replace(miniatures.EVERYTHING, operations=frozenset(OPERATIONS))


class Pair(miniatures.Whole):
    def double_backward(self, g: Geometry, **operands: Any) -> Any:
        return super().double_backward(g, **operands)[:2]


class Nothing(miniatures.Whole):
    def forward_mode(self, g: Geometry, **operands: Any) -> Any:
        return None


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_missing_is_the_adapters_fault(method: str) -> None:
    with pytest.raises(AdapterBroken, match=f"Declaring has no {method}"):
        put(Declaring(), method)


def test_a_contract_that_is_broken_is_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken, match=r"double_backward must return \(dx, dw, ddelta\).*tuple of 2"):
        put(Pair(), "double_backward")
    with pytest.raises(AdapterBroken, match=r"forward_mode returned None for forward_mode.dy"):
        put(Nothing(), "forward_mode")


# ---- capabilities ----
def test_operations_are_declared_by_name() -> None:
    assert Capabilities().operations == frozenset()
    assert Capabilities().offered == {"y", "dx", "dw", "db"}
    able = Capabilities(operations={"transposed"}, quantities={"y"})  # type: ignore[arg-type]
    assert able.offered == {"y", "transposed.y", "transposed.dx", "transposed.dw", "transposed.db"}
    for wrong in ({"transpose"}, "transposed", 3):
        with pytest.raises(
            AdapterBroken, match="it must be a set of transposed, double_backward, forward_mode"
        ):
            Capabilities(operations=wrong)  # type: ignore[arg-type]


# ---- the doctor ----
class Exchanged(miniatures.Whole):
    """The results of the second backward pass in another order."""

    def double_backward(self, g: Geometry, **operands: Any) -> Any:
        dx, dw, ddelta = super().double_backward(g, **operands)
        return ddelta, dx, dw


def remarks(adapter: Any) -> list[Remark]:
    return list(examine(Session(adapter, "mine")))


def test_the_doctor_asks_all_that_is_declared() -> None:
    told = [r.text for r in remarks(miniatures.Whole()) if r.check == "operations"]
    assert told == [
        f"{method} gives {', '.join(CALLS[method].quantity(r) for r in CALLS[method].gives)}"
        for method in METHODS
    ]
    assert not [r for r in remarks(miniatures.Right()) if r.check == "operations"]


def test_the_doctor_sees_results_in_another_order() -> None:
    *_, last = remarks(Exchanged())
    assert not last.ok
    assert (
        "double_backward returns (double_backward.ddelta, double_backward.dx, double_backward.dw) where"
        in last.text
    )


def test_the_doctor_sees_what_is_missing_and_leaves_failures_to_the_clauses() -> None:
    *_, last = remarks(Declaring())
    assert (last.ok, "Declaring has no transposed" in last.text) == (False, True)
    failing = remarks(Failing())
    assert all(r.ok for r in failing)
    assert any("RuntimeError: no kernel; that is for the clauses to judge" in r.text for r in failing)


def test_shapes_are_for_clauses_to_judge() -> None:
    class Long(miniatures.Whole):
        def transposed(self, g: Geometry, **operands: Any) -> Any:
            y = super().transposed(g, **operands)
            return np.concatenate((y, y), axis=2)

    p = Problem.parse(LINE)
    answer = put(Long(), "transposed")
    assert answer.arrays["transposed.y"].shape != shape_of(p.geometry, "transposed.y")
    assert all(r.ok for r in remarks(Long()))
