"""Scripts that show a fault alone: run in a clean environment, they end with 1 until it is mended, then with 0."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clean import Ran, ran, tampered
from conformance.adapter.connect import connect
from conformance.adapter.session import Session
from conformance.engine.runner import case_of
from conformance.errors import UserError
from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.fault import Fault
from conformance.mistakes.reproducer import Reproducer, reproducer, script, shows
from conformance.problem import Problem

LEARNER = Path(__file__).parents[2] / "integration" / "learner"
LARGE = Problem.parse("2d n2 c3 m4 i6x5 k3x2 seed=1")
RIGHT = "dpadded[:, :, rows, columns] += np"
WRONG = "dpadded[:, :, rows, columns] = np"
Learn = Callable[..., tuple[Session, Path]]


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """A session with the learner's adapter, and its layer's file, with some of its text changed."""

    def written(
        old: str = RIGHT, new: str = WRONG, *, adapter: tuple[str, str] = ("", "")
    ) -> tuple[Session, Path]:
        folder = tmp_path / "learner"
        shutil.copytree(LEARNER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        _change(folder / "my_cnn.py", old, new)
        _change(folder / "my_adapter.py", *adapter)
        return connect(str(folder / "my_adapter.py")), folder / "my_cnn.py"

    return written


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new) if old else text, encoding="utf-8")


def made(session: Session, problem: Problem = LARGE) -> Reproducer:
    found = reproducer(session, problem)
    assert found is not None
    return found


def run(source: str, folder: Path) -> Ran:
    (result,) = ran([source], folder)
    return result


# ---- a learner's adapter ----
def test_the_script_calls_the_learners_module_and_ends_with_1_until_it_is_mended(
    learn: Learn, tmp_path: Path
) -> None:
    session, layer = learn()
    source = made(session).source
    assert len(source.splitlines()) < 40
    assert "import my_cnn\n" in source
    assert "conformance" not in source.replace(str(tmp_path), "")
    wrong = run(source, tmp_path)
    assert wrong.code == 1
    expected, got = re.fullmatch(r"expected\n(.*)\ngot\n(.*)\n", wrong.out, re.DOTALL).groups()
    assert expected != got
    _change(layer, WRONG, RIGHT)
    mended = run(source, tmp_path)
    assert (mended.code, mended.out) == (0, f"expected\n{expected}\ngot\n{expected}\n")


def test_expected_and_got_are_those_of_the_fault(learn: Learn, tmp_path: Path) -> None:
    session, _ = learn()
    found = made(session)
    out = run(found.source, tmp_path).out
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", out)]
    assert found.fault.got is not None
    assert numbers == [*found.fault.expected.exact.ravel(), *found.fault.got.ravel()]
    assert str(found.fault.problem) in found.source


def test_of_a_right_layer_there_is_no_script() -> None:
    assert reproducer(connect(str(LEARNER / "my_adapter.py")), LARGE) is None


def test_an_exception_is_shown(learn: Learn, tmp_path: Path) -> None:
    session, layer = learn(
        "    padded = np.pad", "    assert len(x) == 1, 'one \"image\"'\n    padded = np.pad"
    )
    found = made(session)
    assert found.fault.kind == "raises AssertionError"
    wrong = run(found.source, tmp_path)
    assert wrong.code == 1
    assert wrong.out.rstrip().endswith('AssertionError: one "image"')
    _change(layer, "len(x) == 1", "True")
    assert run(found.source, tmp_path).code == 0


def test_a_wrong_size_is_shown(learn: Learn, tmp_path: Path) -> None:
    session, _ = learn("    return dx, dw,", "    return dpadded, dw,")
    found = made(session, Problem.parse("2d i3 k2 p1"))
    assert found.fault.kind == "size"
    assert run(found.source, tmp_path).code == 1


STATE = """

HELD = {}
once = conv_backward


def conv_backward(x, w, b, delta, stride, padding):
    dx, dw, db = once(x, w, b, delta, stride, padding)
    HELD[dw.shape] = HELD.get(dw.shape, 0) + dw
    return dx, HELD[dw.shape], db
"""
OVERWRITING = """

untouched = conv_backward


def conv_backward(x, w, b, delta, stride, padding):
    result = untouched(x, w, b, delta, stride, padding)
    x[...] = 0
    return result
"""
LAST = "    return dx, dw, None if b is None else delta.sum(axis=(0, 2, 3))\n"


def test_what_leaks_from_call_to_call_is_called_twice(learn: Learn, tmp_path: Path) -> None:
    session, layer = learn(LAST, LAST + STATE)
    found = made(session)
    assert found.fault.call == 2
    assert "for _ in range(2):" in found.source
    assert run(found.source, tmp_path).code == 1
    _change(layer, STATE, "")
    assert run(found.source, tmp_path).code == 0


@pytest.mark.parametrize("problem", [LARGE, Problem.parse("2d i3x4 k2 fill=real")])
def test_an_operand_that_is_overwritten_is_compared_after_the_call(
    problem: Problem, learn: Learn, tmp_path: Path
) -> None:
    session, layer = learn(LAST, LAST + OVERWRITING)
    found = made(session, problem)
    assert found.fault.kind == "HYG-1"
    assert "got = x  # after the call" in found.source
    assert run(found.source, tmp_path).code == 1
    _change(layer, OVERWRITING, "")
    assert run(found.source, tmp_path).code == 0


def test_an_adapter_that_is_more_than_a_call_is_asked_itself_and_the_first_line_says_so(learn: Learn) -> None:
    more = ("return my_cnn.conv_backward(", "return self.route or my_cnn.conv_backward(")
    session, layer = learn(adapter=more)
    found = made(session)
    assert found.source.startswith(
        '"""It needs the package conformance (pip install conv-conformance), to ask '
    )
    assert shows(found)
    _change(layer, WRONG, RIGHT)
    assert not shows(found)


# ---- where there is none ----
def test_what_no_single_call_shows_has_no_script() -> None:
    found = made(Session(CATALOGUE["dx-of-the-call-before"].adapter(), "stale"), Problem.parse("1d i3 k2"))
    assert (found.fault.kind, found.source) == ("HYG-3", "")


def test_what_is_not_offered_is_the_callers_mistake() -> None:
    with pytest.raises(UserError, match="does not offer this problem"):
        reproducer(connect(str(LEARNER / "my_adapter.py")), Problem.parse("3d i3 k2"))


def test_a_script_that_does_not_show_the_fault_is_known_for_it(learn: Learn) -> None:
    session, layer = learn()
    found = made(session)
    assert shows(found)
    _change(layer, WRONG, RIGHT)
    assert not shows(found)


# ---- literals ----
LAST_AXIS = """
import numpy as np

from conformance import Adapter, Capabilities


class Last(Adapter):
    capabilities = Capabilities(x_layout="NHWC", w_layout="HWIO", quantities={"y"}, biases={"none"})

    def unsupported(self, g, dtype):
        return None if g.kernel == (1, 1) else "1x1 only"

    def forward(self, g, x, w, b):
        return np.tensordot(x, w[0, 0], 1) + 1
"""


def test_arrays_stand_in_the_axis_order_of_the_adapter(tmp_path: Path) -> None:
    path = tmp_path / "last.py"
    path.write_text(LAST_AXIS, encoding="utf-8")
    source = made(connect(str(path)), Problem.parse("2d n2 c3 m2 i2x3 k1 bias=none")).source
    names = dict[str, Any]()
    exec(source.partition("def forward")[0], names)  # noqa: S102  (up to the call)
    shapes = [names[name].shape for name in ("x", "w", "delta", "expected")]
    assert shapes == [(2, 2, 3, 3), (1, 1, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2)]
    assert run(source, tmp_path).code == 1
    assert run(source.replace("1) + 1", "1)"), tmp_path).code == 0


@pytest.mark.parametrize("memory", ["c", "fortran", "sliced", "reversed", "channels-last", "broadcast"])
@pytest.mark.parametrize("line", ["2d n2 c2 m3 i4x3 k2 f32 fill=real", "1d n2 c3 m2 i4 k2 f64"])
def test_operands_are_those_of_the_problem_bit_for_bit_in_their_memory(line: str, memory: str) -> None:
    problem = Problem.parse(f"{line} mem={memory}")
    session = connect("python-numpy")
    case = case_of(session, problem)
    seen = Fault(problem=problem, quantity="y", kind="value", expected=case.expected["y"])
    names = dict[str, Any]()
    exec(script(session, seen).partition("options =")[0], names)  # noqa: S102  (up to the call)
    for name, a in problem.operands.items():
        assert names[name].dtype == a.dtype
        np.testing.assert_array_equal(names[name], a)
        if memory != "broadcast":  # which is written out
            assert names[name].strides == a.strides
    np.testing.assert_array_equal(names["expected"], case.expected["y"].exact)


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_where_results_round_the_bound_is_in_the_script(dtype: str) -> None:
    problem = Problem.parse(f"1d n2 c3 i9 k3 bias=none {dtype} fill=real")
    session = connect("python-numpy")
    case = case_of(session, problem)
    seen = Fault(problem=problem, quantity="dw", kind="value", expected=case.expected["dw"])
    source = script(session, seen)
    allowed = dict[str, Any]()
    exec(source.partition("options =")[0], allowed)  # noqa: S102  (up to the call)
    np.testing.assert_array_equal(allowed["allowed"], case.expected["dw"].bound)
    right = _here(source)
    assert (right, _here(tampered(source))) == (0, 1)


def _here(source: str) -> int:
    """The exit code in this process."""
    with pytest.raises(SystemExit) as ended:
        exec(source, {"__name__": "__main__"})  # noqa: S102
    return int(ended.value.code or 0)


# ---- text of others in a script ----
HOSTILE = '''"""\\nimport os; os.abort()\\n\\x1b[31m\\u202e\\x00 {{ 7 * 7 }} {% raw %} \\\\"'''


def test_an_exceptions_text_stays_in_the_docstring(learn: Learn) -> None:
    session, _ = learn(WRONG_LINE := "def conv_backward(x", WRONG_LINE)
    adapter = type(session.adapter)
    text = HOSTILE.encode().decode("unicode_escape")

    def raises(self: Any, g: Any, x: Any, w: Any, b: Any) -> Any:
        raise ValueError(text)

    adapter.forward = raises  # type: ignore[method-assign]
    made = reproducer(session, Problem.parse("i3x3 k2"))
    assert made is not None
    body = ast.parse(made.source).body
    assert isinstance(body[0], ast.Expr)
    assert "import os; os.abort()" in ast.literal_eval(body[0].value)
    assert "{{ 7 * 7 }}" in ast.literal_eval(body[0].value)
    assert not any("abort" in ast.unparse(statement) for statement in body[1:])
    assert made.source.replace("\n", "").isprintable()
