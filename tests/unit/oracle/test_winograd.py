"""Winograd's matrices, signed and in fractions, compute a convolution; in floating point they stay within the bound."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic, Expectation, winograd
from conformance.problem import Geometry, Operands, Problem
from conformance.problem.fills import FILLS

SIZES = [(1, 3), (2, 2), (2, 3), (3, 2), (4, 3), (6, 3), (2, 5), (4, 5), (8, 3), (3, 1), (1, 1)]
Matrix = list[list[Fraction]]


# ---- the matrices, by another way ----
def signed(m: int, k: int) -> tuple[Matrix, Matrix, Matrix]:
    """A^T (m, t), G (t, k), B^T (t, t): powers of the points; B^T holds the coefficients of Lagrange's polynomials."""
    t = m + k - 1
    points = [winograd._point(i) for i in range(t - 1)]  # nothing else is the module's
    a, g = (powers(points, n) for n in (m, k))
    b = [lagrange(points, j) for j in range(t - 1)] + [product(points)]
    return [list(row) for row in zip(*a, strict=True)], g, b


def powers(points: list[Fraction], n: int) -> Matrix:
    """Rows 1, p, p^2, ... of the points, and of infinity, where only the highest power counts."""
    return [[p**i for i in range(n)] for p in points] + [[Fraction(i == n - 1) for i in range(n)]]


def product(points: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (z - p), constant first."""
    c = [Fraction(1)]
    for p in points:
        c = [high - p * low for high, low in zip([Fraction(0), *c], [*c, Fraction(0)], strict=True)]
    return c


def lagrange(points: list[Fraction], j: int) -> list[Fraction]:
    """Of the polynomial that is 1 at the j-th point and 0 at all others."""
    others = [p for i, p in enumerate(points) if i != j]
    scale = math.prod((points[j] - p for p in others), start=Fraction(1))
    return [c / scale for c in product(others)] + [Fraction(0)]


def times(matrix: Any, vector: Any) -> list[Fraction]:
    return [sum((a * v for a, v in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def elementwise(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    return [x * y for x, y in zip(a, b, strict=True)]


# ---- what they compute ----
@pytest.mark.parametrize(("m", "k"), SIZES)
def test_signed_matrices_compute_a_correlation_and_its_weight_gradient(m: int, k: int) -> None:
    """y = A^T [(G w) (.) (B^T x)],  dw = G^T [(B^T x) (.) (A delta)]: equal, not nearly."""
    rng, (a, g, b) = random.Random(m * 10 + k), signed(m, k)
    for _ in range(20):
        x, w, delta = ([Fraction(rng.randint(-99, 99)) for _ in range(n)] for n in (m + k - 1, k, m))
        through = times(b, x)
        y = times(a, elementwise(times(g, w), through))
        dw = times(transposed(g), elementwise(through, times(transposed(a), delta)))
        assert y == [sum(x[i + t] * w[t] for t in range(k)) for i in range(m)]
        assert dw == [sum(x[i + t] * delta[i] for i in range(m)) for t in range(k)]


@pytest.mark.parametrize(("m", "k"), SIZES)
def test_the_magnitudes_are_those_of_the_signed_matrices(m: int, k: int) -> None:
    f = winograd.transform(m, k)
    for held, right in zip((f.a, f.g, f.b), signed(m, k), strict=True):
        assert held.tolist() == [[float(abs(v)) for v in row] for row in right]


def test_the_points_are_all_different_and_the_customary_ones_come_first() -> None:
    points = [winograd._point(i) for i in range(40)]
    assert points[:5] == [0, 1, -1, 2, -2]
    assert len(set(points)) == 40


def test_f23_is_the_published_one() -> None:
    """Lavin and Gray 2016, but for the scale of rows: G and B^T of rows 1 and 2 are multiplied by 2 and 1/2."""
    f = winograd.transform(2, 3)
    assert f.a.tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    assert f.g.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 1]]
    assert f.b.tolist() == [[1, 0, 1, 0], [0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0, 1, 0, 1]]


# ---- what they may amplify ----
@pytest.mark.parametrize(("m", "k"), SIZES)
def test_no_signs_of_inputs_make_more_than_what_is_amplified(m: int, k: int) -> None:
    """Magnitudes of every step, summed: with |x| <= 1 they are at most `amplified`, which |x| = 1 reaches."""
    rng, (a, g, b) = random.Random(k), ([[abs(v) for v in row] for row in matrix] for matrix in signed(m, k))
    slack = Fraction(1, 2**40)  # float64, against fractions
    for _ in range(10):
        w = [Fraction(rng.randint(0, 99)) for _ in range(k)]
        x = [Fraction(rng.randint(0, 64), 64) for _ in range(m + k - 1)]
        kernel = np.array(w, float).reshape(1, 1, k)
        most = Fraction(winograd.amplified(kernel, [winograd.transform(m, k)]).item())
        some, all_ones = (
            max(times(a, elementwise(times(g, w), times(b, inputs))))
            for inputs in (x, [Fraction(1)] * len(x))
        )
        assert some <= most * (1 + slack)
        assert most * (1 - slack) <= all_ones <= most * (1 + slack)


def test_axes_amplify_one_after_the_other() -> None:
    w = np.abs(np.random.default_rng(0).normal(size=(3, 2, 3, 2)))
    f, h = winograd.transform(4, 3), winograd.transform(2, 2)
    whole = np.einsum("at,bu,mctu->mcab", f.forward, h.forward, w)
    assert winograd.amplified(w, [f, h]) == pytest.approx(whole.max(axis=(2, 3)), rel=1e-12)
    assert winograd.gradient_amplified([f, h]) == pytest.approx(
        f.backward.max() * h.backward.max(), rel=1e-12
    )


@pytest.mark.parametrize("k", [2, 3, 5])
def test_larger_tiles_amplify_more(k: int) -> None:
    amplified = [winograd.transform(m, k).forward.max() for m in (1, 2, 4, 8)]
    assert 1 <= amplified[0] < amplified[1] < amplified[2] < amplified[3]


@pytest.mark.parametrize(("m", "k"), SIZES)
def test_an_underflow_counts_no_more_than_the_widest_rows_say(m: int, k: int) -> None:
    """An error of 1 in one element of any step reaches a result at most so often, forward or transposed."""
    f, (a, g, b) = winograd.transform(m, k), signed(m, k)
    widest = [
        max(sum(map(abs, row)) for row in itertools.chain(matrix, transposed(matrix))) for matrix in (a, g, b)
    ]
    assert winograd.underflows([f]) == pytest.approx(float(math.prod(max(w, Fraction(1)) for w in widest)))
    assert winograd.underflows([f, f]) == pytest.approx(winograd.underflows([f]) ** 2)


@pytest.mark.parametrize(("m", "k"), SIZES)
def test_roundings_count_every_term_and_constant_on_the_longest_way(m: int, k: int) -> None:
    """n terms are n - 1 sums, a product with a constant, and the constant, which is rounded too; in three matrices."""
    lengths = [
        max(sum(v != 0 for v in row) for row in itertools.chain(matrix, transposed(matrix)))
        for matrix in signed(m, k)
    ]
    assert winograd.transform(m, k).roundings == sum(n + 1 for n in lengths)


# ---- a convolution by tiles, in floating point ----
def by_winograd(g: Geometry, o: Operands, m: int) -> dict[str, Any]:
    """y, dx and dw by tiles of m outputs an axis, all sums in the dtype of the operands."""
    spatial = tuple(range(2, 2 + g.rank))
    w = np.flip(o.w, spatial) if g.convention == "convolution" else o.w
    x = np.pad(o.x, [(0, 0), (0, 0), *g.padding])
    delta = np.pad(o.delta, [(0, 0), (0, 0), *((k - 1, k - 1) for k in g.kernel)])
    maps, channels = (np.arange(n).reshape(g.groups, -1) for n in (g.maps, g.channels))
    each = list(zip(maps, channels, strict=True))
    y = np.concatenate([by_tiles(x[:, c], w[of], m) for of, c in each], 1)
    turned = np.flip(w, spatial)
    dx = np.concatenate([by_tiles(delta[:, of], turned[of].swapaxes(0, 1), m) for of, c in each], 1)
    dw = np.concatenate([gradient_by_tiles(x[:, c], o.delta[:, of], g.kernel, m) for of, c in each])
    dx = dx[(..., *g.inner)]
    return {"y": y, "dx": dx, "dw": np.flip(dw, spatial) if g.convention == "convolution" else dw}


def matrices(m: int, k: int, dtype: Any) -> list[Any]:
    """A^T, G and B^T as libraries hold them: the fractions of B^T's rows moved into G, and rounded to the dtype."""
    a, g, b = signed(m, k)
    scales = [math.lcm(*(v.denominator for v in row)) for row in b]
    whole = [[v * s for v in row] for row, s in zip(b, scales, strict=True)]
    rest = [[v / s for v in row] for row, s in zip(g, scales, strict=True)]
    return [np.array([[float(v) for v in row] for row in matrix], dtype) for matrix in (a, rest, whole)]


def along(by: list[Any], a: Any) -> Any:
    """A matrix for each of the last axes, applied one axis after the other."""
    for axis, matrix in enumerate(by, a.ndim - len(by)):
        a = np.moveaxis(np.tensordot(matrix, a, (1, axis)), 0, axis)
    return a


def windows(x: Any, kernel: tuple[int, ...], m: int) -> tuple[Any, list[int]]:
    """(N, C, *tiles, *t): what each tile reads, zeros behind the end; and the number of tiles an axis."""
    tiles = [-(-(i - k + 1) // m) for i, k in zip(x.shape[2:], kernel, strict=True)]
    more = [(0, n * m + k - 1 - i) for n, k, i in zip(tiles, kernel, x.shape[2:], strict=True)]
    axes = tuple(range(2, x.ndim))
    read = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [(0, 0), (0, 0), *more]), [m + k - 1 for k in kernel], axes
    )
    return read[(slice(None), slice(None), *(slice(None, None, m),) * len(axes))], tiles


def by_tiles(x: Any, w: Any, m: int) -> Any:
    """Correlation, valid: x (N, C, *I), w (M, C, *K)."""
    rank, kernel = x.ndim - 2, w.shape[2:]
    at, gs, bt = zip(*(matrices(m, k, x.dtype) for k in kernel), strict=True)
    read, tiles = windows(x, kernel, m)
    inputs, weights = along(list(bt), read), along(list(gs), w)
    total = np.zeros((x.shape[0], w.shape[0], *inputs.shape[2:]), x.dtype)
    for c in range(x.shape[1]):
        total += inputs[:, c, None] * weights[None, :, c].reshape(1, -1, *(1,) * rank, *weights.shape[2:])
    out = along(list(at), total)  # N, M, *tiles, *m
    order = [0, 1, *(2 + axis + rank * half for axis in range(rank) for half in (0, 1))]
    whole = out.transpose(order).reshape(*out.shape[:2], *(n * m for n in tiles))
    return whole[(..., *(slice(0, i - k + 1) for i, k in zip(x.shape[2:], kernel, strict=True)))]


def gradient_by_tiles(x: Any, delta: Any, kernel: tuple[int, ...], m: int) -> Any:
    """dw (M, C, *K) of x (N, C, *I) and delta (N, M, *O)."""
    rank = x.ndim - 2
    at, gs, bt = zip(*(matrices(m, k, x.dtype) for k in kernel), strict=True)
    read, tiles = windows(x, kernel, m)
    more = [(0, n * m - o) for n, o in zip(tiles, delta.shape[2:], strict=True)]
    blocks = np.pad(delta, [(0, 0), (0, 0), *more]).reshape(
        *delta.shape[:2], *(s for n in tiles for s in (n, m))
    )
    order = [0, 1, *(2 + 2 * axis + half for half in (0, 1) for axis in range(rank))]
    inputs, outputs = along(list(bt), read), along([a.T for a in at], blocks.transpose(order))
    total = np.zeros((delta.shape[1], x.shape[1], *inputs.shape[2 + rank :]), x.dtype)
    for n in range(x.shape[0]):
        for tile in np.ndindex(*tiles):
            total += outputs[(n, slice(None), *tile)][:, None] * inputs[(n, slice(None), *tile)][None]
    return along([f.T for f in gs], total)


WINOGRAD_LINES = [
    "1d n2 c3 m2 i11 k3 bias=none",
    "1d n1 c1 m1 i64 k5 p2 bias=none",
    "2d n2 c4 m6 g2 i9x7 k3 p1:0 conv bias=none",
    "2d n1 c5 m3 i6 k3x2 p1 bias=none",
    "2d n3 c2 m2 i8 k3 p2:1 bias=none",
    "3d n1 c2 m2 i4x5x6 k2x3x2 p1 bias=none",
]


def expectation(problem: Problem, operands: Operands, m: int, **more: Any) -> Expectation:
    arithmetic = Arithmetic(algorithm="winograd", tile=m, **more)
    return Expectation(problem.geometry, operands, dtype=problem.format, arithmetic=arithmetic, quantum=0.0)


DATA = ("real", "positive", "cancellation", "of all sizes")


def drawn(line: str, dtype: str, data: str, seed: int) -> tuple[Problem, Operands]:
    problem = Problem.parse(f"{line} {dtype} fill={data if data in FILLS else 'real'} seed={seed}")
    if data in FILLS:
        return problem, problem.operands
    rng = np.random.default_rng(seed)
    sized = {name: a * 2.0 ** rng.integers(-12, 13, a.shape) for name, a in problem.operands.items()}
    return problem, problem.operands.replace(**{n: a.astype(problem.format.numpy) for n, a in sized.items()})


def off(got: dict[str, Any], right: Expectation) -> dict[str, float]:
    """How far each result is off, in bounds; its worst element."""
    return {
        q: float((np.abs(a.astype(np.float64) - right[q].exact) / right[q].bound).max())
        for q, a in got.items()
    }


# ---- the bound ----
@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize("line", WINOGRAD_LINES)
def test_tiles_stay_within_the_bound(line: str, m: int) -> None:
    for dtype, data, seed in itertools.product(("f64", "f32"), DATA, range(3)):
        problem, operands = drawn(line, dtype, data, seed)
        right = expectation(problem, operands, m)
        assert all(np.isfinite(right[q].bound).all() for q in ("y", "dx", "dw"))
        assert max(off(by_winograd(problem.geometry, operands, m), right).values()) <= 1, (dtype, data, seed)


def test_some_data_use_a_hundredth_of_the_bound() -> None:
    """It is not absurd: proven for the worst signs of all roundings, it is met within 100 by chance (dw: 1,000)."""
    most = dict.fromkeys(("y", "dx", "dw"), 0.0)
    for line, data, seed in itertools.product(WINOGRAD_LINES[:3], DATA, range(6)):
        problem, operands = drawn(line, "f32", data, seed)
        met = off(by_winograd(problem.geometry, operands, 2), expectation(problem, operands, 2))
        most = {q: max(ratio, met[q]) for q, ratio in most.items()}
    assert min(most["y"], most["dx"]) > 1 / 100
    assert most["dw"] > 1 / 1000


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("line", WINOGRAD_LINES[:2])
def test_narrow_data_in_a_wide_accumulator_stay_within_a_bound_that_sees(line: str, m: int) -> None:
    """float16 operands, transformed and summed in float32, rounded in the end: what is narrow is rounded once."""
    for data, seed in itertools.product(DATA[:3], range(2)):
        problem, operands = drawn(line, "f16", data, seed)
        wide = operands.replace(**{name: a.astype(np.float32) for name, a in operands.items()})
        got = {q: a.astype(np.float16) for q, a in by_winograd(problem.geometry, wide, m).items()}
        right = expectation(problem, operands, m, accumulator="f32")
        assert all(np.isfinite(right[q].bound).all() for q in got)
        assert max(off(got, right).values()) <= 1
        assert right["y"].certificate == 1


@pytest.mark.parametrize("m", [2, 4])
def test_rounded_inputs_stay_within_the_bound_of_those_who_declare_them(m: int) -> None:
    """Rounded to 11 bits before the transform."""
    others: list[float] = []
    for line, seed in itertools.product(WINOGRAD_LINES, range(2)):
        problem, operands = drawn(line, "f32", "real", seed)
        rounded = operands.replace(**{name: kept_bits(a, 11) for name, a in operands.items()})
        got = by_winograd(problem.geometry, rounded, m)
        assert max(off(got, expectation(problem, operands, m, inputs="tf32")).values()) <= 1
        others.append(max(off(got, expectation(problem, operands, m)).values()))
    assert max(others) > 1


def kept_bits(a: Any, p: int) -> Any:
    mantissa, exponent = np.frexp(a)
    return np.ldexp(np.rint(mantissa * 2.0**p), exponent - p).astype(a.dtype)


@pytest.mark.parametrize("power", [-6, -9, -12])
@pytest.mark.parametrize("m", [2, 4])
def test_transforms_that_underflow_stay_within_the_bound(m: int, power: int) -> None:
    """float16, whose smallest number is 2^-24: products, and sums of them, are lost."""
    for line, seed in itertools.product(WINOGRAD_LINES[:4], range(2)):
        problem, operands = drawn(line, "f16", "real", seed)
        tiny = operands.replace(**{n: np.ldexp(a, power).astype(np.float16) for n, a in operands.items()})
        assert max(off(by_winograd(problem.geometry, tiny, m), expectation(problem, tiny, m)).values()) <= 1


@pytest.mark.parametrize(("dtype", "m"), [("f64", 2), ("f64", 4), ("f64", 6), ("f32", 2)])
@pytest.mark.parametrize("line", WINOGRAD_LINES)
def test_the_bound_still_sees_a_lost_product(line: str, dtype: str, m: int) -> None:
    problem, operands = drawn(line, dtype, "real", 1)
    right = expectation(problem, operands, m)
    assert [right[q].certificate for q in ("y", "dx", "dw")] == [
        float(np.mean(right[q].n > 0)) for q in ("y", "dx", "dw")
    ]


@pytest.mark.parametrize("shape", ["2d n2 c2 m3 i7x6 k3 s2", "2d n2 c2 m3 i7x6 k2x3 d1x2"])
def test_what_tiles_cannot_do_is_summed_directly(shape: str) -> None:
    problem, operands = drawn(shape, "f32", "real", 0)
    direct = Expectation(
        problem.geometry, operands, dtype=problem.format, arithmetic=Arithmetic(), quantum=0.0
    )
    tiled = expectation(problem, operands, 4)
    for q in ("y", "dx", "dw", "db"):
        assert tiled[q].bound.tolist() == direct[q].bound.tolist()


def test_a_bias_counts_in_y_and_its_gradient_is_a_plain_sum() -> None:
    problem, operands = drawn("2d n2 c2 m3 i7x6 k3", "f32", "real", 0)
    tiled = expectation(problem, operands, 2)
    b = operands.b
    assert b is not None
    y = by_winograd(problem.geometry, operands, 2)["y"] + b.reshape(1, -1, 1, 1)
    assert off({"y": y, "db": operands.delta.sum(axis=(0, 2, 3))}, tiled)["y"] <= 1
    assert tiled["db"].direct
    assert np.all(tiled["db"].bound < tiled["y"].bound.max())


# ---- what overflows on the way ----
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")  # that is the point
@pytest.mark.parametrize(
    ("dtype", "x", "w"),
    [
        ("f16", 200.0, 60.0),
        ("f32", 2.0**64, 2.0**61),
        ("f16", 30000.0, 2.0**-20),
        ("f32", 2.0**127, 2.0**-60),
    ],
)
def test_a_transform_that_overflows_is_no_mistake_where_the_result_is_finite(
    dtype: str, x: float, w: float
) -> None:
    """Be it in the products, or in the transform of one operand alone."""
    problem = Problem.parse(f"1d i6 k3 bias=none {dtype}")
    kind = problem.format.numpy
    signs = np.array([1, -1, -1, 1, 1, -1]).reshape(1, 1, 6)
    operands = problem.operands.replace(
        x=(signs * x).astype(kind), w=np.full((1, 1, 3), w, kind), delta=np.full((1, 1, 4), w, kind)
    )
    got = by_winograd(problem.geometry, operands, 4)["y"]
    expected = expectation(problem, operands, 4)["y"]
    assert np.all(np.abs(expected.exact) < problem.format.largest)
    assert not np.isfinite(got).any()
    assert expected.may_overflow.all()
