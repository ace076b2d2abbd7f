"""From what the user wrote to an adapter: a bundled name, a folder, a file, or an entry point, each with an optional route.

``python-torch`` · ``python-torch:nn-grad`` · ``./my-adapter`` (with an adapter.toml) · ``./my_adapter.py`` ·
``./my_adapter.py:route`` · ``entry:name`` · or a program that speaks the wire protocol: ``cmd:./my-program --its arguments``
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import inspect
import shlex
import shutil
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from conformance.adapter.environment import command, found, hosted
from conformance.adapter.manifest import FILE, bundled, is_folder, sought
from conformance.adapter.process import POSIX, Command
from conformance.adapter.protocol import Adapter
from conformance.adapter.remote import MEMORY, Remote
from conformance.adapter.session import TIME_LIMIT, Session
from conformance.errors import AdapterBroken, AdapterNotFound, ConformanceError, near

__all__ = ["Way", "connect", "load_class", "process_of"]

GROUP = "conformance.adapters"


def connect(
    target: str, *, time_limit: float = TIME_LIMIT, memory: int = MEMORY, in_process: bool = True
) -> Session:
    """A session with the adapter that `target` names; a call of it may take `time_limit` seconds.

    in_process: asked here, as an object, if it is in Python; else in a process of its own that may use `memory` bytes, and
    that runs in the adapter's environment, if that is made.  What needs none is asked here always: the bundled reference.

    Raises:
        AdapterNotFound: no such name, file, program, entry point, class or route (the user's mistake).
        AdapterBroken: its file does not load, it does not start, or it declares nonsense (the adapter's).
    """
    process = process_of(target, in_process=in_process)
    if process:
        place = Remote(
            process.command,
            target,
            route=process.route,
            time_limit=time_limit,
            memory=memory,
            folder=process.folder,
        )
        return Session(place, target)
    cls, route = _resolve(target)
    if route and route not in cls.routes:
        raise AdapterNotFound(
            f"{cls.__name__} has no route {route!r}{near(route, cls.routes)}; it has {', '.join(cls.routes) or 'none'}"
        )
    try:
        adapter = cls(route)
        return Session(adapter, target, time_limit=time_limit)
    except ConformanceError:
        raise
    except Exception as error:
        raise AdapterBroken(f"{target}: creating its adapter raises {_told(error)}") from error


class Way(NamedTuple):
    """How an adapter is started, its route, and the folder of its files."""

    command: Command
    route: str = ""
    folder: Path | None = None


def process_of(target: str, *, in_process: bool = False) -> Way | None:
    """How an adapter is asked in a process of its own; None if it is asked in this one."""
    if target.startswith("cmd:"):
        return Way(_program(target.removeprefix("cmd:")))
    head, route = _split(target)
    manifest = sought(head)
    loadable = manifest is None or manifest.language == "python"
    if ((in_process or not POSIX) and loadable) or (manifest and not manifest.isolated):
        return None
    if manifest:
        return Way(command(manifest, found(manifest), route), route, manifest.folder)
    what, route = _located(target)
    folder = None if what.startswith("entry:") else Path(what).parent
    return Way(hosted(sys.executable, what), route, folder)


def _program(line: str) -> Command:
    """A command line as it stands behind ``cmd:``."""
    try:
        args = shlex.split(line)
    except ValueError as error:
        raise AdapterNotFound(f"{line!r} is no command line: {error}") from None
    if not args or not shutil.which(args[0]):
        raise AdapterNotFound(f"there is no program {(args or [line])[0]!r} to start")
    return Command(args=tuple(args))


def _located(target: str) -> tuple[str, str]:
    """(what the SDK loads: a file, or ``entry:module:class``; route) of a Python adapter that is not bundled."""
    name, route = _split(target.removeprefix("entry:"))
    points = {e.name: e for e in importlib.metadata.entry_points(group=GROUP)}
    file = _is_file(name) and not target.startswith("entry:")
    if file and Path(name).is_file():
        return str(Path(name).resolve()), route
    if not file and name in points:
        return f"entry:{points[name].value}", route
    raise _unknown(target)


def _resolve(target: str) -> tuple[type[Adapter], str]:
    if target.startswith("entry:"):
        return _entry_point(*_split(target.removeprefix("entry:")))
    head, route = _split(target)
    if _is_file(head) and Path(head).is_file():
        return load_class(Path(head)), route
    manifest = sought(head)
    if manifest:
        return load_class(manifest.path), route
    if head in {e.name for e in importlib.metadata.entry_points(group=GROUP)}:
        return _entry_point(head, route)
    raise _unknown(target)


def _is_file(head: str) -> bool:
    return head.endswith(".py") or "/" in head or "\\" in head


def _unknown(target: str) -> AdapterNotFound:
    """What to say of a target that names nothing."""
    points = [e.name for e in importlib.metadata.entry_points(group=GROUP)]
    head, _ = _split(target.removeprefix("entry:"))
    if target.startswith("entry:"):
        return AdapterNotFound(f"no entry point {head!r} in group {GROUP}{near(head, points)}")
    if is_folder(head) and Path(head).is_dir():
        return AdapterNotFound(f"there is no {FILE} in {head!r}")
    if _is_file(head):
        return AdapterNotFound(f"there is no file {str(Path(head))!r}")
    return AdapterNotFound(
        f"no adapter is called {head!r}{near(head, [*bundled(), *points])}; `conformance list` shows all, a file is given "
        f"as ./{head}.py, a folder with an {FILE} as ./{head}"
    )


def _split(target: str) -> tuple[str, str]:
    head, _, route = target.partition(":")
    return head, route


def _entry_point(name: str, route: str) -> tuple[type[Adapter], str]:
    points = {e.name: e for e in importlib.metadata.entry_points(group=GROUP)}
    if name not in points:
        raise _unknown(f"entry:{name}")
    try:
        cls = points[name].load()
    except Exception as error:
        raise AdapterBroken(
            f"entry point {name!r} ({points[name].value}) does not load: {_told(error)}"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Adapter)):
        raise AdapterBroken(f"entry point {name!r} is {cls!r}, not a subclass of conformance.Adapter")
    return cls, route


def load_class(path: Path) -> type[Adapter]:
    """The one subclass of Adapter that a file defines."""
    module = _load(path)
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Adapter) and value.__module__ == module.__name__
    ]
    public = list(dict.fromkeys(cls for cls in classes if not cls.__name__.startswith("_")))
    if not public:
        raise AdapterNotFound(
            f"{str(path)!r} defines no adapter: write a class that derives from conformance.Adapter"
        )
    if len(public) > 1:
        names = ", ".join(cls.__name__ for cls in public)
        raise AdapterNotFound(
            f"{str(path)!r} defines {len(public)} adapters ({names}): keep one a file, or use routes"
        )
    return public[0]


def _load(path: Path) -> ModuleType:
    """Import a file by its path, registered before it is executed (dataclasses in it look their module up)."""
    path = path.resolve()
    name = f"conformance_adapter_{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AdapterNotFound(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # an adapter may import its neighbours, now or later
    before = set(sys.modules)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise AdapterBroken(f"{path.name} does not load: {_told(error, path)}") from error
    finally:
        _forget_neighbours(path.parent, before)
    return module


def _forget_neighbours(folder: Path, before: set[str]) -> None:
    """Drop the modules of this folder that an import brought in: another folder may have its own of the same name.

    Who imported them keeps them.
    """
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == folder and not name.startswith("conformance_adapter_"):
            del sys.modules[name]
    if str(folder) in sys.path:  # the folder loaded last comes first
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


def _told(error: BaseException, path: Path | None = None) -> str:
    """An exception in one line, with the line of `path` that it came from."""
    if isinstance(error, SyntaxError):
        elsewhere = (
            f" of {Path(error.filename).name}" if path and error.filename not in (None, str(path)) else ""
        )
        return f"syntax error in line {error.lineno}{elsewhere}: {error.msg}: {(error.text or '').strip()}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if path is None or f.filename == str(path)]
    place = f" (line {frames[-1].lineno}: {frames[-1].line})" if path and frames else ""
    missing = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = f"; is {error.name.partition('.')[0]} installed in this environment?"
    return f"{type(error).__name__}: {error}{place}{missing}"
