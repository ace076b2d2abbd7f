"""Facts of the four floating-point formats that results may carry.

p is the precision in bits (the hidden bit included), u = 2^-p the unit roundoff of rounding to nearest.
Source: IEEE 754-2019 for float16, float32 and float64; bfloat16 is a float32 cut to 8 bits of precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from conformance.errors import GeometryError

__all__ = ["CODES", "DTYPES", "DType", "dtype_of"]


@dataclass(frozen=True, kw_only=True)
class DType:
    """One floating-point format: `code` in problem lines, `name` as numpy prints it."""

    code: str
    name: str
    numpy: np.dtype[Any]
    p: int
    largest: float
    smallest_normal: float
    smallest_subnormal: float

    @property
    def u(self) -> float:
        """Unit roundoff 2^-p."""
        return 2.0**-self.p

    def rounded(self, exact: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of this format nearest to float64 values, ties to even, rounded *once*.

        A cast would round bfloat16 twice: through float32.
        """
        _, exponent = np.frexp(exact)
        subnormal = round(math.log2(self.smallest_subnormal))
        unit = np.maximum(exponent - self.p, subnormal)
        nearest = np.ldexp(np.rint(np.ldexp(exact, -unit)), unit)
        values: NDArray[np.float64] = np.where(
            np.abs(nearest) > self.largest, np.copysign(np.inf, nearest), nearest
        )
        return values


def _format(code: str, p: int, emin: int, emax: int, numpy: np.dtype[Any]) -> DType:
    return DType(
        code=code,
        name=numpy.name,
        numpy=numpy,
        p=p,
        largest=(2.0 - 2.0 ** (1 - p)) * 2.0**emax,
        smallest_normal=2.0**emin,
        smallest_subnormal=2.0 ** (emin - p + 1),
    )


DTYPES: dict[str, DType] = {
    f.code: f
    for f in (
        _format("f64", 53, -1022, 1023, np.dtype(np.float64)),
        _format("f32", 24, -126, 127, np.dtype(np.float32)),
        _format("f16", 11, -14, 15, np.dtype(np.float16)),
        _format("bf16", 8, -126, 127, np.dtype(ml_dtypes.bfloat16)),
    )
}
CODES = tuple(DTYPES)
_BY_ANY_NAME: dict[object, DType] = {
    **{f.code: f for f in DTYPES.values()},
    **{f.name: f for f in DTYPES.values()},
    **{f.numpy: f for f in DTYPES.values()},
}


def dtype_of(name: object) -> DType:
    """The format of a code (``f32``), a name (``float32``) or a numpy dtype.

    Raises:
        GeometryError: another format.
    """
    found = _BY_ANY_NAME.get(name) or _BY_ANY_NAME.get(str(name))
    if found is None:
        names = ", ".join(key for key in _BY_ANY_NAME if isinstance(key, str))
        raise GeometryError(f"dtype must be one of {names}, got {name!r}")
    return found
