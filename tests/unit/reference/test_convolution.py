"""The reference layer: numbers worked out by hand, the definition by plain loops, rounding, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from conformance.reference import Convolution, backward_delta, forward, gradient_b, gradient_w
from conformance.reference.convolution import output_size, rot180

LINE = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,)}
PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


# ---- the seed's example on fingers: a 3x3 input, a 2x2 kernel, one map, 2x2 outputs ----
X = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
W = np.array([[[[1.0, 2], [3, 4]]]])
DELTA = np.array([[[[1.0, 10], [100, 1000]]]])

BY_HAND = {
    "correlation": {
        "y": [[37, 47], [67, 77]],  # 1*1 + 2*2 + 4*3 + 5*4 = 37
        "dx": [[1, 12, 20], [103, 1234, 2040], [300, 3400, 4000]],  # centre: 1*4 + 10*3 + 100*2 + 1000*1
        "dw": [[5421, 6532], [8754, 9865]],  # 1*1 + 2*10 + 4*100 + 5*1000 = 5421
    },
    "convolution": {
        "y": [[23, 33], [53, 63]],  # 1*4 + 2*3 + 4*2 + 5*1 = 23
        "dx": [[4, 43, 30], [402, 4321, 3010], [200, 2100, 1000]],  # centre: 1*1 + 10*2 + 100*3 + 1000*4
        "dw": [[9865, 8754], [6532, 5421]],
    },
}


@pytest.mark.parametrize("convention", BY_HAND)
def test_the_seeds_example_by_hand(convention: str) -> None:
    layer = Convolution(W, np.array([0.5]), **PLAIN, convention=convention)
    y = layer.forward(X)
    dx, dw, db = layer.backward(DELTA)
    by_hand = BY_HAND[convention]
    np.testing.assert_array_equal(y[0, 0], np.array(by_hand["y"]) + 0.5)
    np.testing.assert_array_equal(dx[0, 0], by_hand["dx"])
    np.testing.assert_array_equal(dw[0, 0], by_hand["dw"])
    np.testing.assert_array_equal(db, [1111])
    np.testing.assert_array_equal(gradient_b(DELTA, untied=True), DELTA[0])


def test_the_seeds_equations_on_one_axis() -> None:
    """np.convolve is the seed's *: z = w * a + b, delta * ROT180(w) in full, delta * ROT180(a)."""
    rng = np.random.default_rng(1)
    x, w, delta = _integers(rng, 8), _integers(rng, 3), _integers(rng, 6)
    layer = Convolution(w[None, None], np.array([7.0]), **LINE, convention="convolution")
    y = layer.forward(x[None, None])
    dx, dw, _ = layer.backward(delta[None, None])
    np.testing.assert_array_equal(y[0, 0], np.convolve(x, w, "valid") + 7)
    np.testing.assert_array_equal(dx[0, 0], np.convolve(delta, w[::-1], "full"))
    np.testing.assert_array_equal(dw[0, 0], np.convolve(delta, x[::-1], "valid"))


def test_rot180_turns_the_spatial_axes_and_no_other() -> None:
    w = np.arange(8).reshape(2, 1, 2, 2)
    np.testing.assert_array_equal(rot180(w), [[[[3, 2], [1, 0]]], [[[7, 6], [5, 4]]]])


def test_kernel_of_the_inputs_size_shares_nothing() -> None:
    x, w = X, X[:, :, ::-1]
    delta = np.array([[[[2.0]]]])
    np.testing.assert_array_equal(forward(x, w, **PLAIN), [[[[(x * w).sum()]]]])
    np.testing.assert_array_equal(gradient_w(x, delta, kernel=(3, 3), **PLAIN), 2 * x)
    np.testing.assert_array_equal(backward_delta(delta, w, size=(3, 3), **PLAIN), 2 * w)


# ---- the definition: one product at a time ----
def _integers(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Integers -4..4 without 0: a zero would hide a tap."""
    return (rng.integers(1, 5, shape) * rng.choice((-1, 1), shape)).astype(np.float64)


def _products(x_shape, w_shape, out, *, stride, padding, dilation, groups, convention):
    """The index triples (of y, of w, of x) of every product x~ * w' of the layer, padding left out."""
    (batch, _, *size), (maps, in_group, *kernel) = x_shape, w_shape
    for n, m, c in itertools.product(range(batch), range(maps), range(in_group)):
        channel = m // (maps // groups) * in_group + c
        for o, t in itertools.product(np.ndindex(*out), np.ndindex(*kernel)):
            axes = zip(o, stride, t, dilation, padding, strict=True)
            i = tuple(at * s + tap * d - lo for at, s, tap, d, (lo, _) in axes)
            if all(0 <= at < end for at, end in zip(i, size, strict=True)):
                turned = tuple(k - 1 - tap for k, tap in zip(kernel, t, strict=True))
                yield (n, m, *o), (m, c, *(t if convention == "correlation" else turned)), (n, channel, *i)


def by_definition(x, w, b, delta, **geometry):
    """y, dx, dw, db."""
    y, dx, dw, db = (np.zeros(a.shape) for a in (delta, x, w, b))
    for of_y, of_w, of_x in _products(x.shape, w.shape, delta.shape[2:], **geometry):
        y[of_y] += w[of_w] * x[of_x]
        dx[of_x] += w[of_w] * delta[of_y]
        dw[of_w] += delta[of_y] * x[of_x]
    for of_y in np.ndindex(*delta.shape):
        of_b = of_y[1 : 1 + b.ndim]
        y[of_y] += b[of_b]
        db[of_b] += delta[of_y]
    return y, dx, dw, db


def _case(n, c, m, size, kernel, stride, padding, dilation, groups=1):
    return {
        "x": (n, c, *size),
        "w": (m, c // groups, *kernel),
        "geometry": {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
    }


CASES = {
    "1-D": _case(2, 3, 4, (9,), (4,), (2,), ((1, 2),), (2,)),
    "1-D, kernel = input": _case(3, 2, 3, (5,), (5,), (1,), ((0, 0),), (1,)),
    "1-D, stride > kernel": _case(2, 2, 3, (11,), (2,), (4,), ((0, 1),), (1,)),
    "1-D, kernel > input": _case(2, 2, 3, (3,), (5,), (1,), ((2, 3),), (1,)),
    "1-D, padding > kernel": _case(2, 1, 2, (4,), (2,), (1,), ((3, 5),), (1,)),
    "1-D, crop": _case(2, 2, 2, (9,), (3,), (2,), ((-2, -1),), (1,)),
    "2-D": _case(2, 4, 6, (7, 9), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "2-D, 1x1": _case(2, 3, 2, (4, 5), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "2-D, one of everything": _case(1, 1, 1, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "2-D, stride remainder": _case(2, 2, 3, (8, 10), (3, 2), (2, 3), ((0, 0), (0, 0)), (1, 1)),
    "2-D, all at once": _case(2, 4, 6, (7, 9), (3, 2), (2, 1), ((1, 2), (0, 3)), (2, 3), groups=2),
    "2-D, crop and pad": _case(2, 2, 4, (8, 7), (2, 3), (1, 2), ((-1, 3), (2, -2)), (2, 1), groups=2),
    "2-D, depthwise": _case(2, 5, 5, (6, 7), (3, 3), (1, 2), ((1, 1), (1, 0)), (1, 1), groups=5),
    "2-D, channel multiplier": _case(2, 3, 6, (6, 7), (2, 3), (2, 1), ((1, 0), (0, 1)), (1, 2), groups=3),
    "2-D, one map a group": _case(2, 6, 2, (5, 6), (2, 3), (1, 1), ((0, 1), (1, 0)), (1, 1), groups=2),
    "3-D": _case(2, 4, 6, (4, 5, 6), (2, 3, 2), (2, 1, 2), ((1, 0), (0, 2), (-1, 1)), (1, 2, 1), groups=2),
    "4-D": _case(1, 2, 2, (3, 2, 3, 4), (2, 1, 2, 2), (1, 1, 1, 2), ((0, 1),) * 4, (1, 1, 2, 1)),
    "batch 0": _case(0, 4, 6, (7, 9), (3, 2), (1, 1), ((1, 0), (0, 0)), (1, 1), groups=2),
}


@pytest.mark.parametrize(("convention", "untied"), [("correlation", False), ("convolution", True)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_integers_equal_the_definition(case: dict, convention: str, *, untied: bool) -> None:
    """Exactly; the operands are left as they were, and the results lie in memory of their own."""
    geometry = {**case["geometry"], "convention": convention}
    operands = _operands(case, untied=untied)
    expected = by_definition(*operands, **geometry)
    for dtype in (np.float64, np.float32):
        given = [operand.astype(dtype) for operand in operands]
        for result, right in zip(_results(*given, **geometry), expected, strict=True):
            np.testing.assert_array_equal(result, right.astype(dtype), strict=True)
            assert result.flags.c_contiguous
            assert result.flags.writeable
            assert not any(np.shares_memory(result, operand) for operand in given)
        for operand, before in zip(given, operands, strict=True):
            np.testing.assert_array_equal(operand, before)


def _operands(case: dict, *, untied: bool = False) -> list[np.ndarray]:
    """x, w, b, delta."""
    g, maps = case["geometry"], case["w"][0]
    out = output_size(case["x"][2:], case["w"][2:], g["stride"], g["padding"], g["dilation"])
    shapes = (case["x"], case["w"], (maps, *out) if untied else (maps,), (case["x"][0], maps, *out))
    rng = np.random.default_rng(7)
    return [_integers(rng, shape) for shape in shapes]


def _results(x, w, b, delta, **geometry) -> tuple[np.ndarray, ...]:
    layer = Convolution(w, b, **geometry)
    return layer.forward(x), *layer.backward(delta)


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "channels last": lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a,
    "every second element": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
}


@pytest.mark.parametrize("lay_out", LAYOUTS.values(), ids=LAYOUTS)
def test_the_memory_layout_of_operands_changes_no_bit(lay_out) -> None:
    case = CASES["2-D, all at once"]
    operands = [(operand / 3).astype(np.float32) for operand in _operands(case, untied=True)]
    plain = _results(*operands, **case["geometry"])
    for result, right in zip(_results(*map(lay_out, operands), **case["geometry"]), plain, strict=True):
        np.testing.assert_array_equal(result, right)
        assert result.flags.c_contiguous


def test_broadcast_operands() -> None:
    x, delta = np.broadcast_to(np.float64(3), (2, 1, 3, 3)), np.broadcast_to(np.float64(2), (2, 1, 2, 2))
    np.testing.assert_array_equal(forward(x, W, **PLAIN), np.full((2, 1, 2, 2), 30.0))
    np.testing.assert_array_equal(gradient_w(x, delta, kernel=(2, 2), **PLAIN), np.full((1, 1, 2, 2), 48.0))


# ---- numbers ----
def test_narrow_dtypes_accumulate_in_float32_and_round_once() -> None:
    """2048 + 1 + 1 is 2050 in float16; with every partial sum rounded to float16 it would stay 2048."""
    x = np.array([[[2048.0, 1.0, 1.0]]], dtype=np.float16)
    ones = np.ones((1, 1, 3), dtype=np.float16)
    assert forward(x, ones, **LINE) == np.float16(2050)
    assert gradient_w(ones, x, kernel=(1,), **LINE) == np.float16(2050)
    assert gradient_b(x) == np.float16(2050)
    delta = np.array([[[2048.0], [1.0], [1.0]]], dtype=np.float16)  # three maps read the one input
    assert backward_delta(delta, np.ones((3, 1, 1), np.float16), size=(1,), **LINE) == np.float16(2050)


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16"])
def test_results_have_the_dtype_of_the_operands(name: str) -> None:
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)
    layer = Convolution(W.astype(dtype), np.ones(1, dtype), **PLAIN)
    results = (layer.forward(X.astype(dtype)), *layer.backward(np.ones((1, 1, 2, 2), dtype)))
    assert [result.dtype for result in results] == [dtype] * 4
    np.testing.assert_array_equal(results[0].astype(float), [[[[38, 48], [68, 78]]]])


def test_nan_reaches_what_reads_it_and_nothing_else() -> None:
    geometry = {"stride": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 1), "groups": 2}
    rng = np.random.default_rng(3)
    x, w = _integers(rng, (2, 4, 5, 6)), _integers(rng, (6, 2, 3, 2))
    y = forward(x, w, **geometry)
    delta = _integers(rng, y.shape)
    x[1, 2, 0, 5] = np.nan
    reads = [
        (of_y, of_w)
        for of_y, of_w, of_x in _products(x.shape, w.shape, y.shape[2:], **geometry, convention="correlation")
        if of_x == (1, 2, 0, 5)
    ]
    spoilt = np.isnan(forward(x, w, **geometry))
    assert set(zip(*np.nonzero(spoilt), strict=True)) == {of_y for of_y, _ in reads}
    spoilt = np.isnan(gradient_w(x, delta, kernel=(3, 2), **geometry))
    assert set(zip(*np.nonzero(spoilt), strict=True)) == {of_w for _, of_w in reads}


def test_inputs_behind_the_last_stride_get_zero() -> None:
    ones = np.ones((1, 1, 2))
    dx = backward_delta(ones, ones, size=(7,), **{**LINE, "stride": (3,)})
    np.testing.assert_array_equal(dx, [[[1, 1, 0, 1, 1, 0, 0]]])


# ---- the layer ----
def test_a_layer_forgets_all_but_its_last_input() -> None:
    layer = Convolution(W, np.zeros(1), **PLAIN)
    layer.forward(X)
    first = layer.backward(DELTA)
    layer.forward(X + 5)
    layer.backward(7 * DELTA)
    layer.forward(X)
    for before, after in zip(first, layer.backward(DELTA), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_layer_without_bias_has_no_db() -> None:
    layer = Convolution(W, **PLAIN)
    layer.forward(X)
    assert layer.backward(DELTA)[2] is None


def test_backward_needs_a_forward() -> None:
    with pytest.raises(ValueError, match="backward was called before forward"):
        Convolution(W, **PLAIN).backward(DELTA)


# ---- errors and their words ----
Z = np.zeros


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: forward(Z((1, 3, 5, 5)), Z((4, 2, 3, 3)), **PLAIN),
            "x has 3 channels, but w reads 2 in each of 1 groups",
        ),
        (
            lambda: forward(Z((1, 4, 5, 5)), Z((3, 2, 3, 3)), **PLAIN, groups=2),
            "groups=2 does not divide 3 maps",
        ),
        (
            lambda: forward(X, W, Z(3), **PLAIN),
            r"b has shape \(3,\), but y needs \(1,\) or, untied, \(1, 2, 2\)",
        ),
        (
            lambda: forward(X, W, **PLAIN, convention="conv"),
            "convention must be correlation or convolution, got 'conv'",
        ),
        (
            lambda: forward(X, Z((1, 1, 2, 4)), **PLAIN),
            "kernel 4 with dilation 1 does not fit an input of 3 padded 0:0",
        ),
        (
            lambda: forward(X, W, **{**PLAIN, "dilation": (1, 3)}),
            "kernel 2 with dilation 3 does not fit an input of 3",
        ),
        (
            lambda: forward(X, W, **{**PLAIN, "padding": ((0, 0), (-3, 5))}),
            "does not fit an input of 3 padded -3:5",
        ),
        (
            lambda: forward(X, W, **{**PLAIN, "stride": (0, 1)}),
            r"stride \(0, 1\) and dilation \(1, 1\) must be at least 1",
        ),
        (
            lambda: forward(X, W, **{**PLAIN, "stride": (1,)}),
            r"each spatial axis needs one entry everywhere: .* stride \(1,\)",
        ),
        (
            lambda: forward(X[0], W, **PLAIN),
            r"each spatial axis needs one entry everywhere: size \(3,\), kernel \(2, 2\)",
        ),
        (
            lambda: forward(X, W.astype("f4"), **PLAIN),
            "operands must have one dtype, got float32 and float64",
        ),
        (
            lambda: backward_delta(Z((1, 1, 2, 3)), W, size=(3, 3), **PLAIN),
            r"delta has shape \(1, 1, 2, 3\), but y has \(1, 1, 2, 2\)",
        ),
        (
            lambda: backward_delta(Z((1, 2, 2, 2)), W, size=(3, 3), **PLAIN),
            r"delta has shape \(1, 2, 2, 2\), but y has \(1, 1, 2, 2\)",
        ),
        (
            lambda: backward_delta(Z((1, 3, 2, 2)), Z((3, 1, 2, 2)), size=(3, 3), **PLAIN, groups=2),
            "groups=2 does not divide 3 maps",
        ),
        (
            lambda: gradient_w(X, Z((2, 1, 2, 2)), kernel=(2, 2), **PLAIN),
            r"delta has shape \(2, 1, 2, 2\), but y has \(1, 1, 2, 2\)",
        ),
        (
            lambda: gradient_w(Z((1, 3, 3, 3)), Z((1, 2, 2, 2)), kernel=(2, 2), **PLAIN, groups=2),
            "groups=2 does not divide 3 channels",
        ),
        (
            lambda: gradient_w(Z((1, 2, 3, 3)), Z((1, 3, 2, 2)), kernel=(2, 2), **PLAIN, groups=2),
            "groups=2 does not divide 3 maps",
        ),
        (lambda: gradient_b(Z((2, 3))), r"delta needs axes \(N, M, \*O\), but has shape \(2, 3\)"),
    ],
)
def test_errors_name_the_numbers(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
