"""WHAT is computed: geometry, dtype, data and memory layout of one convolution problem, and its one-line notation."""

from conformance.problem.dtypes import DTYPES, DType, dtype_of
from conformance.problem.geometry import Geometry
from conformance.problem.problem import QUANTITIES, Operands, Problem, Results

__all__ = [
    "DTYPES",
    "QUANTITIES",
    "DType",
    "Geometry",
    "Operands",
    "Problem",
    "Results",
    "dtype_of",
]
