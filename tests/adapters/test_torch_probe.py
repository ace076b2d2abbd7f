"""What is known of PyTorch's arithmetic on the CPU, inferred from outside."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest

from adapter_checks import load
from conformance import Arithmetic
from conformance.adapter.probe import Observation, inferred, probe
from conformance.adapter.session import Session
from conformance.problem import QUANTITIES

torch = pytest.importorskip("torch")

FILE = Path(__file__).parents[2] / "adapters" / "python-torch" / "adapter_torch.py"
Torch = load(FILE).Torch
CLEAN = dict.fromkeys(QUANTITIES, "none")
NARROW = {
    code: {"y": "none", "dx": f"{code} over taps", "dw": f"{code} over batch", "db": "none"}
    for code in ("f16", "bf16")
}
"""Kernels of torch itself: col2im adds up dx, and a loop over the batch dw, in the dtype."""


def session(route: str, dtype: str) -> Session:
    """One route in one dtype, of which nothing is declared."""
    found = Session(Torch(route), f"python-torch:{route}")
    found.capabilities = dataclasses.replace(found.capabilities, dtypes=frozenset({dtype}), arithmetic=None)
    return found


@functools.cache
def observations(route: str, dtype: str) -> list[Observation]:
    return list(probe(session(route, dtype)))


def values(route: str, dtype: str, what: str) -> dict[str, str]:
    found = [o for o in observations(route, dtype) if o.property == what]
    return {q: o.value for o in found for q in ([o.quantity] if o.quantity else QUANTITIES)}


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_torchs_own_kernels_store_partial_sums_of_dx_and_dw(dtype: str) -> None:
    assert values("no-mkldnn", dtype, "accumulator") == dict.fromkeys(QUANTITIES, "f32")
    assert values("no-mkldnn", dtype, "partial sums") == NARROW[dtype]


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_with_onednn_it_depends_on_the_processor(dtype: str) -> None:
    assert values("autograd", dtype, "partial sums") in (CLEAN, NARROW[dtype])


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_what_a_run_assumes_of_it(dtype: str) -> None:
    stored = Arithmetic(accumulator="f32", partial_sums=dtype)
    classes = {"y": Arithmetic(), "dx": stored, "dw": stored, "db": Arithmetic()}
    assert inferred(session("no-mkldnn", dtype), dtype) == classes


@pytest.mark.parametrize(
    ("what", "right"),
    [
        ("algorithm", "direct"),
        ("input rounding", "none"),
        ("output rounding", "nearest-even"),
        ("accumulator", "f32"),
        ("rounding of sums", "to nearest"),
        ("overflow", "inf"),
        ("repeatable", "yes"),
    ],
)
def test_float32_is_summed_directly(what: str, right: str) -> None:
    assert values("no-mkldnn", "f32", what) == dict.fromkeys(QUANTITIES, right)
