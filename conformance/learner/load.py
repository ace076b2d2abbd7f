"""A learner's file becomes a module, if it lets itself be imported; and what in it may be a convolution."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from conformance.adapter.protocol import Adapter
from conformance.errors import UserError
from conformance.learner.quiet import ASKS, Failed, Late, place, tried

__all__ = ["NothingToCheck", "load", "own"]

MAIN = "put what is no definition under `if __name__ == '__main__':`"


class NothingToCheck(UserError):  # noqa: N818  (named for what happened)
    """The file holds nothing that can be judged; says why, in one sentence."""

    fault = "file"


def load(path: Path, seconds: float) -> ModuleType:
    """Import it; what stands under ``if __name__ == '__main__':`` is not run.

    Raises:
        NothingToCheck: it is not there, or importing it fails, asks, or does not end.
    """
    if not path.is_file():
        meant = path.with_name(f"{path.name}.py")
        hint = f" (did you mean {meant}?)" if meant.is_file() else ""
        raise NothingToCheck(f"there is no file {str(path)!r}{hint}")
    path = path.resolve()
    name = f"conformance_learner_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NothingToCheck(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while the file is executed
    sys.path.insert(0, str(path.parent))
    before = set(sys.modules)
    try:
        outcome = tried(lambda: spec.loader.exec_module(module), seconds)  # type: ignore[union-attr]
    except Late:
        raise NothingToCheck(
            f"{path.name} is not imported within {seconds:g} s: does it train, or loop forever?  Then {MAIN}"
        ) from None
    finally:
        _forget(path.parent, before)
    if isinstance(outcome, Failed):
        raise NothingToCheck(_told(outcome.error, path)) from outcome.error
    return module


def _forget(folder: Path, before: set[str]) -> None:
    """Neighbours that were imported along: another folder may have its own of the same name."""
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == folder:
            del sys.modules[name]


def _told(error: BaseException, path: Path) -> str:
    """Why it does not import, in one sentence."""
    if isinstance(error, SyntaxError):
        file = Path(error.filename or path).name
        return f"{file} has a syntax error in line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    file, line, text = place(error, path.parent)
    at = f"in line {line}{f' of {file}' if file != path.name else ''} ({text})"
    if isinstance(error, ModuleNotFoundError):
        return f"{path.name} needs the module {error.name}, which is not installed here, {at}"
    if isinstance(error, EOFError) and ASKS in str(error):
        return f"{path.name} asks for input() when it is imported, {at}: {MAIN}"
    if isinstance(error, SystemExit):
        return f"{path.name} ends the program when it is imported, {at}: {MAIN}"
    return f"{path.name} raises {type(error).__name__} when it is imported, {at}: {error}"


def own(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(name, function or class) of what the file, or a file beside it, defines.

    Raises:
        NothingToCheck: it is an adapter.
    """
    folder = Path(module.__file__ or "").parent
    for name, value in vars(module).items():
        if inspect.isclass(value) and issubclass(value, Adapter) and value is not Adapter:
            file = Path(module.__file__ or "").name
            raise NothingToCheck(f"{file} defines an adapter ({name}): `conformance run ./{file}` judges it")
        if callable(value) and folder in {Path(f).parent for f in _files(value)}:
            yield name, value


def _files(value: Any) -> Iterator[str]:
    """Where a function, or the methods of a class, are written."""
    functions = vars(value).values() if inspect.isclass(value) else [value]
    for function in functions:
        code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
        if code is not None:
            yield code.co_filename
