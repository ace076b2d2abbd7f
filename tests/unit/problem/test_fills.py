from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, QUANTITIES, Geometry, Problem
from conformance.problem.fills import (
    FILLS,
    GEOMETRIC,
    HEADROOM,
    INTEGER_FILLS,
    ODD_BITS,
    REGIMES,
    Source,
    bits,
)

WORD = 2**64
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # golden ratio, sqrt(3) - 1


def philox_block(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10, from the paper: ten rounds of two 64x64-bit products on four words; the key grows by Weyl constants."""
    c = [(counter >> (64 * i)) % WORD for i in range(4)]
    for turn in range(10):
        k = [(key[i] + turn * WEYL[i]) % WORD for i in (0, 1)]
        (high0, low0), (high1, low1) = (
            divmod(MULTIPLIERS[0] * c[0], WORD),
            divmod(MULTIPLIERS[1] * c[2], WORD),
        )
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
    return c


def philox(seed: int, count: int) -> list[int]:
    """The words of the counters 1, 2, 3, ... under the key (seed, 0)."""
    blocks = (philox_block(counter, (seed, 0)) for counter in itertools.count(1))
    return list(itertools.islice(itertools.chain.from_iterable(blocks), count))


def source(fill: str, code: str, *, summands: int = 12, seed: int = 3) -> Source:
    """What draws a fill, for a geometry that only `onehot` and `gaps` ask for."""
    g = Geometry(size=(9,), kernel=(2,))
    return Source(fill=fill, dtype=DTYPES[code], seed=seed, geometry=g, summands=summands)


def drawn(fill: str, code: str, count: int, *, seed: int = 3, summands: int = 12) -> Any:
    return source(fill, code, seed=seed, summands=summands).values("x", bits(seed, count), (count,))


def sums(problem: Problem) -> dict[str, Any]:
    """S of every element of every quantity that the geometry has."""
    s = Layer.of(problem.geometry, problem.operands).magnitudes().results()
    return {q: getattr(s, q) for q in QUANTITIES if getattr(s, q) is not None}


def floats(problem: Problem) -> dict[str, Any]:
    return {name: a.astype(np.float64) for name, a in problem.operands.items()}


# ---- the stream ----
def test_philox_gives_the_known_answers_of_its_authors() -> None:
    """The test vectors philox4x64-10 that come with Random123."""
    assert philox_block(0, (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    ones = WORD - 1
    assert philox_block(2**256 - 1, (ones, ones)) == [
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2, 7, 12345, 2**32, 2**53 + 1, 2**63, 2**64 - 1])
def test_bits_are_those_of_philox_written_in_integers(seed: int) -> None:
    assert bits(seed, 203).tolist() == philox(seed, 203)


def test_bits_of_a_shorter_draw_are_a_prefix() -> None:
    assert bits(5, 9).tolist() == bits(5, 100).tolist()[:9]
    assert bits(5, 0).tolist() == []


# ---- values ----
@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("fill", INTEGER_FILLS)
def test_integers_follow_from_the_bits_by_integer_arithmetic(fill: str, code: str) -> None:
    a = source(fill, code).amplitude
    values = drawn(fill, code, 500)
    by_hand = [v if v < 0 else v + 1 for v in (word % (2 * a) - a for word in philox(3, 500))]
    if fill == "sparse":
        by_hand = [0 if word >> 62 == 0 else v for word, v in zip(philox(3, 500), by_hand, strict=True)]
    assert values.dtype == DTYPES[code].numpy
    assert values.tolist() == by_hand


@pytest.mark.parametrize("code", DTYPES)
def test_reals_follow_from_the_bits_by_integer_arithmetic(code: str) -> None:
    p = DTYPES[code].p
    values = drawn("real", code, 500)
    by_hand = [
        Fraction((-1) ** (word & 1) * (2 ** (p - 1) + (word >> (65 - p))), 2**p) for word in philox(3, 500)
    ]
    assert values.dtype == DTYPES[code].numpy
    assert [Fraction(float(v)) for v in values] == by_hand


def test_small_draws_every_integer_but_zero() -> None:
    assert set(drawn("small", "f64", 2000, seed=0, summands=9).tolist()) == {*range(-9, 10)} - {0}


def test_unit_draws_one_and_minus_one_about_equally() -> None:
    values = drawn("unit", "f32", 4000, seed=0, summands=9).tolist()
    assert set(values) == {-1, 1}
    assert 1800 < values.count(1) < 2200


def test_sparse_draws_about_one_zero_in_four() -> None:
    values = drawn("sparse", "f32", 4000, seed=0, summands=9).tolist()
    assert 850 < values.count(0) < 1150
    assert set(values) == set(range(-9, 10))


@pytest.mark.parametrize("code", DTYPES)
def test_reals_lie_between_a_half_and_one_and_fill_the_mantissa(code: str) -> None:
    f = DTYPES[code]
    values = drawn("real", code, 4000, seed=0).astype(np.float64)
    magnitudes = np.abs(values)
    assert magnitudes.min() >= 0.5
    assert magnitudes.max() < 1
    assert 1800 < int((values > 0).sum()) < 2200
    last_bits = (magnitudes * 2.0**f.p).astype(np.int64) & 1
    assert 1800 < int(last_bits.sum()) < 2200
    assert magnitudes.max() > 1 - 2.0**-5
    assert magnitudes.min() < 0.5 + 2.0**-5


# ---- amplitude ----
@pytest.mark.parametrize("code", DTYPES)
def test_amplitude_leaves_headroom_for_every_number_of_summands(code: str) -> None:
    """HEADROOM times the largest sum of n products and a bias stays exact, unless even ones are too many."""
    f = DTYPES[code]
    for n in [*range(1, 3000), 10**4, 10**6, 2**22, 2**24]:
        a = source("small", code, summands=n).amplitude
        assert 1 <= a <= 9
        assert HEADROOM * (n * a * a + a) <= 2**f.p or a == 1


def test_amplitude_uses_the_room_there_is() -> None:
    largest = {
        (code, n): source("small", code, summands=n).amplitude for code in DTYPES for n in (9, 1000, 10**6)
    }
    assert largest["f64", 1000] == largest["f32", 1000] == 9
    assert (largest["f16", 9], largest["bf16", 9], largest["bf16", 10**6]) == (7, 2, 1)
    assert source("unit", "f64", summands=1).amplitude == 1


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("fill", INTEGER_FILLS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "shape",
    ["1d n2 c3 m2 i7 k2 s2", "2d n2 c2 m4 g2 i4x5 k2x3 p1 bias=untied", "3d c2 m3 i3 k2 d2 p1", "2d i6 k6"],
)
def test_drawn_problems_stay_in_the_exact_regime(shape: str, seed: int, fill: str, code: str) -> None:
    problem = Problem.parse(f"{shape} {code} fill={fill} seed={seed}")
    assert max(s.max() for s in sums(problem).values()) * HEADROOM <= 2**problem.format.p
    assert all(np.abs(a).max() <= problem.amplitude for a in floats(problem).values())


# ---- every fill ----
SHAPES = (
    "1d n2 c3 m2 i7 k2 s2",
    "2d n2 c3 m2 i4 k2",
    "2d n3 c4 m6 g2 i6x5 k3x2 s1x2 p1:0 conv bias=untied",
    "3d n1 c2 m3 i3x4x5 k2 d2x1x1 p1 bias=none",
)


def test_every_fill_is_of_one_kind_and_is_listed_once() -> None:
    assert (*GEOMETRIC, *REGIMES) == FILLS
    assert len(set(FILLS)) == len(FILLS)
    assert set(INTEGER_FILLS) < set(GEOMETRIC)
    assert [Problem.parse(f"1d i3 k2 fill={fill}").rounding for fill in FILLS] == [
        f in REGIMES for f in FILLS
    ]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("code", DTYPES)
def test_operands_are_finite_multiples_of_the_quantum(code: str, fill: str) -> None:
    """Numbers of the dtype that no cast has made infinite; a bias is added to products, so its unit may be theirs."""
    for shape in SHAPES:
        problem = Problem.parse(f"{shape} {code} fill={fill}")
        assert problem.quantum == 2.0**problem.source.exponent
        for name, a in problem.operands.items():
            assert a.dtype == problem.format.numpy
            unit = Fraction(problem.quantum) ** (2 if name == "b" and fill in ("subnormal", "huge") else 1)
            assert all(Fraction(float(v)) / unit % 1 == 0 for v in a.ravel()), (name, shape)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("code", DTYPES)
def test_the_same_line_draws_the_same_and_another_seed_draws_others(code: str, fill: str) -> None:
    line = f"2d n2 c3 m2 i6 k3 {code} fill={fill}"
    one, again, other = (
        b"".join(a.tobytes() for _, a in Problem.parse(f"{line} seed={seed}").operands.items())
        for seed in (1, 1, 2)
    )
    assert one == again != other


# ---- wide ----
@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, "2d n4 c8 m2 i16 k3 p1", "1d n2 c9 m1 i300 k31"])
def test_wide_integers_fill_the_exact_regime_and_do_not_leave_it(shape: str, code: str) -> None:
    """S is n products of two numbers that are uniform up to the amplitude: a quarter of n a^2, near its largest."""
    problem = Problem.parse(f"{shape} {code} fill=wide")
    limit = min(2 ** max(problem.format.p, 24), int(problem.format.largest))
    assert limit == {"f64": 2**53, "f32": 2**24, "f16": 65504, "bf16": 2**24}[code]
    reached = max(s.max() for s in sums(problem).values())
    held = (
        problem.source.summands * 4**problem.format.p
    )  # what operands of the dtype's precision can sum to at most
    assert min(limit, held) / 8 < reached <= limit


@pytest.mark.parametrize("code", DTYPES)
def test_wide_integers_never_leave_the_regime_whatever_the_number_of_summands(code: str) -> None:
    for n in [*range(1, 3000), 10**4, 65502, 10**5, 2**22, 2**24 - 1]:
        s = source("wide", code, summands=n)
        assert 1 <= s.amplitude <= 2 ** DTYPES[code].p
        assert n * s.amplitude**2 + s.amplitude <= s.filled or s.amplitude == 1


@pytest.mark.parametrize("code", DTYPES)
def test_wide_draws_integers_that_are_not_zero_and_reach_its_amplitude(code: str) -> None:
    a = source("wide", code).amplitude
    by_hand = [v if v < 0 else v + 1 for v in (word % (2 * a) - a for word in philox(3, 800))]
    assert drawn("wide", code, 800).astype(np.float64).tolist() == by_hand
    assert max(map(abs, by_hand)) > 0.99 * a > 100 * source("small", code).amplitude / 9
    assert 0 not in by_hand


# ---- odd ----
@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("seed", range(6))
def test_odd_integers_of_full_width_stand_in_the_operand_that_the_seed_names(seed: int, code: str) -> None:
    problem = Problem.parse(f"2d n2 c3 m2 i6 k3 {code} fill=odd seed={seed}")
    carries = ("x", "w", "delta")[seed % 3]
    width = {"f64": 30, "f32": 12, "f16": 10, "bf16": 8}[
        code
    ]  # float16: 32 summands of 11 bits are beyond 65504
    assert problem.source.summands == 32
    assert width <= ODD_BITS[code]
    for name, a in floats(problem).items():
        magnitudes = np.abs(a).astype(np.int64)
        if name == carries:
            assert np.all(magnitudes % 2 == 1)
            assert {int(m).bit_length() for m in magnitudes.ravel()} == {width}
        else:
            assert set(a.ravel().tolist()) <= {-1, 1}
        if name != "b":  # there are but two
            assert {-1, 1} == set(np.sign(a).ravel().tolist())


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "shape", [*SHAPES, "2d n4 c8 m2 i16 k3 p1", "1d n2 c9 m1 i300 k31", "1d n8 c1 m1 i1000 k1"]
)
def test_sums_of_odd_integers_stay_in_the_exact_regime(shape: str, seed: int, code: str) -> None:
    problem = Problem.parse(f"{shape} {code} fill=odd seed={seed}")
    assert max(s.max() for s in sums(problem).values()) <= problem.source.filled


@pytest.mark.parametrize(("code", "narrow"), [("f64", 24), ("f32", 11), ("f32", 8), ("f16", 8)])
def test_every_odd_integer_is_changed_by_a_narrower_format(code: str, narrow: int) -> None:
    """Few summands leave the full width: an odd integer of more bits than the format keeps is not one of its numbers."""
    values = np.abs(drawn("odd", code, 200, summands=8).astype(np.float64))
    mantissa, exponent = np.frexp(values)
    assert np.all(np.ldexp(np.rint(mantissa * 2.0**narrow), exponent - narrow) != values)


# ---- onehot ----
ONEHOT = (
    "1d n1 c1 m1 i5 k3",
    "1d n3 c4 m6 g2 i9 k3 s2 p2:1 d2",
    "2d n2 c3 m2 i6x5 k2x3 conv bias=untied",
    "2d n2 c2 m2 i6x7 k2x3 p-1:1",
    "2d n1 c3 m6 g3 i7 k3 s4x2 p3",
    "3d n2 c2 m3 i3x4x5 k2x1x3 s1x2x1 p1x0x2",
)


@pytest.mark.parametrize("shape", ONEHOT)
@pytest.mark.parametrize("seed", range(12))
def test_onehot_operands_meet_in_one_product(seed: int, shape: str) -> None:
    problem = Problem.parse(f"{shape} f32 fill=onehot seed={seed}")
    values, products = floats(problem), Layer.of(problem.geometry, problem.operands)
    assert [int(np.count_nonzero(values[name])) for name in ("x", "delta")] == [1, 1]
    assert np.all(np.abs(values["w"]) >= 0.5)
    assert not values["b"].any()
    assert int(np.count_nonzero(products.dw)) == int(np.count_nonzero(products.db)) == 1
    product = np.abs(values["x"]).max() * np.abs(values["delta"]).max()
    assert np.abs(products.dw).max() == product


@pytest.mark.parametrize("shape", ONEHOT)
def test_every_result_of_onehot_operands_is_a_single_product(shape: str) -> None:
    for seed in range(6):
        o = Problem.parse(f"{shape} fill=onehot seed={seed}").operands
        ones = Layer(Problem.parse(shape).geometry, o.x != 0, o.w != 0, None, o.delta != 0)
        assert [int(getattr(ones, q).max()) for q in ("y", "dx", "dw")] == [1, 1, 1]


def test_onehot_operands_of_different_seeds_meet_in_every_tap_of_every_group() -> None:
    met = {
        tuple(int(i) for i in np.argwhere(Layer.of(p.geometry, p.operands).dw)[0])
        for p in (Problem.parse(f"1d n2 c4 m4 g2 i5 k3 p1 fill=onehot seed={seed}") for seed in range(400))
    }
    assert met == set(np.ndindex(4, 2, 3))


def test_onehot_operands_that_cannot_meet_are_still_one_each() -> None:
    """The windows read padding alone."""
    problem = Problem.parse("1d n1 c1 m1 i1 k1 s9 p4:5 fill=onehot")
    values = floats(problem)
    assert [int(np.count_nonzero(values[name])) for name in ("x", "delta")] == [1, 1]
    assert not Layer.of(problem.geometry, problem.operands).dw.any()


# ---- stagnation, cancellation, positive ----
@pytest.mark.parametrize("code", DTYPES)
def test_stagnation_draws_a_few_ones_and_terms_that_a_sum_of_the_dtype_loses(code: str) -> None:
    kind, little = DTYPES[code].numpy.type, source("stagnation", code).exponent
    values = drawn("stagnation", code, 4000).astype(np.float64).tolist()
    assert set(values) == {1.0, 2.0**little}
    assert 400 < values.count(1.0) < 600  # one in eight
    assert kind(1) + kind(2.0 ** (2 * little)) == kind(1)
    assert 2.0 ** (2 * little) >= DTYPES[code].u / 2  # and not smaller than need be


@pytest.mark.parametrize("code", DTYPES)
def test_sums_of_stagnation_in_the_dtype_lose_what_the_exact_ones_hold(code: str) -> None:
    problem = Problem.parse(f"1d n1 c1 m1 i100 k100 bias=none {code} fill=stagnation seed=2")
    products = (problem.operands.x * problem.operands.w).ravel()
    ordered = sorted(products, reverse=True)  # the ones first
    total = sum(ordered[1:], ordered[0])
    exact = Layer.of(problem.geometry, problem.operands).y.item()
    assert float(total) < exact


@pytest.mark.parametrize("code", DTYPES)
def test_sums_of_cancellation_are_much_smaller_than_what_they_sum(code: str) -> None:
    """Where neighbours in x and w alternate; in dx where they do in delta, which is every other place."""
    problem = Problem.parse(f"2d n2 c4 m4 i9 k2 bias=none {code} fill=cancellation")
    layer, s = Layer.of(problem.geometry, problem.operands), sums(problem)
    little = 2.0 ** -(problem.format.p - problem.format.p // 2)
    for q in ("y", "dx", "dw"):
        assert np.mean(np.abs(getattr(layer, q)) <= 4 * little * s[q]) >= 0.3, q


@pytest.mark.parametrize("code", DTYPES)
def test_magnitudes_of_cancellation_hardly_differ(code: str) -> None:
    problem = Problem.parse(f"2d n2 c4 m4 i9 k2 {code} fill=cancellation")
    values, little = floats(problem), 2.0 ** -(problem.format.p - problem.format.p // 2)
    assert all(0.75 <= np.abs(a).min() <= np.abs(a).max() < 0.75 + little for a in values.values())
    assert [set(np.sign(values[name]).ravel()) for name in ("x", "w", "delta")] == [{-1, 1}, {1}, {-1, 1}]
    assert len(np.unique(np.abs(values["x"]))) > 5  # but they do


@pytest.mark.parametrize("code", DTYPES)
def test_positive_is_real_without_signs(code: str) -> None:
    line = f"2d n2 c3 m2 i5 k3 {code} seed=4"
    real, positive = (Problem.parse(f"{line} fill={fill}").operands.items() for fill in ("real", "positive"))
    for (_, a), (_, b) in zip(real, positive, strict=True):
        assert np.abs(a.astype(np.float64)).tolist() == b.astype(np.float64).tolist()
        assert float(b.min()) >= 0.5


# ---- gaps ----
GAPS = (
    "1d n2 c4 m4 g4 i9 k2 bias=none",
    "2d n2 c3 m3 g3 i8x5 k3x2 bias=none",
    "3d n1 c2 m4 g2 i6x3x3 k2 s3 bias=none",
)


@pytest.mark.parametrize("shape", GAPS)
@pytest.mark.parametrize("code", DTYPES)
def test_gaps_leave_results_that_sum_nothing_beside_results_that_sum(code: str, shape: str) -> None:
    for q, s in sums(Problem.parse(f"{shape} {code} fill=gaps")).items():
        assert (s == 0).any(), q
        assert (s > 0).any(), q


@pytest.mark.parametrize("bias", ["tied", "untied"])
def test_gaps_leave_bias_gradients_that_sum_nothing(bias: str) -> None:
    s = sums(Problem.parse(f"2d n2 c2 m3 i6 k2 bias={bias} fill=gaps"))["db"]
    assert not s[0].any()
    assert np.any(s[1:] > 0)


def test_gaps_are_zero_where_they_say_and_real_elsewhere() -> None:
    gaps, real = (
        floats(Problem.parse(f"2d n2 c2 m3 i7x4 k2 fill={fill} seed=1")) for fill in ("gaps", "real")
    )
    holes = {
        "x": np.s_[:, :, 4:],
        "w": np.s_[0],
        "delta": np.s_[:, :, 3:],
        "b": np.s_[:0],
    }
    real["delta"][:, 0] = 0
    for name, hole in holes.items():
        real[name][hole] = 0
        assert gaps[name].tolist() == real[name].tolist(), name


# ---- subnormal, huge ----
@pytest.mark.parametrize("shape", [*SHAPES, "2d n4 c8 m2 i16 k3 p1"])
@pytest.mark.parametrize("code", DTYPES)
def test_subnormal_results_are_below_the_smallest_normal_number(code: str, shape: str) -> None:
    problem = Problem.parse(f"{shape} {code} fill=subnormal")
    f, layer, s = problem.format, Layer.of(problem.geometry, problem.operands), sums(problem)
    few = problem.source.summands < 2 ** (f.p - 1)  # 1,024 are too many for bfloat16, even of ones
    met = False
    for q in ("y", "dx", "dw"):
        results = getattr(layer, q)
        units = results / f.smallest_subnormal
        assert np.any(results)
        assert np.all(units == np.rint(units))
        below = s[q] < f.smallest_normal  # no partial sum is a normal number either
        met |= bool(np.any(below & (results != 0)))
        assert np.all(below) or not few
    assert met
    assert (
        float(np.abs(floats(problem)["x"]).min()) >= f.smallest_normal
    )  # what is multiplied is not subnormal


@pytest.mark.parametrize("shape", [*SHAPES, "2d n4 c8 m2 i16 k3 p1", "1d n1 c1 m1 i4000 k3"])
@pytest.mark.parametrize("code", DTYPES)
def test_huge_sums_come_close_to_the_largest_number(code: str, shape: str) -> None:
    """Within 8 of it if all products were the largest: three halvings for whole exponents; what is drawn, within 64."""
    problem = Problem.parse(f"{shape} {code} fill=huge")
    s = max(float(sums(problem)[q].max()) for q in ("y", "dx", "dw"))
    units = problem.source.summands * problem.amplitude**2 + problem.amplitude
    most = units * problem.quantum**2
    assert s <= most <= problem.format.largest
    assert problem.format.largest / 8 < most
    assert problem.format.largest / 64 < s


@pytest.mark.parametrize("fill", ["subnormal", "huge"])
@pytest.mark.parametrize("code", DTYPES)
def test_scaled_fills_are_small_on_another_lattice(code: str, fill: str) -> None:
    line = f"2d n2 c3 m2 i5 k3 {code} seed=9"
    small, scaled = (Problem.parse(f"{line} fill={f}") for f in ("small", fill))
    for name, a in floats(small).items():
        power = scaled.source.exponent * (2 if name == "b" else 1)
        assert floats(scaled)[name].tolist() == np.ldexp(a, power).tolist()
