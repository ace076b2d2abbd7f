"""Transposed convolution, double backward and forward mode: the sums of terms against other derivations, bit for bit.

Index sums over Python integers, which know nothing of terms: every product of the convolution joins an element of x, one
of w and one of y, and each result of an operation collects its share of it.  Exact differences: L and y are polynomials of
degree two, so steps of any size give their derivatives without a limit.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from agreement.test_derivations import some_geometry
from conformance.oracle import Arithmetic, FurtherExpectation, compare
from conformance.oracle.definition import compute, products
from conformance.oracle.operations import exact
from conformance.problem import DTYPES, Geometry, Operands, Problem
from conformance.problem.operations import FURTHER, shape_of
from conformance.reference import directional, second_order, transposed, transposed_gradients

SEEDS = range(60)
DIRECTIONS = ("u", "v", "r")
READS = {
    "transposed.y": "w delta c",
    "transposed.dx": "w x",
    "transposed.dw": "delta x",
    "transposed.db": "x",
    "double_backward.dx": "v delta",
    "double_backward.dw": "u delta",
    "double_backward.ddelta": "u w x v r",
    "forward_mode.dy": "u w x v r",
}
"""The operands of each quantity, as the problem knows them."""


def geometry(seed: int) -> Geometry:
    return some_geometry(random.Random(seed).randint)


def operands(g: Geometry, seed: int) -> Operands:
    """Integers between -99 and 99 for everything that any operation reads."""
    rng = np.random.default_rng(seed)
    shapes = {name: g.shape_of(name) for name in ("x", "w", "b", "delta", "u", "v", "r", "c")}
    drawn: dict[str, Any] = {
        name: None if shape is None else rng.integers(-99, 100, shape).astype(np.float64)
        for name, shape in shapes.items()
    }
    return Operands(**drawn)


def index_sums(g: Geometry, o: Operands) -> dict[str, Any]:
    """Every quantity, product by product; a direction that is None is zero."""
    exact_: dict[str, Any] = {}
    for name in ("x", "w", "delta", "u", "v"):
        a = getattr(o, name)
        shape = g.shape_of(name) or ()
        exact_[name] = np.zeros(shape, object) if a is None else a.astype(int).astype(object)
    x, w, delta, u, v = exact_.values()
    out = {q: np.zeros(shape_of(g, q) or (), object) for q in FURTHER}
    for i, t, j in products(g):
        out["transposed.y"][i] += w[t] * delta[j]
        out["transposed.dx"][j] += w[t] * x[i]
        out["transposed.dw"][t] += delta[j] * x[i]
        out["double_backward.dx"][i] += v[t] * delta[j]
        out["double_backward.dw"][t] += u[i] * delta[j]
        out["forward_mode.dy"][j] += w[t] * u[i] + v[t] * x[i]
    for i in np.ndindex(*g.x_shape):
        if o.c is not None:
            out["transposed.y"][i] += int(o.c[i[1]])
            out["transposed.db"][i[1]] += x[i]
    for j in np.ndindex(*g.y_shape):
        if o.r is not None:
            out["forward_mode.dy"][j] += int(o.r[j[1:] if g.bias == "untied" else j[1]])
    out["double_backward.ddelta"] = out["forward_mode.dy"]
    return {q: a for q, a in out.items() if shape_of(g, q) is not None}


def agree(g: Geometry, o: Operands) -> None:
    for q, right in index_sums(g, o).items():
        got = exact(g, o, q)
        assert got.shape == right.shape == shape_of(g, q), q
        assert np.array_equal(got, right.astype(np.float64)), (q, g)


# ---- the index sums ----
@pytest.mark.parametrize("seed", SEEDS)
def test_the_terms_are_the_index_sums(seed: int) -> None:
    g = geometry(seed)
    agree(g, operands(g, seed))


@pytest.mark.parametrize("absent", [("u",), ("v",), ("r",), ("u", "v"), ("v", "r"), ("u", "r")], ids="".join)
def test_a_direction_that_is_none_is_zero(absent: tuple[str, ...]) -> None:
    for seed in range(100, 112):
        g = geometry(seed)
        agree(g, operands(g, seed).replace(**dict.fromkeys(absent)))


def test_the_index_sums_tell_all_quantities_apart() -> None:
    """Otherwise they could not tell a term from another."""
    g = Geometry(
        batch=2,
        channels=4,
        maps=4,
        groups=2,
        size=(6, 5),
        kernel=(2, 3),
        stride=(2, 1),
        padding=((1, 0), (0, 2)),
    )
    o = operands(g, 0)
    whole = index_sums(g, o)
    for name in ("x", "w", "delta", "u", "v", "r", "c"):
        other = index_sums(g, o.replace(**{name: 2 * getattr(o, name)}))
        for q, read in READS.items():
            assert (name in read.split()) == (not np.array_equal(whole[q], other[q])), (name, q)


# ---- exact differences ----
def dot(a: Any, b: Any) -> int:
    return (
        0
        if a is None or b is None
        else int((a.astype(int).astype(object) * b.astype(int).astype(object)).sum())
    )


def of_l(g: Geometry, o: Operands) -> int:
    """L = <dx, u> + <dw, v> + <db, r>."""
    plain = compute(g, o)
    return dot(plain.dx, o.u) + dot(plain.dw, o.v) + dot(plain.db, o.r)


@pytest.mark.parametrize("seed", range(20))
def test_double_backward_is_an_exact_difference_of_the_backward_pass(seed: int) -> None:
    g = geometry(seed)
    o, step = operands(g, seed), operands(g, seed + 1000)
    for name, q in (("x", "dx"), ("w", "dw"), ("delta", "ddelta")):
        along = getattr(step, name)
        moved = of_l(g, o.replace(**{name: getattr(o, name) + along})) - of_l(g, o)
        assert moved == dot(exact(g, o, f"double_backward.{q}"), along), (name, g)


@pytest.mark.parametrize("seed", range(20))
def test_forward_mode_is_an_exact_central_difference(seed: int) -> None:
    """y is a polynomial of degree two: (y(1) - y(-1)) / 2 is its derivative at 0."""
    g = geometry(seed)
    o = operands(g, seed)
    assert o.u is not None
    assert o.v is not None
    ends = []
    for sign in (1, -1):
        b = None if o.b is None or o.r is None else o.b + sign * o.r
        ends.append(compute(g, o.replace(x=o.x + sign * o.u, w=o.w + sign * o.v, b=b)).y)
    twice = np.asarray(ends[0] - ends[1], object)
    assert np.array_equal(2 * exact(g, o, "forward_mode.dy"), twice.astype(np.float64))


# ---- the bundled implementation ----
@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_computes_the_same(seed: int) -> None:
    g = geometry(seed)
    o = operands(g, seed)
    options: dict[str, Any] = {
        "stride": g.stride,
        "padding": g.padding,
        "dilation": g.dilation,
        "groups": g.groups,
        "convention": g.convention,
    }
    got = {"transposed.y": transposed(o.delta, o.w, o.c, size=g.size, **options)}
    gradients = transposed_gradients(o.delta, o.w, o.c, o.x, **options)
    got |= dict(zip(("transposed.dx", "transposed.dw", "transposed.db"), gradients, strict=True))
    second = second_order(o.x, o.w, o.delta, o.u, o.v, o.r, **options)
    names = ("double_backward.dx", "double_backward.dw", "double_backward.ddelta")
    got |= dict(zip(names, second, strict=True))
    got["forward_mode.dy"] = directional(o.x, o.w, o.u, o.v, o.r, **options)
    for q, right in index_sums(g, o).items():
        assert np.array_equal(got[q], right.astype(np.float64)), (q, g)


# ---- honest implementations stay within the bounds ----
LINES = (
    "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:0x2 d1x2",
    "1d n3 c3 m2 i9 k4 s3 p1:2 conv bias=untied",
    "3d n1 c2 m3 i4x3x5 k2x2x3 s1x2x1 bias=none",
    "2d n2 c3 m4 i9x8 k3x3 p1",
)
WAYS = ("apart", "apart, backwards", "one by one")


def in_the_dtype(p: Problem, q: str, way: str) -> Any:
    """All in the dtype itself: terms stored and added in some order, or every product added to one sum."""
    o, g, kind = p.further, p.geometry, p.format.numpy
    if way == "one by one":
        return product_by_product(p, q)
    zero: dict[str, Any] = dict.fromkeys(DIRECTIONS)
    alone = [exact(g, o.replace(**{**zero, name: getattr(o, name)}), q).astype(kind) for name in DIRECTIONS]
    total = np.zeros(g.y_shape, kind)
    for part in alone if way == "apart" else reversed(alone):
        total = (total + part).astype(kind)
    return total


def product_by_product(p: Problem, q: str) -> Any:
    o, g, kind = p.further, p.geometry, p.format.numpy
    dy = np.zeros(g.y_shape, kind)
    assert q in ("forward_mode.dy", "double_backward.ddelta")
    for i, t, j in products(g):
        for a, b in ((o.w[t], o.u[i]), (o.v[t], o.x[i])):  # type: ignore[index]
            dy[j] = kind.type(dy[j] + kind.type(a * b))
    if o.r is not None:
        r = o.r if g.bias == "untied" else o.r.reshape(-1, *(1,) * g.rank)
        dy = (dy + r).astype(kind)
    return dy


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", ["real", "small", "sparse"])
def test_whatever_the_order_the_bound_holds(fill: str, dtype: str, way: str) -> None:
    for number, line in enumerate(LINES):
        p = Problem.parse(f"{line} {dtype} fill={fill} seed={number}")
        expected = FurtherExpectation(
            p.geometry,
            p.operands,
            dtype=p.format,
            arithmetic=Arithmetic(),
            quantum=p.quantum,
            amplitude=p.amplitude if p.integers else None,
            independent=fill == "real",
            further=lambda p=p: p.further,  # type: ignore[misc]
        )
        for q in ("forward_mode.dy", "double_backward.ddelta"):
            evidence = compare(in_the_dtype(p, q, way), expected[q])
            assert evidence.ok, (line, q, evidence)
