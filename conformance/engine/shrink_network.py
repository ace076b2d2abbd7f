"""The smallest network that still fails: one thing made simpler at a time, for as long as it fails."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from conformance.errors import GeometryError
from conformance.problem import Geometry
from conformance.problem.network import Network, NetworkProblem

__all__ = ["shrunk_network"]

OWN = ("maps", "kernel", "stride", "padding", "dilation", "groups", "convention", "bias")
SIMPLEST: dict[str, Any] = {
    "activation": "identity",
    "padding": ((0, 0),),
    "stride": (1,),
    "dilation": (1,),
    "groups": 1,
    "convention": "correlation",
    "bias": "none",
    "maps": 1,
}


def shrunk_network(
    problem: NetworkProblem, fails: Callable[[NetworkProblem], bool], *, tries: int = 200
) -> NetworkProblem:
    """A problem for which `fails` holds, none of whose simpler neighbours fails too; at worst `problem` itself.

    tries: an upper limit on calls of `fails`, which bounds the time.
    """
    best, asked = problem, 0
    while True:
        for candidate in _simpler(best):
            asked += 1
            if asked > tries:
                return best
            if fails(candidate):
                best = candidate
                break
        else:
            return best


def _simpler(p: NetworkProblem) -> Iterator[NetworkProblem]:
    """Layers first, then sizes, then features, then data; never the problem itself, and never impossible ones."""
    layers = [_own(p.network, number) for number in range(len(p.network.layers))]
    first = p.network.layers[0].geometry
    for number in range(len(layers)):
        yield from _built(p, first, layers[:number] + layers[number + 1 :])
    for smaller in (replace(first, batch=1), replace(first, channels=1, groups=1)):
        if smaller != first:
            yield from _built(p, smaller, layers)
    for simpler in _simpler_layers(layers):
        yield from _built(p, first, simpler)
    for axis, n in enumerate(first.size):
        for size in sorted({n // 2, n - 1} - {0}):
            with contextlib.suppress(GeometryError):
                yield from _built(p, replace(first, size=_with(first.size, axis, size)), layers)
    if p.fill == "kinks":
        yield p.replace(fill="unit")


def _simpler_layers(layers: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """One feature of one layer left out, then one kernel one smaller."""
    for (name, simplest), (number, layer) in itertools.product(SIMPLEST.items(), enumerate(layers)):
        if layer[name] != _like(simplest, layer[name]):
            yield _changed(layers, number, {name: simplest})
    for number, layer in enumerate(layers):
        for axis, k in enumerate(layer["kernel"]):
            if k > 1:
                yield _changed(layers, number, {"kernel": _with(layer["kernel"], axis, k - 1)})


def _own(net: Network, number: int) -> dict[str, Any]:
    layer = net.layers[number]
    return {
        **{name: getattr(layer.geometry, name) for name in OWN},
        "activation": layer.activation,
        "slope": layer.slope,
    }


def _like(simplest: Any, value: Any) -> Any:
    """The simplest value, one an axis where there is one an axis."""
    return simplest * len(value) if isinstance(value, tuple) and len(simplest) == 1 else simplest


def _with(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])


def _changed(layers: list[dict[str, Any]], number: int, changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**layer, **changes} if k == number else layer for k, layer in enumerate(layers)]


def _built(p: NetworkProblem, first: Geometry, layers: list[dict[str, Any]]) -> Iterator[NetworkProblem]:
    """The problem of these layers, if it is possible and keeps its fill."""
    with contextlib.suppress(GeometryError):
        plain = Geometry(batch=first.batch, channels=first.channels, size=first.size, kernel=(1,))
        yield p.replace(network=Network.stacked(plain, layers, p.network.cost))
