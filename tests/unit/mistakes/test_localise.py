"""Where a result is wrong: what is said of wrong implementations, that it is so, and that nothing is said of right ones."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import re
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import miniatures
from conformance import Adapter, Capabilities, Geometry, Unsupported
from conformance.adapter.session import Session
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.localise import localise
from conformance.mistakes.localise.looks import CALLS, SECONDS
from conformance.problem import Problem
from conformance.spec import Answer, Question
from miniatures import Right

PLAIN = "2d n2 c2 m3 i6x5 k3x2 f64 seed=1"
RICH = "2d n2 c4 m6 g2 i7x6 k2x3 s2x1 p1:2x0 d1x2 f64 seed=6"
POINTWISE = "2d n1 c5 m5 i10x9 k1x1 s2 f64 seed=4"
LINE = "1d n2 c3 m4 i11 k3 s2 p1 f32 seed=2"
VOLUME = "3d n2 c2 m2 i4x3x5 k2x1x3 conv f32 seed=3"
LINES = (PLAIN, RICH, POINTWISE, LINE, VOLUME)


def said(adapter: Adapter, line: str, quantity: str) -> str:
    return localise(Session(adapter, "tried"), Problem.parse(line), quantity)


# ---- wrong implementations: what comes back is changed ----
Change = Callable[[Geometry, Any, Any], Any]
"""(geometry, x, result) -> what comes back instead."""


class Changed(Right):
    """One quantity is right until `change` has been at it."""

    def __init__(self, quantity: str, change: Change) -> None:
        super().__init__()
        self.quantity, self.change = quantity, change

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self.changed("y", g, x, super().forward(g, x, w, b))

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        gradients = zip(("dx", "dw", "db"), super().backward(g, x, w, b, delta), strict=True)
        return tuple(None if a is None else self.changed(q, g, x, a) for q, a in gradients)

    def changed(self, quantity: str, g: Geometry, x: Any, result: Any) -> Any:
        return self.change(g, x, result) if quantity == self.quantity else result


def only_if(condition: Callable[[Geometry], bool], change: Change) -> Change:
    return lambda g, x, a: change(g, x, a) if condition(g) else a


def zeroed(*index: Any) -> Change:
    """Zeros at an index."""

    def change(g: Geometry, x: Any, a: Any) -> Any:
        out = a.copy()
        out[index] = 0
        return out

    return change


def plus_one(g: Geometry, x: Any, a: Any) -> Any:
    return a + a.dtype.type(1)


def messed(g: Geometry, x: Any, a: Any) -> Any:
    """Wrong in every element, in no way that has a name."""
    noise = np.arange(1, a.size + 1).reshape(a.shape) ** 2 % 7 + 1
    return (a + noise).astype(a.dtype)


def if_backwards(g: Geometry, x: Any, a: Any) -> Any:
    return messed(g, x, a) if any(s < 0 for s in x.strides) else a


def times(f: float) -> Change:
    return lambda g, x, a: (a * f).astype(a.dtype)


CASES: list[tuple[str, str, str, Change, str]] = [
    ("factor", PLAIN, "dx", times(3), "dx is 3 times what is right (on all "),
    ("fraction", LINE, "dw", times(0.75), "dw is 3/4 of what is right (on all "),
    ("third", LINE, "dw", times(1 / 3), "dw is 1/3 of what is right (on all "),
    ("sign", PLAIN, "db", times(-1), "db is minus what is right: the sign is wrong (on all "),
    ("zero", RICH, "y", times(0), "y is 0 everywhere (on all "),
    ("per-batch", PLAIN, "dw", lambda g, x, a: a / g.batch, "dw is divided by the batch size (on all "),
    ("per-position", PLAIN, "db", lambda g, x, a: a / math.prod(g.output),
     "db is divided by the number of output positions"),
    ("per-tap", VOLUME, "dx", lambda g, x, a: a * a.dtype.type(math.prod(g.kernel)),
     "dx is multiplied by the number of taps"),
    ("offset", PLAIN, "y", plus_one, "y is 1 too large everywhere (on all "),
    ("own-offset", PLAIN, "dw", lambda g, x, a: a + x.flat[0],
     "dw is off by one and the same number in all its elements"),
    ("clip", RICH, "y", lambda g, x, a: a.clip(-50, 50), "y is cut off at -50 and 50 (on all "),
    ("relu", PLAIN, "y", lambda g, x, a: a.clip(0, None), "y is 0 where it should be negative, and right elsewhere"),
    ("magnitude", PLAIN, "dx", lambda g, x, a: abs(a), "dx comes without its sign"),
    ("norm", PLAIN, "dx", lambda g, x, a: a / max(np.linalg.norm(a), 1),
     "dx is proportional to what is right, by a factor"),
    ("hair", PLAIN, "dw", times(1 + 2.0**-20), "dw is too large by the factor 1 + 2^-20 (on all "),
    ("crumb", PLAIN, "y", lambda g, x, a: a - 1e-6, "y is 1e-06 too small everywhere (on all "),
    ("reversed", PLAIN, "dw", lambda g, x, a: a[..., ::-1], "dw is reversed along the axis of kernel column (on all "),
    ("rotated", VOLUME, "dx", lambda g, x, a: np.flip(a, (2, 4)), "dx is reversed along the axis of plane and column"),
    ("backwards", PLAIN, "y", lambda g, x, a: a[::-1], "y is reversed along the axis of item (on all "),
    ("transposed", PLAIN, "y", lambda g, x, a: a.swapaxes(2, 3), "y has its axes in the order (0, 1, 3, 2) (on all "),
    ("reshaped", PLAIN, "dx", lambda g, x, a: a.transpose(1, 0, 2, 3).reshape(a.shape),
     "dx has its values in the order of axes (1, 0, 2, 3): reshaped where it had to be transposed"),
    ("fortran", PLAIN, "dw", lambda g, x, a: a.ravel("F").reshape(a.shape),
     "dw has its values in the order of axes (3, 2, 1, 0)"),
    ("rolled", PLAIN, "dx", lambda g, x, a: np.roll(a, 1, 1), "every channel of dx holds the values of the one before"),
    ("one-for-all", LINE, "y", lambda g, x, a: np.repeat(a[:1], len(a), 0),
     "every item of y holds the values of the first one"),
    ("summed", PLAIN, "dx", lambda g, x, a: np.repeat(a.sum(0, keepdims=True), len(a), 0),
     "every item of dx holds the values of all of them together"),
    ("shuffled", PLAIN, "y", lambda g, x, a: a[:, [0, *range(a.shape[1] - 1, 0, -1)]],
     "y has its maps in another order"),
    ("sorted", PLAIN, "dw", lambda g, x, a: np.sort(a, None).reshape(a.shape),
     "dw has the right values in other places"),
    ("shifted", PLAIN, "dx", lambda g, x, a: np.pad(a, ((0, 0), (0, 0), (0, 0), (1, 0)))[..., :-1],
     "dx stands 1 column behind where it should"),
    ("flat", PLAIN, "dw", lambda g, x, a: a.ravel(), "dw has the right values in the right order, but other axes"),
    ("longer", RICH, "y", lambda g, x, a: np.pad(a, ((0, 0), (0, 0), (0, 1), (0, 0))),
     "y is right but for its size: too large at the end"),
    ("uncropped", PLAIN, "dx", lambda g, x, a: np.pad(a, 2 * [(0, 0)] + 2 * [(1, 1)]),
     "dx is right but for its size: too large at both ends"),
    ("shorter", PLAIN, "dx", lambda g, x, a: a[:, :, 1:], "dx is right but for its size: too small at the beginning"),
    ("last-row", PLAIN, "y", zeroed(slice(None), slice(None), -1),
     "y is wrong only in the last row; there it is 0 (on all "),
    ("first-item", PLAIN, "dx", zeroed(0), "dx is wrong only in the first item; there it is 0 (on all "),
    ("items-behind", LINE, "y", zeroed(slice(1, None)), "y is wrong only in all items but the first; there it is 0"),
    ("even-columns", PLAIN, "dx", zeroed(..., slice(None, None, 2)),
     "dx is wrong only in every second column, from 0 on (counted from 0); there it is 0"),
    ("tap", PLAIN, "dw", zeroed(slice(None), slice(None), 1),
     "dw is wrong only in kernel row 1 (counted from 0); there it is 0"),
    ("channels-from-4", POINTWISE, "dw", zeroed(slice(None), slice(4, None)),
     "dw is wrong only in channels from 4 on (counted from 0)"),
    ("corner", PLAIN, "dx", zeroed(..., 0, 0), "dx is wrong only in the first column of the first row; there it is 0"),
    ("ends", LINE, "dx", zeroed(..., [0, -1]), "dx is wrong only in the border; there it is 0"),
    ("nan", PLAIN, "db", lambda g, x, a: np.where(np.arange(len(a)) == len(a) - 1, np.nan, a),
     "db is wrong only in the last map; there it is NaN"),
    ("group", RICH, "y", lambda g, x, a: np.concatenate([a[:, : g.maps // g.groups] * 2, a[:, g.maps // g.groups :]], 1),
     "y is wrong only in the maps of the first group; there it is twice what is right"),
    ("neighbour", PLAIN, "y",
     lambda g, x, a: np.concatenate([a[..., :-1], a[..., -2:-1] if a.shape[-1] > 1 else a], -1)[..., : a.shape[-1]],
     "y is wrong only in the last column; there the value of the column before stands"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "quantity", "change", "words"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_a_pattern_is_named(line: str, quantity: str, change: Change, words: str) -> None:
    text = said(Changed(quantity, change), line, quantity)
    assert words.lower() in text.lower()


# ---- what decides ----
DECIDED: list[tuple[str, str, str, Change, str]] = [
    ("stride", RICH, "y", only_if(lambda g: max(g.stride) > 1, messed),
     "It is right as soon as the stride is 1 (all else unchanged"),
    ("dilation", RICH, "dx", only_if(lambda g: max(g.dilation) > 1, messed),
     "It is right as soon as the dilation is 1"),
    ("padding", RICH, "dw", only_if(lambda g: any(map(any, g.padding)), messed),
     "It is right as soon as there is no padding"),
    ("asymmetric", RICH, "dw", only_if(lambda g: any(a != b for a, b in g.padding), messed),
     "as soon as the padding is the same at both ends"),
    ("groups", RICH, "dw", only_if(lambda g: g.groups > 1, messed), "It is right as soon as there is one group"),
    ("no-groups", PLAIN, "dw", only_if(lambda g: g.groups == 1, messed), "It is right as soon as there are two groups"),
    ("bias", PLAIN, "y", only_if(lambda g: g.bias != "none", messed), "It is right as soon as there is no bias"),
    ("convention", VOLUME, "dw", only_if(lambda g: g.convention == "convolution", messed),
     "It is right as soon as the convention is correlation"),
    ("even-kernel", "2d n2 c2 m3 i8x9 k2x4 f64 seed=1", "dw", only_if(lambda g: g.kernel[-1] % 2 == 0, messed),
     "as soon as the kernel is odd"),
    ("square", "2d n1 c2 m3 i7x7 k2x2 f64 seed=1", "dx", only_if(lambda g: g.size[0] == g.size[-1], messed),
     "as soon as the sizes of x differ from axis to axis"),
    ("memory", PLAIN + " mem=reversed", "y", if_backwards,
     "It is wrong with mem=reversed, right with mem=c, mem=fortran, mem=sliced, mem=channels-last"),
    ("dtype", PLAIN.replace("f64", "f16"), "dx", lambda g, x, a: messed(g, x, a) if x.dtype == np.float16 else a,
     "It is wrong with f16, right with f64, f32, bf16 (all else unchanged)"),
    ("one-tap", VOLUME, "dx", only_if(lambda g: math.prod(g.kernel) > 1, messed),
     "It is right as soon as the kernel has one tap"),
    ("one-output", PLAIN, "dw", only_if(lambda g: math.prod(g.output) > 1, messed),
     "It is right as soon as there is one output position"),
    ("wide", "2d n1 c1 m1 i4x17 k2x3 f64 seed=1", "dx", only_if(lambda g: g.size[-1] >= 17, messed),
     "It is wrong from width 17 on, right up to width 16 ("),
    ("high", "2d n1 c1 m1 i21x5 k2x3 f64 seed=1", "y", only_if(lambda g: g.size[0] > 9, messed),
     "It is wrong from height 10 on, right up to height 9 ("),
    ("long", "1d n1 c1 m1 i70 k2 f32 seed=1", "y", only_if(lambda g: g.size[0] >= 65, messed),
     "It is wrong from length 65 on, right up to length 64 ("),
    ("narrow", "2d n1 c1 m1 i4x5 k2x3 f64 seed=1", "dw", only_if(lambda g: g.size[-1] < 8, messed),
     "It is wrong up to width 7, right from width 8 on ("),
    ("deep", "3d n1 c1 m1 i9x4x3 k2x2x2 f64 seed=1", "y", only_if(lambda g: g.size[0] >= 8, messed),
     "It is wrong from depth 8 on, right up to depth 7 ("),
    ("batch", "1d n4 c1 m2 i7 k2 f64 seed=1", "db", only_if(lambda g: g.batch >= 3, messed),
     "It is wrong from batch size 3 on, right up to batch size 2 ("),
    ("one-item", "1d n1 c1 m2 i7 k2 f64 seed=1", "dw", only_if(lambda g: g.batch == 1, messed),
     "It is wrong up to batch size 1, right from batch size 2 on ("),
    ("channels", POINTWISE, "y", only_if(lambda g: g.channels >= 5, messed),
     "It is wrong from 5 channels on, right up to 4 channels ("),
    ("maps", RICH, "dw", only_if(lambda g: g.maps // g.groups >= 2, messed),
     "It is wrong from 2 maps a group on, right up to 1 map a group ("),
    ("kernel", "2d n1 c1 m1 i9x9 k2x5 f64 seed=1", "dx", only_if(lambda g: g.kernel[-1] >= 4, messed),
     "It is wrong from kernel width 4 on, right up to kernel width 3 ("),
    ("tail", "2d n2 c1 m2 i4x7 k2x1 f64 seed=1", "dx", only_if(lambda g: g.size[-1] % 4 > 0, messed),
     "It is wrong where the width is no multiple of 4 ("),
    ("tail-behind", "1d n2 c1 m2 i11 k3 f64 seed=1", "y",
     only_if(lambda g: g.output[-1] > 8 and g.output[-1] % 8 > 0, messed),
     "It is wrong where the length of the output is larger than 8 and no multiple of it ("),
    ("whole-blocks", "1d n2 c1 m2 i8 k2 f64 seed=1", "dx", only_if(lambda g: g.size[-1] % 8 == 0, messed),
     "It is wrong where the length is a multiple of 8 ("),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "quantity", "change", "words"), [pytest.param(*case, id=name) for name, *case in DECIDED]
)
def test_what_decides_is_named(line: str, quantity: str, change: Change, words: str) -> None:
    assert words in said(Changed(quantity, change), line, quantity)


def test_pattern_and_threshold_are_both_said() -> None:
    change = only_if(lambda g: g.batch == 1, times(2))
    text = said(Changed("dw", change), POINTWISE, "dw")
    assert re.match(
        r"dw is twice what is right \(on all \d+ of the \d+ problems tried on which it is wrong\)\. ", text
    )
    assert (
        "It is wrong up to batch size 1, right from batch size 2 on (all else unchanged; right at 2, " in text
    )


def test_a_tile_edge_is_named_by_the_tile() -> None:
    text = said(miniatures.TileEdges(), "1d n1 c1 m1 i33 k1 f64 seed=1", "dx")
    assert text.startswith(
        "dx is wrong only in every 32th position but the first (counted from 0); there it is 0 (on all "
    )


# ---- from call to call ----
@pytest.mark.parametrize(
    ("name", "quantity", "words"),
    [
        (
            "Accumulates",
            "dw",
            "dw adds up from call to call: each result is the one before plus the right one",
        ),
        ("KeepsWhatWasThere", "dx", "dx differs from call to call on the same operands: uninitialised"),
        ("LeavesHoles", "dx", "elements in 3 calls, all where the sum is empty)"),
        ("Noisy", "y", "y differs from call to call on the same operands"),
        ("Flickers", "dx", "dx differs from call to call on the same operands"),
    ],
)
def test_results_that_do_not_repeat_are_named_as_such(name: str, quantity: str, words: str) -> None:
    text = said(getattr(miniatures, name)(), "2d n2 c2 m3 i6x5 k1x2 s2 f64 seed=1", quantity)
    assert words in text
    assert "right as soon as" not in text


@pytest.mark.parametrize("name", ["dx-accumulates", "dw-accumulates", "db-accumulates"])
def test_catalogued_accumulation(name: str) -> None:
    quantity = name.split("-", maxsplit=1)[0]
    assert said(CATALOGUE[name].adapter(), PLAIN, quantity).startswith(
        f"{quantity} adds up from call to call"
    )


@pytest.mark.parametrize("name", ["y-of-the-call-before", "dx-of-the-call-before", "dw-of-the-call-before"])
def test_catalogued_stale_results(name: str) -> None:
    quantity = name.split("-", maxsplit=1)[0]
    expected = f"{quantity} is the right result of the call before, whose operands were others (4 calls)."
    assert said(CATALOGUE[name].adapter(), PLAIN, quantity) == expected


def test_an_operand_that_every_call_overwrites_is_named() -> None:
    text = said(CATALOGUE["dx-overwrites-delta"].adapter(), PLAIN, "dw")
    assert text.endswith("Every call overwrites delta.")


# ---- data that round ----
@pytest.mark.parametrize(
    ("name", "line", "quantity", "words"),
    [
        (
            "float64-in-float32",
            "f64 fill=real",
            "y",
            "no element of y carries more than 24 bits, as in float32 (on all ",
        ),
        ("stored-as-float16", "f32 fill=real", "dw", "no element of dw carries more than 11 bits"),
        ("tf32-inputs", "f32 fill=real", "dx", "dx is what comes of x, w, b, delta rounded to 11 bits"),
        ("bfloat16-inputs", "f32 fill=real", "dw", "dw is what comes of x, w, b, delta rounded to 8 bits"),
        ("activation-kept-in-bfloat16", "f64 fill=real", "dw", "dw is what comes of x rounded to 8 bits"),
        (
            "narrow-accumulator",
            "f16 fill=real",
            "y",
            "no more than sums in float16 (11 bits) lose (8 problems)",
        ),
        ("six-decimals", "f64 fill=real", "dw", "no more than sums in float32 (24 bits) lose (8 problems)"),
        (
            "flushes-subnormals",
            "f32 fill=subnormal",
            "y",
            "With fill=real and fill=small, 3 of them are right.",
        ),
        ("times-1.0005", "f32 fill=real", "dw", "dw is 2001/2000 of what is right"),
        ("times-1+2^-20", "f64 fill=real", "dx", "dx is too large by the factor 1 + 2^-20"),
        ("plus-1e-6", "f64 fill=real", "y", "y is 1e-06 too large everywhere"),
    ],
)
def test_lost_precision_is_measured(name: str, line: str, quantity: str, words: str) -> None:
    assert words in said(CATALOGUE[name].adapter(), f"2d n2 c3 m2 i6x5 k3x3 p1 {line} seed=10", quantity)


# ---- right implementations, and those that do not answer ----
@pytest.mark.parametrize("fill", ["small", "real", "sparse"])
@pytest.mark.parametrize("name", ["Right", "Reordered", "PairwiseColumns", "Shuffled"])
def test_nothing_is_said_of_what_is_right(name: str, fill: str) -> None:
    for line in (PLAIN, RICH.replace("f64", "f16"), LINE):
        for quantity in ("y", "dx", "dw", "db"):
            assert not said(getattr(miniatures, name)(), f"{line} fill={fill}", quantity), (line, quantity)


def test_a_right_quantity_beside_a_wrong_one() -> None:
    assert not said(miniatures.BatchMean(), PLAIN, "dx")


@pytest.mark.parametrize(
    "name", ["Raises", "ReturnsNone", "ReturnsTwo", "ReturnsNoDw", "HasNoBackward", "SwappedGradients"]
)
def test_what_does_not_answer_is_no_error(name: str) -> None:
    assert not said(getattr(miniatures, name)(), PLAIN, "dw")


@pytest.mark.parametrize("name", ["Exits", "ReturnsText", "MisreadsTheGeometry"])
def test_what_does_not_answer_forward_is_no_error(name: str) -> None:
    assert not said(getattr(miniatures, name)(), PLAIN, "y")


def test_a_quantity_that_there_is_not() -> None:
    assert not said(miniatures.AlwaysZero(), f"{PLAIN} bias=none", "db")


def test_a_problem_that_is_too_large_is_not_asked() -> None:
    asked = Recording(miniatures.AlwaysZero())
    assert not localise(asked, Problem.parse("2d n8 c16 m16 i32x32 k3x3 f32"), "y")
    assert not asked.calls


def test_an_empty_batch() -> None:
    assert not said(miniatures.Right(), "2d n0 c2 m3 i6x5 k3x2 f64", "dx")


class RaisesElsewhere(Right):
    """The sign is wrong; of any geometry but one it raises, declines or breaks off, as its seed says."""

    def __init__(self, fault: Callable[[], Any]) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return -super().forward(g, x, w, b) if g == Problem.parse(PLAIN).geometry else self.fault()


def refuses() -> Any:
    raise Unsupported("another time")


def exits() -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "fault", [refuses, exits, lambda: None, lambda: 1 / 0], ids=["declines", "exits", "breaks", "raises"]
)
def test_what_is_answered_only_in_part(fault: Callable[[], Any]) -> None:
    text = said(RaisesElsewhere(fault), PLAIN, "y")
    assert text == "y is minus what is right: the sign is wrong (on all 5 problems tried)."


class Sleeps(Right):
    """Zeros, after a while that is longer than the limit from the third call on."""

    def __init__(self, naps: list[float]) -> None:
        super().__init__()
        self.naps = naps

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        if len(self.naps) > 2:
            time.sleep(self.naps[-1])
        self.naps.append(0.5)
        return np.zeros(g.y_shape, x.dtype)


def test_what_is_late_once_is_not_asked_again() -> None:
    naps: list[float] = []
    assert not localise(Session(Sleeps(naps), "sleeps", time_limit=0.1), Problem.parse(PLAIN), "y")
    assert len(naps) <= 3


class Slow(Changed):
    """Each forward pass takes a fifth of a second."""

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        time.sleep(0.2)
        return super().forward(g, x, w, b)


def test_a_slow_implementation_is_asked_less() -> None:
    asked = Recording(Slow("y", messed))
    localise(asked, Problem.parse(PLAIN), "y")
    assert 4 < len(asked.calls) <= SECONDS / 0.2 + 2 < CALLS


def test_only_what_is_claimed_is_asked() -> None:
    class Plain(Changed):
        capabilities = Capabilities()

    asked = Recording(Plain("y", times(-1)))
    text = localise(asked, Problem.parse(PLAIN), "y")
    assert text.startswith("y is minus what is right: the sign is wrong (on all ")
    assert all(q.geometry.stride == (1, 1) and q.geometry.groups == 1 for q, _ in asked.calls)


# ---- what is said is so: judged by the reference layer on what was asked, and on other data ----
class Recording(Session):
    """A session that keeps what was asked, with what came back."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter, "recorded")
        self.calls: list[tuple[Question, Answer]] = []

    def put(self, question: Question) -> Answer:
        answer = super().put(question)
        self.calls.append((question, answer))
        return answer


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What came back beside what the reference layer computes; in float64."""

    g: Geometry
    got: Any
    right: Any
    u: float

    @property
    def ok(self) -> bool:
        return self.got.shape == self.right.shape and np.array_equal(self.got, self.right)


def computed(question: Question, quantity: str) -> Any:
    """The right result of the reference layer in float64, rounded to the dtype."""
    o = {name: a.astype(np.float64) for name, a in question.operands.items()}
    g, b, rounded = question.geometry, o.get("b"), Problem.parse("i1 k1 " + code_of(question)).format.rounded
    if quantity == "y":
        return rounded(Right().forward(g, o["x"], o["w"], b))
    gradients = Right().backward(g, o["x"], o["w"], b, o["delta"])
    return rounded(gradients[("dx", "dw", "db").index(quantity)])


def code_of(question: Question) -> str:
    return {8: "f64", 4: "f32"}.get(question.operands.x.dtype.itemsize, "f16")


def looked(recording: Recording, quantity: str) -> list[Seen]:
    """Every problem asked, once."""
    distinct = {
        (q.geometry, q.memory, q.operands.x.dtype, *(a.tobytes() for _, a in q.operands.items())): (q, answer)
        for q, answer in recording.calls
    }
    return [
        Seen(
            g=q.geometry,
            got=answer.arrays[quantity].astype(np.float64),
            right=computed(q, quantity),
            u={"f64": 2.0**-53, "f32": 2.0**-24, "f16": 2.0**-11}[code_of(q)],
        )
        for q, answer in distinct.values()
    ]


COUNTS: dict[str, Callable[[Geometry], int]] = {
    "the batch size": lambda g: g.batch,
    "the number of output positions": lambda g: math.prod(g.output),
    "the batch size times the number of output positions": lambda g: g.batch * math.prod(g.output),
    "the number of taps of the kernel": lambda g: math.prod(g.kernel),
    "the stride of every axis": lambda g: math.prod(g.stride),
    "the number of groups": lambda g: g.groups,
    "the number of channels of a group": lambda g: g.channels // g.groups,
    "the number of maps of a group": lambda g: g.maps // g.groups,
}
SPATIAL = {1: ["position"], 2: ["row", "column"], 3: ["plane", "row", "column"]}
SLICES = {
    "the first one": lambda a, k: a.take([0], k),
    "the last one": lambda a, k: a.take([-1], k),
    "the next one": lambda a, k: np.roll(a, -1, k),
    "the one before": lambda a, k: np.roll(a, 1, k),
    "all of them together": lambda a, k: a.sum(k, keepdims=True),
    "the mean of all": lambda a, k: a.mean(k, keepdims=True),
}
Check = Callable[..., bool]


def axis_of(name: str, seen: Seen, q: str) -> int:
    """Which axis of a result one index of this name is along."""
    names = {"y": ["item", "map"], "dx": ["item", "channel"], "dw": ["map", "channel"], "db": ["map"]}[q]
    return [*names, *(f"kernel {n}" if q == "dw" else n for n in SPATIAL[seen.g.rank])].index(name)


def close(seen: Seen, f: Fraction) -> bool:
    """Is it f times the right integers, and no others that may be meant?"""
    off = np.abs(seen.got - seen.right * float(f))
    rounding = 64 * seen.u * np.max(np.abs(seen.right), initial=1)
    return bool(np.all(off <= abs(float(f)) / 4) and np.all(off <= rounding))


def is_times(seen: Seen, q: str, f: str) -> bool:
    named = {"0 everywhere": 0, "minus what is right: the sign is wrong": -1, "twice what is right": 2}
    factor = named.get(f)
    return close(seen, Fraction(f.split(maxsplit=1)[0] if factor is None else factor))


def is_named(seen: Seen, q: str, how: str, name: str) -> bool:
    n = max(COUNTS[name](seen.g), 1)
    return close(seen, Fraction(n) if how == "multiplied" else Fraction(1, n))


def is_reversed(seen: Seen, q: str, along: str) -> bool:
    return np.array_equal(
        seen.got, np.flip(seen.right, [axis_of(name, seen, q) for name in along.split(" and ")])
    )


def is_taken(seen: Seen, name: str, q: str, of: str) -> bool:
    return np.array_equal(
        seen.got, np.broadcast_to(SLICES[of](seen.right, axis_of(name, seen, q)), seen.right.shape)
    )


def is_reordered(seen: Seen, q: str, name: str) -> bool:
    a, b = (
        np.moveaxis(v, axis_of(name, seen, q), 0).reshape(v.shape[axis_of(name, seen, q)], -1)
        for v in (seen.got, seen.right)
    )
    return np.array_equal(a[np.lexsort(a.T)], b[np.lexsort(b.T)])


def is_in_order(seen: Seen, q: str, order: str) -> bool:
    return np.array_equal(seen.got, seen.right.transpose([int(k) for k in order.split(", ")]))


def is_permuted(seen: Seen, q: str) -> bool:
    return np.array_equal(np.sort(seen.got, None), np.sort(seen.right, None))


def is_flat(seen: Seen, q: str) -> bool:
    return np.array_equal(seen.got.ravel(), seen.right.ravel())


def is_clipped(seen: Seen, q: str, low: str, high: str) -> bool:
    return np.array_equal(seen.got, seen.right.clip(float(low), float(high)))


def part(seen: Seen, q: str, words: str) -> Any:
    """Mask of ``the last row of the first item``."""
    mask = np.ones(seen.right.shape, bool)
    for rule in words.split(" of "):
        kind, name = re.fullmatch(
            r"(the first|the last|all) (kernel \w+|\w+?)(?:s but the (?:first|last))?", rule
        ).groups()  # type: ignore[union-attr]
        axis = axis_of(name, seen, q)
        index = 0 if "first" in rule else -1
        chosen = np.zeros(seen.right.shape, bool)
        chosen[(slice(None),) * axis + (index,)] = True
        mask &= ~chosen if kind == "all" else chosen
    return mask


def is_only_in(seen: Seen, q: str, words: str) -> bool:
    return np.array_equal(seen.got[~part(seen, q, words)], seen.right[~part(seen, q, words)])


def is_zero_in(seen: Seen, q: str, words: str) -> bool:
    return is_only_in(seen, q, words) and not seen.got[part(seen, q, words)].any()


def is_zero_where_wrong(seen: Seen, q: str) -> bool:
    return not seen.got[seen.got != seen.right].any()


RULE = r"(?:the (?:first|last)|all) (?:kernel )?\w+(?: but the (?:first|last))?"
REGION = f"({RULE}(?: of {RULE})*)"
PATTERNS: dict[str, Check] = {
    r"(\w+) is (0 everywhere|minus what is right: the sign is wrong|twice what is right)": is_times,
    r"(\w+) is ([\d/]+ (?:times|of) what is right)": is_times,
    r"(\w+) is (multiplied|divided) by (the [\w ]+)": is_named,
    r"(\w+) is reversed along the axis of ([\w ]+)": is_reversed,
    r"every ([\w ]+) of (\w+) holds the values of ([\w ]+)": is_taken,
    r"(\w+) has its (\w+)s in another order": is_reordered,
    r"(\w+) has its axes in the order \(([\d, ]+)\)": is_in_order,
    r"(\w+) has the right values in other places": is_permuted,
    r"(\w+) has the right values in the right order, but other axes": is_flat,
    r"(\w+) is cut off at (\S+) and (\S+)": is_clipped,
    rf"(\w+) is wrong only in {REGION}": is_only_in,
    rf"(\w+) is wrong only in {REGION}; there it is 0": is_zero_in,
    r"where (\w+) is wrong, it is 0": is_zero_where_wrong,
}


def pattern_is_so(sentence: str, looks: list[Seen]) -> bool | None:
    """Is it so on all problems that were tried?  None: no check here reads it."""
    words, wrong, tried, bias = re.fullmatch(
        r"(.*) \(on all (\d+)(?: of the (\d+))? problems tried(?: with bias=(\w+))?(?: on which it is wrong)?\)\.",
        sentence,
    ).groups()  # type: ignore[union-attr]
    concerned = [look for look in looks if bias in (None, look.g.bias) and (tried is None or not look.ok)]
    assert len(concerned) >= int(wrong) >= 3
    for pattern, check in PATTERNS.items():
        found = re.fullmatch(pattern, words, re.IGNORECASE)
        if found:
            return all(check(look, *found.groups()) for look in concerned)
    return None


CHANGES: dict[str, Callable[[Geometry], dict[str, Any]]] = {
    "the stride is 1": lambda g: {"stride": (1,)},
    "the stride is the same along all axes": lambda g: {"stride": (g.stride[0],)},
    "the dilation is 1": lambda g: {"dilation": (1,)},
    "the dilation is the same along all axes": lambda g: {"dilation": (g.dilation[0],)},
    "there is no padding": lambda g: {"padding": (0,)},
    "the padding is the same at both ends": lambda g: {"padding": tuple((lo, lo) for lo, _ in g.padding)},
    "the padding is the same along all axes": lambda g: {"padding": (g.padding[0],)},
    "there is one group": lambda g: {
        "groups": 1,
        "channels": g.channels // g.groups,
        "maps": g.maps // g.groups,
    },
    "there is no bias": lambda g: {"bias": "none"},
    "the kernel has one tap": lambda g: {"kernel": (1,)},
    "there is one item": lambda g: {"batch": 1},
    "there is one channel and one map": lambda g: {"groups": 1, "channels": 1, "maps": 1},
}
NUMBERS: dict[str, Callable[[Geometry, int], dict[str, Any]]] = {
    r"batch size (\d+)": lambda g, n: {"batch": n},
    r"(\d+) channels?(?: a group)?": lambda g, n: {"channels": n * g.groups},
    r"(\d+) maps?(?: a group)?": lambda g, n: {"maps": n * g.groups},
    r"(?:width|length) (\d+)": lambda g, n: {"size": (*g.size[:-1], n)},
    r"kernel (?:width|length) (\d+)": lambda g, n: {"kernel": (*g.kernel[:-1], n)},
}


def right_with(session: Session, problem: Problem, quantity: str, **changes: Any) -> bool:
    """Is it right on the changed problem, with data that were not tried?"""
    g = dataclasses.replace(problem.geometry, **changes)
    p = problem.replace(geometry=g, seed=problem.seed + 1000)
    question = Question(geometry=g, operands=p.operands, memory=p.memory, backward=quantity != "y")
    got = session.put(question).arrays[quantity].astype(np.float64)
    right = computed(question, quantity)
    return got.shape == right.shape and np.array_equal(got, right)


def deciding_is_so(sentence: str, session: Session, problem: Problem, quantity: str) -> bool | None:
    """Is it so on data that were not tried?"""
    cures = re.fullmatch(r"It is right as soon as (.*) \(all else unchanged, on \d+ problems\)\.", sentence)
    if cures:
        known = [CHANGES[w] for w in cures[1].split(", or as soon as ") if w in CHANGES]
        return (
            all(right_with(session, problem, quantity, **c(problem.geometry)) for c in known)
            if known
            else None
        )
    edge = re.fullmatch(
        r"It is wrong (?:from|up to) (.*?)(?: on)?, right .* \(all else unchanged; right at (.*); wrong at (.*)\)\.",
        sentence,
    )
    for pattern, change in NUMBERS.items() if edge else ():
        if re.fullmatch(pattern, edge[1]):  # type: ignore[index]
            return all(
                right_with(session, problem, quantity, **change(problem.geometry, int(n))) is wanted
                for listed, wanted in ((edge[2], True), (edge[3], False))  # type: ignore[index]
                for n in listed.split(", ")
            )
    return None


def sentences(text: str) -> list[str]:
    return re.findall(r"\S.*?\.(?= [A-Z]|$)", text)


def first_wrong(name: str) -> tuple[Problem, str] | None:
    """A problem, and the quantity, on which a catalogued mistake shows."""
    mistake = CATALOGUE[name]
    for line in (*LINES, "2d n3 c5 m5 i9x9 k3x3 s2 p1:2 d1 f64 seed=9"):
        p = Problem.parse(line)
        for quantity in mistake.quantities if p.dtype in mistake.dtypes else ():
            if not right_with(Session(mistake.adapter(), name), p, quantity):
                return p, quantity
    return None


DRAWN = random.Random(4).sample(
    [name for name, m in CATALOGUE.items() if m.switch and m.kind == "layers"], 40
)


Verdict = tuple[str, bool | None]


@functools.cache
def verdicts(name: str) -> tuple[Verdict, ...]:
    """Each sentence that is said of a catalogued mistake, and whether it is so."""
    start = first_wrong(name)
    if start is None:
        return ()
    problem, quantity = start
    recording = Recording(CATALOGUE[name].adapter())
    text = localise(recording, problem, quantity)
    assert len(recording.calls) <= CALLS
    looks, fresh = looked(recording, quantity), Session(CATALOGUE[name].adapter(), name)
    return tuple(
        (s, pattern_is_so(s, looks) if "problems tried" in s else deciding_is_so(s, fresh, problem, quantity))
        for s in sentences(text)
    )


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_said_of_a_catalogued_mistake_is_so(name: str) -> None:
    assert [sentence for sentence, verdict in verdicts(name) if verdict is False] == []


def test_most_of_what_is_said_is_checked() -> None:
    checked = [verdict is not None for name in DRAWN for _, verdict in verdicts(name)]
    assert sum(checked) > 0.7 * len(checked)
    assert len(checked) > len(DRAWN) / 2


@pytest.mark.parametrize(
    "sentence",
    [
        "dx is twice what is right (on all {n} problems tried).",
        "dx is divided by the batch size (on all {n} problems tried).",
        "dx is reversed along the axis of row (on all {n} problems tried).",
        "Every item of dx holds the values of the first one (on all {n} problems tried).",
        "dx is wrong only in the first row (on all {n} problems tried).",
        "dx is wrong only in the last row of the last item; there it is 0 (on all {n} problems tried).",
        "Where dx is wrong, it is 0 (on all {n} problems tried).",
    ],
)
def test_the_check_rejects_what_is_not_so(sentence: str) -> None:
    recording = Recording(Changed("dx", times(3)))
    localise(recording, Problem.parse(PLAIN), "dx")
    looks = looked(recording, "dx")
    assert pattern_is_so("dx is 3 times what is right (on all 15 problems tried).", looks) is True
    assert pattern_is_so(sentence.format(n=15), looks) is False


@pytest.mark.parametrize(
    "sentence",
    [
        "It is right as soon as the stride is 1 (all else unchanged, on 4 problems).",
        "It is wrong from batch size 2 on, right up to batch size 1 (all else unchanged; right at 1; wrong at 2, 3).",
    ],
)
def test_the_check_of_what_decides_rejects_what_is_not_so(sentence: str) -> None:
    session = Session(Changed("dx", times(3)), "tripled")
    assert deciding_is_so(sentence, session, Problem.parse(RICH), "dx") is False
