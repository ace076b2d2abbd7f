"""Times are compared on one thread each, in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

try:
    import torch
except ImportError:
    torch = None
try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None


@pytest.fixture
def one_thread() -> Iterator[str]:
    """One thread for NumPy's BLAS, and for PyTorch where it is; says whether the first could be had."""
    before = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    limited = contextlib.nullcontext() if threadpool_limits is None else threadpool_limits(1)
    with limited:
        yield "one thread each" if threadpool_limits else "NumPy NOT limited to one thread: no threadpoolctl"
    if torch:
        torch.set_num_threads(before)
