"""All that the author of an adapter imports: `Adapter`, `Capabilities`, `Unsupported` (and `Arithmetic`, `Geometry`).

An adapter translates: from a `Geometry` and numpy arrays to the calls of an implementation, and its results back to
numpy.  What it cannot do it declares in `Capabilities`, as data; conditional rules go into `Adapter.unsupported`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from conformance.adapter.networks import Networks
from conformance.errors import AdapterBroken
from conformance.oracle.arithmetic import Arithmetic
from conformance.problem.dtypes import DTYPES, dtype_of
from conformance.problem.geometry import BIASES, CONVENTIONS, RANKS, Geometry
from conformance.problem.memory import MEMORIES
from conformance.problem.network import Network
from conformance.problem.operations import OPERATIONS, offered_by
from conformance.problem.problem import QUANTITIES

__all__ = ["PADDINGS", "Adapter", "Capabilities", "Unsupported"]

PADDINGS = ("none", "symmetric", "asymmetric", "negative")
"""Each includes those before it."""

Gradients = tuple[Any, Any, Any]


def _subset(name: str, values: Any, known: tuple[Any, ...], *, least: int = 1) -> frozenset[Any]:
    try:
        chosen = frozenset(values)
        shown = str(set(chosen)) if chosen else "{}"
    except TypeError:
        chosen, shown = frozenset({object()}), repr(values)
    if len(chosen) < least or not chosen <= set(known):
        kind = "non-empty set" if least else "set"
        raise AdapterBroken(
            f"Capabilities({name}={shown}): it must be a {kind} of {', '.join(map(str, known))}"
        )
    return chosen


def _codes(name: str, dtypes: Any) -> list[str]:
    try:
        return [dtype_of(d).code for d in dtypes]
    except (TypeError, ValueError) as error:
        raise AdapterBroken(f"Capabilities({name}={dtypes!r}): {error}") from None


def _check_layout(name: str, layout: Any, letters: str) -> None:
    spatial = re.sub(f"[{letters}]", "", str(layout))
    whole = isinstance(layout, str) and sorted(layout) == sorted(letters + spatial)
    if not whole or spatial not in ("DHW", "HW", "W") or spatial not in layout:
        raise AdapterBroken(
            f"Capabilities({name}={layout!r}): write {letters[0]} and {letters[1]} once each and the spatial axes "
            f"together, as HW, between or beside them"
        )


class Unsupported(Exception):  # noqa: N818  (it is an answer, not an error)
    """Raised by an adapter that finds out only while computing that it does not offer a problem; say why."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an implementation claims to do.  A claim that does not hold is a failure of the implementation.

    ranks: numbers of spatial axes.  dtypes: ``float64``, ``float32``, ``float16``, ``bfloat16``.
    stride, dilation, groups: more than 1?  padding: ``none``, ``symmetric`` (begin = end), ``asymmetric``, ``negative``.
    biases: of ``none``, ``tied`` (M,), ``untied`` (M, *O).  quantities: of ``y``, ``dx``, ``dw``, ``db``.
    convention: ``correlation``, ``convolution``, or ``both`` (the geometry says which).
    x_layout, w_layout: the axis order in which arrays are handed over and expected back: N, C and O, I are fixed
    letters, and the spatial axes are written D, H, W whatever their number: ``NHWC`` is batch, spatial axes, channels.
    y, delta and dx follow x_layout, dw follows w_layout; biases are never rearranged.
    empty_batch: is a batch of 0 items computed?
    memories: how operands may lie in memory (`conformance.problem.memory`); ``c`` is that of arrays without strides.
    network: what is offered of whole networks (`Networks`), by the method `network`; None: nothing.
    operations: what is offered besides, of ``transposed``, ``double_backward``, ``forward_mode``; each has its methods.
    arithmetic: how sums round: an `Arithmetic`; or one a dtype; or, for a dtype, one a quantity.  None, or a dtype that is
    left out: not declared; probes infer it.
    """

    ranks: frozenset[int] = frozenset({2})
    dtypes: frozenset[str] = frozenset({"f64"})
    stride: bool = False
    padding: str = "none"
    dilation: bool = False
    groups: bool = False
    biases: frozenset[str] = frozenset({"none", "tied"})
    quantities: frozenset[str] = frozenset(QUANTITIES)
    convention: str = "correlation"
    x_layout: str = "NCHW"
    w_layout: str = "OIHW"
    empty_batch: bool = False
    memories: frozenset[str] = frozenset(MEMORIES)
    network: Networks | None = None
    operations: frozenset[str] = frozenset()
    arithmetic: Arithmetic | Mapping[str, Arithmetic | Mapping[str, Arithmetic]] | None = None

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        for name, known in (
            ("ranks", RANKS),
            ("biases", BIASES),
            ("quantities", QUANTITIES),
            ("memories", MEMORIES),
        ):
            put(name, _subset(name, getattr(self, name), known))
        put("operations", _subset("operations", self.operations, OPERATIONS, least=0))
        put("dtypes", _subset("dtypes", _codes("dtypes", self.dtypes), tuple(DTYPES)))
        put("arithmetic", self._declared())
        if not isinstance(self.network, Networks | None):
            raise AdapterBroken(f"Capabilities(network={self.network!r}): it must be a Networks, or None")
        for name, known_words in (("padding", PADDINGS), ("convention", (*CONVENTIONS, "both"))):
            if getattr(self, name) not in known_words:
                raise AdapterBroken(
                    f"Capabilities({name}={getattr(self, name)!r}): it must be one of {', '.join(known_words)}"
                )
        for name, letters in (("x_layout", "NC"), ("w_layout", "OI")):
            _check_layout(name, getattr(self, name), letters)

    @property
    def conventions(self) -> tuple[str, ...]:
        return CONVENTIONS if self.convention == "both" else (self.convention,)

    @property
    def offered(self) -> frozenset[str]:
        """All quantities, those of the optional operations among them (``transposed.dx``, ...)."""
        return self.quantities | offered_by(self.operations)

    @property
    def features(self) -> frozenset[str]:
        """What is claimed of that which some clauses are about."""
        claims = {
            "groups": self.groups,
            "both conventions": self.convention == "both",
            "bias untied": "untied" in self.biases,
            "an empty batch": self.empty_batch,
        }
        return frozenset(name for name, claimed in claims.items() if claimed)

    def _declared(self) -> dict[str, dict[str, Arithmetic]]:
        """The declared classes: dtype code -> quantity -> class; a quantity that is left out has the weakest."""
        given: Any = {} if self.arithmetic is None else self.arithmetic
        if not isinstance(given, Mapping):
            given = dict.fromkeys(DTYPES, given)
        declared: dict[str, dict[str, Arithmetic]] = {}
        for code, named in zip(_codes("arithmetic", given), given.values(), strict=True):
            of = dict(named) if isinstance(named, Mapping) else dict.fromkeys(QUANTITIES, named)
            if not (set(of) <= set(QUANTITIES) and all(isinstance(a, Arithmetic) for a in of.values())):
                raise AdapterBroken(
                    f"Capabilities(arithmetic={self.arithmetic!r}): write an Arithmetic, or one a dtype, "
                    f"or for a dtype one a quantity ({', '.join(QUANTITIES)})"
                )
            declared[code] = {q: of.get(q, Arithmetic()) for q in QUANTITIES}
        return declared

    def arithmetic_of(self, dtype: str) -> Mapping[str, Arithmetic] | None:
        """The class of each quantity declared for a dtype's code; None: it is not declared."""
        declared: dict[str, dict[str, Arithmetic]] = self.arithmetic  # type: ignore[assignment]
        return declared.get(dtype)

    def refusal(self, g: Geometry, dtype: str) -> str | None:
        """Why a geometry in a dtype (a code) is not claimed; None if it is."""
        allowed = PADDINGS.index(self.padding)
        reasons = (
            (g.rank not in self.ranks, f"{g.rank} spatial {'axis' if g.rank == 1 else 'axes'}"),
            (dtype not in self.dtypes, dtype_of(dtype).name),
            (not self.stride and max(g.stride) > 1, "stride"),
            (not self.dilation and max(g.dilation) > 1, "dilation"),
            (not self.groups and g.groups > 1, "groups"),
            (padding_kind(g) > allowed, f"{PADDINGS[padding_kind(g)]} padding"),
            (g.bias not in self.biases, f"bias {g.bias}"),
            (g.convention not in self.conventions, g.convention),
            (g.batch == 0 and not self.empty_batch, "an empty batch"),
        )
        return next((f"{what} not claimed" for refused, what in reasons if refused), None)


def padding_kind(g: Geometry) -> int:
    """Index into PADDINGS of what a geometry needs."""
    if any(min(pair) < 0 for pair in g.padding):
        return 3
    if any(lo != hi for lo, hi in g.padding):
        return 2
    return int(any(lo for lo, _ in g.padding))


class Adapter:
    """Base of all adapters: subclass it, set `capabilities`, write `forward` and `backward`.

    routes: names of different ways through one library, each with a sentence; the first is the default.  The chosen one
    is `self.route`; override `capabilities` by a property where it depends on the route.
    """

    capabilities: Capabilities = Capabilities()
    routes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, route: str = "") -> None:
        self.route = route or next(iter(self.routes), "")

    def versions(self) -> Mapping[str, str]:
        """Names and versions of the libraries behind it, for the report's header."""
        return {}

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        """A reason if this geometry in this dtype (``float32``, ...) is not offered though the capabilities allow it."""
        return None

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y.  x, w, b are numpy arrays in the declared layouts; b is None without a bias."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        """(dx, dw, db); None for a quantity that is not offered, and for db without a bias."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        """(cost, deltas, gradients) of a whole network: see `conformance.adapter.networks`."""
        raise NotImplementedError(f"{type(self).__name__} has no network")

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        """The parameters after one step of gradient descent: see `conformance.adapter.networks`."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    # ---- optional operations: conformance.problem.operations says what each computes ----
    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y of the transposed convolution of `g`, of the shape of g's x; x has the shape of g's y, b is (C,) or None."""
        raise NotImplementedError(f"{type(self).__name__} has no transposed")

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Gradients:
        """Its (dx, dw, db): delta has the shape of g's x, dx that of g's y; None for db without a bias."""
        raise NotImplementedError(f"{type(self).__name__} has no transposed_backward")

    def double_backward(
        self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any
    ) -> tuple[Any, Any, Any]:
        """The derivatives of <dx, u> + <dw, v> + <db, r> by x, by w and by delta; a direction that is None is left out."""
        raise NotImplementedError(f"{type(self).__name__} has no double_backward")

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        """dy, the derivative of y along the directions u, v, r of x, w, b; one that is None is zero."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_mode")
