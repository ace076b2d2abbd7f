"""Implementations that differ in how they sum, and never in what: not one verdict goes against any of them.

`python tests/agreement/honest` hunts for longer; here each is judged on a few problems, and shown to be what it says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from agreement.honest import formats, hunt, sums, winograd
from agreement.honest.adapters import ByProducts, Honest
from agreement.honest.catalogue import HONEST
from agreement.honest.fourier import Fourier
from agreement.honest.gemm import Gemm
from agreement.honest.winograd import Winograd
from conformance import Adapter, Arithmetic, Geometry
from conformance.oracle import definition
from conformance.problem import DTYPES, Operands, Problem

GEOMETRIES = (
    Geometry(batch=2, channels=2, maps=3, size=9, kernel=3, padding=((1, 2),)),
    Geometry(
        batch=2, channels=4, maps=2, groups=2, size=11, kernel=4, stride=2, dilation=2, padding=((3, -1),)
    ),
    Geometry(batch=2, channels=2, maps=2, size=(7, 5), kernel=(3, 2), padding=1, convention="convolution"),
    Geometry(batch=1, channels=3, maps=3, groups=3, size=(6, 8), kernel=3, padding=-1, bias="untied"),
    Geometry(batch=0, channels=2, maps=2, size=(5, 4), kernel=(2, 3)),
    Geometry(batch=2, channels=1, maps=2, size=(4, 5, 3), kernel=2, bias="none", convention="convolution"),
)


# ---- no alarm ----


@pytest.mark.parametrize("name", HONEST)
def test_no_verdict_goes_against_an_honest_implementation(name: str) -> None:
    tally = hunt.Tally.of(1, 10, HONEST[name])
    assert list(tally.alarms) == []
    assert tally.counts["PASS"] > 60


def test_an_implementation_that_declares_too_much_is_an_alarm() -> None:
    """The hunt sees one: float16 sums that are said to be kept in float32."""
    liar = ByProducts("liar", "", HONEST["in-order"].total, {"f16": Arithmetic(accumulator="f32")})
    failed = [j for j in hunt.judged(liar, hunt.asked(liar, 30, 1), "NUM-*") if j.status.failed]
    assert {j.clause for j in failed} > {"NUM-2", "NUM-4"}
    assert not any(hunt.declared(j, liar) for j in failed)


def test_what_a_class_does_not_promise_is_no_alarm() -> None:
    """NUM-3 recommends float32 sums: who declares less has said so."""
    way = HONEST["in-order"]
    failed = [j for j in hunt.judged(way, hunt.asked(way, 60, 2), "NUM-*") if j.status.failed]
    assert {j.clause for j in failed} == {"NUM-3"}
    assert all(hunt.declared(j, way) for j in failed)


# ---- each computes a convolution ----


@pytest.mark.parametrize("name", HONEST)
def test_integers_give_exact_results(name: str) -> None:
    """Bit for bit what the definition says; transforms, after rounding to integers."""
    for number, g in enumerate(GEOMETRIES):
        operands = _integers(g, number)
        right = definition.compute(g, operands)
        for code in HONEST[name].capabilities.dtypes:
            for q, got in _results(HONEST[name], g, operands, code).items():
                assert got.dtype == DTYPES[code].numpy
                np.testing.assert_array_equal(
                    np.rint(got.astype(float)), getattr(right, q), f"{g} {code} {q}"
                )


def _integers(g: Geometry, number: int) -> Operands:
    chance = np.random.default_rng(number)
    draw = {name: g.shape_of(name) for name in ("x", "w", "b", "delta")}
    arrays: dict[str, Any] = {
        name: None if shape is None else chance.integers(-1, 2, shape).astype(float)
        for name, shape in draw.items()
    }
    return Operands(**arrays)


def _results(way: Adapter, g: Geometry, o: Operands, code: str) -> dict[str, Any]:
    x, w, delta = (a.astype(DTYPES[code].numpy) for a in (o.x, o.w, o.delta))
    b = None if o.b is None else o.b.astype(DTYPES[code].numpy)
    with np.errstate(all="ignore"):
        dx, dw, db = way.backward(g, x, w, b, delta)
        results = {"y": way.forward(g, x, w, b), "dx": dx, "dw": dw, "db": db}
    return {q: a for q, a in results.items() if a is not None}


# ---- none is a copy of another ----


def test_ways_to_add_up_differ() -> None:
    """On the same factors, before the last rounding hides it."""
    ways = [way for way in HONEST.values() if type(way) is ByProducts]
    for code in DTYPES:
        a, b = _factors(code)
        sums_of = {way.name: way.total(a, b, code) for way in ways if code in way.capabilities.dtypes}
        for one, other in itertools.combinations(sums_of, 2):
            assert not np.array_equal(*(np.asarray(sums_of[w], float) for w in (one, other))), (
                one,
                other,
                code,
            )


def _factors(code: str) -> Any:
    """40 of each of 300 sums; a third of the products are hardly normal numbers, or not quite."""
    chance = np.random.default_rng(1)
    small = math.sqrt(DTYPES[code].smallest_normal)
    return (
        formats.rounded(chance.uniform(-1, 1, (40, 300)) * np.repeat([1, 1, small], 100), code) for _ in "ab"
    )


@pytest.mark.parametrize(
    "name", [n for n, way in HONEST.items() if isinstance(way, Gemm | Winograd | Fourier)]
)
def test_other_algorithms_differ_from_direct_sums_on_real_data(name: str) -> None:
    problem = Problem.parse("2d n2 c4 m3 i9x8 k3x3 p1 fill=real seed=1")
    for code in HONEST[name].capabilities.dtypes & {"f64", "f32"} or HONEST[name].capabilities.dtypes:
        o = problem.replace(dtype=code).operands
        direct, own = (_results(HONEST[n], problem.geometry, o, code) for n in ("backwards", name))
        assert any(not np.array_equal(direct[q], own[q]) for q in ("y", "dx", "dw")), code


# ---- the rounding that they build on, against fractions ----


def _neighbours(value: Fraction, f: Any) -> tuple[Fraction, Fraction]:
    """The numbers of a format (of unlimited exponents) below and above a positive value, or the value twice."""
    exponent = math.frexp(float(value))[1]
    unit = max(Fraction(2) ** (exponent - f.p), Fraction(f.smallest_subnormal))
    below = value // unit * unit
    return below, below if below == value else below + unit


def _nearest(value: Fraction, f: Any) -> float:
    below, above = _neighbours(abs(value), f)
    unit = above - below
    up = unit and (2 * (abs(value) - below) > unit or (2 * (abs(value) - below) == unit and below / unit % 2))
    return math.copysign(float(above if up else below), value)


def _spread(count: int, code: str, number: int) -> Any:
    """Numbers of a format, of many magnitudes."""
    chance = np.random.default_rng(number)
    return formats.rounded(np.ldexp(chance.uniform(-1, 1, count), chance.integers(-12, 4, count)), code)


@pytest.mark.parametrize("code", ["f32", "tf32", "f16", "bf16"])
def test_products_and_sums_round_once(code: str) -> None:
    f = formats.FORMATS[code]
    a, b, c = (_spread(500, code, number) for number in range(3))
    c[:200] = formats.rounded(-a * b, code)[:200]
    fused = formats.to_odd(*formats.two_sum(a * b, c))
    for k in range(500):
        exact = Fraction(a[k]) * Fraction(b[k]) + Fraction(c[k])
        assert formats.rounded(fused, code)[k] == _nearest(exact, f)
        assert abs(Fraction(formats.toward_zero(fused, code)[k])) == _neighbours(abs(exact), f)[0]


@pytest.mark.parametrize("code", ["f32", "f16", "bf16"])
def test_a_cast_rounds_once(code: str) -> None:
    values = np.concatenate([_spread(500, "f64", 3), np.ldexp(_spread(500, "f64", 4), -16)])
    values[::7] = np.ldexp(np.arange(len(values[::7])) + 0.5, -9)  # ties
    got = formats.cast(values, code).astype(float)
    assert list(got) == [_nearest(Fraction(v), DTYPES[code]) for v in values]


def test_a_tensor_core_cuts_off_what_lies_below_the_largest() -> None:
    add = sums.tensor_core(block=4, extra=0)
    column: Callable[..., Any] = lambda *v: np.array(v, float)[:, None]  # noqa: E731
    small = 2.0**-24
    assert add(column(1, small, small), column(1, 1, 1), "f16") == 1  # each is cut off; their sum would count
    assert add(column(small, small, 0, 0, 1), column(1, 1, 1, 1, 1), "f16") == 1 + 2 * small
    assert (
        sums.tensor_core(block=4, extra=1)(column(1, small, small), column(1, 1, 1), "f16") == 1 + 2 * small
    )


@pytest.mark.parametrize(("m", "k"), [(2, 3), (4, 3), (6, 3), (1, 1), (4, 5), (7, 2)])
def test_winograds_matrices_make_a_correlation(m: int, k: int) -> None:
    a, g, b = winograd.matrices(m, k)
    for j, q, i in itertools.product(range(m), range(k), range(m + k - 1)):
        assert sum(a[r][j] * g[r][q] * b[r][i] for r in range(m + k - 1)) == (i == j + q)


# ---- the hunt ----


def test_a_hunt_goes_on_after_the_last_whole_batch(tmp_path: Path) -> None:
    state = tmp_path / "hunt.jsonl"
    whole = list(hunt.hunt(150, size=3, state=state))
    assert len(whole) > 2
    text = state.read_text("utf-8")
    first, rest = text.split("\n", 1)
    state.write_text(f"{first}\n{rest[:20]}", "utf-8")  # killed while it wrote the second batch
    assert list(hunt.hunt(150, size=3, state=state)) == whole
    assert state.read_text("utf-8") == text


def test_a_hunt_does_not_go_on_with_another_hunts_state(tmp_path: Path) -> None:
    state = tmp_path / "hunt.jsonl"
    list(hunt.hunt(1, size=2, state=state))
    with pytest.raises(ValueError, match=r"hunt\.jsonl: batch 0 is of another hunt"):
        list(hunt.hunt(1, size=3, state=state))


def test_the_command_prints_a_table_and_fails_on_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke(hunt.main, ["--judgements", "20", "--batch", "3"])
    assert run.exit_code == 0, run.output
    assert "implementation" in run.output
    assert "in-order" in run.output
    wrong = Honest("wrong", "", {"f64": Arithmetic()})  # it has no forward
    monkeypatch.setattr(hunt, "HONEST", {"wrong": wrong})
    run = CliRunner().invoke(hunt.main, ["--judgements", "20", "--batch", "3"])
    assert run.exit_code == 1
    assert "wrong FWD-1 BROKEN_ADAPTER" in run.output
