from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, Problem
from conformance.problem.fills import FILLS, HEADROOM, INTEGER_FILLS, amplitude, bits, draw

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
    a = amplitude(fill, DTYPES[code], 12)
    drawn = draw(fill, 500, dtype=DTYPES[code], seed=3, summands=12)
    by_hand = [v if v < 0 else v + 1 for v in (word % (2 * a) - a for word in philox(3, 500))]
    if fill == "sparse":
        by_hand = [0 if word >> 62 == 0 else v for word, v in zip(philox(3, 500), by_hand, strict=True)]
    assert drawn.dtype == DTYPES[code].numpy
    assert drawn.tolist() == by_hand


@pytest.mark.parametrize("code", DTYPES)
def test_reals_follow_from_the_bits_by_integer_arithmetic(code: str) -> None:
    p = DTYPES[code].p
    drawn = draw("real", 500, dtype=DTYPES[code], seed=3, summands=12)
    by_hand = [
        Fraction((-1) ** (word & 1) * (2 ** (p - 1) + (word >> (65 - p))), 2**p) for word in philox(3, 500)
    ]
    assert drawn.dtype == DTYPES[code].numpy
    assert [Fraction(float(v)) for v in drawn] == by_hand


def test_small_draws_every_integer_but_zero() -> None:
    assert set(draw("small", 2000, dtype=DTYPES["f64"], seed=0, summands=9).tolist()) == {*range(-9, 10)} - {
        0
    }


def test_unit_draws_one_and_minus_one_about_equally() -> None:
    values = draw("unit", 4000, dtype=DTYPES["f32"], seed=0, summands=9).tolist()
    assert set(values) == {-1, 1}
    assert 1800 < values.count(1) < 2200


def test_sparse_draws_about_one_zero_in_four() -> None:
    values = draw("sparse", 4000, dtype=DTYPES["f32"], seed=0, summands=9).tolist()
    assert 850 < values.count(0) < 1150
    assert set(values) == set(range(-9, 10))


@pytest.mark.parametrize("code", DTYPES)
def test_reals_lie_between_a_half_and_one_and_fill_the_mantissa(code: str) -> None:
    f = DTYPES[code]
    values = draw("real", 4000, dtype=f, seed=0, summands=9).astype(np.float64)
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
        a = amplitude("small", f, n)
        assert 1 <= a <= 9
        assert HEADROOM * (n * a * a + a) <= 2**f.p or a == 1


def test_amplitude_uses_the_room_there_is() -> None:
    assert amplitude("small", DTYPES["f64"], 1000) == amplitude("small", DTYPES["f32"], 1000) == 9
    assert amplitude("small", DTYPES["f16"], 9) == 7
    assert amplitude("small", DTYPES["bf16"], 9) == 2
    assert amplitude("small", DTYPES["bf16"], 10**6) == 1
    assert amplitude("unit", DTYPES["f64"], 1) == 1


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("fill", INTEGER_FILLS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "shape",
    ["1d n2 c3 m2 i7 k2 s2", "2d n2 c2 m4 g2 i4x5 k2x3 p1 bias=untied", "3d c2 m3 i3 k2 d2 p1", "2d i6 k6"],
)
def test_drawn_problems_stay_in_the_exact_regime(shape: str, seed: int, fill: str, code: str) -> None:
    problem = Problem.parse(f"{shape} {code} fill={fill} seed={seed}")
    s = Layer.of(problem.geometry, problem.operands).magnitudes().results()
    assert max(float(a.max()) for a in (s.y, s.dx, s.dw, s.db)) * HEADROOM <= 2**problem.format.p
    assert all(np.abs(a.astype(np.float64)).max() <= problem.amplitude for _, a in problem.operands.items())


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("code", DTYPES)
def test_operands_are_multiples_of_the_quantum(code: str, fill: str) -> None:
    problem = Problem.parse(f"2d n2 c3 m2 i4 k2 {code} fill={fill}")
    assert problem.quantum == (1 if fill != "real" else problem.format.u)
    for name, a in problem.operands.items():
        assert all(Fraction(float(v)) / Fraction(problem.quantum) % 1 == 0 for v in a.ravel()), name
