"""The operands of a problem are frozen: a line that was printed once must mean the same numbers for ever.

A failure here means that the stream of data changed, and with it every reproducer that was ever published.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from conformance.problem import DTYPES, Problem
from conformance.problem.fills import FILLS
from conformance.problem.memory import REARRANGEMENTS

INTEGERS = {
    "1d n1 c1 m1 i3 k2 f64 seed=1": {"x": [9, 7, 6], "w": [-7, 2], "b": [1], "delta": [-9, -8]},
    "1d n2 c1 m2 i4 k2 s2 f32 fill=sparse seed=3": {
        "x": [5, 0, 7, 2, -2, -2, 0, -3], "w": [-5, 1, -4, 6], "b": [1, 0], "delta": [-4, 2, -1, 5, 0, 3, -5, 8]
    },
    "1d n1 c1 m1 i3 k2 bias=none f16 fill=unit": {"x": [1, -1, 1], "w": [-1, 1], "delta": [1, 1]},
    "1d n1 c2 m1 i2 k1 bf16 seed=18446744073709551615": {"x": [3, 5, -5, -5], "w": [2, -3], "b": [4], "delta": [-3, 2]},
}  # fmt: skip

REALS = {
    "f64": ["-0x1.bbd6c66234fd0p-1", "0x1.972c5c680d78ep-1", "-0x1.3532f77bf5c29p-1"],
    "f32": ["-0x1.bbd6c60000000p-1", "0x1.972c5c0000000p-1", "-0x1.3532f60000000p-1"],
    "f16": ["-0x1.bbc0000000000p-1", "0x1.9700000000000p-1", "-0x1.3500000000000p-1"],
    "bf16": ["-0x1.ba00000000000p-1", "0x1.9600000000000p-1", "-0x1.3400000000000p-1"],
}  # the mantissas of narrower formats begin like those of wider ones

DIGESTS = {
    ("f64", "small", "c"): "1941acda287807d8",
    ("f64", "real", "c"): "f6e654fbc1e28136",
    ("f64", "sparse", "c"): "9b7610dc8bbbf03d",
    ("f64", "unit", "c"): "881b6babed7398e4",
    ("f32", "small", "c"): "a6ea73ffe7666c48",
    ("f32", "real", "c"): "c65892eac7cc31a4",
    ("f32", "sparse", "c"): "d10e59cf5ff5e17b",
    ("f32", "unit", "c"): "7557937e493d5460",
    ("f16", "small", "c"): "7f2d198a1f6c7dd5",
    ("f16", "real", "c"): "79c4c4d3be4fe1e8",
    ("f16", "sparse", "c"): "e2d20850c34f5a42",
    ("f16", "unit", "c"): "33376903f15f7e5f",
    ("bf16", "small", "c"): "60b1b2a57febb283",
    ("bf16", "real", "c"): "0559371ea015fcdc",
    ("bf16", "sparse", "c"): "8450b81b1598f4d3",
    ("bf16", "unit", "c"): "f1c82538d8978955",
    ("f64", "small", "broadcast"): "c79ca8e91dae4476",
    ("f64", "real", "broadcast"): "a157392d5ff6a9de",
    ("f64", "sparse", "broadcast"): "6bb2ac38a6ce1f8e",
    ("f64", "unit", "broadcast"): "4d24ec41dc0ff891",
    ("f32", "small", "broadcast"): "195908256912531b",
    ("f32", "real", "broadcast"): "c2410171e2c0a7da",
    ("f32", "sparse", "broadcast"): "616ab65523a9dd80",
    ("f32", "unit", "broadcast"): "fc90211e96818951",
    ("f16", "small", "broadcast"): "d955274b6fb25970",
    ("f16", "real", "broadcast"): "fc5d8dd05f30945c",
    ("f16", "sparse", "broadcast"): "8e78207d5db63d64",
    ("f16", "unit", "broadcast"): "95c7a51984b4755e",
    ("bf16", "small", "broadcast"): "fbb4d34827c2fe68",
    ("bf16", "real", "broadcast"): "3f8c3457b07261cb",
    ("bf16", "sparse", "broadcast"): "906e3dfa26a51fb6",
    ("bf16", "unit", "broadcast"): "ddb5a1a9c92be4ff",
}


OF_REGIMES = {
    "wide": "5a044ef549081e9b",
    "odd": "36f0199a591055d2",
    "onehot": "b36d8a37b3d6c1c4",
    "stagnation": "da2ff6be22e01ad2",
    "cancellation": "dd1ec17e9771f749",
    "positive": "ab155a9ec45a38ff",
    "gaps": "7a780e8981a90530",
    "subnormal": "ba183230664a2be1",
    "huge": "c151d685bef1fd86",
}
"""Of each numeric regime in all dtypes, in memory c and broadcast."""


def line_of(dtype: str, fill: str, memory: str) -> str:
    return f"2d n2 c2 m4 g2 i3x4 k2x3 s1x2 p1:0 conv bias=untied {dtype} fill={fill} mem={memory} seed=11"


def digest(line: str) -> str:
    """Of names, dtypes, shapes and the little-endian bytes of all values in C order."""
    content = hashlib.sha256()
    for name, a in Problem.parse(line).operands.items():
        raw = a.view(f"V{a.itemsize}") if a.dtype.kind == "V" else a.astype(a.dtype.newbyteorder("<"))
        content.update(f"{name}{a.dtype}{a.shape}".encode() + raw.tobytes())
    return content.hexdigest()[:16]


def of_regime(fill: str) -> str:
    each = (digest(line_of(dtype, fill, memory)) for dtype in DTYPES for memory in ("c", "broadcast"))
    return hashlib.sha256("".join(each).encode()).hexdigest()[:16]


@pytest.mark.parametrize("line", INTEGERS)
def test_integers_of_a_line_are_frozen(line: str) -> None:
    assert {name: a.ravel().tolist() for name, a in Problem.parse(line).operands.items()} == INTEGERS[line]


@pytest.mark.parametrize("dtype", REALS)
def test_reals_of_a_line_are_frozen_to_the_last_bit(dtype: str) -> None:
    x = Problem.parse(f"1d n1 c1 m1 i3 k2 {dtype} fill=real seed=5").operands.x
    assert [float(v).hex() for v in x.ravel()] == REALS[dtype]


@pytest.mark.parametrize(("dtype", "fill", "memory"), DIGESTS)
def test_every_dtype_fill_and_kind_of_memory_is_frozen(dtype: str, fill: str, memory: str) -> None:
    assert digest(line_of(dtype, fill, memory)) == DIGESTS[dtype, fill, memory]


def test_every_fill_is_frozen() -> None:
    assert {*OF_REGIMES, *(fill for _, fill, _ in DIGESTS)} == set(FILLS)


@pytest.mark.parametrize("fill", OF_REGIMES)
def test_every_numeric_regime_is_frozen(fill: str) -> None:
    assert of_regime(fill) == OF_REGIMES[fill]


@pytest.mark.parametrize("memory", REARRANGEMENTS)
def test_rearranged_memory_holds_the_frozen_values(memory: str) -> None:
    assert digest(line_of("f32", "small", memory)) == DIGESTS["f32", "small", "c"]


def test_operands_have_the_dtype_and_the_shapes_of_the_problem() -> None:
    problem = Problem.parse(line_of("bf16", "real", "c"))
    for name, a in problem.operands.items():
        assert a.dtype == problem.format.numpy
        assert a.shape == problem.geometry.shape_of(name)


def test_another_seed_gives_other_values_and_the_same_seed_the_same() -> None:
    one, again, other = (Problem.parse(f"2d i5 k3 fill=real seed={seed}").operands for seed in (1, 1, 2))
    assert one.x.tobytes() == again.x.tobytes()
    assert not np.any(one.x == other.x)


def test_operands_are_drawn_once() -> None:
    problem = Problem.parse("2d i5 k3")
    assert problem.operands is problem.operands


def test_replace_changes_operands_one_by_one() -> None:
    operands = Problem.parse("1d i4 k2").operands
    changed = operands.replace(x=operands.x + 1, b=None)
    assert changed.x.tolist() == (operands.x + 1).tolist()
    assert changed.w is operands.w
    assert changed.b is None
