"""Every example in a docstring of the installed package gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import conformance

MODULES = ["conformance", *(m.name for m in pkgutil.walk_packages(conformance.__path__, "conformance."))]
FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples(name: str) -> list[doctest.DocTest]:
    return FINDER.find(importlib.import_module(name), name)


def failures(tests: list[doctest.DocTest]) -> str:
    """What doctest says about the examples that fail; nothing if all hold."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        runner.run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_of_a_module_hold(name: str) -> None:
    if said := failures(examples(name)):
        pytest.fail(said, pytrace=False)


def test_the_package_has_examples() -> None:
    assert any(test.examples for test in examples("conformance.problem.notation"))


def test_a_wrong_example_is_reported() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert "Expected:\n    3\nGot:\n    2" in failures([wrong])
