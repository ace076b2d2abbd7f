"""What a process of its own costs a call: side by side with the same call in this process."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.turns import in_turns
from conformance.adapter.connect import connect
from conformance.problem import Problem
from conformance.spec import Question

pytestmark = pytest.mark.benchmark

ADAPTER = """
from conformance import Adapter, Capabilities
import numpy as np

class Zeros(Adapter):
    capabilities = Capabilities(ranks={2}, dtypes={"float64"}, stride=True)

    def forward(self, g, x, w, b):
        return np.zeros(g.y_shape)
"""
SMALL = "2d n2 c4 m6 i5x6 k3x2"
LARGE = "2d n50 c4 m1 i256x256 k1x1 s16x16 bias=none"
"""x has 100 MiB, y next to nothing."""
MORE = 0.3e-3
"""Seconds more that a small call may take there."""
COPIES = 2
"""Of a large tensor, fewer than so many may be what a call takes more."""


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    file = tmp_path / "zeros.py"
    file.write_text(ADAPTER, encoding="utf-8")
    with closing(connect(str(file), in_process=False)) as there:
        yield there.put, connect(str(file)).put


def medians(rounds: int, *calls: Callable[[], object]) -> list[float]:
    return [statistics.median(seconds) for seconds in in_turns(calls, rounds=rounds)]


def question(line: str) -> Question:
    p = Problem.parse(line)
    return Question(geometry=p.geometry, operands=p.operands, memory="c")


def test_small_problems(asked: Any) -> None:
    there, here = asked
    q = question(SMALL)
    there(q)
    batches = [medians(100, lambda: there(q), lambda: here(q)) for _ in range(10)]
    remote, local = min(
        batches, key=lambda both: both[0] - both[1]
    )  # two processes that wait for others take longer
    said = f"a small call: {1e3 * remote:.3f} ms there, {1e3 * local:.3f} ms here"
    print(f"\n{said}: {1e3 * (remote - local):.3f} ms more (at most {1e3 * MORE:g})")
    assert remote - local <= MORE


def test_a_tensor_of_100_mb(asked: Any) -> None:
    there, here = asked
    q = question(LARGE)
    there(q)
    into = np.empty_like(q.operands.x)
    remote, local, copy = medians(9, lambda: there(q), lambda: here(q), lambda: np.copyto(into, q.operands.x))
    fresh = medians(9, q.operands.x.copy)[0]
    more = remote - local
    print(
        f"\n100 MiB: {1e3 * remote:.0f} ms there, {1e3 * local:.0f} ms here; more by {more / copy:.2f} copies into warm "
        f"memory ({1e3 * copy:.0f} ms each; fewer than {COPIES}), {more / fresh:.2f} into fresh ({1e3 * fresh:.0f} ms each)"
    )
    assert more < COPIES * copy
