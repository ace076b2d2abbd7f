"""What goes wrong is told in one sentence that says whose fault it is: never a traceback, never a green run."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]
Write = Callable[..., Path]
USER = "[the call has to change]"
ADAPTER = "[the adapter has to be mended]"
OURS = "[a defect of this program: please report it]"
BAD_LINES = {
    "2d i3x3 q2": ("no token begins like 'q2'", "q2"),
    "2d i3x3 k2xy": ("'k2xy': k takes a number an axis, at most three, not 'y'", "y"),
    "i3x3 k2 fill=ones": ("fill= takes one of small, real, sparse, unit, wide, odd,", "ones"),
    "i3x3 k2 k3": ("kernel is given twice", "k3"),
    "i3x3 k2 f65": ("the dtype is one of f64, f32, f16, bf16, not 'f65'", "f65"),
    "i3x3 k2 seed=-1": ("'seed=-1': seed= takes one number from 0 to 2^64 - 1, not '-1'", "-1"),
    "3d i3x3 k2": ("3d, but the size has 2 axes", "3d"),
}


def assert_one_sentence(said: Any, code: int, fault: str, *words: str) -> None:
    """Nothing on standard output; one line that begins with our name, has the words, and ends with whose fault it is."""
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("conformance: ")
    assert said.err.endswith(f" {fault}\n")
    assert len(said.err.splitlines()) == 1
    for word in words:
        assert word in said.err


# ---- the call ----
@pytest.mark.parametrize("command", ["run", "doctor"])
@pytest.mark.parametrize(
    ("name", "near"),
    [("python-nump", "python-numpy"), ("numpy", "python-numpy"), ("python_torch", "python-torch")],
)
def test_an_unknown_adapter_is_told_with_the_nearest_one(
    command: str, name: str, near: str, invoke: Invoke
) -> None:
    said = invoke(command, name)
    assert_one_sentence(
        said, 2, USER, f"no adapter is called {name!r}", f"did you mean {near}?", "conformance list"
    )


def test_an_adapter_like_none_is_told_without_a_guess(invoke: Invoke) -> None:
    said = invoke("run", "qqqq")
    assert_one_sentence(said, 2, USER, "no adapter is called 'qqqq'", "a file is given as ./qqqq.py")
    assert "did you mean" not in said.err


def test_one_unknown_adapter_among_several_stops_before_anything_is_run(
    invoke: Invoke, tmp_path: Path
) -> None:
    said = invoke("run", "python-numpy", "nonsense", "--out", tmp_path / "out")
    assert_one_sentence(said, 2, USER, "no adapter is called 'nonsense'")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_told(invoke: Invoke, tmp_path: Path) -> None:
    missing = tmp_path / "missing.py"
    assert_one_sentence(invoke("run", missing), 2, USER, f"there is no file '{missing}'")


def test_an_unknown_route_is_told_with_those_there_are(invoke: Invoke, adapter_file: Write) -> None:
    routes = ("    capabilities", "    routes = {'loops': 'slow', 'columns': 'fast'}\n    capabilities")
    said = invoke("run", f"{adapter_file('mine.py', routes)}:colums")
    assert_one_sentence(
        said, 2, USER, "Mine has no route 'colums'", "did you mean columns?", "loops, columns"
    )


def test_a_route_of_an_adapter_that_has_none_is_told(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy:fast")
    assert_one_sentence(said, 2, USER, "NumPy has no route 'fast'", "it has none")


def test_an_unknown_entry_point_is_told(invoke: Invoke) -> None:
    said = invoke("run", "entry:nobody")
    assert_one_sentence(said, 2, USER, "no entry point 'nobody' in group conformance.adapters")


@pytest.mark.parametrize("only", ["NOPE-*", "FWD-1,NOPE-*", ""])
def test_a_pattern_that_matches_no_clause_is_told_with_those_there_are(only: str, invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--only", only)
    assert_one_sentence(said, 2, USER, f"no clause matches {only.rpartition(',')[2]!r}", "FWD-1", "HYG-7")


def test_a_clause_that_is_not_there_has_no_page(invoke: Invoke) -> None:
    assert_one_sentence(invoke("spec", "DEL-99"), 2, USER, "no clause matches 'DEL-99'")


@pytest.mark.parametrize("dtype", ["f128", "int8", ""])
def test_an_unknown_dtype_is_told_with_those_there_are(dtype: str, invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--dtype", dtype)
    assert_one_sentence(said, 2, USER, "dtype must be one of", "f64", "bfloat16", f"got {dtype!r}")


@pytest.mark.parametrize(
    ("line", "reason", "place"), [(k, *v) for k, v in BAD_LINES.items()], ids=list(BAD_LINES)
)
def test_a_problem_that_does_not_parse_is_shown_with_a_mark_under_the_place(
    line: str, reason: str, place: str, invoke: Invoke
) -> None:
    said = invoke("run", "python-numpy", "--problem", line)
    assert (said.code, said.out) == (2, "")
    sentence, shown, mark = said.err.splitlines()[:3]
    assert sentence.startswith(f"conformance: {reason}")
    assert shown == f"    {line}"
    assert mark.index("^") == 4 + line.rindex(place)
    assert USER in said.err


def test_a_problem_without_a_kernel_is_shown_with_a_mark_at_its_end(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", "2d i5x5")
    assert said.code == 2
    assert "the kernel is missing: write k and a number an axis, as in k3x2" in said.err
    assert said.err.splitlines()[2].index("^") == 4 + len("2d i5x5")


def test_a_convolution_that_nobody_can_compute_is_told_with_its_numbers(invoke: Invoke) -> None:
    said = invoke("run", "python-numpy", "--problem", "i3x3 k2x5 d1x2")
    words = ("the kernel does not fit on axis 1: it reaches 9 (kernel 5, dilation 2)", "the input has 3")
    assert_one_sentence(said, 2, USER, *words)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_run(
    invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    below = tmp_path / "file" / "out"
    said = invoke("run", "python-numpy", "--out", below)
    assert_one_sentence(said, 2, USER, f"the folder '{below}' cannot be written")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "not a folder"


def test_a_file_where_the_folder_should_be_is_told(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    said = invoke("run", "python-numpy", "--out", tmp_path / "file")
    assert_one_sentence(said, 2, USER, f"the folder '{tmp_path / 'file'}' cannot be written")


class FullDisk(io.FileIO):
    """It has no room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_laid_at_the_call(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.report.journal.opened", lambda path: FullDisk(path, "w"))
    said = invoke("run", "python-numpy", "--problem", "i3 k2", "--only", "FWD-2", "--out", tmp_path)
    assert_one_sentence(
        said, 2, "[the disk has to have room]", "cannot be written: No space left on device", "--resume"
    )


def test_a_damaged_journal_is_not_laid_at_the_call(invoke: Invoke, tmp_path: Path) -> None:
    invoke("run", "python-numpy", "--problem", "i3 k2", "--only", "FWD-2", "--out", tmp_path)
    report = tmp_path / "report.jsonl"
    lines = report.read_text(encoding="utf-8").splitlines(keepends=True)
    report.write_text(lines[0] + "{damaged\n" + "".join(lines[2:]), encoding="utf-8")
    said = invoke("run", "python-numpy", "--resume", tmp_path)
    assert_one_sentence(said, 2, "[the report has to be made anew]", "report.jsonl, line 2: not JSON")


def test_a_folder_with_nothing_to_resume_is_laid_at_the_call(invoke: Invoke, tmp_path: Path) -> None:
    assert_one_sentence(invoke("run", "--resume", tmp_path), 2, USER, "nothing to resume")


def test_a_report_that_is_a_folder_is_told(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").mkdir()
    said = invoke("run", "python-numpy", "--out", tmp_path)
    assert_one_sentence(said, 2, USER, f"the folder '{tmp_path}' cannot be written")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "python-numpy", "--profile", "fast"),
        ("run", "python-numpy", "--seed", "-1"),
        ("run", "python-numpy", "--seed", "one"),
        ("run", "python-numpy", "--nonsense"),
        ("doctor",),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_a_call_that_click_cannot_parse_shows_how_to_get_help(
    arguments: tuple[str, ...], invoke: Invoke
) -> None:
    said = invoke(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: conformance ")
    assert re.search(r"^Error: ", said.err, re.MULTILINE)
    assert "--help' for help." in said.err


def test_a_file_to_check_is_guessed_with_its_ending(invoke: Invoke, adapter_file: Write) -> None:
    path = adapter_file("my_cnn.py")
    said = invoke("check", path.with_suffix(""))
    assert said.code != 0
    assert f"there is no file '{path.with_suffix('')}' (did you mean {path}?)" in said.out + said.err


def test_an_adapter_gets_no_name_that_a_shell_would_split(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("new-adapter", tmp_path / "a b")
    assert_one_sentence(said, 2, USER, f"'{tmp_path / 'a b'}' is no name for an adapter")
    assert not (tmp_path / "a b").exists()


def test_an_unknown_mistake_is_told_with_the_nearest(invoke: Invoke) -> None:
    from conformance.mistakes.catalogue import CATALOGUE

    name = next(iter(CATALOGUE))
    assert_one_sentence(
        invoke("power", "--only", f"{name}x"), 2, USER, f"matches '{name}x' (did you mean {name}?)"
    )


# ---- the adapter's file ----
def test_a_file_without_an_adapter_is_told(invoke: Invoke, adapter_file: Write) -> None:
    path = adapter_file("empty.py", whole="x = 1\n")
    words = ("empty.py", "defines no adapter: write a class that derives from conformance.Adapter")
    assert_one_sentence(invoke("run", path), 2, USER, *words)


def test_a_file_with_two_adapters_is_told_with_their_names(invoke: Invoke, adapter_file: Write) -> None:
    two = ("class Mine(Adapter):", "class Other(Adapter):\n    pass\n\n\nclass Mine(Adapter):")
    said = invoke("run", adapter_file("two.py", two))
    assert_one_sentence(said, 2, USER, "two.py", "defines 2 adapters (Other, Mine)", "keep one a file")


def test_a_private_base_class_beside_the_adapter_is_no_second_adapter(
    invoke: Invoke, adapter_file: Write
) -> None:
    base = ("class Mine(Adapter):", "class _Base(Adapter):\n    pass\n\n\nclass Mine(_Base):")
    assert invoke("run", adapter_file("based.py", base), "--problem", "i3x3 k2", "--only", "FWD-1").code == 0


def test_a_syntax_error_is_shown_with_its_line(invoke: Invoke, adapter_file: Write) -> None:
    path = adapter_file("typo.py", ("def forward(self, g, x, w, b):", "def forward(self, g, x, w, b:"))
    said = invoke("run", path)
    words = ("typo.py does not load: syntax error in line 11", "def forward(self, g, x, w, b:")
    assert_one_sentence(said, 3, ADAPTER, *words)


def test_a_syntax_error_in_a_module_that_it_imports_is_told_with_that_file(
    invoke: Invoke, adapter_file: Write
) -> None:
    adapter_file("broken_helper.py", whole="x = 1\ny = (2\n")
    path = adapter_file("mine.py", ("class Mine(Adapter):", "import broken_helper\n\n\nclass Mine(Adapter):"))
    assert_one_sentence(invoke("run", path), 3, ADAPTER, "mine.py", "line 2", "broken_helper.py")


def test_an_import_that_fails_is_told_with_its_line_and_what_to_install(
    invoke: Invoke, adapter_file: Write
) -> None:
    path = adapter_file("mine.py", ("class Mine(Adapter):", "import tensorflau\n\n\nclass Mine(Adapter):"))
    words = ("No module named 'tensorflau'", "(line 5: import tensorflau)", "is tensorflau installed")
    assert_one_sentence(invoke("run", path), 3, ADAPTER, "mine.py does not load", *words)


def test_an_import_that_fails_while_computing_is_the_adapters_fault(
    invoke: Invoke, adapter_file: Write
) -> None:
    late = ("return self.layer(g, w, b).forward(x)", "import tensorflau")
    said = invoke("run", adapter_file("mine.py", late), "--problem", "i3x3 k2")
    assert (said.code, said.err) == (3, "")
    assert "doctor: Mine: an import fails: No module named 'tensorflau' (" in said.out


def test_an_error_in_the_body_of_the_file_is_told_with_its_line(invoke: Invoke, adapter_file: Write) -> None:
    path = adapter_file("mine.py", ("class Mine(Adapter):", "limit = 1 / 0\n\n\nclass Mine(Adapter):"))
    said = invoke("run", path)
    assert_one_sentence(
        said, 3, ADAPTER, "mine.py does not load", "ZeroDivisionError", "(line 5: limit = 1 / 0)"
    )


def test_a_file_that_exits_is_told(invoke: Invoke, adapter_file: Write) -> None:
    path = adapter_file("mine.py", whole="import sys\n\nsys.exit('no licence')\n")
    said = invoke("run", path)
    assert_one_sentence(said, 3, ADAPTER, "mine.py does not load", "no licence", "line 3")


NONSENSE = {
    "Capabilities(ranks={2, 4})": "Capabilities(ranks={2, 4}): it must be a non-empty set of 1, 2, 3",
    "Capabilities(ranks=2)": "Capabilities(ranks=2): it must be a non-empty set of 1, 2, 3",
    "Capabilities(ranks=())": "it must be a non-empty set of 1, 2, 3",
    "Capabilities(dtypes={'float128'})": "Capabilities(dtypes={'float128'}): dtype must be one of f64, f32",
    "Capabilities(dtypes='f64')": "Capabilities(dtypes='f64'): dtype must be one of f64, f32",
    "Capabilities(padding='same')": "it must be one of none, symmetric, asymmetric, negative",
    "Capabilities(convention='cross')": "it must be one of correlation, convolution, both",
    "Capabilities(biases={'yes'})": "it must be a non-empty set of none, tied, untied",
    "Capabilities(quantities={'dz'})": "it must be a non-empty set of y, dx, dw, db",
    "Capabilities(x_layout='NHCW')": "Capabilities(x_layout='NHCW'): write N and C once each",
    "Capabilities(strides=True)": "unexpected keyword argument 'strides'",
    "Capabilities(arithmetic='float32')": "Capabilities(arithmetic='float32'): write an Arithmetic",
    "{'ranks': {2}}": "its capabilities are dict, not Capabilities",
}


@pytest.mark.parametrize(("claim", "sentence"), NONSENSE.items(), ids=list(NONSENSE))
def test_nonsense_among_the_capabilities_is_told_with_what_may_stand_there(
    claim: str, sentence: str, invoke: Invoke, adapter_file: Write
) -> None:
    said = invoke("run", adapter_file("mine.py", ("Capabilities()", claim)), "--problem", "i3x3 k2")
    assert_one_sentence(said, 3, ADAPTER, "mine.py", sentence)


METHODS = {
    "def __init__(self): pass": "creating its adapter raises TypeError",
    "def __init__(self, route=''): raise OSError('no card')": "creating its adapter raises OSError: no card",
    "def versions(self): raise ValueError('none')": "versions() raises ValueError: none",
    "def versions(self): return None": "versions() raises",
    "def unsupported(self, g, dtype): return g.strides": "unsupported() raises AttributeError",
    "def unsupported(self, g, dtype): return True": "unsupported() must return a reason or None, it returned True",
}


@pytest.mark.parametrize(("method", "sentence"), METHODS.items(), ids=list(METHODS))
def test_a_broken_method_of_the_adapter_is_told(
    method: str, sentence: str, invoke: Invoke, adapter_file: Write
) -> None:
    path = adapter_file("mine.py", ("    capabilities", f"    {method}\n\n    capabilities"))
    assert_one_sentence(invoke("run", path, "--problem", "i3x3 k2"), 3, ADAPTER, "mine.py", sentence)


# ---- this program ----
def test_a_defect_of_this_program_is_told_as_one_and_is_no_verdict(
    start: Invoke, adapter_file: Write
) -> None:
    """An implementation that breaks ours: the comparison then fails in a way that no one foresaw."""
    spoil = (
        "return self.layer(g, w, b).forward(x)",
        "import sys; sys.modules['conformance.oracle.compare'].np = None; return self.layer(g, w, b).forward(x)",
    )
    here = ("--in-process", "--problem", "i3x3 k2", "--only", "FWD-1")
    said = start("run", adapter_file("mine.py", spoil), *here)
    assert_one_sentence(
        said, 3, OURS, "clause FWD-1 raised AttributeError", "problem 2d n1 c1 m1 i3x3 k2x2 f64"
    )


def test_an_implementation_that_never_returns_is_told_once_and_ends_the_run(
    invoke: Invoke, adapter_file: Write
) -> None:
    """Whatever it catches while it hangs."""
    endless = "while True:\n            try:\n                pass\n            except Exception:\n                pass"
    path = adapter_file("mine.py", ("return self.layer(g, w, b).forward(x)", endless))
    said = invoke("run", path, "--profile", "quick", "--only", "FWD-*,HYG-6", "--timeout", "0.2", "--json")
    assert said.code == 1
    (found,) = [r for r in said.records if r["record"] == "finding"]
    assert (found["clause"], found["status"]) == ("FWD-1", "TIMED_OUT")
    assert found["judgement"]["note"].startswith("the implementation did not answer within 0.")
    last = [j for j in said.judged() if j["status"] == "TIMED_OUT"][-1]
    assert last["note"].endswith("not asked any more, it was so on 3 problems before")
