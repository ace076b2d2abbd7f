"""TensorFlow.js, in its environment, against the index sums, bit for bit; what its package lock may not say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from adapter_checks import METHODS
from conformance.adapter.connect import connect
from conformance.adapter.doctor import examine
from conformance.adapter.environment import found
from conformance.adapter.manifest import bundled
from conformance.adapter.session import Session
from conformance.oracle.definition import compute
from conformance.oracle.operations import exact
from conformance.problem import Problem
from conformance.spec import NotOffered, Question

MANIFEST = bundled()["js-tfjs"]
LINES = {
    "grads": [
        "1d n2 c3 m4 i7 k3 s2 p1:2",
        "2d n2 c4 m3 i6x5 k3x2 s2x1 p1:2x0 conv bias=untied",
        "2d n2 c2 m6 i6x5 k3x2 s2x1 p1 g2",
        "2d n1 c2 m3 i5x6 k2x3 p-1:2x0:-1",
        "3d n2 c2 m3 i3x4x5 k2x3x1 s1x2x1 p1x1x0 bias=none",
        "2d n0 c4 m3 i5x4 k2x3 p1",
    ],
    "fused": [
        "2d n2 c4 m3 i6x5 k3x2 s2x1 p1:2x0 conv bias=untied",
        "2d n2 c2 m6 i6x5 k3x2 s2x1 p1 g2 bias=tied",
    ],
    "dilated": ["1d n2 c3 m4 i9 k3 d2 p1:2", "2d n2 c2 m2 i6x5 k3x2 d2x3 p1 g2"],
}
TRANSPOSED = ["2d n2 c4 m3 i6x5 k3x2 s2x1 p1:2x0", "2d n2 c2 m3 i7x5 k2 s3 conv bias=none"]


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[str], Session]]:
    if not found(MANIFEST):
        pytest.skip("js-tfjs has no environment: conformance env create js-tfjs")
    sessions = {route: connect(f"js-tfjs:{route}", in_process=False) for route in MANIFEST.routes}
    yield sessions.__getitem__
    for session in sessions.values():
        session.close()


@pytest.mark.parametrize(("route", "line"), [(route, line) for route in LINES for line in LINES[route]])
def test_agrees_with_the_definition(route: str, line: str, opened: Callable[[str], Session]) -> None:
    session, p = opened(route), Problem.parse(f"{line} f32")
    expected = compute(p.geometry, p.operands)
    for backward in (False, True)[: 1 if route == "dilated" else 2]:
        asked = Question(geometry=p.geometry, operands=p.operands, memory="c", backward=backward)
        for q, got in session.answer(asked).arrays.items():
            assert got.dtype == np.float32
            right = np.asarray(getattr(expected, q)).astype(np.float64)
            np.testing.assert_array_equal(got.astype(np.float64), right, err_msg=f"{q} of {p}")


@pytest.mark.parametrize("route", LINES)
def test_it_is_wired_rightly(route: str, opened: Callable[[str], Session]) -> None:
    remarks = list(examine(opened(route)))
    assert all(remark.ok for remark in remarks), remarks
    assert ("network" in {remark.check for remark in remarks}) == (route == "grads")


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("line", TRANSPOSED)
def test_the_transposed_convolution(line: str, method: str, opened: Callable[[str], Session]) -> None:
    p = Problem.parse(f"{line} f32")
    asked = Question(geometry=p.geometry, operands=p.further, memory="c", method=method)
    for q, got in opened("grads").answer(asked).arrays.items():
        np.testing.assert_array_equal(got.astype(np.float64), exact(p.geometry, p.further, q), err_msg=q)


def test_the_transposed_convolution_has_two_axes(opened: Callable[[str], Session]) -> None:
    p = Problem.parse("1d n1 c1 m1 i5 k2 f32")
    asked = Question(geometry=p.geometry, operands=p.further, memory="c", method="transposed")
    with pytest.raises(NotOffered, match="two axes"):
        opened("grads").answer(asked)


@pytest.mark.parametrize(
    ("route", "line", "reason"),
    [
        ("grads", "2d n1 c4 m4 i5x5 k2 g2", "groups only as depthwise convolution"),
        ("grads", "1d n1 c2 m2 i5 k2 g2", "tf.depthwiseConv2d has two axes"),
        ("dilated", "2d n1 c1 m1 i5x5 k2 s2x1 d1x2", "tfjs has stride or dilation, not both"),
    ],
)
def test_what_it_does_not_offer(route: str, line: str, reason: str, opened: Callable[[str], Session]) -> None:
    assert opened(route).refusal(Problem.parse(f"{line} f32").geometry, "f32") == reason


def test_the_lock_file_pins_contents_and_names_no_place_to_get_them_from() -> None:
    lock = json.loads((MANIFEST.folder / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("integrity" in entry for entry in packages.values())
    assert not any("resolved" in entry for entry in packages.values())
    wanted = json.loads((MANIFEST.folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert wanted == {name: packages[f"node_modules/{name}"]["version"] for name in wanted}
