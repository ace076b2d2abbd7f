"""The bounds are proven; here they are tried: sums in many orders and formats, against fractions that never round."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformance.oracle import Arithmetic, Expectation, Expected, bounds
from conformance.oracle.arithmetic import PRECISION
from conformance.problem import DTYPES, DType, Geometry, Operands, Problem

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
    ("f64", Arithmetic(truncates=True)),
    ("f32", Arithmetic(truncates=True)),
    ("f16", Arithmetic(accumulator="f32", truncates=True)),
    ("bf16", Arithmetic(truncates=True)),
    ("f32", Arithmetic(inputs="tf32", truncates=True)),
    ("f32", Arithmetic(flushes=True)),
    ("f16", Arithmetic(flushes=True)),
    ("f16", Arithmetic(accumulator="f32", flushes=True)),
    ("bf16", Arithmetic(truncates=True, flushes=True)),
]
IDS = [f"{dtype} {arithmetic}" for dtype, arithmetic in CLASSES]


def kept_bits(value: float, p: int) -> float:
    """`value` rounded to p bits, to nearest, ties to even; no limit on the exponent."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2.0**p), exponent - p)


def dot(x: Scalars, w: Scalars, dtype: str, arithmetic: Arithmetic, order: Any, rng: random.Random) -> Any:
    """Sum of x w as an implementation of this class computes it."""
    if arithmetic.truncates or arithmetic.flushes:
        return dot_in_fractions(x, w, dtype, arithmetic, order, rng)
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


def dot_in_fractions(
    x: Scalars, w: Scalars, dtype: str, arithmetic: Arithmetic, order: Any, rng: random.Random
) -> Any:
    """The same where no hardware at hand does it: sums that are cut off, subnormal numbers that are zero."""
    f, accumulator = DTYPES[dtype], DTYPES[arithmetic.accumulator or dtype]
    p = PRECISION[arithmetic.inputs] if arithmetic.inputs else f.p
    x, w = ([Fraction(kept_bits(read(v, f, arithmetic), p)) for v in values] for values in (x, w))
    terms = [kept(a * b, accumulator, arithmetic) for a, b in zip(x, w, strict=True)]
    total = order(terms, lambda a, b: kept(a + b, accumulator, arithmetic), rng)
    return f.numpy.type(read(f.numpy.type(float(total)), f, arithmetic))


def read(value: Any, f: DType, arithmetic: Arithmetic) -> float:
    """An operand, or a result: zero where it is subnormal and those are flushed."""
    return 0.0 if arithmetic.flushes and abs(float(value)) < f.smallest_normal else float(value)


def kept(value: Fraction, f: DType, arithmetic: Arithmetic) -> Fraction:
    """A number of the format: cut off or nearest."""
    if not value or (arithmetic.flushes and abs(value) < f.smallest_normal):
        return Fraction(0)
    unit = max(Fraction(2) ** (math.frexp(float(value))[1] - f.p), Fraction(f.smallest_subnormal))
    return (math.trunc if arithmetic.truncates else round)(value / unit) * unit


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
        if arithmetic.truncates and 4 * n * arithmetic.unit("accumulator", DTYPES[dtype].u) >= 1:
            assert bound == math.inf  # gamma is void: 64 terms of bfloat16
            continue
        assert math.isfinite(bound)
        for order in ORDERS:
            got = dot(x, w, dtype, arithmetic, order, rng)
            assert abs(Fraction(float(got)) - exact) <= Fraction(bound), (n, order.__name__)
            assert abs(float(got) - expected.exact.item()) <= bound, (n, order.__name__)


@pytest.mark.parametrize("block", [1, 4, 8, 16])
@pytest.mark.parametrize("data", DATA)
def test_aligned_blocks_of_tensor_cores_do_not_leave_the_bound_of_those_that_truncate(
    data: str, block: int
) -> None:
    """The terms of a block, and the sum so far, are aligned to the largest and cut off at its last of 24 bits."""
    rng, truncates = random.Random(f"{data} {block}"), Arithmetic(accumulator="f32", truncates=True)
    for n in (1, 3, 17, 80, 140):
        x, w = ([np.float16(DATA[data](rng)) for _ in range(n)] for _ in range(2))
        products = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, w, strict=True)]
        total = Fraction(0)
        for start in range(0, n, block):
            terms = [total, *products[start : start + block]]
            unit = Fraction(2) ** (max(math.frexp(float(t))[1] for t in terms) - 24)
            total = kept(
                sum((math.trunc(t / unit) * unit for t in terms), Fraction(0)), DTYPES["f32"], truncates
            )
        expected = inner_product(x, w, "f16", truncates)
        error = abs(Fraction(float(np.float16(float(total)))) - exact_sum(x, w))
        assert error <= Fraction(expected.bound.item()), n


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_truncated_sums_leave_the_bound_of_those_that_round_to_nearest(dtype: str) -> None:
    """1 + 15 v, each v just short of a unit in the last place: all is cut off, where rounding would have gone up."""
    kind, f = DTYPES[dtype].numpy.type, DTYPES[dtype]
    x, w = [kind(1), *[kind(2 * f.u * (1 - 2 * f.u))] * 15], [kind(1)] * 16
    got = dot(x, w, dtype, Arithmetic(truncates=True), sequential, random.Random(0))
    error = abs(Fraction(float(got)) - exact_sum(x, w))
    assert got == 1
    assert error > Fraction(inner_product(x, w, dtype, Arithmetic()).bound.item())
    assert error <= Fraction(inner_product(x, w, dtype, Arithmetic(truncates=True)).bound.item())


@pytest.mark.parametrize("powers", [(-7, -7), (-10, -4), (-14, 0), (-9, -9)])
@pytest.mark.parametrize("accumulator", [None, "f32"])
def test_what_is_flushed_does_not_leave_the_bound_of_those_that_flush(
    accumulator: str | None, powers: tuple[int, int]
) -> None:
    """float16 products, sums, operands and results below 2^-14, in turn."""
    rng, left = random.Random(str(powers)), []
    plain, flushes = (Arithmetic(accumulator=accumulator, flushes=f) for f in (False, True))
    for n in (1, 2, 4, 30):
        x, w = ([np.float16(reals(rng) * 2.0**p) for _ in range(n)] for p in powers)
        for order in ORDERS:
            error = abs(Fraction(float(dot(x, w, "f16", flushes, order, rng))) - exact_sum(x, w))
            assert error <= Fraction(inner_product(x, w, "f16", flushes).bound.item()), (n, order.__name__)
            left.append(error > Fraction(inner_product(x, w, "f16", plain).bound.item()))
    assert any(left)  # of those that do not say so


def test_an_operand_that_is_flushed_counts_with_what_it_is_multiplied_by() -> None:
    """float32: 2^-127 is subnormal, its product with 2^100 is not."""
    x, w = [np.float32(2.0**-127)], [np.float32(2.0**100)]
    flushes = Arithmetic(flushes=True)
    assert dot(x, w, "f32", flushes, sequential, random.Random(0)) == 0
    assert exact_sum(x, w) <= Fraction(inner_product(x, w, "f32", flushes).bound.item())


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


# ---- what is probable ----
@pytest.mark.parametrize(("dtype", "arithmetic"), CLASSES, ids=IDS)
def test_what_is_probable_is_proven_too_and_few_roundings_make_no_difference(
    dtype: str, arithmetic: Arithmetic
) -> None:
    n = np.array([1, 16, 81, 82, 400, 10**4, 10**6])
    exact, s = n / 64, n / 4.0
    proven, probable = (
        bounds.direct(exact, n, s, dtype=DTYPES[dtype], arithmetic=arithmetic, probable=p)
        for p in (False, True)
    )
    assert np.all(probable <= proven)
    assert probable[:3].tolist() == proven[:3].tolist()  # 9 sqrt(81) = 81
    finite = np.isfinite(proven) & (n > 82)
    assert np.all(probable[finite] < proven[finite])


@pytest.mark.parametrize("signs", ["random", "none"])
@pytest.mark.parametrize(("dtype", "n"), [("f32", 3000), ("f32", 10**5), ("f16", 1500)])
def test_sums_of_random_data_stay_within_what_is_probable(dtype: str, n: int, signs: str) -> None:
    """One after the other, the worst order: none of these draws leaves it; without signs they use some of it."""
    f, ratios = DTYPES[dtype], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, w = (rng.uniform(0.5, 1, n).astype(f.numpy) for _ in range(2))
        x *= rng.choice((-1, 1), n).astype(f.numpy) if signs == "random" else f.numpy.type(1)
        products = x.astype(np.float64) * w.astype(np.float64)  # exact: 48 bits
        got, exact, s = np.cumsum(x * w, dtype=f.numpy)[-1], math.fsum(products), math.fsum(np.abs(products))
        limit = bounds.direct(
            np.array([exact]), n, np.array([s]), dtype=f, arithmetic=Arithmetic(), probable=True
        )
        ratios.append(abs(float(got) - exact) / limit.item())
    assert max(ratios) <= 1
    assert signs == "random" or max(ratios) > 1 / 50


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
def test_the_oracle_is_within_its_own_error(seed: int, exact_results: Any) -> None:
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


# ---- Fourier transforms (tests/unit/oracle/test_transforms.py tries them) ----
@pytest.mark.parametrize("n", range(4, 70))
def test_a_transform_of_any_padded_map_fits_the_extent(n: int) -> None:
    """A power of two is the longest length a transform chooses for what a full correlation spans."""
    g = Geometry(size=(n,), kernel=(3,), dilation=(2,), padding=((2, -1),), bias="none")
    spans = n + 2 + 5 - 1
    assert 2 ** math.ceil(math.log2(spans)) <= bounds.extents(g)[0] == 2 * (n + 2 + 5)


def test_the_bound_of_transforms_costs_48_unit_roundoffs_a_doubling_of_the_length() -> None:
    """Three transforms of 16 u a doubling, as derived: no data come near it, so the constant is checked by itself."""
    short, long = (Geometry(size=n - 1, kernel=1, bias="none") for n in (64, 128))
    u, zero = DTYPES["f32"].u, np.zeros((1, 1, 1))
    lower, upper = (
        bounds.fft(zero, np.ones((1, 1, 1)), g, summed=1, dtype=DTYPES["f32"]).item() for g in (short, long)
    )
    assert upper - lower == pytest.approx(48 * u, rel=1e-3)
    assert lower == pytest.approx((48 * math.log2(128) + math.sqrt(5) + 2) * u, rel=1e-3)


@pytest.mark.parametrize("radix", [2, 3, 4, 5, 7, 8, 11, 13])
def test_a_stage_of_any_usual_radix_costs_at_most_16_unit_roundoffs_a_doubling(radix: int) -> None:
    """Products, roots and sums of a stage, and its twiddle factors, as README.md counts them."""
    stage = math.sqrt(radix) * (math.sqrt(5) + radix) + math.sqrt(5) + 1
    assert stage / math.log2(radix) <= bounds.FFT_STAGE
