"""Two examples of the seed post in numbers, every delta followed with a finger: reports/walkthrough.md, generated.

One filter on one image (the post's pictures: 3x3 * 2x2), and a network of two such layers, forward, backward and one step.
All numbers are computed here, by what judges (`conformance.oracle`); regenerate with ``python -m conformance.report.walkthrough``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.oracle.network import Pass
from conformance.oracle.vectorised import Layer
from conformance.problem import Geometry, Problem
from conformance.problem.network import NetworkProblem
from conformance.spec.network import RATE

__all__ = ["ONE", "TWO", "text"]

Array = NDArray[Any]

ONE = "2d n1 c1 m1 i3x3 k2x2 conv bias=none f64 fill=small seed=4"
"""The post's pictures: a 3x3 image, a 2x2 filter."""
TWO = "net n1 in 1x4x4 | c1 k2x2 conv relu | c1 k2x2 conv identity | quadratic f64 seed=28"
"""The same filter size twice, with a relu between."""

_HEAD = """\
# The post's example, number by number

Generated from the code that judges (`python -m conformance.report.walkthrough`); a test checks that it is fresh. Everything is
true convolution, as the post writes it: the filter is rotated by 180 degrees before it slides. Row and column are counted
from 0.
"""


def text() -> str:
    """The whole page."""
    return _HEAD + "".join(_one_layer()) + "".join(_two_layers())


# ---- one layer ----
def _one_layer() -> Iterator[str]:
    problem = Problem.parse(ONE)
    g, o, layer = problem.geometry, problem.operands, Layer.of(problem.geometry, problem.operands)
    x, w, delta = (_map(a) for a in (o.x, o.w, o.delta))
    yield f"\n## One filter on one image\n\nThe problem `{problem}`.\n"
    yield "\n### Forward: z = w * a\n\n" + _side(a=x, w=w, **{"ROT180(w)": _turned(w), "z": _map(layer.y)})
    yield "\nROT180(w) slides over a; where it lies, the products are added:\n\n" + _told(
        "z", _forward(g, x, w), _map(layer.y)
    )
    yield "\n### Backward: the delta of the layer before\n\n"
    yield "delta of this layer came from above. Each of its elements goes back to the inputs that it was made of, along the\n"
    yield "weight by which it came; an input adds up what comes back to it:\n\n"
    yield _side(delta=delta, w=w, **{"dC/da": _map(layer.dx)})
    yield "\n" + _told("dC/da", _backward(g, delta, w), _map(layer.dx))
    yield "\nThat is the *full* convolution of delta with ROT180(w): the second rotation undoes the one of the convolution, so that\n"
    yield "the filter slides as it is written.\n"
    yield "\n### The gradient of the filter\n\nA weight w[a,b] met one input for each output; the products of those inputs with the outputs' deltas:\n\n"
    yield _told("dC/dw", _weights(g, x, delta), _map(layer.dw))


# ---- two layers ----
def _two_layers() -> Iterator[str]:
    problem = NetworkProblem.parse(TWO)
    p = Pass(problem.network, problem.operands, kink={})
    (w1, b1), (w2, b2) = problem.operands.params
    g1, g2 = (layer.geometry for layer in problem.network.layers)
    yield f"\n## Two layers\n\nThe problem `{problem}`: relu between the layers, C = 1/2 sum (a - t)^2 behind them.\n"
    yield "\n### 1, 2: input and feedforward\n\n" + _side(
        x=_map(p.a[0]), w1=_map(w1), z1=_map(p.z[0]), a1=_map(p.a[1])
    )
    yield f"\nz1 = w1 * x + b1 with b1 = {_number(b1[0])}: " + _first(
        "z1", _forward(g1, _map(p.a[0]), _map(w1)), _map(p.z[0]), b1[0]
    )
    yield "\n" + _side(w2=_map(w2), z2=_map(p.z[1]), a2=_map(p.a[2]), t=_map(p.target))
    yield f"\nz2 = w2 * a1 + b2 with b2 = {_number(b2[0])}: " + _first(
        "z2", _forward(g2, _map(p.a[1]), _map(w2)), _map(p.z[1]), b2[0]
    )
    yield "\n### 3: the output error, delta2 = (a2 - t) sigma'(z2)\n\n"
    yield (
        "The last layer has no activation: sigma' = 1. C is "
        + _number(p.cost)
        + ".\n\n"
        + _side(a2=_map(p.a[2]), t=_map(p.target), delta2=_map(p.deltas[1]))
    )
    yield "\n### 4: backpropagate, delta1 = (delta2 * ROT180(w2)) sigma'(z1)\n\n"
    handed = _map(p.handed_back(1, p.deltas[1]))
    yield _side(
        delta2=_map(p.deltas[1]),
        w2=_map(w2),
        **{"dC/da1": handed, "sigma'(z1)": _map(p.slope(1)), "delta1": _map(p.deltas[0])},
    )
    yield "\n" + _told("dC/da1", _backward(g2, _map(p.deltas[1]), _map(w2), ("delta2", "w2")), handed)
    yield "\nand where z1 was negative, relu let nothing through: delta1 is 0 there.\n"
    yield "\n### 5: the gradients\n\n"
    for number, (g, a, delta) in enumerate(zip((g1, g2), p.a, p.deltas, strict=False), start=1):
        dw, db = p.gradients[number - 1]
        yield _told(
            f"dC/dw{number}",
            _weights(g, _map(a), _map(delta), (f"delta{number}", ("x", "a1")[number - 1])),
            _map(dw),
        )
        yield f"\ndC/db{number} is the sum of delta{number}: {_number(_flat(db)[0])}\n\n"
    yield f"### And one step, w <- w - eta dC/dw with eta = {_number(RATE)}\n\n"
    for number, ((w, _), (dw, _)) in enumerate(zip(p.params, p.gradients, strict=True), start=1):
        yield (
            _side(**{f"w{number}": _map(w), f"dC/dw{number}": _map(dw), "after": _map(w - RATE * dw)}) + "\n"
        )


# ---- sums, as lists of (factor, factor) with their names ----
Terms = dict[tuple[int, int], list[tuple[str, float, str, float]]]


def _meetings(g: Geometry) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """(output, weight, input) of every product of a stride-1 convolution without padding."""
    rows, columns = g.kernel
    for o in itertools.product(*map(range, g.output)):
        for t in itertools.product(range(rows), range(columns)):
            yield (o[0], o[1]), t, (o[0] + rows - 1 - t[0], o[1] + columns - 1 - t[1])


def _forward(g: Geometry, a: Array, w: Array) -> Terms:
    terms: Terms = {}
    for o, t, i in _meetings(g):
        terms.setdefault(o, []).append((f"w{_at(t)}", w[t], f"a{_at(i)}", a[i]))
    return terms


def _backward(g: Geometry, delta: Array, w: Array, names: tuple[str, str] = ("delta", "w")) -> Terms:
    terms: Terms = {}
    for o, t, i in _meetings(g):
        terms.setdefault(i, []).append((f"{names[0]}{_at(o)}", delta[o], f"{names[1]}{_at(t)}", w[t]))
    return terms


def _weights(g: Geometry, a: Array, delta: Array, names: tuple[str, str] = ("delta", "a")) -> Terms:
    terms: Terms = {}
    for o, t, i in _meetings(g):
        terms.setdefault(t, []).append((f"{names[0]}{_at(o)}", delta[o], f"{names[1]}{_at(i)}", a[i]))
    return terms


def _told(name: str, terms: Terms, right: Array) -> str:
    """One line an element: its products, their numbers, and their sum, which is what judges say."""
    lines = []
    for at in sorted(terms):
        products = " + ".join(f"{a} {b}" for a, _, b, _ in terms[at])
        numbers = " + ".join(f"{_factor(x)}*{_factor(y)}" for _, x, _, y in terms[at])
        total = sum(x * y for _, x, _, y in terms[at])
        if total != right[at]:
            raise AssertionError(f"{name}{_at(at)} is {right[at]}, but its products sum to {total}")
        lines.append(f"    {name}{_at(at)} = {products}\n        = {numbers} = {_number(total)}\n")
    return "".join(lines)


def _first(name: str, terms: Terms, right: Array, bias: float) -> str:
    """The first element alone, with its bias."""
    products = terms[0, 0]
    total = sum(x * y for _, x, _, y in products) + bias
    if total != right[0, 0]:
        raise AssertionError(f"{name}[0,0] is {right[0, 0]}, but its products sum to {total}")
    numbers = " + ".join(f"{_factor(x)}*{_factor(y)}" for _, x, _, y in products)
    return f"`{name}[0,0] = {numbers} + {_factor(bias)} = {_number(total)}`, and so on.\n"


# ---- layout ----
def _map(a: Any) -> Array:
    """The one map of one item."""
    values: Array = np.asarray(a).astype(np.float64).reshape(a.shape[-2:])
    return values


def _flat(a: Any) -> Array:
    return np.asarray(a).ravel()


def _turned(w: Array) -> Array:
    return w[::-1, ::-1]


def _at(place: tuple[int, ...]) -> str:
    return f"[{place[0]},{place[1]}]"


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.10g}"  # -0 is 0 here


def _factor(value: float) -> str:
    return f"({_number(value)})" if value < 0 else _number(value)


def _side(**maps: Array) -> str:
    """Maps beside each other, each under its name."""
    columns = []
    for name, a in maps.items():
        rows = [[_number(v) for v in row] for row in a]
        width = max(len(v) for row in rows for v in row)
        lines = [name, *(" ".join(v.rjust(width) for v in row) for row in rows)]
        columns.append([line.ljust(max(map(len, lines))) for line in lines])
    deep = max(map(len, columns))
    filled = [column + [" " * len(column[0])] * (deep - len(column)) for column in columns]
    return "".join(f"    {'    '.join(row)}".rstrip() + "\n" for row in zip(*filled, strict=True))


if __name__ == "__main__":
    Path("reports/walkthrough.md").write_text(text(), encoding="utf-8")
