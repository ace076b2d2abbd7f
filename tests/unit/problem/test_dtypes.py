from __future__ import annotations

import math
import random
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from conformance.errors import GeometryError
from conformance.problem import DTYPES, dtype_of


@pytest.mark.parametrize("code", DTYPES)
def test_facts_agree_with_the_library_that_rounds(code: str) -> None:
    f = DTYPES[code]
    facts = ml_dtypes.finfo(f.numpy)
    assert f.p == facts.nmant + 1
    assert f.u == float(facts.eps) / 2
    assert (f.largest, f.smallest_normal) == (float(facts.max), float(facts.smallest_normal))
    assert f.smallest_subnormal == float(facts.smallest_subnormal)
    assert f.name == f.numpy.name


@pytest.mark.parametrize("code", DTYPES)
def test_facts_agree_with_what_rounding_does(code: str) -> None:
    """1 + 2u is the next number after 1; half of the smallest subnormal is lost; twice the largest is infinite."""
    f = DTYPES[code]
    one, two = f.numpy.type(1), f.numpy.type(2)
    assert one + f.numpy.type(2 * f.u) > one
    assert one + f.numpy.type(f.u) == one  # a tie goes to the even neighbour
    assert f.numpy.type(f.smallest_subnormal) > 0
    assert f.numpy.type(f.smallest_subnormal) / two == 0
    with np.errstate(over="ignore"):
        assert np.isinf(f.numpy.type(f.largest) * two)


def test_bfloat16_has_the_range_of_float32_and_float16_has_not() -> None:
    assert DTYPES["bf16"].smallest_normal == DTYPES["f32"].smallest_normal
    assert DTYPES["bf16"].largest > 3e38
    assert DTYPES["f16"].largest == 65504
    assert Fraction(DTYPES["f16"].smallest_subnormal) == Fraction(1, 2**24)


@pytest.mark.parametrize("code", DTYPES)
def test_a_format_is_found_by_any_of_its_names(code: str) -> None:
    f = DTYPES[code]
    assert dtype_of(f.code) is dtype_of(f.name) is dtype_of(f.numpy) is f


@pytest.mark.parametrize("name", ["int64", "f8", "", "FLOAT32", None, float])
def test_another_format_is_refused_by_name(name: object) -> None:
    with pytest.raises(GeometryError, match=f"got {name!r}"):
        dtype_of(name)


# ---- rounding once ----
def nearest(exact: float, code: str) -> float:
    """Rounding to nearest, ties to even, by fractions."""
    f = DTYPES[code]
    exponent = max(math.frexp(exact)[1] - f.p, math.frexp(f.smallest_subnormal)[1] - 1)
    unit = Fraction(2) ** exponent
    rounded = round(Fraction(exact) / unit) * unit
    return math.copysign(math.inf, exact) if abs(rounded) > Fraction(f.largest) else float(rounded)


@pytest.mark.parametrize("code", DTYPES)
def test_rounding_is_to_nearest_ties_to_even_and_once(code: str) -> None:
    rng, f = random.Random(code), DTYPES[code]
    values = [rng.uniform(-2, 2) * 2.0 ** rng.randint(-40, 20) for _ in range(500)]
    ties = (
        [(2 * rng.randrange(2**f.p) + 1) * 2.0 ** rng.randint(-12, 3) for _ in range(500)] if f.p < 53 else []
    )
    beyond = [tie + side * 2.0**-30 for tie in ties[:200] for side in (-1, 1)]
    tiny = [f.smallest_subnormal * part for part in (0.25, 0.5, 0.75, 1.0, 1.5, 2.5)]
    huge = [f.largest * part for part in (1, 1 - f.u / 4, -1)]
    exact = [*values, *ties, *beyond, *tiny, *huge, 0.0]
    assert f.rounded(np.array(exact)).tolist() == [nearest(v, code) for v in exact]


@pytest.mark.parametrize("code", ["f64", "f32", "f16"])
def test_rounding_agrees_with_the_casts_of_numpy(code: str) -> None:
    exact = np.random.default_rng(0).normal(size=2000) * 2.0 ** np.random.default_rng(1).integers(
        -30, 15, 2000
    )
    assert np.array_equal(DTYPES[code].rounded(exact), exact.astype(DTYPES[code].numpy).astype(np.float64))


def test_rounding_to_bfloat16_makes_no_detour_through_float32() -> None:
    assert DTYPES["bf16"].rounded(np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8])).tolist() == [
        1 + 2.0**-7,
        1,
    ]


def test_what_is_too_large_rounds_to_infinity_and_specials_stay() -> None:
    f = DTYPES["f16"]
    rounded = f.rounded(np.array([65519.99, 65520, -65520, math.inf, -math.inf, math.nan]))
    assert rounded[:5].tolist() == [65504, math.inf, -math.inf, math.inf, -math.inf]
    assert math.isnan(rounded[5])
