"""What judging costs beside gradcheck: the same 2-D problems, the same process, turn by turn.

Ours: drawing the operands, calling the bundled layer, the oracle, and every clause that needs no further call, each
judged exactly.  Theirs: torch.autograd.gradcheck of torch's own convolution, slow and fast mode, float64.  Time is that
of the process, one thread on both sides; medians of several turns, added up over the covering corpus.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.adapter.connect import connect
from conformance.engine.corpus import corpus
from conformance.engine.runner import judge
from conformance.problem import Geometry, Problem
from conformance.spec import matching

torch = pytest.importorskip("torch")
threadpoolctl = pytest.importorskip("threadpoolctl")

pytestmark = pytest.mark.benchmark

SLOW, FAST = 1 / 20, 1.0


def covering_2d() -> list[Problem]:
    """The covering corpus' 2-D problems as torch can take them: float64, integers, correlation, no untied bias."""
    return [
        Problem(geometry=plain(named.problem.geometry), seed=named.problem.seed)
        for named in corpus("covering")
        if named.problem.geometry.rank == 2 and named.problem.geometry.batch
    ]


def plain(g: Geometry) -> Geometry:
    return dataclasses.replace(g, convention="correlation", bias="tied" if g.bias == "untied" else g.bias)


def gradcheck(p: Problem, *, fast: bool) -> None:
    g = p.geometry
    leaves = [
        torch.tensor(np.array(a), requires_grad=True) for name, a in p.operands.items() if name != "delta"
    ]
    pads = [end for pair in reversed(g.padding) for end in pair]

    def convolution(x: Any, w: Any, b: Any = None) -> Any:
        padded = torch.nn.functional.pad(x, pads)
        return torch.nn.functional.conv2d(padded, w, b, g.stride, 0, g.dilation, g.groups)

    assert torch.autograd.gradcheck(convolution, leaves, fast_mode=fast)


def median_time(turn: Callable[[int], object], turns: int) -> float:
    times = []
    for k in range(turns):
        start = time.process_time()
        turn(k)
        times.append(time.process_time() - start)
    return statistics.median(times)


def test_judging_takes_no_longer_than_gradcheck() -> None:
    session = connect("python-numpy")
    clauses = [c for c in matching() if not c.variants]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    ours = slow = fast = 0.0
    try:
        with threadpoolctl.threadpool_limits(1):
            for p in covering_2d():
                judged = [list(judge(session, p.replace(seed=k), "benchmark", clauses)) for k in range(2)]
                assert all(j.status == "PASS" and j.grade == "EXACT" for js in judged for j in js)
                ours += median_time(
                    lambda k, p=p: list(judge(session, p.replace(seed=k), "benchmark", clauses)), 9
                )
                fast += median_time(lambda _, p=p: gradcheck(p, fast=True), 9)
                slow += median_time(lambda _, p=p: gradcheck(p, fast=False), 3)
    finally:
        torch.set_num_threads(before)
    n = len(covering_2d())
    mine, quick, thorough = (1e3 * t / n for t in (ours, fast, slow))
    print(f"\n{n} problems: ours {mine:.2f} ms, gradcheck fast {quick:.2f} ms, slow {thorough:.1f} ms")
    print(
        f"ours / slow = {ours / slow:.4f} (at most {SLOW}), ours / fast = {ours / fast:.2f} (at most {FAST})"
    )
    assert ours <= SLOW * slow
    assert ours <= FAST * fast
