"""What an adapter says of whole networks (`Networks`), and what it hands back of one, unpacked.

    def network(self, net, x, target, params):      # -> cost, [delta^1, ...], [(dw^1, db^1), ...]
    def step(self, net, x, target, params, rate):   # -> [(w^1, b^1), ...], moved by -rate times the gradient

net: a `Network`; `net.layers[l].geometry`, `.activation`, `.slope` (of leaky) and `net.cost` say all.  x and target are in
x_layout, params one (w, b) a layer (b None without a bias), w in w_layout.  The cost C is the SUM over batch items, maps
and positions of 1/2 (a - target)^2, or of the cross-entropy (see `conformance.problem.network`), never a mean, and summed
from plain products.  Deltas are the gradients of C by the weighted inputs z^l, in x_layout; gradients are those of C by w
and b (None without a bias).  `step` is one step of plain gradient descent, by whatever optimizer the implementation has.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conformance.errors import AdapterBroken
from conformance.problem.geometry import RANKS
from conformance.problem.network import ACTIVATIONS, COSTS, Network

__all__ = ["Networks", "gradients_of", "results_of"]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What an adapter offers of whole networks, of layers that its `Capabilities` allow.

    activations: of ``identity``, ``relu``, ``leaky``, ``sigmoid``, ``tanh``, ``softplus``, ``softmax`` (last layer, with
    cross-entropy).  costs: of ``quadratic``, ``cross-entropy`` (after sigmoid or softmax).  ranks: numbers of spatial axes.
    step: is there a method `step`?

    Raises:
        AdapterBroken: a name that is not known.
    """

    activations: frozenset[str] = frozenset({"identity"})
    costs: frozenset[str] = frozenset({"quadratic"})
    ranks: frozenset[int] = frozenset(RANKS)
    step: bool = False

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        for name, known in (("activations", ACTIVATIONS), ("costs", COSTS), ("ranks", RANKS)):
            chosen = frozenset(getattr(self, name))
            if not chosen or not chosen <= set(known):
                raise AdapterBroken(
                    f"Networks({name}={sorted(chosen)}): it must be a non-empty set of {', '.join(map(str, known))}"
                )
            put(name, chosen)

    @property
    def methods(self) -> frozenset[str]:
        return frozenset({"network", "step"} if self.step else {"network"})

    def refusal(self, net: Network) -> str | None:
        """Why a network is not claimed, its layers apart; None if it is."""
        rank = net.layers[0].geometry.rank
        reasons = [
            (rank not in self.ranks, f"networks of {rank} spatial {'axis' if rank == 1 else 'axes'}"),
            (net.cost not in self.costs, net.cost),
        ]
        reasons += [(a not in self.activations, a) for a in net.activations]
        return next((f"{what} not claimed" for refused, what in reasons if refused), None)


def results_of(name: str, net: Network, returned: Any) -> tuple[Any, Sequence[Any], list[tuple[Any, Any]]]:
    """(cost, deltas, gradients) as `network` returned them.

    Raises:
        AdapterBroken: they are not three, not one a layer, or not in pairs.
    """
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise AdapterBroken(f"{name}: network must return (cost, deltas, gradients), not {_kind(returned)}")
    cost, deltas, gradients = returned
    _counted(name, "deltas", net, deltas)
    return cost, deltas, gradients_of(name, "gradients", net, gradients)


def gradients_of(name: str, what: str, net: Network, pairs: Any) -> list[tuple[Any, Any]]:
    """One (w, b) or (dw, db) a layer; raises AdapterBroken if it is something else, or None where there is a bias."""
    _counted(name, what, net, pairs)
    for number, (pair, layer) in enumerate(zip(pairs, net.layers, strict=True), start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise AdapterBroken(
                f"{name}: {what} of layer {number} must be a pair (of w, of b), not {_kind(pair)}"
            )
        if pair[0] is None or (pair[1] is None) != (layer.geometry.bias == "none"):
            raise AdapterBroken(
                f"{name}: {what} of layer {number} must have an array of w, and one of b if there is a bias "
                f"(bias={layer.geometry.bias}), else None"
            )
    return [(w, b) for w, b in pairs]


def _counted(name: str, what: str, net: Network, values: Any) -> None:
    if not isinstance(values, tuple | list) or len(values) != len(net.layers):
        raise AdapterBroken(
            f"{name}: {what} must be a list of one a layer ({len(net.layers)}), not {_kind(values)}"
        )


def _kind(value: Any) -> str:
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list) else kind
