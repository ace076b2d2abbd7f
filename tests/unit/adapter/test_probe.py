"""Each property is inferred from an implementation that has it, and from no other; what a run may assume is no more."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agreement.honest.catalogue import HONEST
from conformance import Adapter, Arithmetic, Capabilities, Geometry, Unsupported
from conformance.adapter.connect import connect
from conformance.adapter.probe import UNOBSERVABLE, Observation, inferred, probe
from conformance.adapter.probe.bench import Bench, axes
from conformance.adapter.probe.observation import merged
from conformance.adapter.probe.rounding import MODES, contains, once, rounded
from conformance.adapter.session import Session
from conformance.cli import main
from conformance.engine.strategies import EVERYTHING
from conformance.errors import AdapterBroken
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, QUANTITIES, Operands, dtype_of
from conformance.spec import NotOffered

Compute = Callable[[Geometry, Operands, str], Any]
DEFAULT = dict.fromkeys(QUANTITIES, Arithmetic())


def exact(g: Geometry, o: Operands, q: str) -> Any:
    """Summed in float64, not yet rounded to the dtype."""
    return getattr(Layer.of(g, o), q)


class Fake(Adapter):
    """Results as `compute` gives them, rounded once to the dtype of the operands."""

    def __init__(self, compute: Compute = exact, *dtypes: str, **changes: Any) -> None:
        super().__init__()
        able = dataclasses.replace(EVERYTHING, dtypes=frozenset(dtypes or ("f32",)), arithmetic=None)
        self.capabilities: Capabilities = dataclasses.replace(able, **changes)
        self.compute, self.calls, self.geometries = compute, 0, set[Geometry]()

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self.result(g, Operands(x=x, w=w, b=b, delta=np.zeros(g.y_shape, x.dtype)), "y")

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        self.calls -= 2
        o = Operands(x=x, w=w, b=b, delta=delta)
        return tuple(None if q == "db" and b is None else self.result(g, o, q) for q in ("dx", "dw", "db"))

    def result(self, g: Geometry, o: Operands, q: str) -> Any:
        self.calls += 1
        self.geometries.add(g)
        dtype = dtype_of(o.x.dtype)
        return dtype.rounded(self.compute(g, o, q)).astype(dtype.numpy)


@functools.cache
def everything(adapter: Adapter) -> list[Observation]:
    return list(probe(Session(adapter, "mine")))


def seen(adapter: Adapter, what: str, dtype: str = "f32") -> dict[str, Observation]:
    """What was seen of a property, by quantity."""
    found = [o for o in everything(adapter) if o.property == what and o.dtype == dtype]
    return {q: o for o in found for q in ([o.quantity] if o.quantity else QUANTITIES)}


def values(adapter: Adapter, what: str, dtype: str = "f32") -> dict[str, str]:
    return {q: o.value for q, o in seen(adapter, what, dtype).items()}


def value(adapter: Adapter, what: str, dtype: str = "f32") -> str:
    """The one value that all quantities have."""
    (only,) = set(values(adapter, what, dtype).values())
    return only


# ---- rounding ----
@given(st.floats(-60000, 60000, width=64), st.sampled_from(["f32", "f16"]))
def test_rounding_to_nearest_is_that_of_numpy(v: float, code: str) -> None:
    assert float(rounded(Fraction(v), code)) == float(DTYPES[code].numpy.type(v))


@given(st.floats(-1e30, 1e30, width=64), st.sampled_from(["f32", "tf32", "bf16"]), st.sampled_from(MODES))
def test_arrays_are_rounded_as_numbers_are(v: float, form: str, mode: str) -> None:
    assert once(np.array([v]), form, mode)[0] == float(rounded(Fraction(v), form, mode))


@given(st.floats(-1e30, 1e30, width=64), st.sampled_from(["f32", "tf32", "bf16"]))
def test_the_modes_of_rounding_are_neighbours(v: float, form: str) -> None:
    down, up = (rounded(Fraction(v), form, mode) for mode in ("down", "up"))
    assert down <= Fraction(v) <= up
    assert rounded(Fraction(v), form, "toward-zero") == (down if v > 0 else up)
    assert all(rounded(Fraction(v), form, mode) in (down, up) for mode in MODES)


def test_ties_tell_the_modes_apart() -> None:
    tie = Fraction(257)
    assert [int(rounded(s * tie, "bf16", "nearest-even")) for s in (1, -1)] == [256, -256]
    assert [int(rounded(s * tie, "bf16", "nearest-away")) for s in (1, -1)] == [258, -258]
    assert [int(rounded(s * tie, "bf16", "toward-zero")) for s in (1, -1)] == [256, -256]


def test_which_formats_lie_within_others() -> None:
    pairs = itertools.product(("f64", "f32", "tf32", "f16", "bf16"), repeat=2)
    assert {(a, b) for a, b in pairs if a != b and contains(a, b)} == {
        ("f64", "f32"), ("f64", "tf32"), ("f64", "f16"), ("f64", "bf16"), ("f32", "tf32"), ("f32", "f16"),
        ("f32", "bf16"), ("tf32", "f16"), ("tf32", "bf16"),
    }  # fmt: skip


# ---- observations ----
def observed(quantity: str, value: str, **more: str) -> Observation:
    return Observation(
        dtype="f32", quantity=quantity, property="algorithm", value=value, evidence=quantity, **more
    )


def test_observations_that_agree_become_one() -> None:
    (one,) = merged([observed("y", "direct"), observed("dx", "direct")])
    assert (one.quantity, one.value, one.evidence) == ("", "direct", "y: y")


@pytest.mark.parametrize(("other", "more"), [("fft", {}), ("direct", {"declared": "fft"})])
def test_observations_that_differ_stay_apart(other: str, more: dict[str, str]) -> None:
    both = [observed("y", "direct"), observed("dx", other, **more)]
    assert list(merged(both)) == both


# ---- where it looks ----
LIMITS = [
    {"ranks": {1}},
    {"ranks": {3}},
    {"biases": {"none"}},
    {"biases": {"untied"}},
    {"quantities": {"dw"}},
    {"quantities": {"y", "db"}},
    {"convention": "convolution"},
    {"padding": "none", "stride": False, "dilation": False, "groups": False, "empty_batch": False},
    {"x_layout": "NCHW"},
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_little_is_claimed_and_the_rest_is_still_seen(limits: dict[str, Any]) -> None:
    adapter = Fake(exact, "f32", **{k: frozenset(v) if isinstance(v, set) else v for k, v in limits.items()})
    offered = set(adapter.capabilities.quantities) - ({"db"} if limits == {"biases": {"none"}} else set())
    for what, right in {
        "algorithm": "direct",
        "input rounding": "none",
        "accumulator": "wider than f32",
    }.items():
        found = {q: v for q, v in values(adapter, what).items() if q in offered}
        assert found == dict.fromkeys(offered, right), what


class OneSquareMap(Fake):
    """One item, one channel, one map, the same on all axes, a kernel of 3."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        single = g.batch == g.channels == g.maps == 1 and set(g.kernel) == {3}
        return None if single else "one square map only"


def test_one_square_map_shows_what_it_can() -> None:
    adapter = OneSquareMap(exact, "f16")
    assert value(adapter, "algorithm", "f16") == "direct"
    assert value(adapter, "output rounding", "f16") == "nearest-even"
    assert values(adapter, "rounding of sums", "f16")["y"] == "to nearest"


class NothingWide(Fake):
    """No kernel but 1: neither planes nor taps."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return None if set(g.kernel) == {1} else "a kernel of 1 only"


def test_what_cannot_be_seen_is_not_guessed() -> None:
    told = [o for o in everything(NothingWide()) if o.property == "single products"]
    assert [(o.value, o.evidence) for o in told] == [
        (UNOBSERVABLE, "no geometry of the kind 'plane' is offered")
    ]
    assert inferred(Session(NothingWide(), "mine"), "f32") == DEFAULT


def test_geometries_are_chosen_among_those_that_are_offered() -> None:
    bench = Bench(Session(OneSquareMap(), "mine"), "f32")
    assert bench.geometry("plane").w_shape == (1, 1, 3, 3)
    with pytest.raises(NotOffered, match="'batch'"):
        bench.geometry("batch")


@pytest.mark.parametrize(
    ("kind", "alone"),
    [
        ("channels", {"y": {"channels"}, "dx": {"maps"}, "dw": {"positions"}, "db": {"positions"}}),
        ("taps", {"y": {"taps"}, "dx": {"taps"}, "dw": {"positions"}, "db": {"positions"}}),
        ("batch", {"dx": {"maps"}, "dw": {"batch"}, "db": {"batch"}}),
    ],
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_geometries_sum_over_one_axis_alone(rank: int, kind: str, alone: dict[str, set[str]]) -> None:
    g = Bench(Session(Fake(exact, "f32", ranks=frozenset({rank})), "mine"), "f32").geometry(kind)
    assert {q: set(axes(g, q)) for q in alone} == alone


# ---- rounding of operands and results ----
def with_inputs(form: str, *names: str, mode: str = "nearest-even") -> Compute:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        changed = {
            name: once(a.astype(np.float64), form, mode)
            for name, a in o.items()
            if name in names and np.any(a)
        }
        return exact(g, o.replace(**changed), q)

    return compute


BOTH = ("x", "w", "delta")


@pytest.mark.parametrize(
    ("dtype", "form"),
    [("f32", "tf32"), ("f32", "bf16"), ("f32", "f16"), ("f16", "bf16"), ("bf16", "f16"), ("f64", "f32")],
)
def test_the_format_of_operands(dtype: str, form: str) -> None:
    found = seen(Fake(with_inputs(form, *BOTH), dtype), "input rounding", dtype)
    assert {o.value for o in found.values()} == {form}
    assert f"of operands rounded to {form}: " in found["y"].evidence
    assert "came back as" in found["y"].evidence


def test_operands_that_are_cut_off() -> None:
    found = seen(Fake(with_inputs("tf32", *BOTH, mode="toward-zero")), "input rounding")
    assert {o.value for o in found.values()} == {"tf32, cut off"}
    assert "those of operands cut off to tf32: " in found["y"].evidence


@pytest.mark.parametrize("name", BOTH)
def test_one_operand_alone_is_rounded(name: str) -> None:
    told = f"bf16 ({name} only)"
    right = {
        "x": {"y": told, "dx": "none", "dw": told, "db": "none"},
        "w": {"y": told, "dx": told, "dw": "none", "db": "none"},
        "delta": {"y": "none", "dx": told, "dw": told, "db": "bf16"},
    }
    assert values(Fake(with_inputs("bf16", name)), "input rounding") == right[name]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_how_results_are_rounded(dtype: str, mode: str) -> None:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        return once(exact(g, o, q), dtype, mode)

    found = seen(Fake(compute, dtype), "output rounding", dtype)
    assert found["y"].value == mode
    assert f"36 of them ties of {dtype}" in found["y"].evidence


def test_products_that_are_stored_narrower() -> None:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        return DTYPES["f16"].rounded(exact(g, o, q))

    assert values(Fake(compute), "output rounding")["y"] == "nearest-even, of f16"


# ---- sums ----
PARTS = {
    "channels": ("x", 1),
    "maps": ("delta", 1),
    "batch": ("delta", 0),
    "positions": ("delta", 2),
    "taps": ("w", 2),
}
"""The operand and the axis along which results are summed part by part."""


def in_parts(axis: str, code: str) -> Compute:
    """Every part is stored in a format, and so is the sum of those so far."""
    name, along = PARTS[axis]
    stored = DTYPES[code].rounded

    def compute(g: Geometry, o: Operands, q: str) -> Any:
        total: Any = 0.0
        for k, a in enumerate(slices(getattr(o, name), along)):
            part = dataclasses.replace(o, **{name: a, "b": o.b if k == 0 else None})
            total = stored(total + stored(exact(g, part, q)))
        return total

    def slices(a: Any, axis: int) -> Iterator[Any]:
        for k in range(a.shape[axis]):
            part = np.zeros_like(a)
            at = (*[slice(None)] * axis, k)
            part[at] = a[at]
            yield part

    return compute


def only(quantity: str, compute: Compute) -> Compute:
    return lambda g, o, q: (compute if q == quantity else exact)(g, o, q)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize(
    ("q", "axis"),
    [
        ("y", "channels"), ("y", "taps"), ("dx", "maps"), ("dx", "taps"), ("dw", "batch"), ("dw", "positions"),
        ("db", "batch"), ("db", "positions"),
    ],
)  # fmt: skip
def test_where_partial_sums_are_narrow(q: str, axis: str, dtype: str) -> None:
    adapter = Fake(only(q, in_parts(axis, dtype)), dtype)
    found = seen(adapter, "partial sums", dtype)
    assert {k: o.value for k, o in found.items()} == {
        k: f"{dtype} over {axis}" if k == q else "none" for k in QUANTITIES
    }
    assert f" over {axis}" in found[q].evidence.partition(" are wrong: ")[0]
    assert "rounded once" in found[q].evidence
    classes = inferred(Session(adapter, "mine"), dtype)
    assert classes == DEFAULT | {q: Arithmetic(accumulator="f32", partial_sums=dtype)}


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_a_bias_that_is_added_to_rounded_sums(dtype: str) -> None:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        plain = exact(g, dataclasses.replace(o, b=None), q)
        return DTYPES[dtype].rounded(plain) + (exact(g, o, q) - plain if q == "y" else 0.0)

    adapter = Fake(compute, dtype)
    assert values(adapter, "partial sums", dtype)["y"] == f"{dtype} over bias"
    assert inferred(Session(adapter, "mine"), dtype)["y"].partial_sums == dtype


def test_partial_sums_that_are_narrow_only_where_axes_meet() -> None:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        both = q == "y" and g.channels > 1 and max(g.kernel) > 1
        return (in_parts("channels", "f16") if both else exact)(g, o, q)

    assert values(Fake(compute, "f16"), "partial sums", "f16")["y"] == "f16 over channels with taps"


@pytest.mark.parametrize(
    ("name", "dtype", "right"),
    [
        ("in-order", "f64", "f64"),
        ("in-order", "f32", "f32"),
        ("in-order", "f16", "f16"),
        ("in-order", "bf16", "bf16"),
        ("blocked", "bf16", "bf16"),
        ("backwards", "f16", "f32"),
        ("pairwise", "bf16", "f32"),
        ("double", "f32", "wider than f32"),
        ("double", "f16", "wider than f32"),
        ("half-inside", "f32", "f16"),
        ("tensor-core-4+0", "f16", "f32"),
    ],
)
def test_the_width_of_accumulators(name: str, dtype: str, right: str) -> None:
    found = seen(HONEST[name], "accumulator", dtype)
    assert found["y"].value == right
    assert "sums within 2^" in found["y"].evidence


def test_the_chain_is_shown_where_accumulators_are_narrow() -> None:
    evidence = seen(HONEST["in-order"], "accumulator", "f16")["y"].evidence
    assert evidence.endswith("1 + 13 * 2^-11 came back as 1")


def test_float64_summed_in_float32() -> None:
    adapter = Fake(lambda g, o, q: DTYPES["f32"].rounded(exact(g, o, q)), "f64")
    assert values(adapter, "output rounding", "f64")["y"] == "nearest-even, of f32"
    assert value(adapter, "accumulator", "f64") == "f32"
    assert inferred(Session(adapter, "mine"), "f64") == DEFAULT


@pytest.mark.parametrize(
    ("name", "dtype", "right"),
    [
        ("in-order", "f64", "to nearest"),
        ("in-order", "f32", "to nearest"),
        ("backwards", "f16", "to nearest"),
        ("toward-zero", "f32", "toward zero"),
        ("toward-zero", "bf16", "toward zero"),
        ("tensor-core-16+2", "f16", "toward zero"),
        ("tensor-core-tf32", "f32", "toward zero"),
        ("in-order", "f16", UNOBSERVABLE),
    ],
)
def test_how_sums_are_rounded(name: str, dtype: str, right: str) -> None:
    found = seen(HONEST[name], "rounding of sums", dtype)["y"]
    assert found.value == right
    assert " came back as " in found.evidence


# ---- algorithms ----
@pytest.mark.parametrize(
    ("name", "dtype", "right"),
    [
        ("gemm", "f32", "direct"),
        ("kahan", "f32", "direct"),
        ("tf32", "f32", "direct"),
        ("winograd-2", "f32", "winograd F(2, k)"),
        ("winograd-2", "f64", "winograd F(2, k)"),
        ("winograd-4", "f64", "winograd F(4, k)"),
        ("winograd-6", "f32", "winograd F(6, k)"),
        ("winograd-2-half", "f16", "winograd F(2, k)"),
        ("fft-double", "f64", "fft"),
        ("fft-double", "f32", "fft"),
        ("fft-single", "bf16", "fft"),
    ],
)
def test_the_algorithm(name: str, dtype: str, right: str) -> None:
    found = seen(HONEST[name], "algorithm", dtype)
    assert {q: found[q].value for q in ("y", "dx", "dw")} == dict.fromkeys(("y", "dx", "dw"), right)
    assert found["db"].value == "direct"
    told = {"direct": "are rounded once", "fft": "the whole plane"}.get(right, "tiles of")
    assert told in found["y"].evidence
    if right != "direct":
        assert "when others changed" in found["dw"].evidence


def test_products_of_split_operands_are_direct_and_no_format_explains_them() -> None:
    def split(g: Geometry, o: Operands, q: str) -> Any:
        """hi hi + hi lo + lo hi in bfloat16: no rounding of operands, and not the product."""
        high = {n: once(a.astype(np.float64), "bf16") for n, a in o.items() if n != "b"}
        low = {n: once(a.astype(np.float64) - high[n], "bf16") for n, a in o.items() if n != "b"}
        b = {"b": o.b}
        if q == "db":
            return exact(g, o, q)
        first, second = {"y": ("x", "w"), "dx": ("delta", "w"), "dw": ("x", "delta")}[q]
        mixed = [{**high, **b}, {**high, **b, second: low[second]}, {**high, **b, first: low[first]}]
        return sum(getattr(Layer(g, **part), q) for part in mixed)

    adapter = Fake(split)
    found = seen(adapter, "algorithm")
    assert found["y"].value == "direct, products not rounded once"
    assert found["y"].evidence.startswith("no product changes with values that it does not read; ")
    assert values(adapter, "output rounding")["y"] == UNOBSERVABLE
    assert values(adapter, "accumulator")["y"] == UNOBSERVABLE


def test_what_differs_from_call_to_call_is_no_transform() -> None:
    calls = itertools.count()

    def compute(g: Geometry, o: Operands, q: str) -> Any:
        return exact(g, o, q) * (1 + 2.0**-20 * next(calls))

    adapter = Fake(compute)
    assert value(adapter, "algorithm") == "direct, products not rounded once"
    assert inferred(Session(adapter, "mine"), "f32") == DEFAULT


# ---- ends of the range ----
def without_subnormals(*, operands: bool, results: bool) -> Compute:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        tiny = dtype_of(o.x.dtype).smallest_normal

        def flushed(a: Any) -> Any:
            return np.where(np.abs(a) < tiny, 0, a)

        if operands:
            o = o.replace(**{name: flushed(a) for name, a in o.items()})
        return flushed(exact(g, o, q)) if results else exact(g, o, q)

    return compute


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize(
    ("operands", "results"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_subnormal_numbers(dtype: str, operands: bool, results: bool) -> None:
    adapter = Fake(without_subnormals(operands=operands, results=results), dtype)
    told = {False: "kept", True: "flushed"}
    of_operands = values(adapter, "subnormal operands", dtype)
    of_results = values(adapter, "subnormal results", dtype)
    assert {of_operands[q] for q in ("y", "dx", "dw")} == {told[operands]}
    assert {of_results[q] for q in ("y", "dx", "dw")} == {told[results]}
    assert of_results["db"] == told[operands or results]
    assert inferred(Session(adapter, "mine"), dtype)["y"] == Arithmetic(flushes=operands or results)


@pytest.mark.parametrize(
    ("name", "top"), [("inf", lambda a, _: a), ("saturated", lambda a, m: np.clip(a, -m, m)), ("nan", None)]
)
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_what_overflow_gives(dtype: str, name: str, top: Any) -> None:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        largest = dtype_of(o.x.dtype).largest
        result = exact(g, o, q)
        return top(result, largest) if top else np.where(np.abs(result) > largest, np.nan, result)

    assert value(Fake(compute, dtype), "overflow", dtype) == name


def test_calls_that_differ() -> None:
    calls = itertools.count()

    def compute(g: Geometry, o: Operands, q: str) -> Any:
        return exact(g, o, q) * (1 + (2.0**-20 * next(calls) if q == "dw" else 0))

    found = seen(Fake(compute), "repeatable")
    assert {q: o.value for q, o in found.items()} == {"y": "yes", "dx": "yes", "dw": "no", "db": "yes"}
    assert found["dw"].evidence.startswith("3 calls gave 3 different results")


# ---- NaN ----
def test_a_nan_reaches_what_reads_it() -> None:
    class Reading(Fake):
        def result(self, g: Geometry, o: Operands, q: str) -> Any:
            return HONEST["in-order"]._sums(g, q, o.x.dtype, x=o.x, w=o.w, delta=o.delta, b=o.b)

    found = seen(Reading(), "NaN reaches")
    assert {o.value for o in found.values()} == {"reads only"}
    assert "results that read it" in found["y"].evidence


def test_a_nan_goes_through_zeros() -> None:
    found = values(HONEST["gemm"], "NaN reaches")
    assert found == {"y": "through zeros", "dx": "reads only", "dw": "through zeros", "db": "reads only"}


def test_a_nan_that_goes_further_or_is_lost() -> None:
    spread = Fake(lambda g, o, q: exact(g, o, q) + 0 * np.sum(exact(g, o, q)))
    assert value(spread, "NaN reaches") == "further"
    lost = Fake(lambda g, o, q: np.nan_to_num(exact(g, o, q)))
    assert value(lost, "NaN reaches") == "swallowed"


# ---- claims ----
def told(adapter: Adapter) -> dict[str, tuple[str, str]]:
    return {o.property: (o.value, o.declared) for o in everything(adapter) if not o.dtype}


def test_what_is_claimed_and_holds() -> None:
    found = told(Fake(exact, "f64", "f32", "f16", "bf16"))
    assert found == {"convention": ("convolution", ""), "claims": ("hold", "")}


def test_the_other_convention_than_declared() -> None:
    def turned(g: Geometry, o: Operands, q: str) -> Any:
        return exact(dataclasses.replace(g, convention="convolution"), o, q)

    found = told(Fake(turned, convention="correlation"))
    assert found["convention"] == ("convolution", "correlation")


def test_a_claim_that_does_not_hold() -> None:
    def ignores_dilation(g: Geometry, o: Operands, q: str) -> Any:
        if set(g.stride) != {1}:
            raise ValueError("stride?")
        return exact(g, o, q) * (2 if set(g.dilation) != {1} else 1)

    found = [o for o in everything(Fake(ignores_dilation)) if o.value == "fails"]
    assert {o.property: o.declared for o in found} == {"stride": "claimed", "dilation": "claimed"}
    assert found[0].evidence.startswith("raises ValueError: stride? (2d ")
    assert found[1].evidence.startswith("y, dx, dw, db not right (2d ")


def test_what_works_and_is_not_claimed() -> None:
    adapter = Fake(exact, "f32", stride=False, padding="none", ranks=frozenset({2}))
    works = {o.property for o in everything(adapter) if (o.value, o.declared) == ("works", "not claimed")}
    assert works == {
        "float64", "float16", "bfloat16", "1 spatial axes", "3 spatial axes", "stride", "symmetric padding",
        "asymmetric padding",
    }  # fmt: skip


def test_a_result_in_another_dtype_is_no_dtype_that_works() -> None:
    class AlwaysFloat32(Fake):
        def result(self, g: Geometry, o: Operands, q: str) -> Any:
            return exact(g, o, q).astype(np.float32)

    assert not {"float64", "float16", "bfloat16"} & set(told(AlwaysFloat32()))


def test_a_wrong_implementation_is_not_charged_with_every_claim() -> None:
    adapter = Fake(lambda g, o, q: exact(g, o, q) + 1)
    assert told(adapter) == {"convention": ("neither", "convolution"), "float32": ("fails", "claimed")}


# ---- against what was declared ----
@pytest.mark.parametrize(
    ("compute", "dtype", "declared", "what", "word"),
    [
        (exact, "f32", Arithmetic(flushes=True), "subnormal results", "flushed"),
        (exact, "f32", Arithmetic(inputs="tf32"), "input rounding", "tf32"),
        (exact, "f32", Arithmetic(algorithm="fft"), "algorithm", "fft"),
        (exact, "f32", Arithmetic(algorithm="winograd", tile=4), "algorithm", "winograd F(4, k)"),
        (exact, "f32", Arithmetic(truncates=True), "rounding of sums", "toward zero"),
        (exact, "f16", Arithmetic(partial_sums="f16"), "partial sums", "f16"),
        (exact, "f16", Arithmetic(), "accumulator", "f16"),
        (exact, "f16", Arithmetic(accumulator="f64"), "accumulator", ""),
        (in_parts("taps", "f16"), "f16", Arithmetic(partial_sums="f16"), "partial sums", ""),
    ],
)
def test_what_was_declared_is_shown_where_it_differs(
    compute: Compute, dtype: str, declared: Arithmetic, what: str, word: str
) -> None:
    assert seen(Fake(compute, dtype, arithmetic=declared), what, dtype)["y"].declared == word


# ---- what a run may assume ----
TF32, BF16 = Arithmetic(inputs="tf32"), Arithmetic(inputs="bf16")
WINOGRAD, FFT = Arithmetic(algorithm="winograd", tile=4), Arithmetic(algorithm="fft")


@pytest.mark.parametrize(
    ("name", "dtype", "right"),
    [
        ("in-order", "f32", DEFAULT),
        ("in-order", "bf16", DEFAULT),
        ("backwards", "f16", DEFAULT),
        ("double", "f32", DEFAULT),
        ("half-inside", "f32", DEFAULT),
        ("f16-inputs", "f32", DEFAULT),
        ("tf32", "f32", dict.fromkeys(QUANTITIES, TF32)),
        ("bf16-inputs", "f32", dict.fromkeys(QUANTITIES, BF16)),
        ("tensor-core-tf32", "f32", dict.fromkeys(QUANTITIES, Arithmetic(inputs="tf32", truncates=True))),
        ("toward-zero", "f32", dict.fromkeys(QUANTITIES, Arithmetic(truncates=True))),
        ("tensor-core-8+1", "f16", DEFAULT),
        ("flushing", "bf16", dict.fromkeys(QUANTITIES, Arithmetic(flushes=True))),
        ("winograd-4", "f64", dict.fromkeys(("y", "dx", "dw"), WINOGRAD)),
        ("winograd-4", "f32", dict.fromkeys(("y", "dx", "dw"), WINOGRAD)),
        ("winograd-4-wide", "f16", dict.fromkeys(("y", "dx", "dw"), WINOGRAD)),
        ("fft-single", "f32", dict.fromkeys(("y", "dx", "dw"), FFT)),
    ],
)
def test_the_class_of_an_honest_implementation(name: str, dtype: str, right: dict[str, Arithmetic]) -> None:
    assert inferred(Session(HONEST[name], name), dtype) == DEFAULT | right


def test_a_transform_of_rounded_operands() -> None:
    def tf32(a: Any) -> Any:
        return once(a.astype(np.float64), "tf32").astype(np.float32)

    class Rounds(Fake):
        def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
            return HONEST["winograd-4"].forward(g, tf32(x), tf32(w), b)

        def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
            return HONEST["winograd-4"].backward(g, tf32(x), tf32(w), b, tf32(delta))

    right = Arithmetic(inputs="tf32", algorithm="winograd", tile=4)
    classes = {**dict.fromkeys(("y", "dx", "dw"), right), "db": TF32}
    assert inferred(Session(Rounds(), "mine"), "f32") == classes
    assert values(Rounds(), "input rounding")["dw"] == "tf32"


MISTAKES: dict[str, tuple[str, Compute]] = {
    "float64 in float32": ("f64", with_inputs("f32", *BOTH)),
    "float64 in TF32": ("f64", with_inputs("tf32", *BOTH)),
    "float16 in bfloat16": ("f16", with_inputs("bf16", *BOTH)),
    "one operand in bfloat16": ("f32", with_inputs("bf16", "x")),
    "operands cut off": ("f32", with_inputs("tf32", *BOTH, mode="toward-zero")),
    "results stored in float16": ("f32", lambda g, o, q: DTYPES["f16"].rounded(exact(g, o, q))),
    "results cut off": ("bf16", lambda g, o, q: once(exact(g, o, q), "bf16", "toward-zero")),
    "ties away from zero": ("bf16", lambda g, o, q: once(exact(g, o, q), "bf16", "nearest-away")),
    "partial sums of float32 in float16": ("f32", in_parts("taps", "f16")),
    "all zero": ("f32", lambda g, o, q: np.zeros_like(exact(g, o, q))),
    "all NaN": ("f32", lambda g, o, q: np.full_like(exact(g, o, q), np.nan)),
    "a little added": ("f32", lambda g, o, q: exact(g, o, q) + 1e-6),
    "a little too large": ("f32", lambda g, o, q: exact(g, o, q) * (1 + 2.0**-20)),
    "the mean of the plane added": ("f32", lambda g, o, q: exact(g, o, q) + np.mean(exact(g, o, q))),
    "one item left out": ("bf16", lambda g, o, q: exact(g, o.replace(delta=first_item(o.delta)), q)),
    "turned": ("f32", lambda g, o, q: np.flip(exact(g, o, q), -1)),
}


def first_item(a: Any) -> Any:
    return np.where(np.arange(len(a)).reshape(-1, *[1] * (a.ndim - 1)) == 0, a, np.zeros_like(a))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_not_taken_for_a_class(mistake: str) -> None:
    dtype, compute = MISTAKES[mistake]
    assert inferred(Session(Fake(compute, dtype), "mine"), dtype) == DEFAULT


def raising(error: Exception) -> Compute:
    def compute(g: Geometry, o: Operands, q: str) -> Any:
        raise error

    return compute


class Misshapen(Fake):
    def result(self, g: Geometry, o: Operands, q: str) -> Any:
        return super().result(g, o, q)[..., 1:]


class ReturnsNothing(Fake):
    def result(self, g: Geometry, o: Operands, q: str) -> Any:
        return None


class Whole(Fake):
    """Integers, as numpy's default makes them."""

    def result(self, g: Geometry, o: Operands, q: str) -> Any:
        return super().result(g, o, q).astype(np.int64)


class RefusesBadly(Fake):
    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        raise KeyError(dtype)


HOSTILE = [
    Fake(raising(RuntimeError("no"))),
    Fake(raising(Unsupported("not today"))),
    Fake(raising(ImportError("libfast"))),
    Misshapen(),
    ReturnsNothing(),
    Whole(),
    RefusesBadly(),
]


@pytest.mark.parametrize("adapter", HOSTILE, ids=lambda a: type(a).__name__)
def test_inferring_never_raises(adapter: Adapter) -> None:
    assert inferred(Session(adapter, "mine"), "f32") == DEFAULT


def test_a_call_that_does_not_come_back_is_not_waited_for_again() -> None:
    def hangs(g: Geometry, o: Operands, q: str) -> Any:
        while True:
            pass

    adapter = Fake(hangs)
    assert inferred(Session(adapter, "mine", time_limit=0.1), "f32") == DEFAULT
    assert adapter.calls == 1


def test_a_dtype_that_is_not_claimed_has_the_default_class() -> None:
    adapter = Fake()
    assert inferred(Session(adapter, "mine"), "f64") == DEFAULT
    assert adapter.calls == 0


@pytest.mark.parametrize(("dtype", "calls", "shapes"), [("f64", 6, 2), ("f32", 6, 2), ("f16", 16, 4)])
def test_inferring_takes_few_calls_of_few_shapes(dtype: str, calls: int, shapes: int) -> None:
    adapter = Fake(exact, dtype)
    inferred(Session(adapter, "mine"), dtype)
    assert adapter.calls <= calls
    assert len(adapter.geometries) <= shapes


@pytest.mark.parametrize("adapter", HOSTILE[:2], ids=["raises", "declines"])
def test_probing_goes_on_where_an_implementation_raises(adapter: Adapter) -> None:
    found = list(probe(Session(adapter, "mine")))
    assert found
    assert {o.value for o in found} <= {UNOBSERVABLE, "fails"}
    assert any("no" in o.evidence for o in found)


def test_probing_an_adapter_that_is_broken_says_so() -> None:
    with pytest.raises(AdapterBroken, match="returned None"):
        list(probe(Session(ReturnsNothing(), "mine")))


# ---- the command ----
def command(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["probe", *map(str, arguments)], prog_name="conformance")


MINE = """
import numpy as np
from conformance import Adapter, Capabilities


class Mine(Adapter):
    capabilities = Capabilities(ranks={1}, quantities={"y"}, biases={"none"})

    def forward(self, g, x, w, b):
        windows = np.lib.stride_tricks.sliding_window_view(x, g.kernel[0], axis=2)
        return np.einsum("ncok,mck->nmo", windows, w)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE, "utf-8")
    return path


def test_the_command_prints_a_table(mine: Path) -> None:
    said = command(mine)
    assert said.exit_code == 0
    rows = [line.split() for line in said.stdout.splitlines()]
    assert rows[0] == ["dtype", "quantity", "property", "value", "declared", "evidence"]
    assert ["f64", "y", "algorithm", "direct"] in [row[:4] for row in rows]


def test_the_command_prints_one_object_a_line(mine: Path) -> None:
    said = command(mine, "--json")
    assert said.exit_code == 0
    read = [Observation(**json.loads(line)) for line in said.stdout.splitlines()]
    assert read == list(probe(connect(str(mine))))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("pass", 3, "has no forward"),
        ("def forward(self, g, x, w, b):\n        return None", 3, "returned None for y"),
        ("def unsupported(self, g, dtype):\n        return 7", 3, "must return a reason or None"),
    ],
)
def test_the_command_ends_with_3_where_the_adapter_is_broken(
    mine: Path, text: str, code: int, words: str
) -> None:
    head, _, _ = MINE.partition("    def forward")
    mine.write_text(f"{head}    {text}\n", "utf-8")
    said = command(mine)
    assert (said.exit_code, said.stdout) == (code, "")
    assert words in said.stderr


def test_the_command_ends_with_2_where_nothing_is_called_so() -> None:
    said = command("python-nump")
    assert said.exit_code == 2
    assert "did you mean python-numpy?" in said.stderr
