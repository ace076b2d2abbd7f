"""Where an adapter runs: a folder of its own in the user's cache, made once from its manifest.

Python's is a virtual environment with the manifest's requirements and nothing else, so that adapters whose requirements
contradict each other stand in one report.  Another language's has the adapter's files and those of its SDK side by side,
built there.  The folder is `<adapter>-<hash>`; the hash is over what goes in, so that a change makes another environment.

A folder without the mark `READY`, which is written last, is no environment: what failed or was cut off is made anew.
(It is made where it will stand, not moved there: the scripts of a virtual environment know their own path.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import portalocker
from portalocker import LockFlags

from conformance.adapter.manifest import FILE, Manifest, sdk
from conformance.adapter.process import Command
from conformance.adapter.programs import LEAKS, Say, carried_out, check_version, interpreter
from conformance.errors import AdapterNotFound, DiskFull, NoEnvironment, OutputError, near

__all__ = [
    "CACHE",
    "Command",
    "Environment",
    "command",
    "create",
    "found",
    "here",
    "listed",
    "place",
    "remove",
]

CACHE = "CONFORMANCE_CACHE"
"""The variable that names another folder than the user's cache."""
READY = ".ready"
LITTER = {"__pycache__", "adapter", "build", "node_modules"}
"""What building it there leaves beside an adapter's files; hidden files are none of its own either."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A folder that was made for an adapter; interpreter: its Python, None for other languages."""

    folder: Path
    interpreter: Path | None = None


# ---- where ----
def home() -> Path:
    """The folder of all environments."""
    given = os.environ.get(CACHE)
    cache = Path(given) if given else platformdirs.user_cache_path("conv-conformance", appauthor=False)
    return cache.absolute() / "environments"


def place(manifest: Manifest) -> Path:
    """Where its environment is, or would be."""
    return home() / f"{manifest.name}-{_digest(manifest)}"


def _digest(manifest: Manifest) -> str:
    """Of all that goes into the environment: what is installed, and of what is built every byte."""
    keys = ("language", "build", "python", "requirements", "system")
    digest = hashlib.sha256(json.dumps([getattr(manifest, key) for key in keys]).encode())
    if manifest.language != "python":
        for name, path in _sources(manifest).items():
            content = path.read_bytes()
            digest.update(json.dumps([name, len(content)]).encode() + content)
    return digest.hexdigest()[:12]


def _sources(manifest: Manifest) -> dict[str, Path]:
    """Name in the environment -> file: those of the SDK and, beside them, the adapter's, which may have its own copy."""
    return _files(sdk(manifest.language)) | _files(manifest.folder)


def _files(folder: Path) -> dict[str, Path]:
    """The files below a folder, sorted by their names in it."""
    named = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): named[name]
        for name in sorted(named)
        if name.name != FILE and not any(part.startswith(".") or part in LITTER for part in name.parts)
    }


# ---- there, or not ----
def found(manifest: Manifest) -> Environment | None:
    """Its environment, if it was made of this manifest and is whole."""
    environment = _environment(manifest)
    whole = (environment.folder / READY).is_file()
    if environment.interpreter:  # it goes when the Python that it was made by goes
        whole &= environment.interpreter.exists()
    return environment if whole else None


def _environment(manifest: Manifest) -> Environment:
    folder = place(manifest)
    if manifest.language != "python":
        return Environment(folder=folder)
    program = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")
    return Environment(folder=folder, interpreter=folder / program)


def listed() -> tuple[Path, ...]:
    """The folders of all whole environments, those of former manifests too."""
    return tuple(sorted(path.parent for path in home().glob(f"*/{READY}")))


def remove(name: str) -> tuple[Path, ...]:
    """Delete all environments of an adapter; gives their folders.

    Raises:
        AdapterNotFound: there is none.  OutputError: one cannot be deleted.
    """
    named: dict[str, list[Path]] = {}
    for folder in listed():
        named.setdefault(folder.name.rpartition("-")[0], []).append(folder)
    if name not in named:
        raise AdapterNotFound(
            f"no environment is that of {name!r}{near(name, named)}; `conformance env list` shows all"
        )
    for folder in named[name]:
        try:
            (folder / READY).unlink(missing_ok=True)  # first: what is half deleted is no environment
            shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"{str(folder)!r} cannot be deleted: {error.strerror}") from error
    return tuple(named[name])


# ---- make ----
def create(manifest: Manifest, *, say: Say) -> Environment | None:
    """Make its environment, unless it is there; None if it needs none.  Who comes second waits for the first.

    say: is given each line that the programs print, and what was done.

    Raises:
        NoEnvironment: a Python of the right version, a program or a package is missing, or the build fails.
        OutputError: the cache cannot be written.
    """
    if not manifest.isolated:
        say(f"{manifest.name} needs no environment: it runs where conformance does")
        return None
    environment = _environment(manifest)
    with _alone(environment.folder, say):
        if found(manifest):
            say(f"{manifest.name}: there already, {environment.folder}")
            return environment
        with _whole_or_not_at_all(environment.folder):
            _make(manifest, environment, say)
    say(f"{manifest.name}: made, {environment.folder}")
    return environment


@contextlib.contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Nobody else makes this folder meanwhile."""
    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        told = f"the cache {str(path.parent)!r} cannot be written"
        raise DiskFull.of(told, error, f"; {CACHE} names another") from error
    with file:
        try:
            portalocker.lock(file, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
        except portalocker.LockException:
            say(f"{folder.name} is being made by another process: waiting")
            portalocker.lock(file, LockFlags.EXCLUSIVE)
        yield


@contextlib.contextmanager
def _whole_or_not_at_all(folder: Path) -> Iterator[None]:
    """The folder begins empty; it gets its mark, or it is deleted."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        yield
        (folder / READY).touch()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise DiskFull.of(f"the environment {str(folder)!r} cannot be written", error) from error
        raise


def _make(manifest: Manifest, environment: Environment, say: Say) -> None:
    if environment.interpreter:
        python = interpreter(manifest)
        carried_out(manifest, [python, "-m", "venv", str(environment.folder)], say=say)
        _install(manifest, environment.interpreter, say)
        return
    for name, path in _sources(manifest).items():
        target = environment.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    if manifest.build:
        carried_out(manifest, manifest.build, cwd=environment.folder, say=say)


def _install(manifest: Manifest, python: Path, say: Say) -> None:
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    carried_out(manifest, [*pip, *manifest.requirements], say=say)


def here(manifest: Manifest, *, say: Say) -> None:
    """Install a Python adapter's requirements where this runs, instead of in an environment of their own.

    Raises:
        NoEnvironment: it does not run on this Python, or pip fails.
    """
    check_version(manifest)
    if manifest.requirements:
        _install(manifest, Path(sys.executable), say)


# ---- use ----
def command(manifest: Manifest, environment: Environment | None, route: str = "") -> Command:
    """How its process is started, for one of its routes, which it is told by a message.

    Raises:
        AdapterNotFound: it has no such route.  NoEnvironment: it has to be built first.
    """
    if route and route not in manifest.routes:
        raise AdapterNotFound(
            f"{manifest.name} has no route {route!r}{near(route, manifest.routes)}; "
            f"it has {', '.join(manifest.routes) or 'none'}"
        )
    if manifest.language == "python":
        python, without = (environment.interpreter, LEAKS) if environment else (sys.executable, ())
        return hosted(str(python), str(manifest.path), without)
    if environment is None:
        raise NoEnvironment(f"{manifest.name} has not been built: conformance env create {manifest.target}")
    return Command(args=manifest.start, cwd=environment.folder)


def hosted(python: str, what: str, without: tuple[str, ...] = ()) -> Command:
    """How an adapter in Python is started: its file, or ``entry:module:class``, served by the SDK."""
    host = sdk("python") / "conformance_adapter.py"
    return Command(args=(python, str(host), what), without=without)
