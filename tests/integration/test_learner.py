"""A learner writes a layer from scratch, wires it as the README shows, and reads the verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.spec import REGISTRY, matching

PROBLEMS = (
    "n2 c3 m4 i6x5 k3x2 seed=1",
    "n3 c2 m2 i7x7 k2x3 s2 p1 seed=2",
    "n1 c2 m3 i5x8 k1x4 s3 bias=none seed=3",
    "n2 c2 m2 i8x9 k3 fill=real seed=4",
    "n2 c2 m2 i3x4 k3x4 seed=5",
)
GIVEN = tuple(part for line in PROBLEMS for part in ("--problem", line))
LEARNER = Path(__file__).parent / "learner"
Invoke = Callable[..., Any]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """The learner's adapter and layer in a folder of their own, with some of their text changed."""

    def write(name: str, adapter: tuple[str, str] = ("", ""), layer: tuple[str, str] = ("", "")) -> Path:
        for file, module, (old, new) in (
            ("adapter", f"{name}_adapter", adapter),
            ("cnn", f"{name}_cnn", layer),
        ):
            text = (LEARNER / f"my_{file}.py").read_text(encoding="utf-8").replace("my_cnn", f"{name}_cnn")
            assert old in text
            (tmp_path / f"{module}.py").write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return tmp_path / f"{name}_adapter.py"

    return write


def test_a_correct_layer_is_found_sound_and_conforms(invoke: Invoke) -> None:
    assert invoke("doctor", LEARNER / "my_adapter.py").code == 0
    said = invoke("run", LEARNER / "my_adapter.py", "--profile", "quick")
    assert (said.code, said.err) == (0, "")
    unsupported = re.findall(r"^([A-Z]{3}-\d) .* UNSUPPORTED: ", said.out, re.MULTILINE)
    optional = [c.id for c in matching("NET-*,TRN-*,SEC-*,JVP-*")]
    assert unsupported == ["FWD-6", "FWD-9", "BIA-2", *optional, "HYG-7"]
    verdict = f"conforms: 38 of {len(REGISTRY)} clauses pass ({len(unsupported)} unsupported)"
    assert said.out.endswith(f"my_adapter.py {verdict}\n")


def test_a_gradient_that_is_overwritten_where_windows_overlap_is_found(invoke: Invoke) -> None:
    assert invoke("doctor", LEARNER / "my_mistaken_adapter.py").code == 0
    said = invoke("run", LEARNER / "my_mistaken_adapter.py", *GIVEN, "--json")
    assert said.code == 1
    (finding,) = [r for r in said.records if r["record"] == "finding"]
    assert (finding["clause"], finding["status"]) == ("DEL-1", "FAIL")
    assert {"DEL-3", "DEL-4", "DEL-6", "NUM-2"} <= set(finding["fallen"])
    seen = finding["judgement"]
    assert re.fullmatch(
        r"2d n1 c1 m1 i(3x1 k2x1|1x3 k1x2) bias=none f64 fill=unit( seed=\d+)?", seen["problem"]
    )
    assert seen["quantity"] == "dx"
    assert seen["index"] in ([0, 0, 1, 0], [0, 0, 0, 1])
    assert seen["wrong"] == 1


def test_the_smallest_problem_can_be_pasted_back(invoke: Invoke) -> None:
    mistaken = LEARNER / "my_mistaken_adapter.py"
    said = invoke("run", mistaken, "--problem", "i7x6 k3x2", "--only", "DEL-1", "--json")
    (line,) = [r["judgement"]["problem"] for r in said.records if r["record"] == "finding"]
    again = invoke("run", mistaken, "--problem", line, "--only", "DEL-1", "--json")
    assert [(j["problem"], j["status"]) for j in again.judged()] == [(line, "FAIL")]


def test_a_claim_of_strides_is_taken_at_its_word_on_both_axes(
    invoke: Invoke, changed: Callable[..., Path]
) -> None:
    """The README's example without `unsupported`: stride[0] serves both axes, and that is not what was claimed."""
    said = invoke(
        "run",
        changed("claims", adapter=("def unsupported", "def not_said")),
        *GIVEN,
        "--problem",
        "i3x8 k2 s1x2",
    )
    assert said.code == 1
    assert re.search(r"^FWD-2 +MUST FAIL .* s1x2 ", said.out, re.MULTILINE)
    assert "the geometry" in said.out


def test_a_bias_of_another_size_that_broadcasts_is_refused_or_found(
    invoke: Invoke, changed: Callable[..., Path]
) -> None:
    lax = changed("lax", layer=("    assert b is None or b.shape == (m,)\n", ""))
    said = invoke("run", lax, *GIVEN, "--problem", "m1 i4x4 k3", "--json")
    assert said.code == 1
    (finding,) = [r for r in said.records if r["record"] == "finding"]
    assert finding["clause"] == "HYG-6"
    assert finding["judgement"]["note"] == "a bias for 2 maps where there are 1 was accepted without an error"
    assert "m1 " in finding["judgement"]["problem"]


MISTAKES = {
    "mean over the batch": (
        ("    return dx, dw, None", "    dw = dw / len(x)\n    return dx, dw, None"),
        "WGT-1",
        "dw",
        "n2 ",
    ),
    "stride forgotten in dx": (
        (
            "dpadded[:, :, rows, columns] +=",
            "dpadded[:, :, i : i + kh, j : j + kw] +=",
        ),
        "DEL-1",
        "dx",
        "s2x2",
    ),
    "padding not taken off": (
        ("    dx = dpadded[:, :, padding : padding + height, padding : padding + width]", "    dx = dpadded"),
        "DEL-2",
        "dx",
        "p1x1",
    ),
    "bias summed over the batch only once": (
        ("delta.sum(axis=(0, 2, 3))", "delta[0].sum(axis=(1, 2))"),
        "BIA-1",
        "db",
        "n2 ",
    ),
}


@pytest.mark.parametrize(("change", "root", "quantity", "feature"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_typical_mistake_is_one_finding_on_a_problem_that_shows_its_cause(
    change: tuple[str, str],
    root: str,
    quantity: str,
    feature: str,
    invoke: Invoke,
    changed: Callable[..., Path],
) -> None:
    name = f"{root}_{feature}".lower().replace("-", "_").replace(" ", "")
    said = invoke("run", changed(name, layer=change), *GIVEN, "--json")
    assert said.code == 1
    (finding,) = [r for r in said.records if r["record"] == "finding"]
    assert (finding["clause"], finding["judgement"]["quantity"]) == (root, quantity)
    assert feature in finding["judgement"]["problem"]
