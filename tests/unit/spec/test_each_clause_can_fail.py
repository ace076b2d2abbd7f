"""Each clause can fail: for every one a small wrong implementation that it catches, on a problem where the right one passes.

A table.  Every function below is one mistake; `caught_by` says which clause has to see it, on which problem, in which
quantity, and the words that its evidence has to use.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Evidence, wrong
from conformance.oracle.vectorised import counts
from conformance.problem import Geometry, Operands, dtype_of
from conformance.spec import REGISTRY, Case, Misshapen, Severity, hygiene

Results = dict[str, Any]
Right = Callable[[Geometry, Operands, bool], Results]
Mistake = Callable[[Right, Geometry, Operands, bool], Results]


@dataclass(frozen=True)
class Row:
    clause: str
    line: str
    q: str
    says: str
    mistake: Any

    def __str__(self) -> str:
        return f"{self.clause} {self.mistake.__name__} {self.q}"


TABLE: list[Row] = []


def caught_by(clause: str, line: str, q: str, says: str = "") -> Callable[[Any], Any]:
    def add(mistake: Any) -> Any:
        TABLE.append(Row(clause, line, q, says, mistake))
        return mistake

    return add


PLAIN = "2d n2 c3 m2 i4x5 k2x3"
GROUPED = "2d n2 c4 m6 g2 i4x5 k2x3"
STRIDED = "2d n2 c2 m3 i6x8 k2x3 s2x3"
WHOLE = "2d n2 c2 m3 i3x2 k3x2"
GAPS = "2d n2 c3 m3 g3 i6x5 k2x3 bias=none"
MEASURED = {"NUM-7"}
"""Clauses that fail nobody: they say what they saw (tests/unit/spec/test_numerics.py), and no mistake can be theirs."""


ELSEWHERE = ("NET", "TRN", "SEC", "JVP")
"""Chapters that are optional: test_operations.py beside this, and tests/power/test_network.py."""


def turned(g: Geometry, w: Any) -> Any:
    return np.flip(w, tuple(range(2, 2 + g.rank)))


# ---- FWD ----
@caught_by("FWD-1", PLAIN, "y")
def one_element_of_y_is_one_too_large(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if not backward:
        r["y"].flat[-1] += 1
    return r


@caught_by("FWD-1", f"{STRIDED} p1:0 d2x1", "y")
def padding_begins_at_the_other_end(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return right(dataclasses.replace(g, padding=tuple((hi, lo) for lo, hi in g.padding)), o, backward)


@caught_by("FWD-2", STRIDED, "y", "y has shape (2, 3, 4, 3), the geometry gives (2, 3, 3, 2)")
def the_size_of_y_is_rounded_up(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if not backward:
        r["y"] = np.pad(r["y"], [(0, 0), (0, 0), *((0, int(k > 0)) for k in (1, 1))])
    return r


@caught_by("FWD-3", PLAIN, "y", "the response to a unit impulse in x")
@caught_by("FWD-3", f"{GROUPED} s1x2 p1:0 d2x1 conv", "y", "the response to a unit impulse in x")
def the_kernel_is_rotated_in_the_forward_pass(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    return right(g, o if backward else o.replace(w=turned(g, o.w)), backward)


@caught_by("FWD-4", PLAIN, "y", "y is additive in x")
@caught_by("FWD-4", PLAIN, "y", "y is additive in w")
def an_activation_is_applied_to_y(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: np.maximum(a, 0) if q == "y" else a for q, a in r.items()}


@caught_by("FWD-4", PLAIN, "y", "y moves with b")
@caught_by("FWD-4", f"{PLAIN} bias=untied", "y", "y moves with b")
def the_bias_is_added_twice(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return right(g, o.replace(b=None if o.b is None else o.b * 2), backward)


@caught_by("FWD-5", PLAIN, "y", "x shifted by one along axis 1")
def weights_are_not_shared_by_all_positions(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    if not backward:
        other = right(g, o.replace(w=o.w * 2), False)["y"]
        r["y"][..., 1::2] = other[..., 1::2]
    return r


@caught_by("FWD-6", GROUPED, "y", "group 0 beside the others and alone")
@caught_by("FWD-6", "1d n1 c3 m6 g3 i5 k2", "y", "group 2 beside the others and alone")
def a_group_reads_the_channels_of_its_neighbour(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    return right(g, o.replace(x=np.roll(o.x, g.channels // g.groups, 1) if g.groups > 1 else o.x), backward)


@caught_by("FWD-7", PLAIN, "y", "item 1 in the batch and alone")
def an_item_leaks_into_the_next(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if not backward:
        r["y"][1:] += r["y"][:-1].copy()
    return r


@caught_by("FWD-8", WHOLE, "y", "one inner product per map")
@caught_by("FWD-8", f"{WHOLE} conv bias=untied", "y", "one inner product per map")
@caught_by("DEL-3", PLAIN, "dx", "<y - b, delta> against <x, dx>")
def the_last_tap_is_left_out(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """Where y leaves it out, FWD-8 sees it; where the gradients do, the adjoint does not fit y any more."""
    if backward == (g.kernel == g.size):
        return right(g, o, backward)
    w = np.array(o.w)
    w[(..., *(-1,) * g.rank)] = 0
    return right(g, o.replace(w=w), backward)


@caught_by("FWD-9", PLAIN, "y", "correlation of w and convolution of ROT180(w)")
@caught_by("FWD-9", f"{PLAIN} conv", "y", "convolution of w and correlation of ROT180(w)")
def the_convention_is_ignored(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return right(dataclasses.replace(g, convention="correlation"), o, backward)


# ---- DEL ----
@caught_by("DEL-1", PLAIN, "dx")
@caught_by("DEL-4", PLAIN, "dx", "<f(x+v) - f(x), delta> against <dx, v>")
@caught_by("DEL-6", STRIDED, "dx", "dx against the full convolution of delta")
def the_kernel_is_not_rotated_in_the_backward_pass(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    return right(g, o.replace(w=turned(g, o.w)) if backward else o, backward)


@caught_by("DEL-2", STRIDED, "dx", "positions no output reads")
def dx_is_written_where_no_output_reads(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if backward:
        r["dx"][counts(g)["dx"] == 0] = 1
    return r


@caught_by("DEL-2", f"{PLAIN} p1", "dx", "dx has shape (2, 3, 6, 7), the geometry gives (2, 3, 4, 5)")
def dx_keeps_its_padding(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if backward:
        r["dx"] = np.pad(r["dx"], [(0, 0), (0, 0), *g.padding])
    return r


@caught_by("DEL-5", PLAIN, "dx", "dx with another x and b")
def dx_is_masked_by_the_sign_of_x(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """The derivative of an activation that belongs to the layer before."""
    r = right(g, o, backward)
    return {q: a * (o.x > 0) if q == "dx" else a for q, a in r.items()}


@caught_by("DEL-5", PLAIN, "dx", "dx is additive in delta")
@caught_by("DEL-5", PLAIN, "dx", "dx is additive in w")
def dx_is_never_negative(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: np.abs(a) if q == "dx" else a for q, a in r.items()}


@caught_by("DEL-6", STRIDED, "dx", "dx against the full convolution of delta")
def delta_is_not_stuffed_for_the_stride(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """Reader 12's question, answered wrongly: delta stands at the first positions, as if the stride were 1."""
    if not backward:
        return right(g, o, backward)
    plain = dataclasses.replace(g, stride=(1,), bias="none")
    delta = np.zeros(plain.y_shape, o.delta.dtype)
    delta[tuple(slice(0, n) for n in g.y_shape)] = o.delta
    return {**right(g, o, True), "dx": right(plain, o.replace(delta=delta, b=None), True)["dx"]}


@caught_by("DEL-7", GROUPED, "dx", "the last map's delta in channels of other groups")
def a_delta_reaches_all_groups(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    if backward:
        r["dx"] += np.roll(r["dx"], g.channels // g.groups, 1)
    return r


@caught_by("DEL-7", PLAIN, "dx", "the last map's delta and the rest, added")
def dx_takes_the_largest_map_instead_of_the_sum(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    if backward:
        alone = np.zeros_like(o.delta)
        alone[:, 0] = o.delta[:, 0]
        first = right(g, o.replace(delta=alone), True)["dx"]
        r["dx"] = np.maximum(first, r["dx"] - first)
    return r


# ---- WGT ----
@caught_by("WGT-1", PLAIN, "dw")
@caught_by("WGT-1", f"{GROUPED} conv", "dw")
def dw_is_rotated(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: turned(g, a) if q == "dw" else a for q, a in r.items()}


@caught_by("WGT-2", GROUPED, "dw", "dw has shape (6, 4, 2, 3), the geometry gives (6, 2, 2, 3)")
def dw_has_all_channels_whatever_the_groups(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    return {q: np.tile(a, (1, g.groups, 1, 1)) if q == "dw" else a for q, a in r.items()}


@caught_by("WGT-3", PLAIN, "dw", "<y - b, delta> against <w, dw>")
@caught_by("WGT-5", PLAIN, "dw", "<f(w+u) - f(w), delta> against <dw, u>")
def dw_leaves_out_the_last_position(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    if not backward:
        return right(g, o, backward)
    delta = np.array(o.delta)
    delta[(..., *(-1,) * g.rank)] = 0
    return {**right(g, o, True), "dw": right(g, o.replace(delta=delta), True)["dw"]}


@caught_by("WGT-4", PLAIN, "dw", "dw of the batch against the sum over its items")
def dw_is_averaged_over_the_batch(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a / a.dtype.type(g.batch) if q == "dw" else a for q, a in r.items()}


@caught_by("WGT-5", PLAIN, "dw", "dw with another w and b")
def dw_holds_weight_decay(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a + o.w if q == "dw" else a for q, a in r.items()}


@caught_by("WGT-5", PLAIN, "dw", "dw is additive in x")
@caught_by("WGT-5", PLAIN, "dw", "dw is additive in delta")
def dw_is_clipped(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: np.clip(a, -20, 20) if q == "dw" else a for q, a in r.items()}


@caught_by("WGT-6", WHOLE, "dw", "x scaled by delta")
@caught_by("WGT-6", f"{WHOLE} conv", "dw", "x scaled by delta")
def dw_of_a_kernel_as_large_as_the_input_forgets_delta(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o.replace(delta=np.ones_like(o.delta)), backward)
    return {"dw": r["dw"], **{q: a for q, a in right(g, o, True).items() if q != "dw"}} if backward else r


# ---- BIA ----
@caught_by("BIA-1", PLAIN, "db")
def db_is_averaged_over_positions(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a / a.dtype.type(g.output[0] * g.output[1]) if q == "db" else a for q, a in r.items()}


@caught_by("BIA-2", f"{PLAIN} bias=untied", "db")
def db_of_an_untied_bias_is_summed_over_positions(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    return {q: a * 0 + a.sum(axis=(1, 2), keepdims=True) if q == "db" else a for q, a in r.items()}


@caught_by("BIA-3", PLAIN, "db", "db with another x, w and b")
@caught_by("BIA-3", f"{PLAIN} bias=untied", "db", "db with another x, w and b")
def db_holds_weight_decay(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a + o.b if q == "db" else a for q, a in r.items()}


# ---- ALG ----
@caught_by("ALG-1", PLAIN, "y", "y of reversed items, maps and channels, reversed back")
@caught_by("ALG-1", PLAIN, "dx", "dx of reversed items, maps and channels, reversed back")
def the_last_channel_is_left_out(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    w = np.array(o.w)
    w[:, -1] = 0
    return right(g, o.replace(w=w), backward)


@caught_by("ALG-1", PLAIN, "dw", "dw of reversed items, maps and channels, reversed back")
@caught_by("ALG-1", PLAIN, "db", "db of reversed items, maps and channels, reversed back")
def the_first_item_counts_twice(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    delta = np.array(o.delta)
    delta[:1] *= 2
    return right(g, o.replace(delta=delta) if backward else o, backward)


@caught_by("ALG-2", PLAIN, "y", "y with x scaled by 2^3, scaled back")
@caught_by("ALG-2", PLAIN, "dx", "dx with w scaled by 2^-2, scaled back")
@caught_by("ALG-2", PLAIN, "dw", "dw with delta scaled by 2^1, scaled back")
@caught_by("ALG-2", PLAIN, "db", "db with delta scaled by 2^1, scaled back")
def everything_is_clipped_at_a_value(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: np.clip(a, -5, 5) for q, a in right(g, o, backward).items()}


@caught_by("ALG-2", PLAIN, "y", "y with w scaled by 2^-2, scaled back")
def an_epsilon_is_added_to_y(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: a + 0.125 if q == "y" else a for q, a in right(g, o, backward).items()}


@caught_by("ALG-3", f"{PLAIN} p1:0", "y", "y with the padding written out")
@caught_by("ALG-3", f"{PLAIN} p1:0", "dw", "dw with the padding written out")
def padding_repeats_the_border(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    if not any(map(any, g.padding)):
        return right(g, o, backward)
    x = np.pad(o.x, [(0, 0), (0, 0), *g.padding], mode="edge")
    r = right(dataclasses.replace(g, size=g.padded_size, padding=((0, 0),)), o.replace(x=x), backward)
    return {q: a[(..., *g.inner)] if q == "dx" else a for q, a in r.items()}


@caught_by("ALG-3", f"{PLAIN} p1:0", "dx", "dx with the padding written out")
def dx_is_cut_at_the_wrong_end(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: np.roll(a, 1, axis=-1) if q == "dx" and any(map(any, g.padding)) else a for q, a in r.items()}


@caught_by("ALG-3", "2d n1 c2 m2 i6x7 k2x3 d2", "y", "y with the zeros between the taps written out")
@caught_by("ALG-3", "2d n1 c2 m2 i6x7 k2x3 d2", "dx", "dx with the zeros between the taps written out")
@caught_by("ALG-3", "2d n1 c2 m2 i6x7 k2x3 d2", "dw", "dw with the zeros between the taps written out")
def dilation_is_ignored(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """The taps stand side by side, and the rest of the input is cropped."""
    if max(g.dilation) == 1:
        return right(g, o, backward)
    crop = tuple(
        (lo, hi - (reach - k)) for (lo, hi), reach, k in zip(g.padding, g.kernel_reach, g.kernel, strict=True)
    )
    return right(dataclasses.replace(g, dilation=(1,), padding=crop), o, backward)


# ---- NUM ----
@caught_by("NUM-1", f"{PLAIN} f32", "dx", "dx has dtype float64, the operands have float32")
@caught_by("NUM-1", f"{PLAIN} bf16", "y", "y has dtype float64, the operands have bfloat16")
def everything_is_float64(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: a.astype(np.float64) for q, a in right(g, o, backward).items()}


@caught_by("NUM-1", f"{PLAIN} f64", "dw", "dw has dtype float32, the operands have float64")
def everything_is_cast_down(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: a.astype(np.float32) for q, a in right(g, o, backward).items()}


@caught_by("NUM-2", f"{PLAIN} f32", "y")
@caught_by("NUM-2", f"{PLAIN} f64", "dx")
@caught_by("NUM-2", f"{PLAIN} f32", "dw")
@caught_by("NUM-2", f"{PLAIN} f16", "db")
def one_element_is_one_ulp_off(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    for a in r.values():
        a.flat[-1] = np.nextafter(a.flat[-1], a.dtype.type(np.inf))
    return r


@caught_by("NUM-3", f"{PLAIN} f16 fill=wide", "y")
@caught_by("NUM-3", f"{PLAIN} bf16 fill=wide", "dx")
@caught_by("NUM-3", f"{PLAIN} bf16 fill=stagnation", "dw")
@caught_by("NUM-3", "2d n9 c2 m9 i7 k2 bf16 fill=wide", "db")
def partial_sums_are_rounded_to_the_dtype(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """A sum for each map and item, each stored in the dtype before it is added to the others; y is split by channels."""
    if not backward:
        parts = [right(g, o.replace(x=only(o.x, 1, c)), False) for c in range(g.channels)]
        return {"y": sum(part["y"] for part in parts[1:]) + parts[0]["y"] - too_many_biases(g, o)}
    parts = [
        right(g, o.replace(delta=only(only(o.delta, 0, n), 1, m)), True)
        for n in range(g.batch)
        for m in range(g.maps)
    ]
    return {q: sum((part[q] for part in parts[1:]), parts[0][q]) for q in parts[0]}


def only(a: Any, axis: int, index: int) -> Any:
    """Zero but for one index of an axis."""
    kept = np.zeros_like(a)
    at = (*(slice(None),) * axis, index)
    kept[at] = a[at]
    return kept


def too_many_biases(g: Geometry, o: Operands) -> Any:
    """What y holds too often when it is summed from parts of x."""
    return 0 if o.b is None else (o.b * o.b.dtype.type(g.channels - 1)).reshape(1, -1, *(1,) * g.rank)


@caught_by("NUM-3", f"{PLAIN} f32 fill=odd seed=3", "y")
@caught_by("NUM-3", f"{PLAIN} f32 fill=odd seed=3", "dw")
@caught_by("NUM-3", f"{PLAIN} f32 fill=odd seed=1", "dx")
@caught_by("NUM-3", f"{PLAIN} f32 fill=odd seed=2", "db")
@caught_by("NUM-3", f"{PLAIN} f32 fill=onehot", "y")
@caught_by("NUM-3", f"{PLAIN} f32 fill=onehot", "dx")
@caught_by("NUM-4", f"{PLAIN} f32 fill=positive", "dw")
@caught_by("NUM-4", f"{PLAIN} f32 fill=real", "y")
@caught_by("NUM-4", f"{PLAIN} f32 fill=real", "dx")
@caught_by("NUM-4", f"{PLAIN} f32 fill=real", "dw")
@caught_by("NUM-4", f"{PLAIN} f32 fill=real", "db")
def operands_pass_through_float16(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    narrow = {name: a.astype(np.float16).astype(a.dtype) for name, a in o.items()}
    return right(g, o.replace(**narrow), backward)


@caught_by("NUM-4", f"{PLAIN} f64 fill=real", "y")
@caught_by("NUM-4", f"{PLAIN} f64 fill=real", "dw")
def one_element_is_off_by_half_a_thousandth(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    for a in r.values():
        a.flat[-1] *= a.dtype.type(1.0005)
    return r


@caught_by("NUM-3", f"{PLAIN} bf16 fill=wide", "y")
@caught_by("NUM-3", f"{PLAIN} f16 fill=onehot", "dx")
@caught_by("NUM-3", f"{PLAIN} bf16 fill=wide", "dw")
def results_are_cut_off_where_they_should_be_rounded(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    """Toward zero, from float32 to the dtype."""
    wide = right(g, o.replace(**{name: a.astype(np.float64) for name, a in o.items()}), backward)
    return {q: cut_off(a, o.x.dtype) for q, a in wide.items()}


def cut_off(a: Any, dtype: Any) -> Any:
    near = a.astype(dtype)
    too_large = np.abs(near.astype(np.float64)) > np.abs(a)
    return np.where(too_large, np.nextafter(near, dtype.type(0)), near)


@caught_by("NUM-2", f"{PLAIN} f64 fill=wide", "y")
@caught_by("NUM-2", f"{PLAIN} f64 fill=odd", "dw")
@caught_by("NUM-2", f"{PLAIN} f64 fill=odd seed=1", "dx")
@caught_by("NUM-2", f"{PLAIN} f64 fill=onehot", "dx")
@caught_by("NUM-4", f"{PLAIN} f64 fill=cancellation", "y")
def sums_are_kept_in_float32(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    narrow = {name: a.astype(np.float32) for name, a in o.items()}
    return {q: a.astype(o.x.dtype) for q, a in right(g, o.replace(**narrow), backward).items()}


@caught_by("NUM-2", f"{PLAIN} f32 fill=subnormal", "y")
@caught_by("NUM-2", f"{PLAIN} f16 fill=subnormal", "dx")
@caught_by("NUM-3", f"{PLAIN} bf16 fill=subnormal", "dw")
def subnormal_results_are_zero(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """It does not say that it flushes."""
    normal = dtype_of(o.x.dtype).smallest_normal
    r = right(g, o, backward)
    return {q: np.where(np.abs(a.astype(np.float64)) < normal, a * 0, a) for q, a in r.items()}


@caught_by("NUM-2", f"{PLAIN} f32 fill=huge", "y")
@caught_by("NUM-2", f"{PLAIN} f64 fill=huge", "dw")
def large_results_are_infinite(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """Sums are squared on the way, or scaled: what is far below the largest number overflows."""
    limit = dtype_of(o.x.dtype).largest / 1024
    r = right(g, o, backward)
    return {q: np.where(np.abs(a.astype(np.float64)) > limit, a.dtype.type(np.inf), a) for q, a in r.items()}


@caught_by("NUM-5", f"{GAPS} f32 fill=gaps", "y")
@caught_by("NUM-5", f"{GAPS} f64 fill=gaps", "dx")
@caught_by("NUM-5", f"{GAPS} f16 fill=gaps", "dw")
@caught_by("NUM-5", f"{PLAIN} f32 fill=gaps", "db")
@caught_by("NUM-5", f"{PLAIN} f32 fill=onehot", "y")
def noise_is_left_where_nothing_is_summed(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: np.where(a == 0, a.dtype.type(dtype_of(a.dtype).u), a) for q, a in r.items()}


@caught_by("NUM-5", f"{PLAIN} f32 fill=positive", "y", "a sum of positive products")
@caught_by("NUM-5", f"{PLAIN} f32 fill=positive", "db", "a sum of positive products")
def results_are_centred(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a - a.mean(dtype=a.dtype) for q, a in r.items()}


@caught_by(
    "NUM-5", f"{PLAIN} f32 fill=positive", "dx", "dx at (0, 0, 0, 0) is nan, a sum of positive products"
)
def dx_is_nan(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: a * np.nan if q == "dx" else a for q, a in r.items()}


@caught_by("NUM-6", PLAIN, "y", "nan in x at (0, 0, 0, 0) and (0, 0, 0, 2) and (0, 0, 2, 0)")
@caught_by("NUM-6", PLAIN, "dx", "does not reach dx")
@caught_by("NUM-6", PLAIN, "dw", "inf in delta at")
@caught_by("NUM-6", PLAIN, "db", "does not reach db")
def special_values_are_replaced_by_numbers(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: np.nan_to_num(a) for q, a in right(g, o, backward).items()}


@caught_by("NUM-6", PLAIN, "y", "also reaches y")
@caught_by("NUM-6", PLAIN, "dx", "also reaches dx")
def items_are_mixed_with_weights_of_zero(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    with np.errstate(invalid="ignore"):
        return {q: a + 0 * a.sum(axis=0, keepdims=True) if q in ("y", "dx") else a for q, a in r.items()}


@caught_by("NUM-6", PLAIN, "dw", "nan in w at")
@caught_by("NUM-6", PLAIN, "db", "also reaches db")
def gradients_use_an_operand_that_they_should_not(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    with np.errstate(invalid="ignore"):
        return {q: a + 0 * (o.w.sum() + o.x.sum()) if q in ("dw", "db") else a for q, a in r.items()}


# ---- HYG ----
@caught_by("HYG-1", PLAIN, "y", "forward changed its operand x")
@caught_by("HYG-1", PLAIN, "db", "backward changed its operand delta")
def operands_are_scaled_in_place(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    changed = o.delta if backward else o.x
    changed *= 2
    return r


@caught_by("HYG-1", "1d n1 c1 m2 i5 k2 bias=untied", "db", "db shares memory with an operand")
def db_is_a_view_of_delta(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    r = right(g, o, backward)
    return {q: o.delta[0] if q == "db" else a for q, a in r.items()}


@caught_by("HYG-2", f"{PLAIN} fill=real", "y", "y of the same call, made twice")
@caught_by("HYG-2", PLAIN, "dx", "dx of the same call, made twice")
@caught_by("HYG-2", PLAIN, "dw", "dw of the same call, made twice")
@caught_by("HYG-2", PLAIN, "db", "db of the same call, made twice")
class EveryCallRoundsDifferently:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
        self.calls += 1
        return {q: a * (1 + self.calls * 2.0**-50) for q, a in right(g, o, backward).items()}


@caught_by("HYG-3", PLAIN, "dx", "dx before and after a call on other data")
@caught_by("HYG-3", PLAIN, "dw", "dw before and after a call on other data")
@caught_by("HYG-3", PLAIN, "db", "db before and after a call on other data")
class GradientsAccumulate:
    def __init__(self) -> None:
        self.sums: Results = {}

    def __call__(self, right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
        r = right(g, o, backward)
        if backward:
            r = {q: a + self.sums.get(q, 0) for q, a in r.items()}
            self.sums = r
        return {q: np.array(a) for q, a in r.items()}


@caught_by("HYG-3", PLAIN, "y", "y before and after a call on other data")
@caught_by("HYG-3", PLAIN, "dw", "dw before and after a call on other data")
class TheXOfTheCallBeforeIsUsed:
    def __init__(self) -> None:
        self.x: Any = None

    def __call__(self, right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
        stale = o if self.x is None else o.replace(x=self.x)
        self.x = np.array(o.x)
        return right(g, stale, backward)


@caught_by("HYG-4", PLAIN, "y", "y of operands in memory fortran against c")
@caught_by("HYG-4", PLAIN, "dw", "dw of operands in memory channels-last against c")
@caught_by("HYG-4", PLAIN, "db", "db of operands in memory fortran against c")
@caught_by("HYG-4", f"{PLAIN} mem=fortran", "dx", "dx of operands in memory c against fortran")
def strides_are_ignored(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return right(
        g, o.replace(**{name: a.ravel(order="K").reshape(a.shape) for name, a in o.items()}), backward
    )


@caught_by("HYG-4", PLAIN, "y", "y of operands in memory sliced against c")
@caught_by("HYG-4", PLAIN, "dx", "dx of operands in memory reversed against c")
def memory_is_taken_to_be_dense(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """The elements that lie behind the first in memory, whatever the strides say."""

    def dense(a: Any) -> Any:
        whole = a if a.base is None else a.base
        return whole if whole.size == a.size else np.nan_to_num(whole.ravel()[: a.size].reshape(a.shape))

    return right(g, o.replace(**{name: dense(a).reshape(a.shape) for name, a in o.items()}), backward)


class Heap:
    """Fresh memory in miniature, so that no allocator has a say: what is spoiled holds NaN three times, all else zero."""

    def __init__(self) -> None:
        self.spoiled: dict[str, int] = {}

    def sizes(self, case: Case, *quantities: str) -> tuple[int, ...]:
        self.spoiled |= dict.fromkeys(quantities or case.offers, 3)
        return ()

    def held(self, q: str) -> float:
        self.spoiled[q] = self.spoiled.get(q, 0) - 1
        return np.nan if self.spoiled[q] >= 0 else 0.0


HEAP = Heap()


def unwritten(q: str, right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    """The last element of a result stays what its memory held before."""
    r = right(g, o, backward)
    for name, a in r.items():
        held = HEAP.held(name)
        a.flat[-1] = held if name == q else a.flat[-1]
    return r


@caught_by("HYG-5", PLAIN, "y", "y when fresh memory held NaN")
def an_element_of_y_is_not_written(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return unwritten("y", right, g, o, backward)


@caught_by("HYG-5", PLAIN, "dx", "dx when fresh memory held NaN")
def an_element_of_dx_is_not_written(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return unwritten("dx", right, g, o, backward)


@caught_by("HYG-5", PLAIN, "dw", "dw when fresh memory held NaN")
def an_element_of_dw_is_not_written(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return unwritten("dw", right, g, o, backward)


@caught_by("HYG-5", PLAIN, "db", "db when fresh memory held NaN")
def an_element_of_db_is_not_written(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return unwritten("db", right, g, o, backward)


@caught_by("HYG-6", PLAIN, "y", "x with 4 channels where the kernel takes 3 was accepted without an error")
@caught_by("HYG-6", GROUPED, "y", "w with 3 channels a group where x has 2 was accepted without an error")
@caught_by("HYG-6", PLAIN, "y", "a bias for 3 maps where there are 2 was accepted without an error")
@caught_by("HYG-6", PLAIN, "dx", "delta of size (3, 4) where y has (3, 3) was accepted without an error")
def operands_of_any_shape_are_accepted(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return right(
        g, o.replace(**{name: np.resize(a, g.shape_of(name) or ()) for name, a in o.items()}), backward
    )


@caught_by("HYG-7", PLAIN, "dw", "dw of an empty batch")
@caught_by("HYG-7", f"{PLAIN} bias=untied", "db", "db of an empty batch")
def an_empty_batch_gives_ones(right: Right, g: Geometry, o: Operands, backward: bool) -> Results:
    return {q: np.ones_like(a) if not g.batch else a for q, a in right(g, o, backward).items()}


@caught_by("HYG-7", PLAIN, "y", "y has shape (1, 2, 3, 3), the geometry gives (0, 2, 3, 3)")
def the_y_of_an_empty_batch_is_that_of_one_item(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    return {q: np.zeros((1, *a.shape[1:])) if q == "y" and not g.batch else a for q, a in r.items()}


@caught_by("HYG-7", PLAIN, "dx", "dx has shape (1, 3, 4, 5), the geometry gives (0, 3, 4, 5)")
def the_dx_of_an_empty_batch_is_that_of_one_item(
    right: Right, g: Geometry, o: Operands, backward: bool
) -> Results:
    r = right(g, o, backward)
    return {q: np.zeros((1, *a.shape[1:])) if q == "dx" and not g.batch else a for q, a in r.items()}


# ---- the table at work ----
def judged(case: Case, clause: str) -> list[Evidence]:
    """The evidence of a clause; a result of another size ends it with a failure, as in a run."""
    try:
        return list(REGISTRY[clause].check(case))
    except Misshapen as shape:
        return [wrong(shape.quantity, str(shape))]


def test_every_clause_has_a_mistake_that_it_must_catch() -> None:
    elsewhere = {c.id for c in REGISTRY.values() if c.chapter in ELSEWHERE}
    assert {row.clause for row in TABLE} == set(REGISTRY) - MEASURED - elsewhere
    assert {
        c.id for c in REGISTRY.values() if c.severity is Severity.INFO and c.id not in elsewhere
    } == MEASURED


@pytest.mark.parametrize("id", sorted(MEASURED))
def test_what_is_measured_fails_no_mistake(id: str, right: Right, case_of: Callable[..., Case]) -> None:  # noqa: A002
    for row in (row for row in TABLE if row.clause.startswith("NUM")):
        for fill in ("subnormal", "huge"):
            mistake = row.mistake() if isinstance(row.mistake, type) else row.mistake
            case = case_of(f"{PLAIN} f32 fill={fill}", functools.partial(mistake, right))
            assert all(e.ok for e in judged(case, id) if "has shape" not in e.note), row


@pytest.fixture(autouse=True)
def heap(monkeypatch: pytest.MonkeyPatch) -> None:
    HEAP.spoiled.clear()
    monkeypatch.setattr(hygiene, "sizes", HEAP.sizes)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_clause_catches_the_mistake(row: Row, right: Right, case_of: Callable[..., Case]) -> None:
    mistake = row.mistake() if isinstance(row.mistake, type) else row.mistake
    evidence = judged(case_of(row.line, functools.partial(mistake, right)), row.clause)
    failures = [(e.quantity, e.note) for e in evidence if not e.ok]
    assert any(q == row.q and row.says in note for q, note in failures), failures


@pytest.mark.parametrize(("clause", "line"), sorted({(row.clause, row.line) for row in TABLE}))
def test_the_right_implementation_passes_where_mistakes_are_caught(
    clause: str, line: str, case_of: Callable[..., Case]
) -> None:
    evidence = judged(case_of(line), clause)
    assert evidence
    assert [e for e in evidence if not e.ok] == []


@pytest.mark.parametrize("row", [row for row in TABLE if row.clause == "HYG-5"], ids=str)
def test_an_unwritten_element_is_caught_after_other_clauses_have_asked(
    row: Row, right: Right, case_of: Callable[..., Case]
) -> None:
    """As in a run, where the problem's own results are known before memory is spoiled."""
    case = case_of(row.line, functools.partial(row.mistake, right))
    assert all(np.isfinite(case[q]).all() for q in case.offers)
    assert [e.quantity for e in judged(case, "HYG-5") if not e.ok] == [row.q]


@pytest.mark.parametrize(
    "line", [f"{GROUPED} s2 p1 d2 conv", "1d n1 c1 m1 i6 k2 s2 d2", "1d n1 c1 m1 i7 k2 s3", "2d i6 k1 s3"]
)
def test_an_impulse_is_put_where_an_output_reads(
    line: str, right: Right, case_of: Callable[..., Case]
) -> None:
    """An impulse that no tap meets returns zeros from any implementation: a pass without power."""
    evidence = judged(case_of(line, lambda g, o, backward: right(g, o.replace(w=o.w * 2), backward)), "FWD-3")
    assert any(not e.ok for e in evidence) or not any(e.powered for e in evidence)
