"""The honest implementations by name, each with the arithmetic class that it declares in every dtype that it offers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import scipy.fft

from conformance import Arithmetic

from . import sums
from .adapters import ByProducts, Honest
from .declared import AnyClass
from .fourier import Fourier
from .gemm import Gemm
from .sums import of_products
from .winograd import Winograd

__all__ = ["HONEST"]

Classes = dict[str, Arithmetic]

OWN: Classes = dict.fromkeys(("f64", "f32", "f16", "bf16"), Arithmetic())
"""Sums are kept in the dtype itself."""
WIDE: Classes = {
    **dict.fromkeys(("f64", "f32"), Arithmetic()),
    **dict.fromkeys(("f16", "bf16"), Arithmetic(accumulator="f32")),
}
"""Sums are kept in float32 at least."""


def _kept(code: str) -> str | None:
    return "f32" if code in ("f16", "bf16") else None


def _wide(add: Callable[..., object]) -> sums.Total:
    """Products and sums in float32, or the dtype where it is wider."""
    return lambda a, b, code: of_products(add, kept=_kept(code))(a, b, code)


def _in_f32(*codes: str, **more: object) -> Classes:
    return dict.fromkeys(codes, Arithmetic(accumulator="f32", **more))  # type: ignore[arg-type]


def _transforms(*codes: str, accumulator: str | None = None, **more: object) -> Classes:
    return dict.fromkeys(codes, Arithmetic(accumulator=accumulator, **more))  # type: ignore[arg-type]


_DIRECT = (
    ("in-order", "one product after the other, in the dtype", of_products(sums.in_order), OWN),
    ("backwards", "from the other end, in float32 at least", _wide(sums.backwards), WIDE),
    ("shuffled", "in an order without a rule, in the dtype", of_products(sums.shuffled), OWN),
    ("ascending", "smallest magnitudes first, in the dtype", of_products(sums.ascending), OWN),
    ("pairwise", "halves added to each other, in float32 at least", _wide(sums.pairwise), WIDE),
    ("blocked", "sums of eight, then their sum, in the dtype", of_products(sums.blocked), OWN),
    ("split-k", "four partial sums, added in pairs, in float32 at least", _wide(sums.split), WIDE),
    ("kahan", "compensated sums in the dtype", of_products(sums.kahan), OWN),
    (
        "fma",
        "multiplies and adds in one rounding, in the dtype",
        sums.fused,
        {code: OWN[code] for code in ("f32", "f16", "bf16")},
    ),
    (
        "double",
        "sums in float64, rounded once",
        of_products(sums.in_order, kept="f64"),
        dict.fromkeys(("f32", "f16", "bf16"), Arithmetic(accumulator="f64")),
    ),
    (
        "stored-f16",
        "sums in float32, stored in float16 after every four products",
        sums.stored_narrow("f16"),
        _in_f32("f16", "f32", partial_sums="f16"),
    ),
    (
        "stored-bf16",
        "sums in float32, stored in bfloat16 after every four products",
        sums.stored_narrow("bf16"),
        _in_f32("bf16", "f32", partial_sums="bf16"),
    ),
    (
        "tf32",
        "operands rounded to TensorFloat-32, sums in float32",
        of_products(sums.in_order, kept="f32", inputs="tf32"),
        _in_f32("f32", inputs="tf32"),
    ),
    (
        "bf16-inputs",
        "operands rounded to bfloat16, sums in float32",
        of_products(sums.pairwise, kept="f32", inputs="bf16"),
        _in_f32("f32", inputs="bf16"),
    ),
    (
        "f16-inputs",
        "operands rounded to float16, sums in float32",
        of_products(sums.blocked, kept="f32", inputs="f16"),
        _in_f32("f32", inputs="f16"),
    ),
    (
        "half-inside",
        "float32 in and out, everything between in float16",
        of_products(sums.in_order, kept="f16", inputs="f16"),
        {"f32": Arithmetic(accumulator="f16", inputs="f16")},
    ),
    (
        "single-inside",
        "float64 in and out, everything between in float32",
        of_products(sums.in_order, kept="f32", inputs="f32"),
        _in_f32("f64", inputs="f32"),
    ),
    (
        "bf16x3",
        "every factor in two pieces of bfloat16, three products of pieces; no worse than TensorFloat-32",
        sums.in_pieces,
        _in_f32("f32", inputs="tf32"),
    ),
    *(
        (
            f"tensor-core-{block}+{extra}",
            f"blocks of {block} aligned and cut off at {24 + extra} bits, float32 toward zero",
            sums.tensor_core(block=block, extra=extra),
            _in_f32("f16", "bf16", truncates=True),
        )
        for block, extra in ((4, 0), (8, 1), (16, 2))
    ),
    (
        "tensor-core-tf32",
        "TensorFloat-32 operands, blocks of 4 aligned and cut off at 24 bits, float32 toward zero",
        sums.tensor_core(block=4, extra=0, inputs="tf32"),
        _in_f32("f32", inputs="tf32", truncates=True),
    ),
    (
        "toward-zero",
        "products and sums in float32, rounded toward zero",
        sums.truncated,
        _in_f32("f32", "f16", "bf16", truncates=True),
    ),
    (
        "flushing",
        "in the dtype; subnormal operands, products, sums and results are zero",
        sums.flushing,
        {code: Arithmetic(flushes=True) for code in ("f32", "f16", "bf16")},
    ),
)


FRACTIONS = tuple(map(Fraction, ("0", "5/8", "-5/8", "3/2", "-3/2")))
"""Points with smaller powers, which some libraries prefer for F(4, 3)."""


def _winograd(tile: int, *codes: str, kept: str | None = None, name: str = "", **points: object) -> Winograd:
    classes = _transforms(*codes, accumulator=kept, algorithm="winograd", tile=tile)
    says = f"F({tile}, k) on every axis, in {kept or 'the dtype'}"
    return Winograd(f"winograd-{tile}{name}", says, classes, tile=tile, kept=kept, **points)  # type: ignore[arg-type]


_OTHERS: tuple[Honest, ...] = (
    Gemm("gemm", "im2col, BLAS and col2im in float32 at least", WIDE),
    Gemm(
        "gemm-narrow",
        "im2col and BLAS in float32; its results are stored in the dtype, and added up in it",
        {
            "f16": _in_f32("f16", partial_sums="f16")["f16"],
            "bf16": _in_f32("bf16", partial_sums="bf16")["bf16"],
        },
        narrow=True,
    ),
    AnyClass(0),
    _winograd(2, "f64", "f32"),
    _winograd(4, "f64", "f32"),
    _winograd(6, "f64", "f32"),
    _winograd(4, "f64", "f32", name="-fractions", points=FRACTIONS),
    _winograd(4, "f16", "bf16", kept="f32", name="-wide"),
    _winograd(2, "f16", "bf16", name="-half"),
    Winograd(
        "winograd-4-stored",
        "F(4, k) on every axis, in float32; transforms and sums of products are stored in bfloat16",
        _transforms("f32", "bf16", accumulator="f32", partial_sums="bf16", algorithm="winograd", tile=4),
        tile=4,
        kept="f32",
        stored="bf16",
    ),
    Fourier(
        "fft-double",
        "Fourier transforms by numpy in float64, of lengths that are powers of two",
        _transforms("f64", "f32", accumulator="f64", algorithm="fft"),
        library=np.fft,
        length=lambda n: 1 << (n - 1).bit_length(),
        kept="f64",
    ),
    Fourier(
        "fft-single",
        "Fourier transforms by scipy in float32, of any length",
        _transforms("f32", "f16", "bf16", accumulator="f32", algorithm="fft"),
        library=scipy.fft,
        length=lambda n: n,
        kept="f32",
    ),
    Fourier(
        "fft-stored",
        "Fourier transforms by scipy in float32, of lengths without factors above 11; spectra are stored in float16",
        _transforms("f32", "f16", accumulator="f32", partial_sums="f16", algorithm="fft"),
        library=scipy.fft,
        length=scipy.fft.next_fast_len,
        kept="f32",
        stored="f16",
    ),
)

HONEST: dict[str, Honest] = {way.name: way for way in (*(ByProducts(*entry) for entry in _DIRECT), *_OTHERS)}
