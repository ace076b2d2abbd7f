"""Mutants of the reference: what only the corpus of edges shows, and those that are said to be equivalent.

The whole of them takes hours and is not made here (`tox -e mutants`); what is published is held to the sources of now.
"""

from __future__ import annotations

import functools
import re
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import conformance
from conformance import Problem
from conformance.adapter.connect import folder
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
USUAL = [n for name in ("covering", "seed") for n in corpus(name)]
EDGES = corpus("edges")


# ---- mutants at work ----
def module(source: str, text: str) -> ModuleType:
    name = f"mutant_of_{source}"
    made = sys.modules[name] = ModuleType(name)
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # "is" with a literal
        exec(compile(text, name, "exec"), made.__dict__)  # noqa: S102  the mutant is ours
    return made


def reference(p: Problem, layer: type) -> list[Any]:
    """y, dx, dw, db; the words of an exception in place of what was not computed."""
    g, o = p.geometry, p.operands
    geometry = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    try:
        made = layer(o.w, o.b, **geometry, groups=g.groups, convention=g.convention)
        return [made.forward(o.x), *made.backward(o.delta)]
    except Exception as error:  # noqa: BLE001  whatever it is
        return [repr(error)]


def scipy(p: Problem, adapter: type) -> list[Any]:
    g, o, results = p.geometry, p.operands, []
    for route in ("direct", "fftconvolve"):
        try:
            made = adapter(route)
            results += [made.forward(g, o.x, o.w, o.b), *made.backward(g, o.x, o.w, o.b, o.delta)]
        except Exception as error:  # noqa: BLE001
            results += [repr(error)]
    return results


COMPUTE: dict[str, tuple[str, Callable[[Problem, Any], list[Any]]]] = {
    "reference": ("Convolution", reference),
    "scipy": ("SciPy", scipy),
}


def results(source: str, text: str, problems: list[Named]) -> Iterator[list[bytes]]:
    """The bytes of all results, problem by problem."""
    name, compute = COMPUTE[source]
    with np.errstate(all="ignore"):
        made = getattr(module(source, text), name)
        for n in problems:
            yield [np.asarray(a).tobytes() for a in compute(n.problem, made)]


@functools.cache
def right(source: str, corpora: tuple[str, ...]) -> list[list[bytes]]:
    return list(results(source, SOURCES[source].read_text("utf-8"), [n for c in corpora for n in corpus(c)]))


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
    assert list(results("reference", mutant, USUAL)) == right("reference", ("covering", "seed"))
    found = dict(zip((n.id for n in EDGES), results("reference", mutant, list(EDGES)), strict=True))
    expected = dict(zip((n.id for n in EDGES), right("reference", ("edges",)), strict=True))
    assert found[edge] != expected[edge]


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
        assert list(results(source, mutant, list(EDGES))) == right(source, ("edges",))


def test_a_mutant_that_is_not_equivalent_does_not_pass_for_one() -> None:
    wrong = changed("scipy", "m // maps * channels + k", "m // maps * channels - k")
    assert list(results("scipy", wrong, list(EDGES))) != right("scipy", ("edges",))


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
