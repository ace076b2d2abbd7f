from __future__ import annotations

from typing import Any

import pytest

from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic
from conformance.oracle.arithmetic import described

F32 = (2.0**-149, (2 - 2.0**-23) * 2.0**127)
"""(smallest subnormal, largest number) of float32."""


@pytest.mark.parametrize(
    ("arithmetic", "words"),
    [
        (Arithmetic(), "direct, accumulates in the dtype"),
        (Arithmetic(accumulator="f32"), "accumulates in f32"),
        (Arithmetic(accumulator="f32", inputs="tf32"), "accumulates in f32, rounds inputs to tf32"),
        (Arithmetic(partial_sums="f16", algorithm="fft"), "stores partial sums in f16, fft"),
        (Arithmetic(truncates=True, flushes=True), "rounds sums toward zero, flushes subnormals to zero"),
        (
            Arithmetic(accumulator="f32", algorithm="winograd", tile=4),
            "accumulates in f32, winograd F(4, k)",
        ),
    ],
)
def test_an_arithmetic_class_says_itself_in_words(arithmetic: Arithmetic, words: str) -> None:
    assert str(arithmetic) == words


def test_quantities_of_one_class_are_described_together() -> None:
    direct, fft = Arithmetic(), Arithmetic(algorithm="fft")
    assert described({"y": fft, "dx": fft, "dw": fft}) == "fft"
    assert (
        described({"y": fft, "dx": direct, "dw": fft, "db": direct})
        == "y, dw: fft; dx, db: direct, accumulates in the dtype"
    )


# ---- nonsense ----
@pytest.mark.parametrize("name", ["accumulator", "inputs", "partial_sums"])
def test_an_unknown_format_is_the_adapters_fault(name: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Arithmetic(**{name: "float32"})  # type: ignore[arg-type]
    assert (
        str(caught.value)
        == f"Arithmetic({name}='float32'): it must be one of f64, f32, tf32, f16, bf16 or None"
    )


def test_an_unknown_algorithm_is_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken) as caught:
        Arithmetic(algorithm="strassen")
    assert str(caught.value) == "Arithmetic(algorithm='strassen'): it must be one of direct, winograd, fft"


@pytest.mark.parametrize(
    "claim",
    [
        {"algorithm": "winograd"},
        {"algorithm": "winograd", "tile": 0},
        {"algorithm": "winograd", "tile": 9},
        {"algorithm": "winograd", "tile": "4"},
        {"algorithm": "fft", "tile": 2},
        {"tile": 2},
    ],
    ids=str,
)
def test_winograd_and_it_alone_has_a_tile(claim: dict[str, Any]) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Arithmetic(**claim)
    assert str(caught.value) == (
        f"Arithmetic(algorithm={claim.get('algorithm', 'direct')!r}, tile={claim.get('tile')!r}): "
        "winograd takes the outputs of a tile, 1 to 8, and no other algorithm does"
    )


# ---- facts of the formats ----
def test_unit_roundoffs_are_those_of_the_formats() -> None:
    units = {"f64": 2.0**-53, "f32": 2.0**-24, "tf32": 2.0**-11, "f16": 2.0**-11, "bf16": 2.0**-8}
    assert {name: Arithmetic(accumulator=name).unit("accumulator", 0.0) for name in units} == units
    assert Arithmetic().unit("inputs", 0.125) == 0.125


@pytest.mark.parametrize(
    ("arithmetic", "step", "limit"),
    [
        (Arithmetic(), F32[0], F32[1]),
        (Arithmetic(accumulator="f64"), F32[0], F32[1]),  # the result is float32 all the same
        (Arithmetic(accumulator="f16"), 2.0**-24, 65504.0),
        (Arithmetic(accumulator="f16", flushes=True), 2.0**-14, 65504.0),
        (Arithmetic(inputs="tf32"), 2.0**-136, (2 - 2.0**-10) * 2.0**127),
        (Arithmetic(inputs="bf16", flushes=True), 2.0**-126, (2 - 2.0**-7) * 2.0**127),
        (Arithmetic(partial_sums="f16", accumulator="bf16"), 2.0**-24, 65504.0),
    ],
)
def test_the_range_is_that_of_the_narrowest_format(arithmetic: Arithmetic, step: float, limit: float) -> None:
    """What an underflow may lose, and beyond what a sum may overflow."""
    assert arithmetic.range(F32) == (step, limit)
