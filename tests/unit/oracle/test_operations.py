"""Expectations of the optional operations: when equality is demanded, which class holds, what is promised of mixtures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from conformance.oracle import Arithmetic, FurtherExpectation, Grade, compare
from conformance.oracle.operations import exact, weakest
from conformance.problem import QUANTITIES, Problem, dtype_of
from conformance.problem.operations import FURTHER

LINE = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:0x2 d1x2"
F32 = Arithmetic(accumulator="f32")


def expectation(
    line: str,
    arithmetic: Arithmetic | Mapping[str, Arithmetic] = Arithmetic(),  # noqa: B008  (frozen)
) -> FurtherExpectation:
    p = Problem.parse(line)
    return FurtherExpectation(
        p.geometry,
        p.operands,
        dtype=p.format,
        arithmetic=arithmetic,
        quantum=p.quantum,
        amplitude=p.amplitude if p.integers else None,
        independent=p.fill == "real",
        further=lambda: p.further,
    )


@pytest.mark.parametrize("q", FURTHER)
def test_on_small_integers_equality_is_demanded_and_every_element_counts(q: str) -> None:
    expected = expectation(f"{LINE} f32")[q]
    assert expected.unrounded
    off = expected.exact.astype(np.float32)
    assert compare(off, expected).grade is Grade.EXACT
    assert compare(off, expected).certificate > 0.9
    off.flat[-1] = np.nextafter(off.flat[-1], np.float32(np.inf))
    evidence = compare(off, expected)
    assert not evidence.ok
    assert evidence.index == tuple(n - 1 for n in expected.exact.shape)


@pytest.mark.parametrize("q", FURTHER)
def test_on_real_data_a_lost_product_is_beyond_the_bound(q: str) -> None:
    p = Problem.parse(f"{LINE} f32 fill=real")
    expected = expectation(str(p))[q]
    right = p.format.rounded(expected.exact)
    assert compare(right.astype(np.float32), expected).ok
    assert expected.certificate > 0.5
    assert np.all(expected.bound[expected.certain] < expected.least / 2)
    off = np.where(expected.certain, right + expected.least, right)
    assert not compare(off.astype(np.float32), expected).ok


def test_s_and_n_are_those_of_all_terms() -> None:
    p = Problem.parse("1d n1 c2 m1 i5 k3 f64")
    dy = expectation(str(p))["forward_mode.dy"]
    o = p.further
    absolute = o.replace(**{k: np.abs(a) for k, a in o.items()})
    np.testing.assert_allclose(dy.s, exact(p.geometry, absolute, "forward_mode.dy"), rtol=1e-12)
    assert np.all(dy.n == 2 * 2 * 3 + 1)


def test_terms_that_are_stored_apart_may_round_where_one_sum_would_not() -> None:
    """float16 sums in float32: one term is rounded once, two are each rounded before they are added."""
    line = "1d n1 c3 m2 i9 k3 f16 fill=wide"
    two, one = (expectation(line, F32)[q] for q in ("forward_mode.dy", "double_backward.dx"))
    assert one.rounded_once.all()
    assert not two.rounded_once.all()
    stored = sum(
        dtype_of("f16").rounded(t.exact)
        for t in two._terms  # type: ignore[attr-defined]
    )
    assert compare(np.asarray(stored, np.float16), two).ok


def test_a_bias_alone_is_a_result() -> None:
    """Where no product falls, y of the transposed convolution is its bias: seen if it is lost."""
    p = Problem.parse("1d n1 c2 m1 i7 k1 s3 f64")
    expected = expectation(str(p))["transposed.y"]
    lost = expected.exact.copy()
    lost[:, :, 1] = 0
    assert not compare(lost, expected).ok


# ---- the class ----
def test_the_weakest_of_all_quantities_holds() -> None:
    classes = dict.fromkeys(QUANTITIES, F32) | {
        "dw": Arithmetic(accumulator="f32", partial_sums="f16"),
        "dx": Arithmetic(accumulator="f32", inputs="bf16", truncates=True),
        "db": Arithmetic(flushes=True),
    }
    found, common = weakest(classes, dtype_of("f16"))
    assert common
    assert found == Arithmetic(
        accumulator="f16", partial_sums="f16", inputs="bf16", truncates=True, flushes=True
    )


def test_of_kernels_of_several_kinds_nothing_is_promised() -> None:
    fft = Arithmetic(algorithm="fft")
    mixed = dict.fromkeys(QUANTITIES, Arithmetic()) | {"y": fft}
    assert not weakest(mixed, dtype_of("f64"))[1]
    expected = expectation(f"{LINE} f64", mixed)["double_backward.ddelta"]
    assert np.isinf(expected.bound).all()
    assert expected.certificate == 0
    evidence = compare(expected.exact + 1, expected)
    assert evidence.ok
    assert not evidence.powered


@pytest.mark.parametrize("q", [q for q in FURTHER if not q.endswith("db")])
def test_transforms_have_bounds_of_their_own(q: str) -> None:
    fft = expectation(f"{LINE} f64", Arithmetic(algorithm="fft"))[q]
    assert not fft.direct
    assert np.all(fft.bound < 0.5)
    assert compare(fft.exact + 0.9 * fft.bound, fft).grade is Grade.RINT
    assert not compare(fft.exact + 1, fft).ok


def test_an_empty_batch() -> None:
    whole = expectation("1d n0 c2 m3 i5 k2 f64")
    for q in FURTHER:
        assert compare(whole[q].exact, whole[q]).ok
        assert whole[q].certificate == 0 or whole[q].exact.size


def test_nothing_else_changes() -> None:
    whole = expectation(f"{LINE} f64")
    assert [type(whole[q]).__name__ for q in QUANTITIES] == ["Expected"] * 4
    assert dataclasses.is_dataclass(Arithmetic)
