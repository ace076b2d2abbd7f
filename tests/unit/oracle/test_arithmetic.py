from __future__ import annotations

import pytest

from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic


@pytest.mark.parametrize(
    ("arithmetic", "words"),
    [
        (Arithmetic(), "direct, accumulates in the dtype"),
        (Arithmetic(accumulator="f32"), "accumulates in f32"),
        (Arithmetic(accumulator="f32", inputs="tf32"), "accumulates in f32, rounds inputs to tf32"),
        (Arithmetic(partial_sums="f16", algorithm="fft"), "stores partial sums in f16, fft"),
    ],
)
def test_an_arithmetic_class_says_itself_in_words(arithmetic: Arithmetic, words: str) -> None:
    assert str(arithmetic) == words


@pytest.mark.parametrize("name", ["accumulator", "inputs", "partial_sums"])
def test_an_unknown_format_is_the_adapters_fault(name: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        Arithmetic(**{name: "float32"})
    assert (
        str(caught.value)
        == f"Arithmetic({name}='float32'): it must be one of f64, f32, tf32, f16, bf16 or None"
    )


def test_an_unknown_algorithm_is_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken) as caught:
        Arithmetic(algorithm="winograd")
    assert str(caught.value) == "Arithmetic(algorithm='winograd'): it must be one of direct, fft"


def test_unit_roundoffs_are_those_of_the_formats() -> None:
    units = {"f64": 2.0**-53, "f32": 2.0**-24, "tf32": 2.0**-11, "f16": 2.0**-11, "bf16": 2.0**-8}
    assert {name: Arithmetic(accumulator=name).unit("accumulator", 0.0) for name in units} == units
    assert Arithmetic().unit("inputs", 0.125) == 0.125
