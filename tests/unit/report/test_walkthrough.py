"""The page that follows each delta with a finger is what the code computes now."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from conformance.oracle.definition import compute
from conformance.problem import Problem
from conformance.report import walkthrough
from conformance.report.walkthrough import ONE, text

PAGE = Path(__file__).resolve().parents[3] / "reports" / "walkthrough.md"


def test_the_page_is_fresh() -> None:
    """Regenerate it with ``python -m conformance.report.walkthrough`` in the repository's root."""
    if not PAGE.is_file():
        pytest.skip(f"there is no {PAGE}: these tests do not lie in a repository")
    assert PAGE.read_text(encoding="utf-8") == text()


def test_every_line_of_numbers_is_right() -> None:
    """Read as a reader does: products and sums of the numbers on the page."""
    lines = re.findall(r"^        = (.+) = (\S+)$", text(), re.MULTILINE)
    assert len(lines) == 4 + 9 + 4 + 9 + 4 + 4
    for products, total in lines:
        value = 0.0
        for product in products.split(" + "):
            a, b = product.split("*")
            value += float(a.strip("()")) * float(b.strip("()"))
        assert value == float(total)


def test_the_first_example_is_the_definition() -> None:
    problem = Problem.parse(ONE)
    results = compute(problem.geometry, problem.operands)
    told = dict(re.findall(r"^    (\S+) = .*\n        = .* = (\S+)$", text(), re.MULTILINE))
    for name, values in (("z", results.y), ("dC/da", results.dx), ("dC/dw", results.dw)):
        for i, j in np.ndindex(values.shape[2:]):
            assert float(told[f"{name}[{i},{j}]"]) == values[0, 0, i, j]


def test_a_sum_that_is_not_what_judges_say_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"z\[0,0\] is 5\.0, but its products sum to 6"):
        walkthrough._told("z", {(0, 0): [("a", 2.0, "b", 3.0)]}, np.array([[5.0]]))
