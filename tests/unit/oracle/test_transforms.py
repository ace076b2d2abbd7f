"""Convolutions by Fourier transforms stay within the bound of transforms, and what may overflow on their way is known."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import fft as fourier

from conformance.oracle import Arithmetic, Expectation
from conformance.oracle.rotation import stuff
from conformance.problem import Geometry, Operands, Problem
from conformance.problem.fills import FILLS


def by_fft(g: Geometry, o: Operands) -> dict[str, Any]:
    """y, dx and dw by real transforms in the precision of the operands, of 5-smooth lengths that hold the padded input."""
    spatial = tuple(range(2, 2 + g.rank))
    w = np.flip(o.w, spatial) if g.convention == "convolution" else o.w
    kernel, delta = stuff(w, g.dilation), stuff(o.delta, g.stride)
    x = np.zeros((g.batch, g.channels, *g.padded_size), o.x.dtype)
    x[(..., *g.inner)] = o.x[(..., *g.kept)]
    lengths = [fourier.next_fast_len(n, real=True) for n in g.padded_size]
    hx, hw, hd = (fourier.rfftn(a, lengths, axes=spatial) for a in (x, kernel, delta))
    y = np.zeros((g.batch, g.maps, *hx.shape[2:]), hx.dtype)
    dx, dw = np.zeros_like(hx), np.zeros_like(hw)
    maps, channels = g.maps // g.groups, g.channels // g.groups
    for m in range(g.maps):
        for k in range(channels):
            c = m // maps * channels + k
            y[:, m] += hx[:, c] * np.conj(hw[m, k])
            dx[:, c] += hd[:, m] * hw[m, k]
            dw[m, k] += (hx[:, c] * np.conj(hd[:, m])).sum(axis=0)
    y, dx, dw = (fourier.irfftn(a, lengths, axes=spatial) for a in (y, dx, dw))
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


DATA = ("real", "positive", "cancellation", "of all sizes")


def drawn(line: str, dtype: str, data: str, seed: int) -> tuple[Problem, Operands]:
    """Data of all sizes make small results beside large ones, which suffer from their errors."""
    problem = Problem.parse(f"{line} {dtype} fill={data if data in FILLS else 'real'} seed={seed}")
    if data in FILLS:
        return problem, problem.operands
    rng = np.random.default_rng(seed)
    sized = {name: a * 2.0 ** rng.integers(-12, 13, a.shape) for name, a in problem.operands.items()}
    return problem, problem.operands.replace(**{n: a.astype(problem.format.numpy) for n, a in sized.items()})


def off(got: dict[str, Any], right: Expectation) -> dict[str, float]:
    """How far each result is off, in bounds; its worst element."""
    return {
        q: float((np.abs(a.astype(np.float64) - right[q].exact) / right[q].bound).max())
        for q, a in got.items()
    }


@pytest.mark.parametrize("line", FFT_LINES)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_a_convolution_by_fft_stays_within_its_bound(dtype: str, line: str) -> None:
    for data, seed in itertools.product(DATA, range(4)):
        problem, operands = drawn(line, dtype, data, seed)
        right, got = expectation_by_fft(problem, operands, 0.0), by_fft(problem.geometry, operands)
        assert {a.dtype for a in got.values()} == {problem.format.numpy}
        assert all(np.isfinite(right[q].bound).all() for q in got)
        assert max(off(got, right).values()) <= 1, (data, seed)


def test_some_data_use_a_few_thousandths_of_the_bound() -> None:
    """It is not absurd: proven for the worst signs of all roundings, it is met within 500 by chance."""
    met = [
        off(by_fft(problem.geometry, operands), expectation_by_fft(problem, operands, 0.0))
        for line, data, seed in itertools.product(FFT_LINES, DATA, range(4))
        for problem, operands in [drawn(line, "f32", data, seed)]
    ]
    assert all(max(ratios[q] for ratios in met) > 1 / 500 for q in ("y", "dx", "dw"))


@pytest.mark.parametrize("power", [-55, -63, -70])
def test_a_transform_that_underflows_stays_within_its_bound(power: int) -> None:
    """float32, whose smallest number is 2^-149: products are near it, and below."""
    for line, seed in itertools.product(FFT_LINES, range(2)):
        problem, operands = drawn(line, "f32", "real", seed)
        tiny = operands.replace(**{n: np.ldexp(a, power).astype(a.dtype) for n, a in operands.items()})
        assert max(off(by_fft(problem.geometry, tiny), expectation_by_fft(problem, tiny, 0.0)).values()) <= 1


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")  # that is the point
@pytest.mark.parametrize(("x", "w"), [(2.0**70, 2.0**56), (2.0**127, 2.0**-100)])
def test_a_transform_that_overflows_is_no_mistake_where_the_result_is_finite(x: float, w: float) -> None:
    """Be it in the products, or in the transform of one operand alone: a sum over all of x, where y sums but two."""
    problem = Problem.parse("1d i64 k2 bias=none f32")
    operands = problem.operands.replace(
        x=np.full((1, 1, 64), x, np.float32), w=np.full((1, 1, 2), w, np.float32)
    )
    got = by_fft(problem.geometry, operands)["y"]
    expected = expectation_by_fft(problem, operands, 0.0)["y"]
    assert np.all(expected.s < problem.format.largest)
    assert not np.isfinite(got).any()
    assert expected.may_overflow.all()


@pytest.mark.parametrize("line", ["1d n2 c2 m2 i14 k5 p1 bias=none", "2d n1 c2 m1 i5x4 k2x3 bias=none"])
def test_a_convolution_by_fft_in_float64_stays_within_its_bound_of_the_exact_value(
    line: str, exact_results: Any
) -> None:
    problem = Problem.parse(f"{line} f64 fill=real seed=1")
    expectation = expectation_by_fft(problem, problem.operands, problem.quantum)
    exact, unit = exact_results(problem)
    for q, got in by_fft(problem.geometry, problem.operands).items():
        for at in np.ndindex(*got.shape):
            assert abs(Fraction(float(got[at])) - exact[q][at] * unit) <= Fraction(
                expectation[q].bound[at]
            ), q


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
