"""A conformance suite for the backpropagation of convolutional layers.

The folders tell the story: a problem is drawn (`problem`), an adapter computes it (`adapter`), the oracle says what is
right and how far rounding may stray (`oracle`), clauses judge (`spec`), the engine runs (`engine`), reports show (`report`).

What the author of an adapter needs stands here; it is imported on first use, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.adapter.networks import Networks
    from conformance.adapter.protocol import Adapter, Capabilities, Unsupported
    from conformance.oracle.arithmetic import Arithmetic
    from conformance.problem import Geometry, Problem
    from conformance.problem.network import Network

__all__ = [
    "Adapter",
    "Arithmetic",
    "Capabilities",
    "Geometry",
    "Network",
    "Networks",
    "Problem",
    "Unsupported",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "conformance.adapter.protocol",
    "Arithmetic": "conformance.oracle.arithmetic",
    "Capabilities": "conformance.adapter.protocol",
    "Geometry": "conformance.problem",
    "Network": "conformance.problem.network",
    "Networks": "conformance.adapter.networks",
    "Problem": "conformance.problem",
    "Unsupported": "conformance.adapter.protocol",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
