"""cpp-onednn and cpp-dlib against the index sums, bit for bit, on every route."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_checks import Bare, check_operation, computed, definition
from conformance import Geometry, Problem
from conformance.adapter.manifest import bundled
from conformance.adapter.process import Command
from conformance.adapter.remote import Remote
from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.spec import Raised
from cpp_programs import ADAPTERS, built, need_compiler

HEADERS = {"cpp-onednn": "dnnl.hpp", "cpp-dlib": "dlib/matrix.h"}
ROUTES = [
    *(("cpp-onednn", route) for route in ("blocked", "plain", "channels-last")),
    ("cpp-dlib", "checked"),
    ("cpp-dlib", "unchecked"),
]
GROUPED = "2d n2 c4 m6 g2 i6x5 k3x2 s2x1 p1:2x0:1 d1x2 f32"
LINES = [
    "2d n2 c3 m4 i7x6 k3x2 s2x1 p1x0 f32",
    "2d n1 c2 m3 i5x6 k5x6 bias=none f32",
    "2d n3 c17 m33 i9x8 k3x3 p1 f32",
    GROUPED,
    "2d n2 c4 m8 g4 i6x5 k3x3 f32",
    "1d n2 c3 m4 i7 k3 s2 p1:2 f32",
    "1d n2 c3 m4 i9 k3 p4 d2 f32",
    "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x0 d2x1x3 bias=none f32",
    "2d n0 c4 m6 g2 i5x4 k2x3 p1 f32",
]

Started = Callable[[str, str], Remote]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The place of an adapter by name and route; skips if its library is not installed, as for other frameworks."""
    with ExitStack() as places:
        known: dict[tuple[str, str], Remote] = {}

        def start(name: str, route: str = "") -> Remote:
            if (name, route) not in known:
                known[name, route] = places.enter_context(closing(_place(tmp_path_factory, name, route)))
            return known[name, route]

        yield start


def _place(factory: pytest.TempPathFactory, name: str, route: str) -> Remote:
    need_compiler()
    include = ["g++", "-E", "-x", "c++", "-include", HEADERS[name], "/dev/null"]
    if subprocess.run(include, capture_output=True, check=False).returncode:
        pytest.skip(f"{HEADERS[name]} is not installed")
    program = Command(args=(str(built(factory, name)),))
    return Remote(program, name, route=route, time_limit=60, folder=ADAPTERS / name)


def _problem(session: Session, line: str) -> Problem:
    problem = Problem.parse(line)
    if reason := session.refusal(problem.geometry, problem.dtype):
        pytest.skip(reason)
    return problem


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_agrees_with_the_definition(started: Started, name: str, route: str, line: str) -> None:
    place = started(name, route)
    problem = _problem(Session(place, name), line)
    g, o = problem.geometry, problem.operands
    got = computed(Bare(place), g, x=o.x, w=o.w, b=o.b, delta=o.delta)
    for quantity, right in definition(g, o.x, o.w, o.b, o.delta).items():
        assert (got[quantity] is None) == (right is None)
        if right is not None:
            assert got[quantity].dtype == np.float32
            np.testing.assert_array_equal(got[quantity], right, err_msg=quantity)


@pytest.mark.parametrize("line", LINES[:-1])
@pytest.mark.parametrize("method", ["transposed", "transposed_backward"])
@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_transposed_agrees_with_the_definition(
    started: Started, name: str, route: str, method: str, line: str
) -> None:
    place = started(name, route)
    _problem(Session(place, name), line)
    check_operation(Bare(place), method, line)


@pytest.mark.parametrize("name", HEADERS)
def test_manifest_and_program_say_the_same_of_routes(started: Started, name: str) -> None:
    manifest = bundled()[name]
    place = started(name, "")
    assert place._hello["routes"] == manifest.routes
    assert place.route == next(iter(manifest.routes))
    assert place._hello["name"] == name
    assert len(place.versions()) == 3


@pytest.mark.parametrize("name", HEADERS)
def test_refuses_what_it_cannot(started: Started, name: str) -> None:
    place = started(name, "")
    g = Geometry(size=(5, 5), kernel=(3, 3), channels=2, maps=3, batch=2)
    right = {q: np.ones(g.shape_of(q), np.float32) for q in ("x", "w", "b", "delta")}
    wrong: dict[str, Any] = {
        "x": np.ones((2, 3, 5, 5), np.float32),
        "w": np.ones((3, 3, 3, 3), np.float32),
        "b": np.ones(4, np.float32),
        "delta": np.ones((1, 3, 3, 3), np.float32),
    }
    for operand, value in wrong.items():
        for _ in range(2):
            with pytest.raises(Raised):
                Bare(place).backward(g, **{**right, operand: value})
    Bare(place).backward(g, **right)


def test_dlib_says_which_padding_it_has_not(started: Started) -> None:
    session = Session(started("cpp-dlib", ""), "cpp-dlib")
    g = Geometry(size=(5, 5), kernel=(2, 3), padding=(2, 1), bias="tied")
    assert session.refusal(g, "f32") == "padding must be smaller than the kernel"


def test_dlib_unchecked_does_not_see_shapes_and_the_run_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with closing(_place(tmp_path_factory, "cpp-dlib", "unchecked")) as place:
        problem = Problem.parse("2d n2 c3 m5 i5x3 k5x3 bias=none f32 seed=201")
        run = Run(
            Session(place, "cpp-dlib"), PROFILES["quick"], given_problems=(problem,), only="HYG-6,FWD-1"
        )
        found = {e.clause: e.status for e in run.events() if isinstance(e, Judgement)}
    assert found["FWD-1"] is Status.PASS
    assert found["HYG-6"].failed


def test_every_adapter_in_cpp_is_tested_here() -> None:
    assert {path.name for path in Path(ADAPTERS).glob("cpp-*")} == set(HEADERS)
