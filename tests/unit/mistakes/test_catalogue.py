"""Each mistake does what its sentence says: against a few lines of numpy that do it on purpose.

`convolved`, `scattered` and `correlated` are the plain loops of y, dx and dw; what they are given, or what is done to
their results, is the mistake.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import signal

from conformance.engine.corpus import corpus
from conformance.mistakes import right
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.recipe import computing
from conformance.problem import QUANTITIES, Problem
from conformance.problem.dtypes import CODES
from conformance.problem.operations import FURTHER

Array = np.ndarray
Pair = tuple[int, int]

PROBLEMS = [n.problem for name in ("covering", "seed") for n in corpus(name)]
SWITCHES = [m for m in CATALOGUE.values() if m.switch and m.kind == "layers"]


# ---- the table ----
@pytest.mark.parametrize("m", CATALOGUE.values(), ids=CATALOGUE)
def test_a_mistake_says_what_is_done_and_how_to_mend_it(m: Mistake) -> None:
    assert m.name == m.name.lower().replace(" ", "-")
    for text in (m.sentence, m.hint):
        assert len(text.split()) >= 3
        assert not text.endswith(".")
        assert not set(text) & set("{}|")
    assert m.quantities
    assert set(m.quantities) <= {*QUANTITIES, *FURTHER}
    assert set(m.dtypes) <= set(CODES)


def test_a_name_stands_once() -> None:
    assert len(CATALOGUE) == sum(map(len, FAMILIES.values()))


def test_there_are_many() -> None:
    assert len(CATALOGUE) >= 120


def test_no_two_say_the_same() -> None:
    said = [m.sentence for m in CATALOGUE.values()]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("m", SWITCHES, ids=lambda m: m.name)
def test_a_switch_changes_its_quantity_on_some_problem(m: Mistake) -> None:
    (q,) = m.quantities
    assert any(
        not same(m.compute, computing(), p, q) for p in PROBLEMS if q != "db" or p.operands.b is not None
    )


def same(a: Callable[..., Array], b: Callable[..., Array], p: Problem, q: str) -> bool:
    with np.errstate(all="ignore"):
        return np.array_equal(*(f(p.geometry, p.operands, q).astype(float) for f in (a, b)), equal_nan=True)


WITHOUT = (
    ("stride", "2d n2 c4 m6 g2 i7x6 k3x2 p1:2x0 d1x2", ()),
    ("padding", "2d n2 c4 m6 g2 i7x6 k3x2 s2x1 d1x2", ("dx-crop-empty-without-padding",)),
    ("dilation", "2d n2 c4 m6 g2 i7x6 k3x2 p1:2x0", ()),
    ("groups", "2d n2 c4 m6 i7x6 k3x2 s2x1 p1:2x0 d1x2", ()),
    ("bias", "2d n2 c4 m6 g2 i7x6 k3x2 s2x1 p1:2x0 bias=none", ()),
    ("corners", "2d n2 c3 m3 i3x3 k3x3", ()),
)


@pytest.mark.parametrize(("family", "line", "but"), WITHOUT, ids=lambda v: v if isinstance(v, str) else "")
def test_where_there_is_nothing_to_do_wrong_nothing_is(family: str, line: str, but: tuple[str, ...]) -> None:
    p = Problem.parse(line)
    for m in FAMILIES[family]:
        for q in m.quantities:
            if p.geometry.bias != "none" or q != "db":
                assert same(m.compute, right, p, q) == (m.name not in but), m.name


# ---- plain loops ----
def reads(
    out: Pair, kernel: Pair, s: Pair, begin: Pair, d: Pair, size: Pair
) -> Iterator[tuple[Pair, Pair, Pair]]:
    """(o, t, i) that belong together."""
    for o in itertools.product(*map(range, out)):
        for t in itertools.product(*map(range, kernel)):
            i = tuple(o[k] * s[k] + t[k] * d[k] - begin[k] for k in (0, 1))
            if all(0 <= i[k] < size[k] for k in (0, 1)):
                yield o, t, (i[0], i[1])


def convolved(
    x: Array, w: Array, out: Pair, s: Pair = (1, 1), begin: Pair = (0, 0), d: Pair = (1, 1)
) -> Array:
    y = np.zeros((len(x), len(w), *out))
    for o, t, i in reads(out, w.shape[2:], s, begin, d, x.shape[2:]):
        y[:, :, *o] += x[:, :, *i] @ w[:, :, *t].T
    return y


def scattered(
    delta: Array, w: Array, size: Pair, s: Pair = (1, 1), begin: Pair = (0, 0), d: Pair = (1, 1)
) -> Array:
    dx = np.zeros((len(delta), w.shape[1], *size))
    for o, t, i in reads(delta.shape[2:], w.shape[2:], s, begin, d, size):
        dx[:, :, *i] += delta[:, :, *o] @ w[:, :, *t]
    return dx


def correlated(
    x: Array, delta: Array, kernel: Pair, s: Pair = (1, 1), begin: Pair = (0, 0), d: Pair = (1, 1)
) -> Array:
    dw = np.zeros((delta.shape[1], x.shape[1], *kernel))
    for o, t, i in reads(delta.shape[2:], kernel, s, begin, d, x.shape[2:]):
        dw[:, :, *t] += delta[:, :, *o].T @ x[:, :, *i]
    return dw


class Given:
    """The operands of a problem, and its right results by the loops."""

    def __init__(self, line: str) -> None:
        p = Problem.parse(line)
        self.g = g = p.geometry
        self.operands = o = p.operands
        self.x, self.w, self.b, self.delta = o.x, o.w, o.b, o.delta
        self.out, self.kernel, self.size = g.output, g.kernel, g.size
        self.s, self.d, self.begin = g.stride, g.dilation, tuple(lo for lo, _ in g.padding)

    def y(self, **changes: object) -> Array:
        given = {"x": self.x, "w": self.w, "out": self.out, "s": self.s, "begin": self.begin, "d": self.d}
        bias = 0 if self.b is None else self.b.reshape(-1, 1, 1)
        return convolved(**(given | changes)) + bias

    def dx(self, **changes: object) -> Array:
        given = {
            "delta": self.delta,
            "w": self.w,
            "size": self.size,
            "s": self.s,
            "begin": self.begin,
            "d": self.d,
        }
        return scattered(**(given | changes))

    def dw(self, **changes: object) -> Array:
        given = {
            "x": self.x,
            "delta": self.delta,
            "kernel": self.kernel,
            "s": self.s,
            "begin": self.begin,
            "d": self.d,
        }
        return correlated(**(given | changes))

    def padded(self, mode: str) -> Array:
        """x with its padding written out."""
        return np.pad(self.x, [(0, 0), (0, 0), *self.g.padding], mode=mode)


PLAIN = "2d n2 c2 m3 i6x5 k3x3"
RICH = "2d n3 c2 m3 i7x6 k3x2 s2x1 p1:2x2:0 d1x2"
SQUARE = "2d n2 c2 m3 i5x5 k3x3 p1"
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s1x2"


@pytest.mark.parametrize("line", [PLAIN, RICH, SQUARE])
def test_the_loops_are_right(line: str) -> None:
    given = Given(line)
    for q, made in (("y", given.y()), ("dx", given.dx()), ("dw", given.dw())):
        np.testing.assert_array_equal(made, right(given.g, given.operands, q))


def rotated(a: Array) -> Array:
    return a[:, :, ::-1, ::-1]


def exchanged(a: Array) -> Array:
    return np.swapaxes(a, 2, 3)


def without(a: Array, *place: object) -> Array:
    """Zeros at one place."""
    left = a.copy()
    left[place] = 0
    return left


def part(a: Array, *place: object) -> Array:
    """Zeros everywhere else."""
    return a - without(a, *place)


ALL = slice(None)
PLACED: dict[str, tuple[str, Callable[[Given], Array]]] = {
    # rotation
    "y-kernel-rotated": (RICH, lambda p: p.y(w=rotated(p.w))),
    "dx-kernel-unrotated": (RICH, lambda p: p.dx(w=rotated(p.w))),
    "dw-rotated": (RICH, lambda p: rotated(p.dw())),
    "y-kernel-flipped-along-first-axis": (RICH, lambda p: p.y(w=p.w[:, :, ::-1])),
    "dx-kernel-flipped-along-last-axis": (RICH, lambda p: p.dx(w=p.w[:, :, :, ::-1])),
    "dx-kernel-transposed": (SQUARE, lambda p: p.dx(w=exchanged(p.w))),
    "dx-kernel-transposed-not-rotated": (SQUARE, lambda p: p.dx(w=rotated(exchanged(p.w)))),
    "dw-transposed": (SQUARE, lambda p: exchanged(p.dw())),
    "dw-delta-rotated": (RICH, lambda p: p.dw(delta=rotated(p.delta))),
    "dw-x-rotated": (RICH, lambda p: p.dw(x=rotated(p.x))),
    "dx-kernel-channels-reversed": (RICH, lambda p: p.dx(w=p.w[:, ::-1])),
    "dx-kernel-maps-reversed": (RICH, lambda p: p.dx(w=p.w[::-1])),
    "dw-channels-reversed": (RICH, lambda p: p.dw()[:, ::-1]),
    "dw-convention-ignored": (f"{PLAIN} conv", lambda p: p.dw()),
    "y-convention-ignored": (f"{PLAIN} conv", lambda p: p.y()),
    # modes
    "y-of-full-size": (PLAIN, lambda p: np.pad(p.y(), [(0, 0), (0, 0), (2, 2), (2, 2)])),
    "y-of-input-size": (PLAIN, lambda p: np.pad(p.y(), [(0, 0), (0, 0), (0, 2), (0, 2)])),
    "y-windows-over-padding-skipped": (SQUARE, lambda p: part(p.y(), ALL, ALL, slice(1, 4), slice(1, 4))
        + without(np.zeros_like(p.y()) + p.b.reshape(-1, 1, 1), ALL, ALL, slice(1, 4), slice(1, 4))),
    "dw-windows-over-padding-skipped": (SQUARE, lambda p: p.dw(delta=part(p.delta, ALL, ALL, slice(1, 4), slice(1, 4)))),
    # stride
    "y-stride-ignored": (RICH, lambda p: p.y(s=(1, 1))),
    "y-stride-ignored-in-size": (RICH, lambda p: p.y(s=(1, 1), out=(8, 6))),
    "dx-delta-not-stuffed": (RICH, lambda p: p.dx(s=(1, 1))),
    "dw-delta-not-stuffed": (RICH, lambda p: p.dw(s=(1, 1))),
    "dx-strides-exchanged": (RICH, lambda p: p.dx(s=(1, 2))),
    "dw-first-stride-for-all-axes": (RICH, lambda p: p.dw(s=(2, 2))),
    "dx-remainder-in-front": (RICH, lambda p: p.dx(begin=(0, 2))),
    "dx-stuffed-once-too-often": (RICH, lambda p: p.dx(s=(3, 1))),
    "dx-delta-repeated": (RICH, lambda p: p.dx() + p.dx(begin=(0, 2))),
    "dw-divided-by-stride": (RICH, lambda p: p.dw() / 2),
    # padding
    "y-padding-ignored": (RICH, lambda p: p.y(begin=(0, 0))),
    "dx-not-cropped": (RICH, lambda p: p.dx(begin=(0, 0), size=(10, 8))[:, :, :7, :6]),
    "dw-padding-begin-and-end-exchanged": (RICH, lambda p: p.dw(begin=(2, 0))),
    "dw-padding-all-in-front": (RICH, lambda p: p.dw(begin=(3, 2))),
    "y-padding-halved-to-both-ends": (RICH, lambda p: p.y(begin=(1, 1))),
    "y-padding-twice": (RICH, lambda p: p.y(begin=(2, 4))),
    "dw-first-padding-for-all-axes": (RICH, lambda p: p.dw(begin=(1, 1))),
    "dx-paddings-exchanged": (RICH, lambda p: p.dx(begin=(2, 1))),
    "dx-padding-beyond-kernel-cut": ("2d n1 c2 m2 i5x4 k2x2 p3x2", lambda p: p.dx(begin=(1, 1))),
    "y-border-repeated": (RICH, lambda p: p.y(x=p.padded("edge"), begin=(0, 0))),
    "y-border-mirrored": (RICH, lambda p: p.y(x=p.padded("reflect"), begin=(0, 0))),
    "dw-border-wrapped": (RICH, lambda p: p.dw(x=p.padded("wrap"), begin=(0, 0))),
    "dw-padded-with-ones": (RICH, lambda p: p.dw(x=p.padded("constant") + (p.padded("constant") == 0), begin=(0, 0))),
    "y-padded-with-ones": (RICH, lambda p: p.y(x=p.padded("constant") + (p.padded("constant") == 0), begin=(0, 0))),
    "dx-of-padded-size": (SQUARE, lambda p: np.pad(p.dx(), [(0, 0), (0, 0), (1, 1), (1, 1)])),
    "dx-crop-empty-without-padding": ("2d n1 c1 m1 i4x4 k2 p1x0", lambda p: p.dx()[:, :, :, 0:-0]),
    "dx-cropped-twice": (SQUARE, lambda p: np.pad(p.dx()[:, :, 1:, 1:], [(0, 0), (0, 0), (0, 1), (0, 1)])),
    "y-divided-by-what-is-read": (f"{SQUARE} bias=none", lambda p: p.y() * 9 / p.y(
        x=np.ones((2, 1, 5, 5)), w=np.ones((3, 1, 3, 3)))),
    # dilation
    "y-dilation-ignored": (RICH, lambda p: p.y(d=(1, 1))),
    "dw-dilation-counted-as-zeros": (RICH, lambda p: p.dw(d=(1, 3))),
    "dx-dilations-exchanged": (RICH, lambda p: p.dx(d=(2, 1))),
    "dw-stride-and-dilation-exchanged": (RICH, lambda p: p.dw(s=(1, 2), d=(2, 1))),
    # groups
    "y-groups-ignored": (GROUPED, lambda p: p.y(x=p.x[:, :2] + p.x[:, 2:])),
    "y-first-group-for-all": (GROUPED, lambda p: p.y(x=p.x[:, :2])),
    "dw-channels-interleaved": (GROUPED, lambda p: np.concatenate(
        [correlated(p.x[:, g::2], p.delta[:, 3 * g : 3 * g + 3], p.kernel, p.s) for g in (0, 1)])),
    "y-maps-interleaved": (GROUPED, lambda p: np.stack(
        [p.y(x=p.x[:, 2 * (m % 2) : 2 * (m % 2) + 2])[:, m] for m in range(6)], axis=1)),
    "dx-groups-reversed": (GROUPED, lambda p: np.concatenate(
        [scattered(p.delta[:, a : a + 3], p.w[a : a + 3], p.size, p.s) for a in (3, 0)], axis=1)),
    # reductions
    "y-last-channel-only": (RICH, lambda p: p.y(w=part(p.w, ALL, -1))),
    "y-mean-over-channels": (RICH, lambda p: p.y(w=p.w / 2)),
    "dx-last-tap-only": (RICH, lambda p: p.dx(w=part(p.w, ALL, ALL, -1, -1))),
    "dx-last-map-only": (RICH, lambda p: p.dx(delta=part(p.delta, ALL, -1))),
    "dx-mean-over-maps": (RICH, lambda p: p.dx() / 3),
    "dx-averaged-over-windows": (PLAIN, lambda p: p.dx() / np.maximum(
        p.dx(delta=np.ones((2, 1, *p.out)), w=np.ones((1, 2, *p.kernel))), 1)),
    "dw-mean-over-batch": (RICH, lambda p: p.dw() / 3),
    "dw-last-item-only": (RICH, lambda p: p.dw(delta=part(p.delta, -1))),
    "dw-mean-over-positions": (PLAIN, lambda p: p.dw() / 12),
    "dw-last-window-only": (RICH, lambda p: p.dw(delta=part(p.delta, ALL, ALL, -1, -1))),
    # axes
    "dx-last-item-for-all": (RICH, lambda p: p.dx()[[-1, -1, -1]]),
    "y-first-item-for-all": (RICH, lambda p: p.y()[[0, 0, 0]]),
    "dx-summed-over-batch": (RICH, lambda p: np.stack([p.dx().sum(0)] * 3)),
    "dx-summed-over-channels": (RICH, lambda p: np.stack([p.dx().sum(1)] * 2, axis=1)),
    "dw-first-channel-for-all": (RICH, lambda p: p.dw()[:, [0, 0]]),
    "dw-summed-over-taps": (RICH, lambda p: p.dw().sum((2, 3), keepdims=True) * np.ones((3, 2, 3, 2))),
    "dx-w-of-first-map": (RICH, lambda p: p.dx(w=p.w[[0, 0, 0]])),
    "dw-x-of-first-channel": (RICH, lambda p: p.dw(x=p.x[:, [0, 0]])),
    # bias
    "y-bias-missing": (RICH, lambda p: p.y() - p.b.reshape(-1, 1, 1)),
    "y-bias-once-per-tap": (RICH, lambda p: p.y() + 5 * p.b.reshape(-1, 1, 1)),
    "y-bias-first-item-only": (RICH, lambda p: p.y() - without(np.zeros((3, 3, 1, 1)) + p.b.reshape(-1, 1, 1), 0)),
    "y-bias-first-position-only": (RICH, lambda p: p.y() - without(
        np.zeros(p.g.y_shape) + p.b.reshape(-1, 1, 1), ALL, ALL, 0, 0)),
    "y-bias-along-width": ("2d n2 c2 m3 i6x5 k3x3", lambda p: p.y() - p.b.reshape(-1, 1, 1) + p.b),
    "y-bias-summed": (RICH, lambda p: p.y() + (p.b.sum() - p.b).reshape(-1, 1, 1)),
    "db-mean": (RICH, lambda p: p.delta.sum((0, 2, 3)) / p.delta[:, 0].size),
    "db-mean-over-positions": (RICH, lambda p: p.delta.sum((0, 2, 3)) / p.delta[0, 0].size),
    "db-last-position-only": (RICH, lambda p: p.delta[:, :, -1, -1].sum(0)),
    "db-first-row-only": (RICH, lambda p: p.delta[:, :, 0].sum((0, 2))),
    "db-positions-kept": (RICH, lambda p: p.delta.sum(0)),
    "db-per-item": (RICH, lambda p: p.delta.sum((2, 3))),
    "db-once-per-channel": (RICH, lambda p: 2 * p.delta.sum((0, 2, 3))),
    # activation
    "y-relu-applied": (RICH, lambda p: np.where(p.y() > 0, p.y(), 0)),
    "dx-relu-derivative-applied": (RICH, lambda p: p.dx(delta=np.where(p.y() > 0, p.delta, 0))),
    "db-sigmoid-derivative-at-y": (RICH, lambda p: (p.delta * p.y() * (1 - p.y())).sum((0, 2, 3))),
    "dx-relu-derivative-of-x-applied": (RICH, lambda p: np.where(p.x > 0, p.dx(), 0)),
    "dw-relu-of-x-applied": (RICH, lambda p: p.dw(x=np.where(p.x > 0, p.x, 0))),
    # operands
    "dw-y-for-delta": (RICH, lambda p: p.dw(delta=p.y())),
    "dx-w-after-update": (RICH, lambda p: p.dx(w=p.w - p.dw())),
    "dx-w-in-magnitude": (RICH, lambda p: p.dx(w=np.abs(p.w))),
    "dw-x-transposed": (SQUARE, lambda p: p.dw(x=exchanged(p.x))),
    "dx-delta-transposed": (SQUARE, lambda p: p.dx(delta=exchanged(p.delta))),
    "dw-weight-decay-folded-in": (RICH, lambda p: p.dw() + p.w),
    "dw-updated-weights-returned": (RICH, lambda p: p.w - p.dw()),
    # sizes
    "y-last-row-lost": (RICH, lambda p: without(p.y(), ALL, ALL, -1)),
    "dx-last-column-lost": (RICH, lambda p: without(p.dx(), ..., -1)),
    "dw-one-off-in-front": (RICH, lambda p: p.dw(begin=(2, 3))),
    "y-one-off-behind": (RICH, lambda p: p.y(begin=(0, 1))),
    "dx-taken-for-square": ("2d n1 c1 m2 i4x6 k3x2", lambda p: without(p.dx(), ALL, ALL, ALL, slice(4, None))),
    "dx-kernel-taken-for-square": ("2d n1 c1 m2 i4x6 k2x3", lambda p: p.dx(w=p.w[..., :2])),
    "y-size-rounded-up": (RICH, lambda p: np.pad(p.y(), [(0, 0), (0, 0), (0, 1), (0, 0)])),
    "dw-axes-exchanged": (RICH, lambda p: exchanged(p.dw())),
    "dx-flattened": (RICH, lambda p: p.dx().reshape(-1)),
    "y-squeezed": ("2d n1 c1 m2 i4x6 k4x3", lambda p: p.y()[0, :, 0]),
    # scale
    "dx-divided-by-kernel-area": (RICH, lambda p: p.dx() / 6),
    "dw-multiplied-by-stride": (RICH, lambda p: p.dw() * 2),
    "dw-divided-by-channels": (RICH, lambda p: p.dw() / 2),
    "dx-zero": (RICH, lambda p: np.zeros((3, 2, 7, 6))),
    # corners
    "y-vector-tail-lost": (PLAIN.replace("i6x5", "i6x9"), lambda p: without(p.y(), ..., slice(4, None))),
    "y-tile-edge-lost": ("2d n1 c1 m1 i1x9 k1x3 d1x2 bias=none", lambda p: np.concatenate(
        [p.y(x=p.x[..., :4], out=(1, 4)), p.y(x=p.x[..., 4:8], out=(1, 1))], axis=3)),
    "dx-channel-tail-lost": ("2d n1 c5 m2 i4x4 k2x2", lambda p: without(p.dx(), ALL, 4)),
    "dx-map-tail-lost": ("2d n1 c2 m5 i4x4 k2x2", lambda p: p.dx(delta=without(p.delta, ALL, 4))),
    "dx-unrotated-in-wide-rows": ("2d n1 c1 m1 i3x9 k2x2", lambda p: p.dx(w=rotated(p.w))),
    "dw-two-items-of-larger-batches": ("2d n4 c1 m1 i4x4 k2x2", lambda p: p.dw(delta=without(p.delta, slice(2, None)))),
    "dw-rotated-for-even-kernels": ("2d n1 c1 m1 i4x4 k3x2", lambda p: rotated(p.dw())),
    "dx-stride-ignored-in-1x1": ("2d n1 c1 m1 i5x5 k1x1 s2", lambda p: p.dx(s=(1, 1))),
    "dx-dilation-ignored-with-stride": (RICH, lambda p: p.dx(d=(1, 1))),
    # interface
    "dw-in-float64": (RICH, lambda p: p.dw()),
}  # fmt: skip
"""Mistake -> a problem and what comes out wrong."""


@pytest.mark.parametrize("name", PLACED)
def test_it_does_what_it_says(name: str) -> None:
    line, wrong = PLACED[name]
    given, m = Given(line), CATALOGUE[name]
    with np.errstate(all="ignore"):
        expected = wrong(given)
        np.testing.assert_array_equal(m.compute(given.g, given.operands, m.quantities[0]), expected)
        if m.switch:
            assert not np.array_equal(expected, right(given.g, given.operands, m.quantities[0]))


@pytest.mark.parametrize(
    ("first", "second"),
    [("dx-delta-not-stuffed", "dx-dilation-ignored"), ("dx-dilation-ignored", "dx-delta-not-stuffed")],
)
def test_what_is_moved_by_one_mistake_stays_moved_by_the_next(first: str, second: str) -> None:
    given = Given(RICH)
    switches = [CATALOGUE[name].switch for name in (first, second)]
    made = computing(*filter(None, switches))(given.g, given.operands, "dx")
    np.testing.assert_array_equal(made, given.dx(s=(1, 1), d=(1, 1)))


ELSEWHERE = ("numerics", "state", "transposed", "derivatives")
"""Families whose tests are test_numerics.py, below, and test_operations.py."""


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ELSEWHERE])
def test_every_family_has_some_that_were_done_on_purpose(family: str) -> None:
    assert PLACED.keys() & {m.name for m in FAMILIES[family]}


# ---- what scipy does in other modes ----
ONE = Given("2d n1 c1 m1 i6x7 k3x3 bias=none")


def test_a_kernel_rotated_by_a_quarter() -> None:
    """Correlation slides its second argument as it is."""
    slid = signal.correlate2d(ONE.delta[0, 0], np.rot90(ONE.w[0, 0]), "full")
    made = CATALOGUE["dx-kernel-quarter-turned"].compute(ONE.g, ONE.operands, "dx")
    np.testing.assert_array_equal(made[0, 0], slid)


def test_valid_where_full_is_needed() -> None:
    inner = signal.convolve2d(ONE.delta[0, 0], ONE.w[0, 0], "valid")
    made = CATALOGUE["dx-valid-instead-of-full"].compute(ONE.g, ONE.operands, "dx")
    np.testing.assert_array_equal(made[0, 0], np.pad(inner, 2))


def test_same_where_full_is_needed() -> None:
    """The result of mode 'same' has the size of delta; what x has more is what further zeros give."""
    same_size = signal.convolve2d(ONE.delta[0, 0], ONE.w[0, 0], "same")
    made = CATALOGUE["dx-padded-as-for-same"].compute(ONE.g, ONE.operands, "dx")
    np.testing.assert_array_equal(made[0, 0, :4, :5], same_size)


def test_last_and_first_window() -> None:
    """'=' where '+=' belongs."""
    g = Given("1d n1 c1 m1 i7 k3 bias=none")
    last, first = np.zeros(7), np.zeros(7)
    for o in range(5):
        last[o : o + 3] = g.w[0, 0] * g.delta[0, 0, o]
    for o in reversed(range(5)):
        first[o : o + 3] = g.w[0, 0] * g.delta[0, 0, o]
    for which, made in (("last", last), ("first", first)):
        got = CATALOGUE[f"dx-{which}-window-only"].compute(g.g, g.operands, "dx")
        np.testing.assert_array_equal(got[0, 0], made)


# ---- state ----
def calls(name: str, q: str, *, times: int, line: str = RICH) -> list[Array]:
    """A quantity of the same call, made so many times."""
    given, adapter = Given(line), CATALOGUE[name].adapter()
    operands = [np.array(a) for a in (given.x, given.w, given.b, given.delta)]
    if q == "y":
        return [adapter.forward(given.g, *operands[:3]) for _ in range(times)]
    return [adapter.backward(given.g, *operands)[QUANTITIES.index(q) - 1] for _ in range(times)]


@pytest.mark.parametrize("q", ["dx", "dw", "db"])
def test_gradients_accumulate(q: str) -> None:
    first, second, third = calls(f"{q}-accumulates", q, times=3)
    np.testing.assert_array_equal(second, 2 * first)
    np.testing.assert_array_equal(third, 3 * first)


def test_a_fresh_adapter_remembers_nothing() -> None:
    again = [calls("dw-accumulates", "dw", times=1)[0] for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_a_stale_result() -> None:
    given, adapter = Given(RICH), CATALOGUE["y-of-the-call-before"].adapter()
    first = adapter.forward(given.g, given.x, given.w, given.b)
    late = adapter.forward(given.g, 2 * given.x, given.w, given.b)
    np.testing.assert_array_equal(late, first)
    np.testing.assert_array_equal(first, given.y())


@pytest.mark.parametrize("q", ["y", "dx", "dw"])
def test_only_the_last_element_is_not_written(q: str) -> None:
    results = calls(f"{q}-unwritten-remainder", q, times=8)
    rights = getattr(Given(RICH), q)()
    for made in results:
        np.testing.assert_array_equal(made.flat[:-1], rights.flat[:-1])
    assert len({float(made.flat[-1]) for made in results}) > 1


@pytest.mark.parametrize("q", ["y", "dx"])
def test_dropout_drops_half(q: str) -> None:
    results = calls(f"{q}-dropout-left-on", q, times=2)
    rights = getattr(Given(RICH), q)()
    for made in results:
        np.testing.assert_array_equal(made[made != 0], 2 * rights[made != 0])
        assert 0.3 < np.mean(made == 0) < 0.7
    assert not np.array_equal(*results)


def test_another_order_shows_in_the_last_bits_alone() -> None:
    forwards, backwards = calls("dw-in-changing-order", "dw", times=2, line=f"{RICH} fill=real")
    assert not np.array_equal(forwards, backwards)
    np.testing.assert_array_almost_equal_nulp(forwards, backwards, nulp=256)
    np.testing.assert_array_equal(*calls("dw-in-changing-order", "dw", times=2))


OVERWRITTEN = {
    "dx-overwrites-x": ("x", lambda p: np.zeros_like(p.x)),
    "dx-overwrites-delta": ("delta", lambda p: np.zeros_like(p.delta)),
    "dx-written-over-x": ("x", lambda p: p.dx()),
    "dw-written-over-w": ("w", lambda p: p.dw()),
}


@pytest.mark.parametrize("name", OVERWRITTEN)
def test_an_operand_is_overwritten(name: str) -> None:
    operand, after = OVERWRITTEN[name]
    given = Given(RICH)
    handed = {k: np.array(getattr(given, k)) for k in ("x", "w", "b", "delta")}
    dx, dw, _ = CATALOGUE[name].adapter().backward(given.g, **handed)
    np.testing.assert_array_equal(handed[operand], after(given))
    np.testing.assert_array_equal(dx, given.dx())
    assert np.array_equal(dw, given.dw()) == (operand == "w")


def test_a_view_of_delta() -> None:
    given = Given("2d n1 c2 m3 i6x5 k3x3 bias=untied")
    *_, db = (
        CATALOGUE["db-view-of-delta"]
        .adapter()
        .backward(given.g, given.x, given.w, given.operands.b, given.delta)
    )
    assert np.shares_memory(db, given.delta)
    np.testing.assert_array_equal(db, given.delta[0])


# ---- interface ----
def test_memory_is_read_as_it_lies() -> None:
    given = Given(f"{RICH} mem=fortran")
    laid = given.x.T.reshape(given.x.shape)  # the elements of a Fortran array in the order in which they lie
    made = CATALOGUE["x-read-as-it-lies"].compute(given.g, given.operands, "y")
    np.testing.assert_array_equal(made, given.y(x=laid))


@pytest.mark.parametrize("q", ["y", "dx", "dw", "db"])
def test_results_come_back_in_float64(q: str) -> None:
    p = Problem.parse(f"{RICH} f32")
    assert CATALOGUE[f"{q}-in-float64"].compute(p.geometry, p.operands, q).dtype == np.float64


@pytest.mark.parametrize(
    ("name", "operand", "part"),
    [
        ("too-large-accepted", "x", (ALL, slice(2))),
        ("too-large-accepted", "delta", (slice(3),)),
        ("broadcast-accepted", "b", (slice(1),)),
        ("broadcast-accepted", "x", (slice(1),)),
    ],
)
def test_operands_that_do_not_fit_are_made_to(name: str, operand: str, part: tuple[slice, ...]) -> None:
    given, larger = Given(RICH), Given(RICH.replace("n3 c2", "n4 c3"))
    other = (larger if name == "too-large-accepted" else given).operands
    handed = {k: getattr(given, k) for k in ("x", "w", "b", "delta")}
    handed[operand] = (
        getattr(other, operand)[part] if name == "broadcast-accepted" else getattr(other, operand)
    )
    dx, dw, db = CATALOGUE[name].adapter().backward(given.g, **handed)
    assert (dx.shape, dw.shape, db.shape) == (given.g.x_shape, given.g.w_shape, given.g.b_shape)


@pytest.mark.parametrize(
    ("name", "handed"), [("too-large-accepted", slice(1)), ("broadcast-accepted", slice(2))]
)
def test_what_cannot_be_made_to_fit_is_refused(name: str, handed: slice) -> None:
    given = Given(RICH)
    with pytest.raises(ValueError, match=r"x has shape|broadcast"):
        CATALOGUE[name].adapter().forward(given.g, given.x[handed], given.w, given.b)


def test_an_empty_batch() -> None:
    p = Problem.parse("2d n0 c2 m3 i6x5 k3x3")
    compute = functools.partial(lambda name, q: CATALOGUE[name].compute(p.geometry, p.operands, q))
    assert np.isnan(compute("dw-nan-for-empty-batch", "dw")).all()
    with pytest.raises(IndexError):
        compute("empty-batch-raises", "y")
