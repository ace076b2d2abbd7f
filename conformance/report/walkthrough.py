"""Two examples of the seed post in numbers, every delta followed with a finger: reports/walkthrough.md, generated.

One filter on one image (the post's pictures: 3x3 * 2x2), and a network of two such layers, forward, backward and one step.
All numbers are computed by what judges (`conformance.oracle`); regenerate with ``python -m conformance.report.walkthrough``.
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

Generated from the code that judges (`python -m conformance.report.walkthrough`); a test checks that it is fresh. Everything
is true convolution, as the post writes it: the filter is rotated by 180 degrees before it slides. Row and column are
counted from 0.
"""


def text() -> str:
    """The whole page."""
    return _HEAD + "".join(_one_layer()) + "".join(_two_layers())


# ---- one layer ----
_BACKWARD = """
### Backward: the delta of the layer before

delta of this layer came from above. Each of its elements goes back to the inputs that it was made of, along the weight
by which it came; an input adds up what comes back to it:

"""
_FULL = """
That is the *full* convolution of delta with ROT180(w): the second rotation undoes the one of the convolution, so that
the filter slides as it is written.

### The gradient of the filter

A weight met one input for each output; the products of those inputs with the outputs' deltas:

"""


def _one_layer() -> Iterator[str]:
    problem = Problem.parse(ONE)
    g, o, layer = problem.geometry, problem.operands, Layer.of(problem.geometry, problem.operands)
    x, w, delta, z = (_map(a) for a in (o.x, o.w, o.delta, layer.y))
    yield f"\n## One filter on one image\n\nThe problem `{problem}`.\n\n### Forward: z = w * a\n\n"
    yield _side({"a": x, "w": w, "ROT180(w)": w[::-1, ::-1], "z": z})
    yield "\nROT180(w) slides over a; where it lies, the products are added:\n\n"
    yield _told("z", _forward(g, x, w, ("w", "a")), z)
    yield _BACKWARD + _side({"delta": delta, "w": w, "dC/da": _map(layer.dx)}) + "\n"
    yield _told("dC/da", _backward(g, delta, w, ("delta", "w")), _map(layer.dx))
    yield _FULL + _told("dC/dw", _weights(g, x, delta, ("delta", "a")), _map(layer.dw))


# ---- two layers ----
def _two_layers() -> Iterator[str]:
    problem = NetworkProblem.parse(TWO)
    p = Pass(problem.network, problem.operands, kink={})
    x, a1, a2 = map(_map, p.a)
    z1, z2 = map(_map, p.z)
    w1, w2 = (_map(w) for w, _ in p.params)
    b1, b2 = (float(np.ravel(b)[0]) for _, b in p.params if b is not None)
    g1, g2 = (layer.geometry for layer in problem.network.layers)
    t, (delta1, delta2), slope = _map(p.target), map(_map, p.deltas), _map(p.slope(1))
    handed = _map(p.handed_back(1, p.deltas[1]))
    yield f"\n## Two layers\n\nThe problem `{problem}`:\nrelu between the layers, C = 1/2 sum (a - t)^2 behind them.\n"
    yield "\n### 1, 2: input and feedforward\n\n" + _side({"x": x, "w1": w1, "z1": z1, "a1": a1})
    yield f"\nz1 = w1 * x + b1 with b1 = {_number(b1)}: {_first('z1', _forward(g1, x, w1, ('w1', 'x')), z1, b1)}"
    yield "\n" + _side({"w2": w2, "z2": z2, "a2": a2, "t": t})
    yield f"\nz2 = w2 * a1 + b2 with b2 = {_number(b2)}: {_first('z2', _forward(g2, a1, w2, ('w2', 'a1')), z2, b2)}"
    yield "\n### 3: the output error, delta2 = (a2 - t) sigma'(z2)\n\n"
    yield f"The last layer has no activation: sigma' = 1. C is {_number(p.cost)}.\n\n"
    yield _side({"a2": a2, "t": t, "delta2": delta2})
    yield "\n### 4: backpropagate, delta1 = (delta2 * ROT180(w2)) sigma'(z1)\n\n"
    yield _side({"delta2": delta2, "w2": w2, "dC/da1": handed, "sigma'(z1)": slope, "delta1": delta1}) + "\n"
    yield _told("dC/da1", _backward(g2, delta2, w2, ("delta2", "w2")), handed)
    yield "\nand where z1 was negative, relu let nothing through: delta1 is 0 there.\n\n### 5: the gradients\n\n"
    yield _told("dC/dw1", _weights(g1, x, delta1, ("delta1", "x")), _map(p.gradients[0][0]))
    yield f"\ndC/db1 is the sum of delta1: {_number(delta1.sum())}\n\n"
    yield _told("dC/dw2", _weights(g2, a1, delta2, ("delta2", "a1")), _map(p.gradients[1][0]))
    yield f"\ndC/db2 is the sum of delta2: {_number(delta2.sum())}\n"
    yield f"\n### And one step, w <- w - eta dC/dw with eta = {_number(RATE)}\n"
    for number, (w, (dw, _)) in enumerate(zip((w1, w2), p.gradients, strict=True), start=1):
        yield "\n" + _side({f"w{number}": w, f"dC/dw{number}": _map(dw), "after": w - RATE * _map(dw)})


# ---- sums, as lists of (factor, factor) with their names ----
Terms = dict[tuple[int, int], list[tuple[str, float, str, float]]]


def _meetings(g: Geometry) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """(output, weight, input) of every product of a stride-1 convolution without padding."""
    rows, columns = g.kernel
    for o in itertools.product(*map(range, g.output)):
        for t in itertools.product(range(rows), range(columns)):
            yield (o[0], o[1]), t, (o[0] + rows - 1 - t[0], o[1] + columns - 1 - t[1])


def _forward(g: Geometry, a: Array, w: Array, names: tuple[str, str]) -> Terms:
    terms: Terms = {}
    for o, t, i in _meetings(g):
        terms.setdefault(o, []).append((f"{names[0]}{_at(t)}", w[t], f"{names[1]}{_at(i)}", a[i]))
    return terms


def _backward(g: Geometry, delta: Array, w: Array, names: tuple[str, str]) -> Terms:
    terms: Terms = {}
    for o, t, i in _meetings(g):
        terms.setdefault(i, []).append((f"{names[0]}{_at(o)}", delta[o], f"{names[1]}{_at(t)}", w[t]))
    return terms


def _weights(g: Geometry, a: Array, delta: Array, names: tuple[str, str]) -> Terms:
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


def _at(place: tuple[int, ...]) -> str:
    return f"[{place[0]},{place[1]}]"


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.10g}"  # -0 is 0 here


def _factor(value: float) -> str:
    return f"({_number(value)})" if value < 0 else _number(value)


def _side(maps: dict[str, Array]) -> str:
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
