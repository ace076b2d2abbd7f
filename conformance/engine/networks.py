"""Networks for a run: the named ones, the nearest that an adapter offers, and drawn ones beyond them.

``corpus/networks.txt``: ``<id> <line>``, as the other corpora; sizes are distinct everywhere, so that nothing is symmetric.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.errors import Unsatisfiable

from conformance.adapter.networks import Networks
from conformance.adapter.session import Session
from conformance.engine.corpus import entries
from conformance.engine.fit import claimed
from conformance.engine.strategies import networks
from conformance.errors import GeometryError
from conformance.problem.network import KINKED, Network, NetworkProblem

__all__ = ["NamedNetwork", "drawn_networks", "fitted_network", "network_corpus", "parse_networks"]

OWN = ("maps", "kernel", "stride", "padding", "dilation", "groups", "convention", "bias")


@dataclass(frozen=True, kw_only=True)
class NamedNetwork:
    """A network problem and where it comes from."""

    id: str
    problem: NetworkProblem


@functools.cache
def network_corpus() -> tuple[NamedNetwork, ...]:
    """The named ones."""
    text = resources.files("conformance.engine").joinpath("corpus/networks.txt").read_text(encoding="utf-8")
    return tuple(parse_networks(text, "networks.txt"))


def parse_networks(text: str, source: str) -> Iterator[NamedNetwork]:
    """The problems of a corpus file of networks: see `entries`."""
    return (NamedNetwork(id=id_, problem=p) for id_, p in entries(text, source, NetworkProblem.parse))


def fitted_network(problem: NetworkProblem, session: Session) -> NetworkProblem:
    """The problem itself if the adapter offers it; else the nearest one that it claims, feature by feature.

    Ranks are never changed.  Where nothing near is possible, the problem comes back as it was (and will be UNSUPPORTED).
    """
    able = session.capabilities.network
    if able is None or session.network_refusal(problem) is None:
        return problem
    claimed_dtype = problem.dtype in session.capabilities.dtypes
    for network in _nearer(problem.network, session, able):
        with contextlib.suppress(GeometryError):
            net = network()
            alike = net.piecewise_linear == problem.network.piecewise_linear
            near = NetworkProblem(
                network=net,
                dtype=problem.dtype if claimed_dtype else _dtype(session),
                fill=problem.fill if alike else "",  # the usual one
                seed=problem.seed,
            )
            if session.network_refusal(near) is None:
                return near
    return problem


def _dtype(session: Session) -> str:
    return "f32" if "f32" in session.capabilities.dtypes else "f64"


def _nearer(net: Network, session: Session, able: Networks) -> Iterator[Any]:
    """Thunks of networks: what is not claimed left out; then strides, dilations, groups and padding too."""
    plain: dict[str, Any] = {"stride": (1,), "dilation": (1,), "padding": ((0, 0),)}
    for simpler in ({}, {"dilation": (1,)}, plain, {**plain, "groups": 1}):
        yield functools.partial(_rebuilt, net, session, able, simpler)


def _rebuilt(net: Network, session: Session, able: Networks, simpler: dict[str, Any]) -> Network:
    cost = (
        net.cost
        if net.cost in able.costs
        else next(c for c in ("quadratic", "cross-entropy") if c in able.costs)
    )
    layers = []
    for layer in net.layers:
        g = claimed(layer.geometry, session.capabilities)
        own = {name: getattr(g, name) for name in OWN} | simpler
        if "groups" in simpler:
            own["maps"] = layer.geometry.maps
        last = layer is net.layers[-1]
        layers.append(
            {**own, "slope": layer.slope, "activation": _activation(layer.activation, able, cost, last=last)}
        )
    return Network.stacked(net.layers[0].geometry, layers, cost)


def _activation(wanted: str, able: Networks, cost: str, *, last: bool) -> str:
    """The activation itself, or the first one like it that is claimed and that may stand there."""
    ends = ("sigmoid", "softmax")
    order: tuple[str, ...] = (wanted, *KINKED, "identity", "tanh", "sigmoid", "softplus")
    if last and cost == "cross-entropy":
        order = tuple(a for a in (wanted, *ends) if a in ends)
    elif wanted == "softmax":
        order = order[1:]
    return next((a for a in order if a in able.activations), wanted)


def drawn_networks(session: Session, count: int, seed: int) -> list[NetworkProblem]:
    """`count` problems that the adapter offers, drawn by Hypothesis from `seed`."""
    found: list[NetworkProblem] = []
    if not count or session.capabilities.network is None:
        return found

    @hypothesis_seed(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(networks(session.capabilities, offered=lambda p: session.network_refusal(p) is None))
    def collect(problem: NetworkProblem) -> None:
        found.append(problem)

    with contextlib.suppress(Unsatisfiable):
        collect()
    return list(itertools.islice(dict.fromkeys(found), count))
