from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import conformance
from conformance import Adapter, Arithmetic, Capabilities, Geometry
from conformance.adapter.protocol import PADDINGS, padding_kind
from conformance.errors import AdapterBroken
from conformance.problem import DTYPES, QUANTITIES
from conformance.problem.geometry import CONVENTIONS

EVERYTHING = Capabilities(
    ranks={1, 2, 3},  # type: ignore[arg-type]
    dtypes=["float64", "f32", "f16", "bfloat16"],  # type: ignore[arg-type]
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=("none", "tied", "untied"),  # type: ignore[arg-type]
    convention="both",
    empty_batch=True,
)


# ---- normalised at the door ----
def test_collections_of_every_kind_become_frozen_sets_and_dtypes_become_codes() -> None:
    assert EVERYTHING.ranks == frozenset({1, 2, 3})
    assert EVERYTHING.dtypes == frozenset({"f64", "f32", "f16", "bf16"})
    assert EVERYTHING.biases == frozenset({"none", "tied", "untied"})
    assert EVERYTHING.quantities == frozenset({"y", "dx", "dw", "db"})
    assert all(type(getattr(EVERYTHING, f)) is frozenset for f in ("ranks", "dtypes", "biases", "quantities"))


def test_the_least_that_can_be_claimed_is_the_default() -> None:
    able = Capabilities()
    assert (able.ranks, able.dtypes, able.padding) == ({2}, {"f64"}, "none")
    assert not (able.stride)
    assert not (able.dilation)
    assert not (able.groups)
    assert not (able.empty_batch)
    assert able.biases == {"none", "tied"}
    assert (able.conventions, able.x_layout, able.w_layout) == (("correlation",), "NCHW", "OIHW")
    assert able.arithmetic_of("f32") is None


def test_capabilities_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Capabilities().stride = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("convention", "both"),
    [("correlation", ("correlation",)), ("convolution", ("convolution",)), ("both", CONVENTIONS)],
)
def test_conventions_that_a_word_stands_for(convention: str, both: tuple[str, ...]) -> None:
    assert Capabilities(convention=convention).conventions == both


WIDE = Arithmetic(accumulator="f32")
OF_ALL = dict.fromkeys(QUANTITIES, WIDE)


def test_one_arithmetic_holds_for_every_dtype_and_quantity() -> None:
    able = Capabilities(arithmetic=WIDE)
    assert [able.arithmetic_of(d) for d in DTYPES] == [OF_ALL] * 4


def test_an_arithmetic_for_a_dtype_is_found_by_code_and_the_rest_is_not_declared() -> None:
    able = Capabilities(arithmetic={"float16": WIDE, np.dtype("float64"): WIDE})  # type: ignore[dict-item]
    assert [able.arithmetic_of(d) for d in ("f16", "f64", "f32")] == [OF_ALL, OF_ALL, None]


def test_an_arithmetic_may_be_one_a_quantity_and_those_left_out_have_the_weakest() -> None:
    """Whoever declares part of a dtype has declared the dtype: nothing is left for probes to infer."""
    fft = Arithmetic(algorithm="fft")
    able = Capabilities(arithmetic={"f32": {"y": WIDE, "dw": fft}, "f64": WIDE})
    assert able.arithmetic_of("f32") == {"y": WIDE, "dx": Arithmetic(), "dw": fft, "db": Arithmetic()}
    assert able.arithmetic_of("f64") == OF_ALL
    assert able.arithmetic_of("bf16") is None


@pytest.mark.parametrize("declared", [None, WIDE, {"f32": WIDE}, {"f32": {"dx": WIDE}}, {}], ids=str)
def test_what_was_declared_survives_a_change_of_something_else(declared: Any) -> None:
    able = Capabilities(arithmetic=declared)
    changed = dataclasses.replace(able, stride=True)
    assert [changed.arithmetic_of(d) for d in DTYPES] == [able.arithmetic_of(d) for d in DTYPES]


# ---- nonsense ----
DTYPE_WORDS = "f64, f32, f16, bf16, float64, float32, float16, bfloat16"
SETS = "it must be a non-empty set of"

NONSENSE = [
    ({"ranks": ()}, f"Capabilities(ranks={{}}): {SETS} 1, 2, 3"),
    ({"ranks": {4}}, f"Capabilities(ranks={{4}}): {SETS} 1, 2, 3"),
    ({"ranks": {0}}, f"Capabilities(ranks={{0}}): {SETS} 1, 2, 3"),
    ({"biases": ()}, f"Capabilities(biases={{}}): {SETS} none, tied, untied"),
    ({"biases": {True}}, f"Capabilities(biases={{True}}): {SETS} none, tied, untied"),
    ({"biases": {"shared"}}, f"Capabilities(biases={{'shared'}}): {SETS} none, tied, untied"),
    ({"quantities": ()}, f"Capabilities(quantities={{}}): {SETS} y, dx, dw, db"),
    ({"quantities": {"dz"}}, f"Capabilities(quantities={{'dz'}}): {SETS} y, dx, dw, db"),
    (
        {"dtypes": ["float8"]},
        f"Capabilities(dtypes=['float8']): dtype must be one of {DTYPE_WORDS}, got 'float8'",
    ),
    (
        {"dtypes": ["int64"]},
        f"Capabilities(dtypes=['int64']): dtype must be one of {DTYPE_WORDS}, got 'int64'",
    ),
    ({"dtypes": "float64"}, f"Capabilities(dtypes='float64'): dtype must be one of {DTYPE_WORDS}, got 'f'"),
    (
        {"padding": "same"},
        "Capabilities(padding='same'): it must be one of none, symmetric, asymmetric, negative",
    ),
    (
        {"padding": True},
        "Capabilities(padding=True): it must be one of none, symmetric, asymmetric, negative",
    ),
    (
        {"padding": ["none"]},
        "Capabilities(padding=['none']): it must be one of none, symmetric, asymmetric, negative",
    ),
    (
        {"convention": "conv"},
        "Capabilities(convention='conv'): it must be one of correlation, convolution, both",
    ),
    ({"convention": None}, "Capabilities(convention=None): it must be one of correlation, convolution, both"),
]


@pytest.mark.parametrize(("claim", "sentence"), NONSENSE, ids=[f"{c}" for c, _ in NONSENSE])
def test_nonsense_is_the_adapters_fault_in_one_sentence(claim: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Capabilities(**claim)
    assert str(caught.value) == sentence
    assert (caught.value.fault, caught.value.exit_code) == ("adapter", 3)


@pytest.mark.parametrize(
    "claim",
    [
        {"ranks": 2},
        {"ranks": None},
        {"ranks": [[2]]},
        {"biases": [["tied"]]},
        {"dtypes": ()},
        {"dtypes": None},
        {"dtypes": 64},
        {"x_layout": None},
        {"arithmetic": "f32"},
        {"arithmetic": 7},
        {"arithmetic": {"float31": Arithmetic()}},
        {"arithmetic": {"f32": "f32"}},
        {"arithmetic": {"f32": None}},
        {"arithmetic": {"f32": {"y": "f32"}}},
        {"arithmetic": {"f32": {"z": Arithmetic()}}},
        {"arithmetic": {"y": Arithmetic()}},
    ],
    ids=str,
)
def test_nonsense_of_another_type_is_the_adapters_fault_too(claim: dict[str, Any]) -> None:
    """At once, and naming the field: found later, it would look like a defect of the harness."""
    (name,) = claim
    with pytest.raises(AdapterBroken, match=name):
        Capabilities(**claim)


@pytest.mark.parametrize(
    "layout", ["NCHW", "NHWC", "HWNC", "CNHW", "HWCN", "CHWN", "NCDHW", "NDHWC", "NCW", "NWC", "WCN"]
)
def test_layouts_of_x(layout: str) -> None:
    assert Capabilities(x_layout=layout).x_layout == layout


@pytest.mark.parametrize("layout", ["OIHW", "HWIO", "OHWI", "IOHW", "HWOI", "IHWO", "DHWIO", "WIO"])
def test_layouts_of_w(layout: str) -> None:
    assert Capabilities(w_layout=layout).w_layout == layout


@pytest.mark.parametrize(
    "layout",
    [
        "",
        "NC",
        "HW",
        "nchw",
        "NHCW",
        "NCWH",
        "NCHH",
        "NNHW",
        "NCHWN",
        "NCXY",
        "OIHW",
        "NCD",
        "N C H W",
        "NHW",
    ],
)
def test_an_impossible_layout_is_refused_with_the_rule(layout: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Capabilities(x_layout=layout)
    assert str(caught.value) == (
        f"Capabilities(x_layout={layout!r}): write N and C once each and the spatial axes together, as HW, "
        "between or beside them"
    )


def test_an_impossible_layout_of_w_names_its_own_letters() -> None:
    with pytest.raises(AdapterBroken, match=r"w_layout='NCHW'\): write O and I once each"):
        Capabilities(w_layout="NCHW")


# ---- what is refused, and why ----
PLAIN = Geometry(batch=2, channels=4, maps=6, size=(9, 8), kernel=(3, 2))

REFUSED = [
    ({"ranks": {1, 3}}, {}, "f64", "2 spatial axes not claimed"),
    ({"ranks": {2}}, {"size": (9,), "kernel": (3,)}, "f64", "1 spatial axis not claimed"),
    ({"dtypes": ["f64"]}, {}, "f32", "float32 not claimed"),
    ({"dtypes": ["f32"]}, {}, "bf16", "bfloat16 not claimed"),
    ({"stride": False}, {"stride": (1, 2)}, "f64", "stride not claimed"),
    ({"dilation": False}, {"dilation": (2, 1)}, "f64", "dilation not claimed"),
    ({"groups": False}, {"groups": 2}, "f64", "groups not claimed"),
    ({"padding": "none"}, {"padding": ((0, 0), (1, 1))}, "f64", "symmetric padding not claimed"),
    ({"padding": "none"}, {"padding": ((0, 1), (0, 0))}, "f64", "asymmetric padding not claimed"),
    ({"padding": "symmetric"}, {"padding": ((1, 1), (0, 1))}, "f64", "asymmetric padding not claimed"),
    ({"padding": "symmetric"}, {"padding": ((-1, -1), (1, 1))}, "f64", "negative padding not claimed"),
    ({"padding": "asymmetric"}, {"padding": ((2, -1), (0, 0))}, "f64", "negative padding not claimed"),
    ({"biases": {"none"}}, {"bias": "tied"}, "f64", "bias tied not claimed"),
    ({"biases": {"tied", "untied"}}, {"bias": "none"}, "f64", "bias none not claimed"),
    ({"biases": {"none", "tied"}}, {"bias": "untied"}, "f64", "bias untied not claimed"),
    ({"convention": "correlation"}, {"convention": "convolution"}, "f64", "convolution not claimed"),
    ({"convention": "convolution"}, {"convention": "correlation"}, "f64", "correlation not claimed"),
    ({"empty_batch": False}, {"batch": 0}, "f64", "an empty batch not claimed"),
]


@pytest.mark.parametrize(("without", "asked", "dtype", "reason"), REFUSED)
def test_a_feature_that_is_not_claimed_is_refused_by_name(
    without: dict[str, Any], asked: dict[str, Any], dtype: str, reason: str
) -> None:
    g = (
        dataclasses.replace(PLAIN, **asked)
        if "size" not in asked
        else Geometry(batch=2, channels=4, maps=6, **asked)
    )
    assert EVERYTHING.refusal(g, dtype) is None
    assert dataclasses.replace(EVERYTHING, **without).refusal(g, dtype) == reason


@pytest.mark.parametrize("padding", PADDINGS)
def test_each_kind_of_padding_includes_those_before_it(padding: str) -> None:
    needed = {
        "none": ((0, 0), (0, 0)),
        "symmetric": ((1, 1), (0, 0)),
        "asymmetric": ((1, 1), (1, 2)),
        "negative": ((1, -1), (0, 0)),
    }
    able = dataclasses.replace(EVERYTHING, padding=padding)
    offered = [
        kind
        for kind, pads in needed.items()
        if able.refusal(dataclasses.replace(PLAIN, padding=pads), "f64") is None
    ]
    assert offered == list(PADDINGS[: PADDINGS.index(padding) + 1])


@pytest.mark.parametrize(
    ("pads", "kind"),
    [
        (((0, 0), (0, 0)), 0),
        (((0, 0), (2, 2)), 1),
        (((1, 1), (2, 2)), 1),
        (((1, 0), (0, 0)), 2),
        (((0, 3), (1, 1)), 2),
        (((-1, -1), (0, 0)), 3),
        (((0, 0), (1, -1)), 3),
    ],
)
def test_the_kind_of_padding_that_a_geometry_needs(pads: Any, kind: int) -> None:
    assert padding_kind(dataclasses.replace(PLAIN, padding=pads)) == kind


# ---- the base class ----
class TwoRoutes(Adapter):
    routes = MappingProxyType({"fast": "the fast way", "slow": "the slow way"})


def test_the_first_route_is_the_default() -> None:
    assert (TwoRoutes().route, TwoRoutes("slow").route, Adapter().route) == ("fast", "slow", "")


def test_the_base_claims_little_and_says_nothing() -> None:
    bare = Adapter()
    assert bare.versions() == {}
    assert bare.unsupported(PLAIN, "float64") is None
    assert bare.capabilities == Capabilities()


def test_a_method_that_was_not_written_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"^TwoRoutes has no forward$"):
        TwoRoutes().forward(PLAIN, None, None, None)
    with pytest.raises(NotImplementedError, match=r"^TwoRoutes has no backward$"):
        TwoRoutes().backward(PLAIN, None, None, None, None)


# ---- what stands at the top of the package ----
@pytest.mark.parametrize("name", [n for n in conformance.__all__ if n != "__version__"])
def test_what_an_author_needs_is_found_at_the_top(name: str) -> None:
    assert getattr(conformance, name).__name__ == name


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Adaptor'"):
        conformance.Adaptor  # noqa: B018
