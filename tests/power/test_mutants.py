"""Mutants of the reference: what only the corpus of edges shows, and those that are said to be equivalent.

The whole of them takes hours and is not made here (`tox -e mutants`); what is published is held to the sources of now.
"""

from __future__ import annotations

import functools
import re
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import conformance
from conformance import Problem
from conformance.adapter.manifest import folder
from conformance.engine.corpus import Named, corpus

SOURCES = {
    "reference": Path(conformance.__file__).parent / "reference" / "convolution.py",
    "scipy": folder() / "python-scipy" / "adapter_scipy.py",
}
REPORT = Path(__file__).parents[2] / "reports" / "mutants.md"
REASONS = tomllib.loads(Path(__file__).with_name("mutants").joinpath("equivalent.toml").read_text("utf-8"))[
    "reason"
]
EQUIVALENT = [
    pytest.param(source, function, was, now, id=f"{source}-{function}: {was} becomes {now}")
    for reason in REASONS
    for source, functions in reason["mutants"].items()
    for function, changes in functions.items()
    for was, now in changes
]
USUAL = (*corpus("covering"), *corpus("seed"))
EDGES = corpus("edges")
FEW = tuple(n for n in EDGES if n.problem.geometry.products < 2000 and n.problem.dtype in ("f64", "f32"))
"""Of these python-scipy makes short work: it has no float16, and calls a library for each pair of a map and a channel."""


# ---- mutants at work ----
def module(source: str, text: str) -> ModuleType:
    name = f"mutant_of_{source}"
    made = sys.modules[name] = ModuleType(name)
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # "is" with a literal
        exec(compile(text, name, "exec"), made.__dict__)  # noqa: S102  the mutant is ours
    return made


def reference(p: Problem, layer: type) -> list[Any]:
    """y, dx, dw, db."""
    g, o = p.geometry, p.operands
    geometry = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    made = layer(o.w, o.b, **geometry, groups=g.groups, convention=g.convention)
    return [made.forward(o.x), *made.backward(o.delta)]


def scipy(p: Problem, adapter: type) -> list[Any]:
    """By both routes; what comes of Fourier transforms rounded to the integers that it stands for."""
    g, o = p.geometry, p.operands
    direct, fourier = (
        [made.forward(g, o.x, o.w, o.b), *made.backward(g, o.x, o.w, o.b, o.delta)]
        for made in map(adapter, ("", "fftconvolve"))
    )
    return [*direct, *(None if a is None else np.rint(a) + 0.0 for a in fourier)]


COMPUTE: dict[str, tuple[str, Callable[[Problem, Any], list[Any]]]] = {
    "reference": ("Convolution", reference),
    "scipy": ("SciPy", scipy),
}


def results(source: str, text: str, problems: tuple[Named, ...]) -> list[list[bytes]]:
    """The bytes of all results, problem by problem."""
    name, compute = COMPUTE[source]
    made = getattr(module(source, text), name)
    return [[np.asarray(a).tobytes() for a in compute(n.problem, made)] for n in problems]


@functools.cache
def right(source: str, problems: tuple[Named, ...]) -> list[list[bytes]]:
    return results(source, SOURCES[source].read_text("utf-8"), problems)


def is_right(source: str, text: str, problems: tuple[Named, ...]) -> bool:
    """Does a mutant compute the same bits?"""
    try:
        return results(source, text, problems) == right(source, problems)
    except Exception:  # noqa: BLE001  whatever a mutant raises
        return False


def changed(source: str, was: str, now: str) -> str:
    text = SOURCES[source].read_text("utf-8")
    assert was in text
    return text.replace(was, now)


# ---- what only edges show ----
ONLY_AT_EDGES = {
    "edges/crop-begin": ("max(0, -lo)", "max(0, ~lo)"),
    "edges/crop-end": ("i + min(0, hi)", "i + min(0, hi + 1)"),
    "edges/crop-both": ("min(lo, 0) + min(hi, 0)", "min(lo, 0) ^ min(hi, 0)"),
    "edges/crop-and-pad": ("slice(part.start + lo,", "slice(part.start + abs(lo),"),
    "edges/crop-3d": ("i + min(lo, 0)", "i ** min(lo, 0)"),
    "edges/one-position": ("uncropped < 1", "uncropped == 1"),
    "edges/one-row": ("uncropped < 1", "uncropped <= 1"),
    "edges/one-padded": ("uncropped < 1", "uncropped < 2"),
    "edges/one-is-left": ("uncropped < 1", "uncropped == 1"),
    "edges/channels-257": ("channels != in_group * groups", "channels % 256 != in_group * groups"),
    "edges/maps-257": ("len(rows) // groups", "len(rows) % 256 // groups"),
}


def test_every_edge_shows_a_mistake() -> None:
    assert set(ONLY_AT_EDGES) == {n.id for n in EDGES}


@pytest.mark.parametrize("edge", ONLY_AT_EDGES)
def test_each_edge_shows_what_covering_and_seed_let_pass(edge: str) -> None:
    mutant = changed("reference", *ONLY_AT_EDGES[edge])
    assert is_right("reference", mutant, USUAL)
    assert not is_right("reference", mutant, tuple(n for n in EDGES if n.id == edge))


# ---- those that are said to be equivalent ----
def places(source: str, function: str, was: str) -> list[int]:
    """Where `was` stands in a function's source."""
    text = SOURCES[source].read_text("utf-8")
    start = re.search(rf"^ *(def|class) {function}\b", text, re.MULTILINE)
    assert start
    end = re.compile(r"^ *(def|class|@) ?\w+", re.MULTILINE).search(text, start.end())
    return [
        m.start()
        for m in re.finditer(re.escape(was), text)
        if start.start() <= m.start() < (end.start() if end else len(text))
    ]


@pytest.mark.parametrize(("source", "function", "was", "now"), EQUIVALENT)
def test_an_equivalent_mutant_computes_the_same_bits(source: str, function: str, was: str, now: str) -> None:
    text = SOURCES[source].read_text("utf-8")
    found = places(source, function, was)
    assert found, f"{function} has no {was!r} any more"
    for place in found:
        mutant = text[:place] + now + text[place + len(was) :]
        assert is_right(source, mutant, FEW)


def test_a_mutant_that_is_not_equivalent_does_not_pass_for_one() -> None:
    wrong = changed("scipy", "m // maps * channels + k", "m // maps * channels - k")
    assert not is_right("scipy", wrong, FEW)


def test_the_report_lists_the_equivalent_mutants_of_now() -> None:
    text = REPORT.read_text("utf-8")
    rows = [
        tuple(c.strip() for c in line.strip("|").split(" | "))
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    listed = [row for row in rows if row[0] in SOURCES]
    assert sorted(listed) == sorted(
        (*p.values[:2], f"`{p.values[2]}`", f"`{p.values[3]}`") for p in EQUIVALENT
    )  # type: ignore[misc]
    assert "## Not seen" not in text
