"""An adapter at work, asked by the suite: what it claims, and its answers in the suite's axis order.

Whatever happens to a call has a name: the implementation raised (`Raised`), its process died (`Died`), it did not answer
(`TimedOut`), the problem is not offered (`NotOffered`), or the adapter broke its contract (`AdapterBroken`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from conformance.adapter.layouts import from_adapter, to_adapter
from conformance.adapter.local import Local, described
from conformance.adapter.place import Call, Place, Whole
from conformance.adapter.protocol import Adapter, Capabilities
from conformance.errors import AdapterBroken, HarnessError
from conformance.oracle import Arithmetic
from conformance.problem import QUANTITIES, Geometry, dtype_of
from conformance.problem.network import NetworkProblem
from conformance.problem.operations import shape_of
from conformance.spec import Answer, NetworkAnswer, NetworkQuestion, NotOffered, Question

__all__ = ["TIME_LIMIT", "Session"]

Array = NDArray[Any]

TIME_LIMIT = 60.0
"""Seconds a call may take where nothing else is said: compilers need up to 30 for the first one of a shape."""


class Session:
    """One adapter under a name (``python-torch:autograd``), asked through `answer`.

    adapter: an object, to be asked in this process, or the `Place` where it is.  time_limit: seconds that one call may take.
    inferred: the arithmetic class that probes saw, dtype by dtype, where the adapter declares none.  kinks: sigma'(0) of its
    activations that have a kink there, as far as it was seen.
    """

    def __init__(self, adapter: Adapter | Place, name: str, *, time_limit: float = TIME_LIMIT) -> None:
        self.name = name
        self.place: Place = (
            Local(adapter, name, time_limit=time_limit) if isinstance(adapter, Adapter) else adapter
        )
        self.inferred: dict[str, Mapping[str, Arithmetic]] = {}
        self.kinks: dict[str, float] = {}
        self.capabilities = self.place.capabilities
        if not isinstance(self.capabilities, Capabilities):
            raise AdapterBroken(
                f"{name}: its capabilities are {described(self.capabilities)}, not Capabilities"
            )

    @property
    def route(self) -> str:
        """The route that is asked; '' where there are none."""
        return self.place.route

    @property
    def folder(self) -> Path | None:
        """Where the adapter's other files lie."""
        return self.place.folder

    @property
    def adapter(self) -> Adapter:
        """The object, if it is in this process."""
        if isinstance(self.place, Local):
            return self.place.adapter
        raise HarnessError(f"{self.name} is asked in a process of its own: there is no object")

    def close(self) -> None:
        """End its process, if it has one."""
        self.place.close()

    # ---- what it claims ----
    def refusal(self, g: Geometry, dtype: str) -> str | None:
        """Why a geometry in a dtype (a code) is not offered; None if it is."""
        claimed = self.capabilities.refusal(g, dtype)
        if claimed:
            return claimed
        try:
            reason = self.place.unsupported(g, dtype_of(dtype).name)
        except Exception as error:
            raise AdapterBroken(
                f"{self.name}: unsupported() raises {type(error).__name__}: {error}"
            ) from error
        if reason is not None and not isinstance(reason, str):
            raise AdapterBroken(
                f"{self.name}: unsupported() must return a reason or None, it returned {reason!r}"
            )
        return reason

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries behind the adapter."""
        try:
            return {str(k): str(v) for k, v in self.place.versions().items()}
        except (Exception, SystemExit) as error:
            raise AdapterBroken(f"{self.name}: versions() raises {type(error).__name__}: {error}") from error

    def arithmetic(self, dtype: str) -> Mapping[str, Arithmetic]:
        """The class of each quantity in a dtype (a code): as declared, else as inferred, else the weakest."""
        declared = self.capabilities.arithmetic_of(dtype)
        return declared or self.inferred.get(dtype) or dict.fromkeys(QUANTITIES, Arithmetic())

    # ---- what it answers ----
    def answer(self, question: Question) -> Answer:
        """One call.

        Raises:
            Raised: the implementation raised.  NotOffered: it does not do this problem.  AdapterBroken: the adapter's
                results are not what the protocol asks for.
        """
        refusal = self.refusal(question.geometry, dtype_of(question.operands.x.dtype).code)
        if refusal:
            raise NotOffered(refusal)
        return self.put(question)

    def put(self, question: Question) -> Answer:
        """One call, made even if the adapter does not claim it.

        Raises:
            TimedOut: it took longer than the time limit, or too many calls before it did.
        """
        able, call = self.capabilities, question.call
        if question.memory not in able.memories:
            raise NotOffered(f"memory {question.memory} not claimed")
        operands = {
            name: None if a is None else to_adapter(able, name, a) for name, a in question.handed().items()
        }
        returned = self.place.call(
            Call(
                method=call.method,
                geometry=question.geometry,
                operands=operands,
                memory=question.memory,
                spoil=question.spoil,
            )
        )
        results = dict(zip(map(call.quantity, call.gives), returned.results, strict=True))
        there = {q: r for q, r in results.items() if shape_of(question.geometry, q) is not None}
        named = self._named(there, call.method)
        return Answer(
            arrays={q: from_adapter(able, q, a) for q, a in named.items()},
            modified=returned.modified,
            shared=tuple(q for q in map(call.quantity, returned.aliased) if q in named),
        )

    def _named(self, results: Mapping[str, Array | None], method: str) -> dict[str, Array]:
        """The results that are offered; each must be there."""
        offered = {name: r for name, r in results.items() if name in self.capabilities.offered}
        for name, result in offered.items():
            if result is None:
                raise AdapterBroken(
                    f"{self.name}: {method} returned None for {name}, which its capabilities declare"
                )
        return {name: r for name, r in offered.items() if r is not None}

    # ---- whole networks ----
    def network_refusal(self, problem: NetworkProblem) -> str | None:
        """Why a network is not offered; None if it is."""
        able = self.capabilities.network
        if able is None:
            return "network not offered"
        refusals = (self.refusal(layer.geometry, problem.dtype) for layer in problem.network.layers)
        return able.refusal(problem.network) or next(filter(None, refusals), None)

    def network(self, question: NetworkQuestion) -> NetworkAnswer:
        """One call for a whole network, or (with a rate) for one step of its training; raises as `put` does."""
        able, o = self.capabilities, question.operands
        params = [(to_adapter(able, "w", w), b) for w, b in o.params]
        whole = Whole(
            network=question.network,
            x=to_adapter(able, "x", o.x),
            target=to_adapter(able, "y", o.target),
            params=params,
            rate=question.rate,
        )
        returned = self.place.network(whole)
        if question.rate is not None:
            return NetworkAnswer(params=self._pairs(returned, "w"))
        cost, deltas, gradients = returned
        return NetworkAnswer(
            cost=cost.reshape(()) if cost.size == 1 else cost,
            deltas=tuple(from_adapter(able, "delta", delta) for delta in deltas),
            gradients=self._pairs(gradients, "dw"),
        )

    def _pairs(self, pairs: list[tuple[Array, Array | None]], of_w: str) -> tuple[Any, ...]:
        return tuple((from_adapter(self.capabilities, of_w, w), b) for w, b in pairs)
