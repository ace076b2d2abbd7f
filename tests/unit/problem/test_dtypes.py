from __future__ import annotations

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
