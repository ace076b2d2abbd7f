from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from conformance.adapter.local import spoil
from conformance.adapter.place import Call
from conformance.spec import Case
from conformance.spec.hygiene import sizes


@pytest.mark.parametrize("q", ["y", "dx", "dw", "db"])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_poisoned_memory_is_what_the_next_result_of_that_size_gets(
    q: str, dtype: str, case_of: Callable[..., Case]
) -> None:
    """numpy hands small blocks out again, the last freed first: without that, clause HYG-5 would see nothing."""
    case = case_of(f"2d n2 c3 m2 i4x5 k2x3 bias=untied {dtype}")
    operands = {"x": np.zeros(1, case.problem.format.numpy)}
    spoil(Call(method="forward", geometry=case.g, operands=operands, spoil=sizes(case, q)))
    assert np.isnan(np.empty(case.g.shape_of(q) or (), case.problem.format.numpy)).all()
