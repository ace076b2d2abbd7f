"""Data is never run: no module of ours can unpickle, evaluate or mark what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import conformance

PACKAGE = Path(conformance.__file__).parent
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "np.load", "numpy.load", "torch.load", "pd.read_pickle"}


def found(source: str) -> Iterator[str]:
    """What a module imports or calls of what runs data; np.load is none with allow_pickle=False."""
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            safe = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords)
            yield from [] if safe else [ast.unparse(node.func)]
        if (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and ast.unparse(node.value) != "False"
        ):
            yield "allow_pickle"


def test_nothing_is_unpickled_or_evaluated() -> None:
    files = [p for p in PACKAGE.rglob("*.py") if "_bundled" not in p.parts]
    assert len(files) > 100
    assert {str(p): names for p in files if (names := list(found(p.read_text(encoding="utf-8"))))} == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from joblib.x import load", "joblib.x"),
        ("eval(text)", "eval"),
        ("np.load(path)", "np.load"),
        ("np.load(path, allow_pickle=True)", "np.load"),
        ("read(path, allow_pickle=flag)", "allow_pickle"),
    ],
)
def test_what_runs_data_is_found(source: str, name: str) -> None:
    assert name in list(found(source))


def test_what_does_not_is_not() -> None:
    assert list(found("import json\nnp.load(path, allow_pickle=False)\nre.compile(text)")) == []
