"""What comparisons of frameworks say of right and mistaken implementations is what reports/numerics.md publishes.

Cells that cost hundreds of forward passes an element are left to `python tests/power/tolerances.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "power"))

import tolerances
from tolerances import LAYERS, Subject

from conformance.problem import DTYPES

PUBLISHED = tolerances.published()
RIGHT = [s for s in tolerances.honest() if s.layers == LAYERS]
MISTAKEN = list(tolerances.mistaken())
AFFORDED = [
    ("torch", "torch assert_close", RIGHT, MISTAKEN),
    (
        "torch",
        "gradcheck, fast",
        RIGHT[-2:],
        [s for s in MISTAKEN if s.name in ("times-1.0005", "plus-1e-6")],
    ),
    ("jax", "jax check_grads", RIGHT, [s for s in MISTAKEN if s.dtype != "f16"]),
]
"""(framework, comparison, right ones, mistaken ones)"""
INSTALLED = [of for of in AFFORDED if importlib.util.find_spec(of[0])]
if not INSTALLED:
    pytest.skip("no framework is installed", allow_module_level=True)


def cases(*, right: bool) -> list[tuple[str, Subject]]:
    return [(tool, s) for _, tool, *kinds in INSTALLED for s in kinds[0 if right else 1]]


@pytest.mark.parametrize(("tool", "subject"), cases(right=True))
def test_of_right_ones(tool: str, subject: Subject) -> None:
    said = PUBLISHED[subject.sentence, DTYPES[subject.dtype].name][tool]
    assert tolerances.of_right(tool, subject) == said


@pytest.mark.parametrize(("tool", "subject"), cases(right=False))
def test_of_mistaken_ones(tool: str, subject: Subject) -> None:
    said = PUBLISHED[subject.name, DTYPES[subject.dtype].name][tool]
    assert tolerances.of_mistaken(tool, subject) == said
