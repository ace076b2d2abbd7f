"""The scripts that bundled adapters make for upstream: each calls the library itself, and tells right from wrong."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from clean import ran, tampered
from conformance import Problem
from conformance.adapter.connect import connect
from conformance.adapter.manifest import bundled
from conformance.adapter.session import Session
from conformance.engine.runner import case_of
from conformance.mistakes.fault import Fault
from conformance.mistakes.reproducer import script

LINES = (
    "1d n2 c2 m2 i5 k3 f64",
    "2d n2 c4 m2 g2 i4x3 k3x2 s2x1 p1 conv bias=untied f32",
    "2d n1 c1 m2 i5x4 k2x3 p-1:2x1:-1 bias=none f32 mem=reversed",
    "2d n1 c2 m2 i5x4 k2 d2x1 bf16 mem=sliced",
    "3d n1 c2 m1 i3x2x4 k2x1x2 s1x1x3 f16 mem=fortran",
    "2d n2 c2 m1 i4x5 k2x3 s2x1 p1:0x1 conv f64 seed=5",
)
NEEDS = {
    "python-torch": "torch",
    "python-jax": "jax",
    "python-tensorflow": "tensorflow",
    "python-scipy": "scipy",
    "python-autograd": "autograd",
}
ALONE = "python-tensorflow:onednn"
"""Its environment has to be set before the process starts TensorFlow."""
ROUTES = [f"{name}:{route}" for name, b in bundled().items() for route in b.routes if name in NEEDS]


def scripts(session: Session) -> Iterator[str]:
    """As if a right result were a fault: every quantity of all lines that are offered."""
    for problem in map(Problem.parse, LINES):
        if session.refusal(problem.geometry, problem.dtype) is None:
            case = case_of(session, problem)
            for q in case.offers:
                fault = Fault(problem=problem, quantity=q, kind="value", expected=case.expected[q])
                yield script(session, fault)


@pytest.mark.slow
@pytest.mark.parametrize("target", [t for t in ROUTES if t != ALONE])
def test_scripts_run_without_this_package_and_tell_right_from_wrong(target: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(NEEDS[target.partition(":")[0]]) is None:
        pytest.skip("its library is not installed")
    made = list(scripts(connect(target)))
    assert len(made) >= 4  # all quantities of a line at least
    results = ran([*made, *map(tampered, made)], tmp_path)
    assert [(r.out, s) for r, s in zip(results, made, strict=False) if r.code] == []
    assert {r.code for r in results[len(made) :]} == {1}


def test_every_bundled_adapter_in_python_has_a_script() -> None:
    for adapter in bundled().values():
        assert adapter.language != "python" or (adapter.folder / "reproducer.py.jinja").is_file()


def test_the_reference_is_in_this_package_and_its_script_says_so() -> None:
    (first, *_) = scripts(connect("python-numpy"))
    assert first.startswith('"""It needs the package conformance (pip install conv-conformance)')
