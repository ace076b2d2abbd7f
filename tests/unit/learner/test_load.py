from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from conformance.learner.load import NothingToCheck, load, own

Module = Callable[..., ModuleType]


def test_what_stands_under_main_is_not_run(module: Module) -> None:
    made = module("ran = False\nif __name__ == '__main__':\n    ran = True\n")
    assert made.ran is False


def test_only_what_the_file_and_its_neighbours_define_is_their_own(module: Module, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def helper(x):\n    return x\n", encoding="utf-8")
    made = module(
        "from math import sqrt\nimport numpy as np\nfrom beside import helper\n\n\ndef mine(x):\n    return x\n"
    )
    assert [name for name, _ in own(made)] == ["helper", "mine"]
    assert "beside" not in sys.modules


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for k in (1, 2):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "my_cnn.py").write_text(f"n = {k}\n", encoding="utf-8")
    assert [load(tmp_path / str(k) / "my_cnn.py", 5).n for k in (1, 2)] == [1, 2]


def test_an_error_in_a_neighbour_is_told_with_its_file(module: Module, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("x = 1\ny = [][x]\n", encoding="utf-8")
    with pytest.raises(
        NothingToCheck,
        match=r"raises IndexError when it is imported, in line 2 of beside\.py \(y = \[\]\[x\]\)",
    ):
        module("import beside\n")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NothingToCheck, match="there is no file"):
        load(tmp_path, 5)


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(NothingToCheck, match=r"notes\.txt is not a Python file"):
        load(tmp_path / "notes.txt", 5)
