"""The bounds are proven; here they are tried: sums in many orders and formats, against fractions that never round."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import fft as transforms

from conformance.oracle import Arithmetic, Expectation, Expected, bounds, definition
from conformance.oracle.arithmetic import PRECISION
from conformance.oracle.rotation import stuff
from conformance.problem import DTYPES, Geometry, Operands, Problem

Scalars = list[Any]
Add = Callable[[Any, Any], Any]


# ---- orders of summation ----
def sequential(terms: Scalars, add: Add, rng: random.Random) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total


def backwards(terms: Scalars, add: Add, rng: random.Random) -> Any:
    return sequential(terms[::-1], add, rng)


def pairwise(terms: Scalars, add: Add, rng: random.Random) -> Any:
    while len(terms) > 1:
        pairs = [add(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(terms) // 2 * 2 :]
    return terms[0]


def in_blocks(terms: Scalars, add: Add, rng: random.Random) -> Any:
    lanes = [sequential(terms[lane::4], add, rng) for lane in range(min(4, len(terms)))]
    return sequential(lanes, add, rng)


def shuffled(terms: Scalars, add: Add, rng: random.Random) -> Any:
    return sequential(rng.sample(terms, len(terms)), add, rng)


def any_tree(terms: Scalars, add: Add, rng: random.Random) -> Any:
    """Two partial sums, chosen by chance, are added until one is left."""
    terms = list(terms)
    while len(terms) > 1:
        a = terms.pop(rng.randrange(len(terms)))
        b = terms.pop(rng.randrange(len(terms)))
        terms.append(add(a, b))
    return terms[0]


ORDERS = (sequential, backwards, pairwise, in_blocks, shuffled, any_tree)


# ---- data ----
def reals(rng: random.Random) -> float:
    return rng.choice((-1, 1)) * rng.uniform(0.5, 1)


DATA: dict[str, Callable[[random.Random], float]] = {
    "reals between a half and one": reals,
    "positive": lambda rng: rng.uniform(0.5, 1),
    "of all sizes": lambda rng: reals(rng) * 2.0 ** rng.randint(-6, 3),
    "cancelling": lambda rng: rng.choice((-1, 1)) * (1 + 2.0**-7 * rng.randint(0, 3)),
    "tiny": lambda rng: reals(rng) * 2.0 ** rng.randint(-9, -7),
    "with zeros": lambda rng: reals(rng) * rng.randint(0, 1),
}

CLASSES = [
    ("f64", Arithmetic()),
    ("f32", Arithmetic()),
    ("f16", Arithmetic()),
    ("bf16", Arithmetic()),
    ("f16", Arithmetic(accumulator="f32")),
    ("bf16", Arithmetic(accumulator="f32")),
    ("f32", Arithmetic(accumulator="f64")),
    ("f32", Arithmetic(inputs="tf32")),
    ("f32", Arithmetic(inputs="bf16")),
    ("f16", Arithmetic(accumulator="f32", partial_sums="f16")),
    ("f32", Arithmetic(partial_sums="bf16")),
    ("f32", Arithmetic(inputs="tf32", partial_sums="f16")),
]
IDS = [f"{dtype} {arithmetic}" for dtype, arithmetic in CLASSES]


def kept_bits(value: float, p: int) -> float:
    """`value` rounded to p bits, to nearest, ties to even; no limit on the exponent."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2.0**p), exponent - p)


def dot(x: Scalars, w: Scalars, dtype: str, arithmetic: Arithmetic, order: Any, rng: random.Random) -> Any:
    """Sum of x w as an implementation of this class computes it."""
    accumulator = DTYPES[arithmetic.accumulator or dtype].numpy.type
    stored = None if arithmetic.partial_sums is None else DTYPES[arithmetic.partial_sums].numpy.type
    if arithmetic.inputs is not None:
        p = PRECISION[arithmetic.inputs]
        x, w = ([kept_bits(float(v), p) for v in values] for values in (x, w))
    terms = [accumulator(a) * accumulator(b) for a, b in zip(x, w, strict=True)]

    def add(a: Any, b: Any) -> Any:
        total = a + b
        return total if stored is None else accumulator(stored(total))

    return DTYPES[dtype].numpy.type(order(terms, add, rng))


def inner_product(
    x: Sequence[float], w: Sequence[float], dtype: str, arithmetic: Arithmetic, quantum: float = 0.0
) -> Expected:
    """What is expected of the one y of a kernel as large as its input."""
    g = Geometry(size=len(x), kernel=len(w), bias="none")
    values = {
        name: np.array(v).reshape(1, 1, -1).astype(DTYPES[dtype].numpy) for name, v in (("x", x), ("w", w))
    }
    operands = Operands(**values, b=None, delta=np.ones((1, 1, 1), DTYPES[dtype].numpy))
    return Expectation(g, operands, dtype=DTYPES[dtype], arithmetic=arithmetic, quantum=quantum)["y"]


def exact_sum(x: Any, w: Any) -> Fraction:
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, w, strict=True)), Fraction(0))


# ---- direct sums ----
@pytest.mark.parametrize(("dtype", "arithmetic"), CLASSES, ids=IDS)
@pytest.mark.parametrize("data", DATA)
def test_no_order_of_summation_leaves_the_bound(data: str, dtype: str, arithmetic: Arithmetic) -> None:
    rng, kind = random.Random(f"{data} {dtype} {arithmetic}"), DTYPES[dtype].numpy.type
    for n in (1, 2, 3, 7, 16, 33, 80, 140):
        x, w = ([kind(DATA[data](rng)) for _ in range(n)] for _ in range(2))
        expected, exact = inner_product(x, w, dtype, arithmetic), exact_sum(x, w)
        bound = expected.bound.item()
        assert math.isfinite(bound)
        for order in ORDERS:
            got = dot(x, w, dtype, arithmetic, order, rng)
            assert abs(Fraction(float(got)) - exact) <= Fraction(bound), (n, order.__name__)
            assert abs(float(got) - expected.exact.item()) <= bound, (n, order.__name__)


@pytest.mark.parametrize("seed", range(4))
def test_fused_multiply_add_does_not_leave_the_bound(seed: int) -> None:
    """float16: float64 holds a*b + c without a rounding of its own."""
    rng = random.Random(seed)
    for n in (1, 5, 40):
        x, w = ([np.float16(reals(rng)) for _ in range(n)] for _ in range(2))
        total = np.float16(0)
        for a, b in zip(x, w, strict=True):
            total = np.float16(float(a) * float(b) + float(total))
        bound = inner_product(x, w, "f16", Arithmetic()).bound.item()
        assert abs(Fraction(float(total)) - exact_sum(x, w)) <= Fraction(bound)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_products_that_underflow_do_not_leave_the_bound(dtype: str) -> None:
    rng, f = random.Random(dtype), DTYPES[dtype]
    kind, scale = f.numpy.type, math.sqrt(f.smallest_subnormal)
    for n in (1, 4, 30):
        x, w = ([kind(reals(rng) * scale) for _ in range(n)] for _ in range(2))
        bound = inner_product(x, w, dtype, Arithmetic()).bound.item()
        for order in ORDERS:
            got = dot(x, w, dtype, Arithmetic(), order, rng)
            assert abs(Fraction(float(got)) - exact_sum(x, w)) <= Fraction(bound), (n, order.__name__)


def test_a_narrow_accumulator_that_underflows_does_not_leave_the_bound() -> None:
    """float32 operands whose products are lost in the float16 of the accumulator."""
    x = w = [np.float32(0.7 * 2.0**-12)] * 8
    arithmetic = Arithmetic(accumulator="f16")
    got = dot(x, w, "f32", arithmetic, sequential, random.Random(0))
    assert got == 0
    assert exact_sum(x, w) <= Fraction(inner_product(x, w, "f32", arithmetic).bound.item())


def test_inputs_that_underflow_when_they_are_rounded_do_not_leave_the_bound() -> None:
    """A float32 operand that the float16 of the inputs loses, times a large one."""
    x, w = [np.float32(2.0**-26)], [np.float32(2.0**15)]
    rounded = [float(np.float16(v)) for v in x]
    assert rounded == [0]
    bound = inner_product(x, w, "f32", Arithmetic(inputs="f16")).bound.item()
    assert exact_sum(x, w) <= Fraction(bound)


def test_where_a_narrow_accumulator_may_overflow_infinity_is_legal() -> None:
    """float32 operands whose sum is beyond the float16 of the accumulator."""
    x = w = [np.float32(250)] * 2
    arithmetic = Arithmetic(accumulator="f16")
    with np.errstate(over="ignore"):
        assert dot(x, w, "f32", arithmetic, sequential, random.Random(0)) == math.inf
    assert inner_product(x, w, "f32", arithmetic).bound.item() == math.inf


@pytest.mark.parametrize("n", [1, 3, 20, 60])
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_bias_gradients_and_biases_stay_within_their_bounds(dtype: str, n: int) -> None:
    """db sums n deltas; y adds one more term, the bias."""
    rng, kind = random.Random(n), DTYPES[dtype].numpy.type
    delta, x, w = ([kind(reals(rng)) for _ in range(n)] for _ in range(3))
    b = kind(reals(rng))
    g = Geometry(size=n, kernel=1)
    operands = Operands(
        x=np.ones((1, 1, n), kind),
        w=np.ones((1, 1, 1), kind),
        b=np.ones(1, kind),
        delta=np.array(delta, kind).reshape(1, 1, n),
    )
    bound = Expectation(g, operands, dtype=DTYPES[dtype], arithmetic=Arithmetic(), quantum=0.0)[
        "db"
    ].bound.item()
    whole = Operands(
        x=np.array(x, kind).reshape(1, 1, n), w=np.array(w, kind).reshape(1, 1, n), b=np.array([b], kind),
        delta=np.ones((1, 1, 1), kind),
    )  # fmt: skip
    y = Expectation(
        Geometry(size=n, kernel=n), whole, dtype=DTYPES[dtype], arithmetic=Arithmetic(), quantum=0.0
    )["y"]
    for order in ORDERS:
        summed = order(delta, lambda a, b: a + b, rng)
        assert abs(Fraction(float(summed)) - exact_sum(delta, [1] * n)) <= Fraction(bound)
        products = [p * q for p, q in zip(x, w, strict=True)]
        added = order([*products, b], lambda a, b: a + b, rng)
        assert abs(Fraction(float(added)) - exact_sum([*x, b], [*w, 1])) <= Fraction(y.bound.item())


@pytest.mark.parametrize("n", [20, 40, 60])
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_stagnation_uses_most_of_the_bound(dtype: str, n: int) -> None:
    """1 + u + u + ...: every u is lost, as far from exact as n roundings can get; so the bound is not absurd."""
    kind, u = DTYPES[dtype].numpy.type, DTYPES[dtype].u
    x, w = [kind(1), *[kind(u)] * (n - 1)], [kind(1)] * n
    got = dot(x, w, dtype, Arithmetic(), sequential, random.Random(0))
    error = abs(Fraction(float(got)) - exact_sum(x, w))
    bound = Fraction(inner_product(x, w, dtype, Arithmetic()).bound.item())
    assert error == (n - 1) * Fraction(u)
    assert bound / 3 < error <= bound  # float64: the oracle's own error is in it, too


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_the_bound_is_a_few_unit_roundoffs_a_summand(dtype: str) -> None:
    rng, f = random.Random(0), DTYPES[dtype]
    for n in (1, 4, 16, 64):
        x, w = ([f.numpy.type(reals(rng)) for _ in range(n)] for _ in range(2))
        expected = inner_product(x, w, dtype, Arithmetic())
        s = sum(abs(Fraction(float(a)) * Fraction(float(b))) for a, b in zip(x, w, strict=True))
        assert n * Fraction(f.u) * s <= Fraction(expected.bound.item()) <= 3 * (n + 1) * Fraction(f.u) * s


def test_a_wider_accumulator_makes_the_bound_tighter_and_a_narrower_one_wider() -> None:
    x = w = [1.0] * 100
    wide, own, narrow = (
        inner_product(x, w, "f32", Arithmetic(accumulator=accumulator)).bound.item()
        for accumulator in ("f64", None, "f16")
    )
    assert wide < own < narrow


# ---- where there is nothing to bound ----
def test_gamma_is_void_where_n_u_reaches_one() -> None:
    assert bounds.gamma(255, 2.0**-8) == 255
    assert bounds.gamma(256, 2.0**-8) == math.inf
    assert bounds.gamma(2**30, 2.0**-8) == math.inf
    assert bounds.gamma(0, 2.0**-8) == 0
    assert bounds.gamma(np.array([0, 1, 2, 3]), 0.25).tolist() == [0, 1 / 3, 1, 3]


@pytest.mark.parametrize(("dtype", "n"), [("bf16", 256), ("bf16", 1000), ("f16", 2048), ("f16", 5000)])
def test_where_gamma_is_void_the_bound_is_infinite(dtype: str, n: int) -> None:
    bound = bounds.direct(
        np.array([1.0]), np.array([n]), np.array([1.0]), dtype=DTYPES[dtype], arithmetic=Arithmetic()
    )
    assert bound.tolist() == [math.inf]


def test_where_the_gamma_of_partial_sums_is_void_the_bound_is_infinite() -> None:
    arithmetic = Arithmetic(partial_sums="bf16")
    bound = bounds.direct(
        np.array([1.0]), np.array([300]), np.array([1.0]), dtype=DTYPES["f32"], arithmetic=arithmetic
    )
    assert bound.tolist() == [math.inf]


@pytest.mark.parametrize(("dtype", "arithmetic"), CLASSES, ids=IDS)
def test_a_bound_is_a_number_for_every_n_and_s(dtype: str, arithmetic: Arithmetic) -> None:
    n, s = np.meshgrid([0, 1, 2, 100, 255, 256, 2047, 2048, 2**24, 2**40], [0.0, 1e-30, 1.0, 7e4, 1e30])
    for exact in (np.zeros_like(s), s, -s):
        bound = bounds.direct(exact, n, s, dtype=DTYPES[dtype], arithmetic=arithmetic)
        assert not np.isnan(bound).any()
        assert np.all(bound >= 0)


def test_where_all_products_are_zero_the_result_must_be_zero() -> None:
    for dtype, arithmetic in CLASSES:
        bound = bounds.direct(
            np.zeros(3), np.array([0, 9, 9000]), np.zeros(3), dtype=DTYPES[dtype], arithmetic=arithmetic
        )
        assert bound.tolist() == [0, 0, 0]


def test_where_a_sum_may_overflow_infinity_is_legal() -> None:
    expected = inner_product([250.0] * 2, [250.0] * 2, "f16", Arithmetic())
    assert expected.exact.item() == 125000
    assert expected.bound.item() == math.inf
    assert inner_product([250.0], [250.0], "f16", Arithmetic()).bound.item() < 200


# ---- the oracle itself ----
@pytest.mark.parametrize("seed", range(6))
def test_the_oracle_is_within_its_own_error(seed: int) -> None:
    """Full float64 mantissas, against integers that never round."""
    rng = random.Random(seed)
    line = f"2d n2 c{rng.randint(1, 3)} m2 i5x4 k{rng.randint(1, 3)} s{rng.randint(1, 2)} p{rng.randint(0, 1)} bias=none"
    problem = Problem.parse(f"{line} fill=real seed={seed}")
    expectation = Expectation(
        problem.geometry,
        problem.operands,
        dtype=problem.format,
        arithmetic=Arithmetic(),
        quantum=problem.quantum,
    )
    exact, unit = exact_results(problem)
    for q in ("y", "dx", "dw"):
        e = expectation[q]
        error = bounds.oracle_error(e.n, e.s, e.quantum)
        for at in np.ndindex(*e.exact.shape):
            assert abs(Fraction(e.exact[at]) - exact[q][at] * unit) <= Fraction(error[at])


def test_the_oracle_of_integers_makes_no_error() -> None:
    assert bounds.oracle_error(np.array([10**6]), np.array([2.0**53]), 1.0).tolist() == [0]
    assert bounds.oracle_error(np.array([4]), np.array([2.0**54]), 1.0).item() > 0
    assert bounds.oracle_error(np.array([4]), np.array([1.0]), 0.0).item() > 0


def exact_results(problem: Problem) -> tuple[dict[str, Any], Fraction]:
    """y, dx and dw of a problem without a bias, as Python integers, and the unit they count."""
    scale = 2.0**problem.format.p
    scaled = {name: (a.astype(np.float64) * scale).astype(object) for name, a in problem.operands.items()}
    results = definition.compute(problem.geometry, Operands(**{"b": None, **scaled}))
    return {q: getattr(results, q) for q in ("y", "dx", "dw")}, Fraction(1, 2 ** (2 * problem.format.p))


# ---- transforms ----
def by_fft(g: Geometry, o: Operands) -> dict[str, Any]:
    """y, dx and dw by real transforms in the precision of the operands, of 5-smooth lengths that hold the padded input."""
    spatial = tuple(range(2, 2 + g.rank))
    w = np.flip(o.w, spatial) if g.convention == "convolution" else o.w
    kernel, delta = stuff(w, g.dilation), stuff(o.delta, g.stride)
    x = np.zeros((g.batch, g.channels, *g.padded_size), o.x.dtype)
    x[(..., *g.inner)] = o.x[(..., *g.kept)]
    lengths = [transforms.next_fast_len(n, real=True) for n in g.padded_size]
    hx, hw, hd = (transforms.rfftn(a, lengths, axes=spatial) for a in (x, kernel, delta))
    y = np.zeros((g.batch, g.maps, *hx.shape[2:]), hx.dtype)
    dx, dw = np.zeros_like(hx), np.zeros_like(hw)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for m in range(g.maps):
        for k in range(channels):
            c = m // maps * channels + k
            y[:, m] += hx[:, c] * np.conj(hw[m, k])
            dx[:, c] += hd[:, m] * hw[m, k]
            dw[m, k] += (hx[:, c] * np.conj(hd[:, m])).sum(axis=0)
    y, dx, dw = (transforms.irfftn(a, lengths, axes=spatial) for a in (y, dx, dw))
    y = y[(..., *(slice(0, (n - 1) * s + 1, s) for n, s in zip(g.output, g.stride, strict=True)))]
    dw = dw[(..., *(slice(0, (n - 1) * d + 1, d) for n, d in zip(g.kernel, g.dilation, strict=True)))]
    results = {
        "y": y,
        "dx": np.zeros_like(o.x),
        "dw": np.flip(dw, spatial) if g.convention == "convolution" else dw,
    }
    results["dx"][(..., *g.kept)] = dx[(..., *(slice(0, n) for n in g.padded_size))][(..., *g.inner)]
    return results


FFT_LINES = [
    "1d n2 c3 m2 i40 k7 bias=none",
    "1d n1 c1 m1 i300 k31 p15 bias=none",
    "2d n2 c4 m6 g2 i9x11 k3x4 p1:0 conv bias=none",
    "2d n3 c2 m3 i12x7 k3 s2 d2x1 p2 bias=none",
    "2d n1 c8 m2 i16 k5 p2 bias=none",
    "3d n1 c2 m2 i5x4x6 k2x3x2 p1 bias=none",
    "2d n1 c2 m2 i9 k9 bias=none",
    "2d n2 c1 m2 i8x9 k3 p-1:2 bias=none",
]


def expectation_by_fft(problem: Problem, operands: Operands, quantum: float) -> Expectation:
    fft = Arithmetic(algorithm="fft")
    return Expectation(problem.geometry, operands, dtype=problem.format, arithmetic=fft, quantum=quantum)


@pytest.mark.parametrize("line", FFT_LINES)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_a_convolution_by_fft_stays_within_its_bound(dtype: str, line: str) -> None:
    for seed in range(3):
        problem = Problem.parse(f"{line} {dtype} fill=real seed={seed}")
        rng, operands = np.random.default_rng(seed), problem.operands
        if seed == 2:  # of all sizes, so that cancellation hits small results beside large ones
            operands = operands.replace(
                **{
                    name: (a * 2.0 ** rng.integers(-12, 13, a.shape)).astype(a.dtype)
                    for name, a in operands.items()
                }
            )
        expectation, results = expectation_by_fft(problem, operands, 0.0), by_fft(problem.geometry, operands)
        for q, got in results.items():
            assert got.dtype == problem.format.numpy
            assert np.all(np.abs(got.astype(np.float64) - expectation[q].exact) <= expectation[q].bound), q


@pytest.mark.parametrize("line", ["1d n2 c2 m2 i14 k5 p1 bias=none", "2d n1 c2 m1 i5x4 k2x3 bias=none"])
def test_a_convolution_by_fft_in_float64_stays_within_its_bound_of_the_exact_value(line: str) -> None:
    problem = Problem.parse(f"{line} f64 fill=real seed=1")
    expectation = expectation_by_fft(problem, problem.operands, problem.quantum)
    exact, unit = exact_results(problem)
    for q, got in by_fft(problem.geometry, problem.operands).items():
        for at in np.ndindex(*got.shape):
            assert abs(Fraction(float(got[at])) - exact[q][at] * unit) <= Fraction(
                expectation[q].bound[at]
            ), q


def test_the_bound_of_transforms_costs_36_unit_roundoffs_a_doubling_of_the_length() -> None:
    """Three transforms of 12 u a doubling, as derived: no data come near it, so the constant is checked by itself."""
    short, long = (Geometry(size=n - 1, kernel=1, bias="none") for n in (64, 128))
    u, zero = DTYPES["f32"].u, np.zeros((1, 1, 1))
    lower, upper = (
        bounds.fft(zero, np.ones((1, 1, 1)), g, summed=1, dtype=DTYPES["f32"]).item() for g in (short, long)
    )
    assert upper - lower == pytest.approx(36 * u, rel=1e-3)
    assert lower == pytest.approx((36 * math.log2(128) + math.sqrt(5) + 2) * u, rel=1e-3)


@pytest.mark.parametrize("line", FFT_LINES)
def test_the_bound_of_transforms_still_sees_a_lost_product(line: str) -> None:
    for dtype in ("f64", "f32"):
        problem = Problem.parse(f"{line} {dtype} fill=real")
        expectation = expectation_by_fft(problem, problem.operands, problem.quantum)
        assert [expectation[q].certificate for q in ("y", "dx", "dw")] == [
            float(np.mean(expectation[q].n > 0)) for q in ("y", "dx", "dw")
        ]


def test_a_bias_gradient_is_a_plain_sum_even_where_all_else_is_transformed() -> None:
    problem = Problem.parse("2d n2 c2 m3 i5 k3 f32 fill=real")
    by_transform = expectation_by_fft(problem, problem.operands, problem.quantum)["db"]
    directly = Expectation(
        problem.geometry,
        problem.operands,
        dtype=problem.format,
        arithmetic=Arithmetic(),
        quantum=problem.quantum,
    )["db"]
    assert by_transform.direct
    assert by_transform.bound.tolist() == directly.bound.tolist()
