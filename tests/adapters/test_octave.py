"""Octave: the SDK at work, the template, and conv2 against the index sums, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from conformance.adapter.doctor import examine
from conformance.adapter.manifest import FILE, folder, read, sdk
from conformance.adapter.process import Command
from conformance.adapter.remote import Remote
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken, AdapterNotFound
from conformance.oracle.definition import compute
from conformance.problem import Problem
from conformance.spec import NotOffered, Question, Raised

if not shutil.which("octave-cli"):
    pytest.skip("there is no program 'octave-cli'", allow_module_level=True)

HOSTILE = Path(__file__).parents[1] / "hostile.m"
ADAPTER = folder() / "octave-conv2"
TEMPLATE = folder() / "_template" / "octave"
PLAIN = "2d n2 c1 m1 i3x4 k1x1 bias=none"
LINES = [
    "1d n2 c4 m6 i9 k3 s2 p1:2 g2",
    "1d n1 c1 m1 i1 k1",
    "2d n2 c4 m6 i7x5 k3x2 s2x1 p1:0x-1:2 d1x2 g2 conv bias=untied",
    "2d n3 c1 m2 i4x1 k2x1 conv bias=untied",
    "3d n1 c2 m2 i4x3x5 k2x2x1 s1x2x1 p1x0:1x0 bias=none",
    "3d n2 c2 m4 i3x4x1 k2x2x1 d2x1x1 conv",
    "2d n0 c2 m2 i3x3 k2x2",
]
Open = Callable[..., Session]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    sessions: list[Session] = []

    def started(start: tuple[str, ...], files: list[Path], route: str = "") -> Session:
        for file in (*sdk("octave").iterdir(), *files):
            shutil.copy(file, tmp_path)
        place = Remote(Command(args=start, cwd=tmp_path), "octave", route=route, time_limit=60)
        sessions.append(Session(place, "octave"))
        return sessions[-1]

    yield started
    for session in sessions:
        session.close()


@pytest.fixture
def hostile(opened: Open) -> Callable[..., Session]:
    options = read(TEMPLATE / FILE).start[:-1]
    return lambda mode, route="": opened((*options, HOSTILE.name, mode), [HOSTILE], route)


def question(line: str, *, backward: bool = False) -> Question:
    p = Problem.parse(line)
    return Question(geometry=p.geometry, operands=p.operands, memory="c", backward=backward)


def test_what_is_printed_disturbs_nothing(hostile: Open) -> None:
    session, asked = hostile("prints"), question(PLAIN)
    for _ in range(2):
        np.testing.assert_array_equal(session.put(asked).arrays["y"], asked.operands.x)


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("raises", Raised, "Octave:undefined-function: 'nothing_of_this_name' undefined"),
        ("raises_its_own", Raised, "hostile:refused: not with 2 items"),
        ("declines", NotOffered, "not today"),
        ("returns_complex", AdapterBroken, "y must be a real array, it is a complex array"),
        ("returns_a_text", AdapterBroken, "y must be a real array, it is a char"),
        ("returns_another_shape", Raised, "transpose not defined for N-D objects"),
        ("returns_nothing", AdapterBroken, "forward returned None for y"),
    ],
)
def test_what_goes_wrong_is_an_answer(mode: str, kind: type[Exception], said: str, hostile: Open) -> None:
    session = hostile(mode)
    with pytest.raises(kind, match=said):
        session.put(question(PLAIN))
    assert session.place.deaths == 0


@pytest.mark.parametrize(("mode", "dtype"), [("returns_integers", "int32"), ("returns_truth", "bool")])
def test_results_keep_their_type(mode: str, dtype: str, hostile: Open) -> None:
    assert hostile(mode).put(question(PLAIN)).arrays["y"].dtype == dtype


def test_a_million_elements(hostile: Open) -> None:
    asked = question(
        "2d n1 c1 m1 i1000001x1 k1x1 bias=none"
    )  # from there on jsonencode writes integers as 1000000.0
    np.testing.assert_array_equal(hostile("copies").put(asked).arrays["y"], asked.operands.x)


def test_axes_of_length_1_at_the_end_are_kept(hostile: Open) -> None:
    session = hostile("copies")
    for line in ("1d n1 c1 m1 i1 k1 bias=none", "3d n2 c1 m1 i2x1x1 k1 bias=none", "2d n1 c1 m1 i1x1 k1"):
        p = Problem.parse(line)
        assert session.put(question(line)).arrays["y"].shape == p.geometry.y_shape
        got = session.put(question(line, backward=True)).arrays
        assert {q: a.shape for q, a in got.items()} == {q: p.geometry.shape_of(q) for q in got}


def test_routes_and_conditional_rules(hostile: Open) -> None:
    assert hostile("copies").capabilities.dtypes == {"f64"}
    session = hostile("copies", route="single")
    assert session.capabilities.dtypes == {"f32"}
    assert session.refusal(Problem.parse(f"{PLAIN} f32").geometry, "f32") is None
    assert session.refusal(Problem.parse("2d n6 c1 m1 i2x2 k1").geometry, "f32") == "at most 5 items"
    with pytest.raises(AdapterNotFound, match="no route 'triple'; it has double, single"):
        hostile("copies", route="triple")


@pytest.mark.parametrize(("of", "dtype"), [(TEMPLATE, "f64"), (ADAPTER, "f64"), (ADAPTER, "f32")])
def test_adapters_agree_with_the_definition(of: Path, dtype: str, opened: Open) -> None:
    session = opened(read(of / FILE).start, list(of.glob("*.m")))
    assert all(remark.ok for remark in examine(session))
    for line in LINES:
        p = Problem.parse(f"{line} {dtype}")
        expected = compute(p.geometry, p.operands)
        for backward in (False, True):
            for q, got in session.answer(question(str(p), backward=backward)).arrays.items():
                assert got.dtype == p.format.numpy
                right = np.asarray(getattr(expected, q)).astype(np.float64)
                np.testing.assert_array_equal(got.astype(np.float64), right, err_msg=f"{q} of {p}")
