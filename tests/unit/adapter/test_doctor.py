"""Wiring faults are named; anything that only the implementation can have done is left to the clauses."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance import Adapter, Capabilities, Geometry, Unsupported
from conformance.adapter.doctor import Remark, examine
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.oracle.vectorised import Layer

EVERYTHING = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"f64", "f32", "f16", "bf16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset({"none", "tied", "untied"}),
    convention="both",
    empty_batch=True,
)
LITTLE = Capabilities(ranks=frozenset({2}))
SOUND = "order of results, layouts and convention are as declared"
WRONG = "no wiring fault found; results are not all right, which is for the clauses to judge"
Results = dict[str, Any]


class Wired(Adapter):
    """Right results, changed by what the test says before they come back."""

    def __init__(
        self,
        capabilities: Capabilities = LITTLE,
        change: Callable[[Geometry, Results], Results] = lambda _g, results: results,
        order: tuple[str, ...] = ("dx", "dw", "db"),
    ) -> None:
        super().__init__()
        self.capabilities, self.change, self.order = capabilities, change, order

    def results(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Results:
        layer = Layer(g, x, w, b, delta)
        right = {q: getattr(layer, q) for q in ("y", "dx", "dw", "db")}
        return self.change(g, {q: None if a is None else a.astype(x.dtype) for q, a in right.items()})

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self.results(g, x, w, b, np.zeros(g.y_shape))["y"]

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        results = self.results(g, x, w, b, delta)
        return tuple(results[q] for q in self.order)


def remarks(adapter: Adapter) -> list[Remark]:
    return list(examine(Session(adapter, "mine")))


def wiring(adapter: Adapter) -> Remark:
    (found,) = [r for r in remarks(adapter) if r.check == "wiring"]
    return found


# ---- sound ----
def test_a_sound_adapter_is_told_so_in_order() -> None:
    assert [(r.check, r.ok, r.text) for r in remarks(Wired(EVERYTHING))] == [
        ("loads", True, "mine loads; no library versions stated"),
        ("claims", True, "examined on 2d n2 c3 m5 i9x8 k3x2 f64 seed=1"),
        ("contract", True, "results come back as arrays: y, dx, dw, db"),
        ("wiring", True, SOUND),
    ]


class WithVersions(Wired):
    def versions(self) -> dict[str, str]:
        return {"mycnn": "1.2", "blas": "3"}


def test_versions_are_told() -> None:
    assert remarks(WithVersions())[0].text == "mine loads; mycnn 1.2, blas 3"


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"ranks": {1}}, "1d n2 c3 m5 i9 k3 f64 seed=1"),
        ({"ranks": {3}}, "3d n2 c3 m5 i9x8x7 k3x2x2 f64 seed=1"),
        ({"ranks": {1, 3}}, "1d n2 c3 m5 i9 k3 f64 seed=1"),
        ({"dtypes": {"bf16"}}, "2d n2 c3 m5 i9x8 k3x2 bf16 seed=1"),
        ({"dtypes": {"f16", "f32"}}, "2d n2 c3 m5 i9x8 k3x2 f32 seed=1"),
        ({"biases": {"none"}}, "2d n2 c3 m5 i9x8 k3x2 bias=none f64 seed=1"),
        ({"biases": {"untied"}}, "2d n2 c3 m5 i9x8 k3x2 bias=untied f64 seed=1"),
        ({"convention": "convolution"}, "2d n2 c3 m5 i9x8 k3x2 conv f64 seed=1"),
    ],
)
def test_the_plain_problem_is_one_that_is_offered(claims: dict[str, Any], problem: str) -> None:
    told = remarks(Wired(dataclasses.replace(LITTLE, **claims)))
    assert told[1].text == f"examined on {problem}"
    assert [r.text for r in told if r.check == "wiring"] == [SOUND]


class OneSquareMap(Wired):
    """Conditional: square kernels, one channel, one map, one item only."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        small = g.batch == g.channels == g.maps == 1
        return None if small and len(set(g.kernel)) == 1 == len(set(g.size)) else "one square map only"


def test_the_plain_problem_obeys_conditional_rules() -> None:
    assert remarks(OneSquareMap())[1].text == "examined on 2d n1 c1 m1 i8x8 k3x3 f64 seed=1"


class OffersNothing(Wired):
    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return "never"


def test_an_adapter_that_offers_nothing_plain_is_not_examined() -> None:
    told = remarks(OffersNothing())
    assert [r.check for r in told] == ["loads", "claims"]
    assert told[-1] == Remark(
        check="claims", ok=True, text="it offers none of the doctor's plain problems: wiring not checked"
    )


@pytest.mark.parametrize("quantities", [{"y"}, {"dw"}, {"dx", "dw"}, {"db"}, {"y", "dx"}])
def test_an_adapter_of_few_quantities_is_examined_on_those(quantities: set[str]) -> None:
    told = remarks(Wired(dataclasses.replace(LITTLE, quantities=frozenset(quantities))))
    names = ", ".join(q for q in ("y", "dx", "dw", "db") if q in quantities)
    assert told[2].text == f"results come back as arrays: {names}"
    assert told[3].text == SOUND


# ---- faults of the wiring ----
@pytest.mark.parametrize(
    "order", [o for o in itertools.permutations(("dx", "dw", "db")) if o != ("dx", "dw", "db")]
)
def test_gradients_in_another_order_are_a_wiring_fault(order: tuple[str, ...]) -> None:
    found = wiring(Wired(order=order))
    assert not found.ok
    assert found.text == f"mine: backward returns ({', '.join(order)}) where (dx, dw, db) is expected"


def test_swapped_gradients_without_a_bias_are_a_wiring_fault() -> None:
    able = dataclasses.replace(LITTLE, biases=frozenset({"none"}))
    found = wiring(Wired(able, order=("dw", "dx", "db")))
    assert (found.ok, found.text) == (False, "mine: backward returns (dw, dx) where (dx, dw) is expected")


def rearranges(quantity: str, order: tuple[int, ...]) -> Callable[[Geometry, Results], Results]:
    return lambda _g, results: {**results, quantity: results[quantity].transpose(order)}


ORDERS = [(0, 2, 3, 1), (2, 3, 0, 1), (1, 0, 2, 3), (2, 3, 1, 0), (1, 2, 3, 0)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("quantity", "layout"), [("y", "x_layout"), ("dx", "x_layout"), ("dw", "w_layout")])
def test_a_result_in_another_axis_order_is_a_wiring_fault(
    quantity: str, layout: str, order: tuple[int, ...]
) -> None:
    found = wiring(Wired(change=rearranges(quantity, order)))
    assert not found.ok
    assert (
        found.text == f"mine: {quantity} is right with its axes in the order {order}: "
        f"the declared {layout} does not hold"
    )


def test_a_declared_layout_in_which_results_come_back_is_sound() -> None:
    class ChannelsLast(Adapter):
        capabilities = dataclasses.replace(LITTLE, x_layout="NHWC", w_layout="HWIO")

        def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
            plain = x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)
            return Layer(g, *plain, b, np.zeros(g.y_shape)).y.transpose(0, 2, 3, 1)

        def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
            layer = Layer(g, x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), b, delta.transpose(0, 3, 1, 2))
            return layer.dx.transpose(0, 2, 3, 1), layer.dw.transpose(2, 3, 1, 0), layer.db

    assert wiring(ChannelsLast()).text == SOUND


class OtherConvention(Wired):
    """It computes true convolution whatever it is asked for."""

    def results(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Results:
        return super().results(dataclasses.replace(g, convention="convolution"), x, w, b, delta)


def test_the_other_convention_throughout_is_a_wiring_fault() -> None:
    found = wiring(OtherConvention())
    assert not found.ok
    assert found.text == (
        "mine: it declares correlation, but everything it computes is convolution: "
        "declare convention='convolution'"
    )
    assert wiring(OtherConvention(dataclasses.replace(LITTLE, convention="convolution"))).text == SOUND


def test_a_broken_contract_is_a_fault_and_the_last_remark() -> None:
    told = remarks(Wired(change=lambda _g, results: {**results, "dw": None}))
    assert told[-1] == Remark(
        check="contract", ok=False, text="mine: backward returned None for dw, which its capabilities declare"
    )
    assert [r.check for r in told] == ["loads", "claims", "contract"]


def test_no_y_is_a_broken_contract_too() -> None:
    told = remarks(Wired(change=lambda _g, results: {**results, "y": None}))
    assert told[-1] == Remark(
        check="contract", ok=False, text="mine: forward returned None for y, which its capabilities declare"
    )


def test_a_wiring_fault_is_the_last_remark() -> None:
    assert not remarks(Wired(order=("dw", "dx", "db")))[-1].ok


class VersionsRaise(Wired):
    def versions(self) -> dict[str, str]:
        raise RuntimeError("no __version__")


def test_versions_that_raise_are_the_adapters_fault() -> None:
    """As a remark or as an exception, but not as a traceback of ours."""
    try:
        told = remarks(VersionsRaise())
    except AdapterBroken:
        return
    assert not told[-1].ok


# ---- mistakes of the implementation are none of the wiring ----
def turned(a: Any) -> Any:
    return np.flip(a, tuple(range(2, a.ndim)))


def plus_one(a: Any) -> Any:
    a = a.copy()
    a.flat[-1] += 1
    return a


def changes(*quantities: str, by: Callable[[Any], Any]) -> Callable[[Geometry, Results], Results]:
    return lambda _g, r: {q: by(a) if q in quantities and a is not None else a for q, a in r.items()}


MISTAKES = {
    "all zero": changes("y", "dx", "dw", "db", by=np.zeros_like),
    "all NaN": changes("y", "dx", "dw", "db", by=lambda a: np.full_like(a, np.nan)),
    "all infinite": changes("y", "dx", "dw", "db", by=lambda a: np.full_like(a, np.inf)),
    "negative": changes("y", "dx", "dw", "db", by=np.negative),
    "dw turned": changes("dw", by=turned),
    "dx turned": changes("dx", by=turned),
    "dx and dw turned": changes("dx", "dw", by=turned),
    "y turned": changes("y", by=turned),
    "one element of each": changes("y", "dx", "dw", "db", by=plus_one),
    "half of dw": changes("dw", by=lambda a: a / 2),
    "mean over the batch": lambda g, r: {
        **r,
        "dw": r["dw"] / g.batch,
        "db": None if r["db"] is None else r["db"] / g.batch,
    },
    "one column too many": changes("y", by=lambda a: np.pad(a, ((0, 0), (0, 0), (0, 0), (0, 1)))),
    "maps reversed": changes("y", by=lambda a: a[:, ::-1]),
    "flat": changes("dx", by=np.ravel),
    "scalar": changes("dx", by=lambda a: a.sum()),
    "height and width swapped": changes("y", "dx", "dw", by=lambda a: a.swapaxes(2, 3)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_plain_mistake_is_no_wiring_fault(mistake: str) -> None:
    told = remarks(Wired(change=MISTAKES[mistake]))
    assert all(r.ok for r in told)
    assert [r.text for r in told if r.check == "wiring"] == [WRONG]


def test_the_other_convention_in_one_result_only_is_a_mistake() -> None:
    class HalfTurned(OtherConvention):
        def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
            return Layer(g, x, w, b, np.zeros(g.y_shape)).y

    found = wiring(HalfTurned())
    assert (found.ok, found.text) == (True, WRONG)


def test_an_implementation_that_raises_is_no_wiring_fault() -> None:
    def raises(g: Geometry, results: Results) -> Results:
        raise RuntimeError("no gradient for you")

    told = remarks(Wired(change=raises))
    assert told[-1] == Remark(
        check="contract",
        ok=True,
        text="it raises on a plain problem (RuntimeError: no gradient for you): "
        "that is for the clauses to judge",
    )


def test_an_adapter_that_declines_the_plain_problem_while_computing_is_no_fault() -> None:
    def declines(g: Geometry, results: Results) -> Results:
        raise Unsupported("not today")

    told = remarks(Wired(change=declines))
    assert all(r.ok for r in told)
    assert any("not today" in r.text for r in told)


# ---- what works though it is not claimed ----
UNCLAIMED = ["stride", "dilation", "groups", "symmetric padding", "asymmetric padding", "an empty batch"]


def reported(adapter: Adapter) -> list[str]:
    tail = " works on the doctor's problem, though it is not claimed"
    return [r.text.removesuffix(tail) for r in remarks(adapter) if r.text.endswith(tail)]


def test_features_that_work_and_are_not_claimed_are_reported() -> None:
    assert reported(Wired(LITTLE)) == UNCLAIMED
    assert all(r.ok for r in remarks(Wired(LITTLE)))


def test_features_that_are_claimed_are_not_reported() -> None:
    assert reported(Wired(EVERYTHING)) == []
    able = dataclasses.replace(LITTLE, stride=True, padding="symmetric", empty_batch=True)
    assert reported(Wired(able)) == ["dilation", "groups", "asymmetric padding"]
    assert reported(Wired(dataclasses.replace(LITTLE, padding="asymmetric", dilation=True))) == [
        "stride",
        "groups",
        "an empty batch",
    ]


@pytest.mark.parametrize(("ranks", "dtype"), [({1}, "f64"), ({3}, "f32"), ({2}, "bf16")])
def test_unclaimed_features_are_tried_in_every_rank_and_dtype(ranks: set[int], dtype: str) -> None:
    able = dataclasses.replace(LITTLE, ranks=frozenset(ranks), dtypes=frozenset({dtype}))
    assert reported(Wired(able)) == UNCLAIMED


class PlainOnly(Wired):
    """Anything that is not plain raises, is wrong, or is declined."""

    def results(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Results:
        if max(g.stride) > 1:
            raise NotImplementedError("stride")
        if max(g.dilation) > 1:
            raise Unsupported("dilation")
        results = super().results(g, x, w, b, delta)
        if g.groups > 1:
            return {**results, "dw": results["dw"] * 0}
        return {**results, "y": results["y"][..., 1:]} if any(map(any, g.padding)) else results

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return super().forward(g, x, w, b) if g.batch else None


def test_features_that_raise_or_are_wrong_or_are_declined_are_not_reported() -> None:
    assert reported(PlainOnly()) == []
    assert wiring(PlainOnly()).text == SOUND


def test_a_wrong_implementation_has_no_feature_that_works() -> None:
    assert reported(Wired(change=MISTAKES["one element of each"])) == []
