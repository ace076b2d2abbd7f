"""Numeric mistakes: the formula is right, the arithmetic is not.

Each spoils one step of read, sum, store: operands are `read` as float64 values, their products `summed`, sums `stored`
once in the dtype.  A step is a small function of values and dtype; a mistake puts another in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mistakes.mistake import Compute, Mistake
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, DType, Geometry, Operands, dtype_of

__all__ = ["MISTAKES"]

Floats = NDArray[np.float64]
Step = Callable[[Floats, DType], Floats]
Sums = Callable[[Geometry, Operands, str, DType], Floats]

GRADIENTS = ("dx", "dw", "db")
NARROW = ("f16", "bf16")
FULL = ("f64", "f32")


# ---- read ----
def _as_they_are(values: Floats, dtype: DType) -> Floats:
    return values


def _without_nan(values: Floats, dtype: DType) -> Floats:
    return np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _flushed(values: Floats, dtype: DType) -> Floats:
    return np.where(np.abs(values) < dtype.smallest_normal, 0.0, values)


def _to(code: str) -> Step:
    """Rounded to another format; its range counts too."""
    return lambda values, dtype: DTYPES[code].rounded(values)


def _to_tf32(values: Floats, dtype: DType) -> Floats:
    """11 bits with float32's range."""
    mantissa, exponent = np.frexp(values)
    rounded: Floats = np.ldexp(np.rint(mantissa * 2.0**11), exponent - 11)
    return rounded


# ---- sum ----
def _summed(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    exact: Floats = getattr(Layer.of(g, operands), quantity)
    return exact


def _narrow(by: str, code: str | None = None) -> Sums:
    """Every part, and every sum of parts, rounded to a format; None: the dtype."""

    def sums(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
        kept = DTYPES[code] if code else dtype
        total = np.zeros(g.shape_of(quantity) or ())
        for part in _parts(g, operands, quantity, by):
            total = kept.rounded(total + kept.rounded(part))
        return total

    return sums


def _toward_zero(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    """Every product, and every sum of products, cut off to the dtype."""
    total = np.zeros(g.shape_of(quantity) or ())
    for part in _parts(g, operands, quantity, "product"):
        total = _cut(total + _cut(part, dtype), dtype)
    return total


def _bias_last(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    """y stored before the bias is added."""
    bare = dtype.rounded(_summed(g, operands.replace(b=None), quantity, dtype))
    return bare if operands.b is None else bare + _biased(g, operands.b)


def _noisy(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    """Errors of a unit in the last place of a map's largest sum, in all of them; the bias comes after."""
    bare = _summed(g, operands.replace(b=None), quantity, dtype)
    largest = np.max(np.abs(bare), axis=tuple(range(2, bare.ndim)), keepdims=True, initial=0.0)
    noisy: Floats = bare + 2 * dtype.u * largest * np.random.default_rng(0).uniform(-1, 1, bare.shape)
    return noisy if operands.b is None or quantity != "y" else noisy + _biased(g, operands.b)


def _parts(g: Geometry, operands: Operands, quantity: str, by: str) -> Iterator[Floats]:
    """What a result is the sum of, the bias last; `by` product, tap of the kernel, or item of the batch.

    A part is a result itself: of operands of which only some elements are left, the others zero.
    """
    name = "w" if quantity in ("y", "dx") else "delta"
    whole: Any = getattr(operands, name)
    grouped = whole.reshape(g.groups, -1, *whole.shape[1:]) if name == "w" else whole  # (G, M/G, C/G, *K)
    axes = _split_along(quantity, by, grouped.ndim)
    for place in np.ndindex(*(grouped.shape[axis] for axis in axes)):
        chosen: list[Any] = [slice(None)] * grouped.ndim
        for axis, k in zip(axes, place, strict=True):
            chosen[axis] = k
        left = np.zeros_like(grouped)
        left[tuple(chosen)] = grouped[tuple(chosen)]
        kept: dict[str, Any] = {name: left.reshape(whole.shape)}
        yield getattr(Layer.of(g, operands.replace(b=None, **kept)), quantity)
    if quantity == "y" and operands.b is not None:
        yield _biased(g, operands.b)


def _biased(g: Geometry, b: Floats) -> Floats:
    """b as it is added to y."""
    return np.broadcast_to(b if g.bias == "untied" else b.reshape(-1, *(1,) * g.rank), g.y_shape)


def _split_along(quantity: str, by: str, ndim: int) -> tuple[int, ...]:
    """The axes of w (G, M/G, C/G, *K), or of delta (N, M, *O), whose elements are taken one at a time."""
    if by == "item":
        return (0,)
    if by == "tap":
        return tuple(range(3, ndim))
    return {"y": (2, *range(3, ndim)), "dx": (1, *range(3, ndim))}.get(quantity, (0, *range(2, ndim)))


# ---- store ----
def _rounded(values: Floats, dtype: DType) -> Floats:
    return dtype.rounded(values)


def _then(change: Step) -> Step:
    """Stored after a change of the sums."""
    return lambda values, dtype: dtype.rounded(change(values, dtype))


def _after(change: Step) -> Step:
    """Stored, then changed, and stored again."""
    return lambda values, dtype: dtype.rounded(change(dtype.rounded(values), dtype))


def _on_grid(whole: Callable[[Floats], Floats]) -> Step:
    """`whole` makes integers of values in units of the last place."""

    def step(values: Floats, dtype: DType) -> Floats:
        _, exponent = np.frexp(values)
        unit = np.maximum(exponent - dtype.p, round(np.log2(dtype.smallest_subnormal)))
        stored: Floats = np.ldexp(whole(np.ldexp(values, -unit)), unit)
        return stored

    return step


_cut = _on_grid(np.trunc)


def _half_away(values: Floats) -> Floats:
    return np.trunc(values + np.copysign(0.5, values))


def _stochastic(values: Floats) -> Floats:
    """Up as often as the value is nearer to what is above it."""
    chance = np.random.default_rng(0).random(values.shape)
    up: Floats = np.floor(values + chance)
    return up


def _times(factor: float) -> Step:
    return lambda values, dtype: values * factor


def _plus(epsilon: float) -> Step:
    return lambda values, dtype: values + epsilon


def _clipped(limit: float) -> Step:
    return lambda values, dtype: np.clip(values, -limit, limit)


def _clipped_norm(values: Floats, dtype: DType) -> Floats:
    return values / max(1.0, float(np.linalg.norm(values)))


def _saturated(values: Floats, dtype: DType) -> Floats:
    return np.where(np.isinf(values), values, np.clip(values, -dtype.largest, dtype.largest))


def _spread_nan(values: Floats, dtype: DType) -> Floats:
    return np.full_like(values, np.nan) if np.isnan(values).any() else values


def _replaced_nan(values: Floats, dtype: DType) -> Floats:
    return np.nan_to_num(values, nan=0.0, posinf=dtype.largest, neginf=-dtype.largest)


def _decimals(values: Floats, dtype: DType) -> Floats:
    return np.round(values, 6)


# ---- the three steps together ----
def _made(
    *, read: Step = _as_they_are, of: tuple[str, ...] = ("x", "w", "b", "delta"), summed: Sums = _summed,
    stored: Step = _rounded,
) -> Compute:  # fmt: skip
    """A layer of these steps; `read` concerns the operands `of`."""

    def compute(g: Geometry, operands: Operands, quantity: str) -> Any:
        dtype = dtype_of(operands.x.dtype)
        seen: dict[str, Any] = {name: a.astype(np.float64) for name, a in operands.items()}
        seen |= {name: read(seen[name], dtype) for name in of if name in seen}
        sums = summed(g, operands.replace(**seen), quantity, dtype)
        return stored(sums, dtype).astype(dtype.numpy)

    return compute


def _loss_scaled(scale: float) -> Compute:
    """Gradients of delta times a scale, stored, divided by it."""
    return _made(read=_then(_times(scale)), of=("delta",), stored=_after(_times(1 / scale)))


def _mean_times_batch(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    n = max(g.batch, 1)
    return dtype.rounded(_summed(g, operands, quantity, dtype) / n) * n


def _in_float32(g: Geometry, operands: Operands, quantity: str, dtype: DType) -> Floats:
    return DTYPES["f32"].rounded(_summed(g, operands, quantity, dtype))


MISTAKES = (
    # operands
    Mistake(
        name="float64-in-float32",
        sentence="float64 operands are converted to float32, and so is what is computed from them",
        hint="look for a float32 buffer, weight or GEMM on the way, and for np.float32(...) or .float()",
        compute=_made(read=_to("f32"), summed=_in_float32),
        dtypes=("f64",),
    ),
    Mistake(
        name="tf32-inputs",
        sentence="float32 operands are rounded to TF32, 11 bits, before they are multiplied",
        hint="turn TF32 off (torch.backends.cudnn.allow_tf32 = False), or declare inputs='tf32'",
        compute=_made(read=_to_tf32),
        dtypes=("f32",),
    ),
    Mistake(
        name="bfloat16-inputs",
        sentence="float32 operands are rounded to bfloat16, 8 bits, before they are multiplied",
        hint="turn fast math off (ONEDNN_DEFAULT_FPMATH_MODE, XLA's default precision), or declare inputs='bf16'",
        compute=_made(read=_to("bf16")),
        dtypes=("f32",),
    ),
    Mistake(
        name="activation-kept-in-bfloat16",
        sentence="x is kept for the backward pass in bfloat16, and dw is computed from that",
        hint="keep the operand that was handed over, in its own dtype",
        compute=_made(read=_to("bf16"), of=("x",)),
        quantities=("dw",),
        dtypes=FULL,
    ),
    Mistake(
        name="loss-scaled",
        sentence="delta is multiplied by 1024, and the gradients are divided by it after they were stored",
        hint="divide in a wider format, before the result is stored: scaled gradients overflow 1024 times as early",
        compute=_loss_scaled(1024.0),
        quantities=GRADIENTS,
        dtypes=("f16",),
    ),
    # sums
    Mistake(
        name="narrow-accumulator",
        sentence="every partial sum is rounded to the dtype of the operands",
        hint="keep the sum in float32 and round it once, at the end",
        compute=_made(summed=_narrow("product")),
        dtypes=NARROW,
    ),
    Mistake(
        name="float32-accumulator",
        sentence="float64 products are summed in float32",
        hint="make the accumulator a float64",
        compute=_made(summed=_narrow("product", "f32")),
        dtypes=("f64",),
    ),
    Mistake(
        name="narrow-between-items",
        sentence="the sum is rounded to the dtype after each item of the batch",
        hint="keep the sum over the batch in float32 (grad += ... in the dtype rounds every time)",
        compute=_made(summed=_narrow("item")),
        quantities=("dw", "db"),
        dtypes=NARROW,
    ),
    Mistake(
        name="narrow-col2im",
        sentence="what each tap of the kernel hands back to dx is rounded to the dtype, and so is their sum (col2im)",
        hint="let col2im add in float32 and round once",
        compute=_made(summed=_narrow("tap")),
        quantities=("dx",),
        dtypes=NARROW,
    ),
    Mistake(
        name="sums-toward-zero",
        sentence="every product and every partial sum is cut off to the dtype, not rounded",
        hint="round to nearest, or declare truncates=True",
        compute=_made(summed=_toward_zero),
        dtypes=("f32",),
    ),
    Mistake(
        name="bias-after-rounding",
        sentence="y is rounded to the dtype before the bias is added, and again after",
        hint="add the bias to the accumulator",
        compute=_made(summed=_bias_last),
        quantities=("y",),
        dtypes=NARROW,
    ),
    Mistake(
        name="mean-times-batch",
        sentence="the mean over the batch is stored, and then multiplied by the batch size",
        hint="sum; a mean that is multiplied again is rounded twice more",
        compute=_made(summed=_mean_times_batch),
        quantities=("dw", "db"),
    ),
    # results
    Mistake(
        name="stored-as-float16",
        sentence="float32 results are converted to float16 and back",
        hint="look for autocast, and for a buffer in half precision",
        compute=_made(stored=_to("f16")),
        dtypes=("f32",),
    ),
    Mistake(
        name="cut-off",
        sentence="sums are cut off where they should be rounded",
        hint="convert by rounding to nearest; a shift of the bits, or a mask, cuts off",
        compute=_made(stored=_cut),
        dtypes=("f32", "f16", "bf16"),
    ),
    Mistake(
        name="half-away-from-zero",
        sentence="ties are rounded away from zero, not to even",
        hint="use the conversion of the hardware, or add the last kept bit to 0x7fff",
        compute=_made(stored=_on_grid(_half_away)),
        dtypes=NARROW,
    ),
    Mistake(
        name="stochastic-rounding",
        sentence="sums are rounded up or down by chance",
        hint="stochastic rounding is for updates of weights; results are rounded to nearest",
        compute=_made(stored=_on_grid(_stochastic)),
        dtypes=("f32", "f16", "bf16"),
    ),
    Mistake(
        name="rounded-twice",
        sentence="float32 sums are converted to float16 first, and that to bfloat16",
        hint="convert from float32 at once",
        compute=_made(stored=_then(_to("f16"))),
        dtypes=("bf16",),
    ),
    Mistake(
        name="six-decimals",
        sentence="results are rounded to six decimals",
        hint="round where numbers are printed, not where they are computed; text needs 9 digits (float64: 17)",
        compute=_made(stored=_then(_decimals)),
        dtypes=FULL,
    ),
    Mistake(
        name="times-1.0005",
        sentence="results are 0.05 % too large",
        hint="look for a scale: a momentum, a decay, a mean over one element too few",
        compute=_made(stored=_then(_times(1.0005))),
    ),
    Mistake(
        name="times-1+2^-20",
        sentence="results are too large by the factor 1 + 2^-20",
        hint="look for a scale that was computed in less precision: 1/(1 + eps), a square root",
        compute=_made(stored=_then(_times(1 + 2.0**-20))),
        dtypes=FULL,
    ),
    Mistake(
        name="plus-1e-6",
        sentence="1e-6 is added to results",
        hint="look for an epsilon that was meant for a denominator",
        compute=_made(stored=_then(_plus(1e-6))),
    ),
    Mistake(
        name="errors-of-the-largest",
        sentence="every result carries rounding errors of the size that its map's largest may have, as transforms make",
        hint="sum directly, or declare algorithm='fft'",
        compute=_made(summed=_noisy),
        quantities=("y", "dx", "dw"),
        dtypes=FULL,
    ),
    # ranges
    Mistake(
        name="clipped-at-100",
        sentence="results are clipped to the range from -100 to 100",
        hint="remove the clip: it hides an overflow elsewhere",
        compute=_made(stored=_then(_clipped(100.0))),
    ),
    Mistake(
        name="gradients-clipped",
        sentence="gradients are clipped to the range from -1 to 1",
        hint="clip in the optimizer, after the gradients were handed over",
        compute=_made(stored=_then(_clipped(1.0))),
        quantities=GRADIENTS,
    ),
    Mistake(
        name="gradient-norm-clipped",
        sentence="each gradient is scaled down to the norm 1 if its norm is larger",
        hint="clip in the optimizer, after the gradients were handed over",
        compute=_made(stored=_then(_clipped_norm)),
        quantities=GRADIENTS,
    ),
    Mistake(
        name="flushes-subnormals",
        sentence="subnormal operands and results are replaced by zero",
        hint="turn flush-to-zero off (-ffast-math sets it for the whole process), or declare flushes=True",
        compute=_made(read=_flushed, stored=_after(_flushed)),
    ),
    Mistake(
        name="saturates",
        sentence="sums that are finite, but too large for the dtype, become the largest number, not infinity",
        hint="let overflow be seen: loss scaling looks for infinity",
        compute=_made(stored=_then(_saturated)),
        dtypes=("f32", "f16", "bf16"),
    ),
    Mistake(
        name="nan-to-num",
        sentence="NaN in results is replaced by zero, infinity by the largest number",
        hint="remove nan_to_num: it hides where the NaN comes from",
        compute=_made(stored=_after(_replaced_nan)),
    ),
    Mistake(
        name="nan-skipped",
        sentence="NaN in operands counts as zero (nansum)",
        hint="sum with sum; what is missing must be masked by whoever knows it",
        compute=_made(read=_without_nan),
    ),
    Mistake(
        name="nan-everywhere",
        sentence="one NaN makes the whole result NaN",
        hint="look for a mean, a norm or a transform over the whole tensor",
        compute=_made(stored=_after(_spread_nan)),
    ),
)
