from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from conformance.oracle import Arithmetic, Expectation, Expected, Grade, compare, definition
from conformance.problem import DTYPES, QUANTITIES, Geometry, Operands, Problem
from conformance.problem.fills import FILLS

LINES = [
    "1d n2 c3 m2 i7 k2 s2",
    "2d n2 c2 m4 g2 i4x5 k2x3 p1:0 bias=untied",
    "2d n1 c2 m3 i5 k2 d2 conv bias=none",
    "3d n2 c1 m2 i3x4x3 k2 s1x2x1",
    "2d n3 c2 m2 i3x4 k3x4",
    "2d n0 c2 m2 i4 k3",
]


def expected_of(
    line: str, arithmetic: Arithmetic | dict[str, Arithmetic] | None = None, **changes: Any
) -> Expectation:
    problem = Problem.parse(line)
    return Expectation(
        problem.geometry,
        problem.operands.replace(**changes),
        dtype=problem.format,
        arithmetic=arithmetic or Arithmetic(),
        quantum=problem.quantum,
    )


def inner_product(
    x: Any, w: Any, dtype: str, quantum: float = 1.0, arithmetic: Arithmetic | None = None
) -> Expected:
    """What is expected of the one y of a kernel as large as its input."""
    kind = DTYPES[dtype].numpy
    operands = Operands(
        x=np.array(x).reshape(1, 1, -1).astype(kind), w=np.array(w).reshape(1, 1, -1).astype(kind), b=None,
        delta=np.ones((1, 1, 1), kind),
    )  # fmt: skip
    g = Geometry(size=len(x), kernel=len(w), bias="none")
    return Expectation(
        g, operands, dtype=DTYPES[dtype], arithmetic=arithmetic or Arithmetic(), quantum=quantum
    )["y"]


# ---- exact, n, S ----
@pytest.mark.parametrize("line", LINES)
def test_exact_and_s_are_the_definition_of_the_operands_and_of_their_magnitudes(line: str) -> None:
    problem, expectation = Problem.parse(line), expected_of(line)
    values = definition.compute(problem.geometry, problem.operands)
    positive = Operands(**{"b": None, **{name: np.abs(a) for name, a in problem.operands.items()}})
    sums = definition.compute(problem.geometry, positive)
    for q in QUANTITIES:
        if getattr(values, q) is not None:
            assert expectation[q].exact.tolist() == getattr(values, q).tolist()
            assert np.all(expectation[q].s >= getattr(sums, q).astype(float))
            assert np.all(expectation[q].s <= getattr(sums, q).astype(float) * (1 + 2.0**-40))


def test_s_of_real_data_is_not_below_the_true_sum() -> None:
    for seed in range(20):
        problem = Problem.parse(f"1d n2 c3 m2 i9 k3 fill=real seed={seed}")
        scale = 2.0**53
        scaled = {
            name: np.abs(a * scale * (scale if name == "b" else 1)).astype(object)
            for name, a in problem.operands.items()
        }
        sums = definition.compute(problem.geometry, Operands(**scaled))
        expectation = expected_of(str(problem))
        for q, unit in (("y", 106), ("dx", 106), ("dw", 106), ("db", 53)):
            true = [Fraction(int(v), 2**unit) for v in getattr(sums, q).ravel()]
            assert all(Fraction(s) >= t for s, t in zip(expectation[q].s.ravel(), true, strict=True)), (
                seed,
                q,
            )


def test_n_counts_the_bias_in_y_and_no_padding() -> None:
    expectation = expected_of("1d n1 c2 m1 i3 k2 p1")
    assert expectation["y"].n.tolist() == [[[3, 5, 5, 3]]]
    assert expected_of("1d n1 c2 m1 i3 k2 p1 bias=none")["y"].n.tolist() == [[[2, 4, 4, 2]]]


def test_each_quantity_is_computed_once() -> None:
    expectation = expected_of(LINES[0])
    assert expectation["dx"] is expectation["dx"]


# ---- the exact regime ----
def trees(terms: list[Any], rng: random.Random) -> Any:
    terms = list(terms)
    while len(terms) > 1:
        a, b = (terms.pop(rng.randrange(len(terms))) for _ in range(2))
        terms.append(a + b)
    return terms[0]


def full_sums(dtype: str, rng: random.Random) -> tuple[list[int], list[int]]:
    """Integers whose products sum, in magnitude, to 2^p - 1."""
    room, x, w = 2 ** DTYPES[dtype].p - 1, [], []
    while room:
        a = rng.randint(1, max(1, math.isqrt(room)))
        b = rng.randint(1, max(1, min(room // a, 2 ** (DTYPES[dtype].p // 2))))
        x.append(rng.choice((-1, 1)) * a)
        w.append(b)
        room -= a * b
    return x, w


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_unrounded_sums_are_exact_in_every_order(dtype: str) -> None:
    rng, kind = random.Random(dtype), DTYPES[dtype].numpy.type
    for _ in range(60):
        x, w = full_sums(dtype, rng)
        expected = inner_product(x, w, dtype)
        assert expected.unrounded
        products = [kind(a) * kind(b) for a, b in zip(x, w, strict=True)]
        exact = sum(a * b for a, b in zip(x, w, strict=True))
        assert expected.exact.item() == exact
        sums = [trees(products, rng) for _ in range(12)]
        sums += [
            sum(order, kind(0))
            for order in (products, products[::-1], sorted(products), sorted(products, key=abs))
        ]
        assert {float(total) for total in sums} == {float(exact)}


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_short_unrounded_sums_are_exact_in_all_orders(dtype: str) -> None:
    kind, top = DTYPES[dtype].numpy.type, 2 ** (DTYPES[dtype].p - 1)
    x = [top, -3, top - 6, 2]
    assert inner_product(x, [1, 1, 1, 1], dtype).unrounded
    for order in itertools.permutations(x):
        total = kind(0)
        for term in order:
            total += kind(term)
        assert float(total) == sum(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_unit_more_than_2_to_the_p_can_round_and_is_not_unrounded(dtype: str) -> None:
    p, kind = DTYPES[dtype].p, DTYPES[dtype].numpy.type
    last = inner_product([2 ** (p - 1), 2 ** (p - 1)], [1, 1], dtype)
    beyond = inner_product([2 ** (p - 1), 2 ** (p - 1), 1], [1, 1, 1], dtype)
    assert (last.unrounded, beyond.unrounded) == (True, False)
    assert kind(2 ** (p - 1)) + kind(2 ** (p - 1)) + kind(1) == kind(2**p)


@pytest.mark.parametrize(
    ("arithmetic", "p"),
    [
        (Arithmetic(), 24),
        (Arithmetic(accumulator="f64"), 24),
        (Arithmetic(accumulator="bf16"), 8),
        (Arithmetic(inputs="tf32"), 11),
        (Arithmetic(partial_sums="f16"), 11),
        (Arithmetic(inputs="tf32", partial_sums="bf16"), 8),
    ],
)
def test_the_narrowest_format_on_the_way_decides(arithmetic: Arithmetic, p: int) -> None:
    assert inner_product([2.0**p], [1.0], "f32", arithmetic=arithmetic).unrounded
    assert not inner_product([2.0**p, 1.0], [1.0, 1.0], "f32", arithmetic=arithmetic).unrounded


def test_a_finer_lattice_has_smaller_limits() -> None:
    """Multiples of 1/8: products are multiples of 1/64, so S may reach 2^24 / 64."""
    assert inner_product([2.0**18], [1.0], "f32", quantum=0.125).unrounded
    assert not inner_product([2.0**18, 0.125], [1.0, 0.125], "f32", quantum=0.125).unrounded
    assert not inner_product([1.0], [1.0], "f32", quantum=0.0).unrounded


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_integers_are_unrounded_and_reals_are_not(dtype: str) -> None:
    for line in LINES[:-1]:
        integers, real = expected_of(f"{line} {dtype}"), expected_of(f"{line} {dtype} fill=real")
        quantities = [q for q in QUANTITIES if q != "db" or "bias=none" not in line]
        assert [integers[q].unrounded for q in quantities] == [True] * len(quantities)
        assert not any(real[q].unrounded for q in ("y", "dx", "dw"))


def test_a_cheap_ceiling_and_s_itself_agree() -> None:
    """Where the largest magnitudes never meet, the ceiling is too high, and S decides."""
    x, w = [2.0**12, 1.0, 1.0], [1.0, 1.0, 2.0**12]
    assert 3 * max(x) * max(w) > 2**24
    assert inner_product(x, w, "f32").unrounded


def test_nothing_to_sum_is_unrounded() -> None:
    assert expected_of("2d n0 c2 m2 i4 k3")["y"].unrounded
    assert expected_of("2d n0 c2 m2 i4 k3 fill=real")["dw"].unrounded


@pytest.mark.parametrize(
    ("dtype", "bits", "last"),
    [("f32", 24, 2**24), ("f32", 11, 2**11), ("f64", 53, 2**53), ("f64", 60, 2**53), ("bf16", 24, 2**24),
     ("f16", 11, 2048), ("f16", 24, 65504)],
)  # fmt: skip
def test_a_sum_is_within_so_many_bits_or_what_the_dtype_can_hold(dtype: str, bits: int, last: int) -> None:
    """The oracle's own 53 bits and the largest number are limits, too."""
    assert inner_product([last], [1.0], dtype).within(bits).all()
    assert not inner_product([last, 1.0], [1.0, 1.0], dtype).within(bits).any()


def test_a_unit_that_is_not_kept_settles_nothing() -> None:
    """2^-12 squared is the smallest subnormal of float16: zero for those who flush."""
    x = [2.0**-12, 2.0**-10]
    plain = inner_product(x, x, "f16", quantum=2.0**-12)
    flushes = inner_product(x, x, "f16", quantum=2.0**-12, arithmetic=Arithmetic(flushes=True))
    assert (plain.unrounded, flushes.unrounded) == (True, False)
    finer = inner_product([2.0**-13], [2.0**-13], "f16", quantum=2.0**-13)
    assert not finer.unrounded


# ---- element by element ----
def two_outputs(x: list[float], w: list[float], dtype: str, **more: Any) -> Expected:
    """y of three inputs and two taps, of which one element may round and the other not."""
    kind = DTYPES[dtype].numpy
    operands = Operands(
        x=np.array(x).reshape(1, 1, 3).astype(kind), w=np.array(w).reshape(1, 1, 2).astype(kind), b=None,
        delta=np.ones((1, 1, 2), kind),
    )  # fmt: skip
    arithmetic = Arithmetic(**more)
    g = Geometry(size=(3,), kernel=(2,), bias="none")
    return Expectation(g, operands, dtype=DTYPES[dtype], arithmetic=arithmetic, quantum=1.0)["y"]


def test_each_element_has_its_own_regime() -> None:
    expected = two_outputs([1, 1, 2**24], [1, 1], "f32")
    assert expected.settled.tolist() == expected.rounded_once.tolist() == [[[True, False]]]
    assert not expected.unrounded
    assert expected.certain.tolist() == [[[True, False]]]
    assert expected.certificate == 0.5


@pytest.mark.parametrize(
    ("dtype", "more", "settled", "once"),
    [
        ("f16", {}, [True, False], [True, False]),
        ("f16", {"accumulator": "f32"}, [True, False], [True, True]),
        ("f16", {"accumulator": "f32", "partial_sums": "f16"}, [True, False], [True, False]),
        ("f16", {"accumulator": "f32", "inputs": "bf16"}, [False, False], [False, False]),
        ("f16", {"accumulator": "f32", "truncates": True}, [True, False], [True, True]),
        ("f32", {}, [True, True], [True, True]),
        ("f32", {"accumulator": "bf16"}, [False, False], [False, False]),
        ("f32", {"inputs": "tf32"}, [True, False], [True, False]),
    ],
)
def test_rounded_once_is_demanded_where_only_the_result_rounds(
    dtype: str, more: dict[str, Any], settled: list[bool], once: list[bool]
) -> None:
    """Sums of 1,024 and 2,049: the second is beyond 11 bits, and both are beyond 8."""
    expected = two_outputs([1, 1023, 1026], [1, 1], dtype, **more)
    assert expected.settled.tolist() == [[settled]]
    assert expected.rounded_once.tolist() == [[once]]


@pytest.mark.parametrize(
    ("more", "one", "two"),
    [
        ({}, True, False),
        ({"accumulator": "f64"}, True, True),  # which holds 48 bits
        ({"flushes": True}, True, False),
        ({"inputs": "tf32"}, False, False),
        ({"truncates": True}, False, False),
        ({"partial_sums": "bf16"}, False, False),
        ({"accumulator": "bf16"}, False, False),
    ],
)
def test_a_single_product_is_rounded_once_by_all_who_round_nothing_else(
    more: dict[str, Any], one: bool, two: bool
) -> None:
    """Full mantissas: no lattice that a sum of 24 bits could hold."""
    x = 1 - 2.0**-24
    alone = inner_product([x], [x], "f32", quantum=2.0**-24, arithmetic=Arithmetic(**more))
    among_zeros = inner_product(
        [0.0, x, 0.0], [x, x, x], "f32", quantum=2.0**-24, arithmetic=Arithmetic(**more)
    )
    pair = inner_product([x, x], [x, x], "f32", quantum=2.0**-24, arithmetic=Arithmetic(**more))
    assert not alone.settled.any()
    assert [bool(e.rounded_once.all()) for e in (alone, among_zeros, pair)] == [one, one, two]


def test_a_bias_is_a_second_term_unless_it_is_zero() -> None:
    for b, single in ((0.0, True), (0.7, False)):
        operands = Operands(
            x=np.float32([[[0.9, 0]]]), w=np.float32([[[0.9, 0.9]]]), b=np.float32([b]),
            delta=np.ones((1, 1, 1), np.float32),
        )  # fmt: skip
        g = Geometry(size=(2,), kernel=(2,))
        y = Expectation(g, operands, dtype=DTYPES["f32"], arithmetic=Arithmetic(), quantum=2.0**-24)["y"]
        assert y.single.tolist() == [[[single]]]


@pytest.mark.parametrize("flushes", [False, True])
@pytest.mark.parametrize(("x", "w"), [(2.0**-80, 2.0**-60), (2.0**-130, 2.0**20)])
def test_a_single_product_of_or_to_a_subnormal_number_is_not_demanded_of_those_who_flush(
    x: float, w: float, flushes: bool
) -> None:
    expected = inner_product([x], [w], "f32", quantum=0.0, arithmetic=Arithmetic(flushes=flushes))
    assert not (flushes and expected.rounded_once.any())
    if flushes:
        assert expected.bound.item() >= abs(expected.exact.item())


def test_a_single_product_that_an_accumulator_rounds_first_may_be_rounded_twice() -> None:
    """bfloat16 in a float16 accumulator: 16 bits to a tie of 11 bits, and on to an even one of 8."""
    found = [
        (a, b)
        for a, b in itertools.product(np.arange(128, 256) / 128, repeat=2)
        if float(ml_dtypes.bfloat16(float(np.float16(a * b))))
        != DTYPES["bf16"].rounded(np.array([a * b])).item()
    ]
    assert found
    for a, b in found:
        twice = np.full((1, 1, 1), float(np.float16(a * b)), ml_dtypes.bfloat16)
        expected = inner_product([a], [b], "bf16", quantum=2.0**-7, arithmetic=Arithmetic(accumulator="f16"))
        assert compare(twice, expected).ok, (a, b)


# ---- one class a quantity ----
def test_each_quantity_is_judged_by_its_own_class() -> None:
    classes = {
        "y": Arithmetic(algorithm="fft"),
        "dx": Arithmetic(accumulator="f64"),
        "dw": Arithmetic(accumulator="bf16"),
        "db": Arithmetic(algorithm="fft"),
    }
    line = "2d n2 c2 m3 i5 k3 f32 fill=real"
    mixed = expected_of(line, classes)
    for q, arithmetic in classes.items():
        assert mixed[q].arithmetic == arithmetic
        assert mixed[q].bound.tolist() == expected_of(line, arithmetic)[q].bound.tolist()
    assert [mixed[q].direct for q in QUANTITIES] == [False, True, True, True]


# ---- what is probable ----
def many(n: int, *, independent: bool, arithmetic: Arithmetic | None = None) -> Expected:
    problem = Problem.parse(f"1d n1 c1 m1 i{n} k{n} bias=none f32 fill=real")
    return Expectation(
        problem.geometry, problem.operands, dtype=problem.format, arithmetic=arithmetic or Arithmetic(),
        quantum=problem.quantum, independent=independent,
    )["y"]  # fmt: skip


def test_of_many_independent_roundings_few_are_probable() -> None:
    for n, share in ((50, 1.0), (10_000, 0.12)):
        expected = many(n, independent=True)
        assert np.all(expected.probable <= expected.bound)
        assert expected.probable.item() / expected.bound.item() == pytest.approx(share, rel=0.3)
    dependent = many(10_000, independent=False)
    assert dependent.probable.tolist() == dependent.bound.tolist()


# ---- overflow ----
@pytest.mark.parametrize(
    ("x", "arithmetic", "may"),
    [
        (30000.0, Arithmetic(), False),
        (32752.0, Arithmetic(), True),
        (40000.0, Arithmetic(accumulator="f32"), True),
        (100.0, Arithmetic(accumulator="f32"), False),
    ],
)
def test_a_sum_near_the_largest_number_may_overflow(x: float, arithmetic: Arithmetic, may: bool) -> None:
    """It may round up on its way; opposite signs do not help, for any order is legal."""
    expected = inner_product([x, x], [1.0, -1.0], "f16", arithmetic=arithmetic)
    assert bool(expected.may_overflow.all()) is may
    assert bool(np.isinf(expected.bound).all()) is may


# ---- the power certificate ----
def test_in_the_exact_regime_every_element_is_certified() -> None:
    assert [expected_of(LINES[0])[q].certificate for q in QUANTITIES] == [1, 1, 1, 1]


def test_where_nothing_is_read_there_is_no_power() -> None:
    only_padding = expected_of("1d n1 c1 m1 i1 k1 s9 p4:5")  # the windows read padding alone
    assert only_padding["y"].n.max() == 1  # the bias
    assert [only_padding[q].certificate for q in QUANTITIES] == [0, 0, 0, 1]
    assert [expected_of("2d n0 c1 m1 i3 k2")[q].certificate for q in QUANTITIES] == [0, 0, 0, 0]


@pytest.mark.parametrize(("dtype", "n"), [("f32", 20), ("f32", 1000), ("f16", 10), ("bf16", 4)])
def test_few_reals_are_certified(dtype: str, n: int) -> None:
    assert expected_of(f"1d n1 c1 m1 i{n} k{n} bias=none {dtype} fill=real")["y"].certificate == 1


@pytest.mark.parametrize(("dtype", "n"), [("f32", 9000), ("f16", 200), ("bf16", 60)])
def test_many_reals_are_not_certified(dtype: str, n: int) -> None:
    assert expected_of(f"1d n1 c1 m1 i{n} k{n} bias=none {dtype} fill=real")["y"].certificate == 0


def test_the_certificate_is_a_share_of_elements() -> None:
    """Near a border of padding fewer products are summed: those elements are certified, the inner ones are not."""
    expected = expected_of("1d n1 c1 m1 i60 k30 p29 bias=none bf16 fill=real")["y"]
    assert 0 < expected.certificate < 1


@pytest.mark.parametrize("fill", ["real", "small"])
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_a_certificate_holds_for_every_single_product(dtype: str, fill: str) -> None:
    """Drop any one product, add it twice, or flip its sign: the element it belongs to fails."""
    problem = Problem.parse(f"2d n1 c2 m2 i3x4 k2 p0:1 bias=none {dtype} fill={fill}")
    expectation, o = expected_of(str(problem)), problem.operands
    assert [expectation[q].certificate for q in ("y", "dw")] == [1, 1]
    x, w, delta = (a.astype(np.float64) for a in (o.x, o.w, o.delta))
    for at_x, at_w, at_y in definition.products(problem.geometry):
        for q, at, product in (
            ("y", at_y, x[at_x] * w[at_w]), ("dx", at_x, w[at_w] * delta[at_y]), ("dw", at_w, x[at_x] * delta[at_y])
        ):  # fmt: skip
            for times in (-1, 1, -2):
                got = expectation[q].exact.copy()
                got[at] += times * product
                assert compare(got, expectation[q]).grade is Grade.FAIL


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    ("dtype", "arithmetic"),
    [("f64", {}), ("f32", {}), ("f16", {}), ("bf16", {}), ("f16", {"accumulator": "f32"}),
     ("bf16", {"accumulator": "f32"}), ("f32", {"inputs": "tf32"}), ("f32", {"flushes": True}),
     ("f16", {"accumulator": "f32", "truncates": True})],
    ids=str,
)  # fmt: skip
def test_on_all_data_a_wrong_product_is_seen_where_that_is_certain(
    dtype: str, arithmetic: dict[str, Any], fill: str
) -> None:
    """Rounded once to the dtype, or moved back by as much as the bound allows: where it is certain, it is seen."""
    line, seen = f"2d n2 c2 m3 i5x4 k2 p0:1 {dtype} fill={fill} seed=3", 0
    expectation, o = expected_of(line, Arithmetic(**arithmetic)), Problem.parse(line).operands
    x, w, delta = (a.astype(np.float64) for a in (o.x, o.w, o.delta))
    every = list(definition.products(Problem.parse(line).geometry))
    meet = [p for p in every if x[p[0]] and delta[p[2]]]
    for at_x, at_w, at_y in [*every[::13], *meet[::13]]:
        for q, at, product in (
            ("y", at_y, x[at_x] * w[at_w]), ("dx", at_x, w[at_w] * delta[at_y]), ("dw", at_w, x[at_x] * delta[at_y])
        ):  # fmt: skip
            expected = expectation[q]
            if product and expected.certain[at]:
                moved = expected.exact[at] + random.Random(seen).choice((-1, 1, -2)) * product
                back = math.copysign(expected.bound[at] * (1 - 2.0**-20), expected.exact[at] - moved)
                once = expected.settled[at] or expected.rounded_once[at]
                got = expected.whole.dtype.rounded(expected.exact)
                got[at] = expected.whole.dtype.rounded(np.array(moved)) if once else moved + back
                assert compare(got, expected).grade is Grade.FAIL, (q, at)
                seen += 1
    assert seen or max(expectation[q].certificate for q in ("y", "dx", "dw")) < 0.05


@pytest.mark.parametrize(
    ("dtype", "accumulator"), [("f64", "f64"), ("f32", "f32"), ("f16", "f32"), ("bf16", "f32")]
)
def test_all_data_are_certain_to_show_some_wrong_product(dtype: str, accumulator: str) -> None:
    """Most show most of them; of one-hot data few results hold a product at all."""
    for fill in FILLS:
        line = f"2d n2 c2 m3 i5x4 k2 {dtype} fill={fill}"
        share = expected_of(line, Arithmetic(accumulator=accumulator))["y"].certificate
        assert share > (0.1 if fill != "onehot" else 0.01), fill


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_what_is_certified_is_seen_even_where_rounding_hides_as_much_as_it_can(dtype: str) -> None:
    """A product is dropped, and rounding makes up for it by as much as the bound allows: still a failure."""
    certified = set()
    for n in range(1, 41):
        problem = Problem.parse(f"1d n1 c1 m1 i{n} k{n} bias=none {dtype} fill=real seed={n}")
        expected = expected_of(str(problem))["y"]
        if expected.certificate == 1:
            products = problem.operands.x.astype(np.float64) * problem.operands.w.astype(np.float64)
            least = np.abs(products).min()
            got = expected.exact + least - expected.bound * (1 - 2.0**-20)
            assert compare(got, expected).grade is Grade.FAIL, n
            certified.add(n)
    assert 0 < len(certified) < 40
