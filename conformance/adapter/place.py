"""Where an adapter runs: in this process (`local`) or in one of its own (`remote`).  A `Session` asks either alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from conformance.adapter.protocol import Capabilities
from conformance.problem import Geometry
from conformance.problem.network import Network

__all__ = ["Call", "Place", "Returned", "Whole"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of a layer's method.

    operands: by name, in the adapter's axis order; None: there is none.  memory: how they shall lie when the
    implementation sees them.  spoil: numbers of elements of blocks that shall have held NaN before.
    """

    method: str
    geometry: Geometry
    operands: Mapping[str, Array | None]
    memory: str = "c"
    spoil: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Returned:
    """What a call gave: results in the method's order, None where there is none; operands modified, results aliased."""

    results: tuple[Array | None, ...]
    modified: tuple[str, ...] = ()
    aliased: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Whole:
    """A whole network with its operands, in the adapter's axis order; rate: of a step of descent, else None."""

    network: Network
    x: Array
    target: Array
    params: list[tuple[Array, Array | None]]
    rate: float | None = None


class Place(Protocol):
    """One adapter at work.

    Calls raise `Raised` (the implementation did), `NotOffered`, `TimedOut`, `Died` or `AdapterBroken`.
    """

    capabilities: Capabilities
    route: str
    deaths: int
    """Times that the process ended or was ended without an answer, since `anew`."""

    @property
    def folder(self) -> Path | None:
        """That of the adapter's file, where it has one: other files about it lie beside it."""

    def versions(self) -> Mapping[str, Any]:
        """Names and versions of the libraries behind it."""

    def unsupported(self, g: Geometry, dtype: str) -> Any:
        """The adapter's conditional rule on a geometry that its capabilities allow."""

    def call(self, call: Call) -> Returned:
        """One call of a layer's method."""

    def network(self, whole: Whole) -> Any:
        """(cost, deltas, gradients) of a whole network, or with a rate the moved parameters: arrays, in lists, in pairs."""

    def anew(self) -> None:
        """From here on as if it had not been asked before: what follows is the same in a run that was resumed here."""

    def grant(self, deaths: int) -> bool:
        """Let it die so many times in a row from here on.  False where it cannot be started again."""

    def close(self) -> None:
        """End it."""
