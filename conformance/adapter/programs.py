"""The programs of this machine that make an adapter's environment: a Python of the right version, pip, a build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet

from conformance.adapter.manifest import Manifest
from conformance.errors import NoEnvironment

__all__ = ["LEAKS", "Say", "carried_out", "check_version", "interpreter"]

Say = Callable[[str], None]

LEAKS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PIP_PREFIX",
    "PIP_TARGET",
    "PIP_USER",
    "__PYVENV_LAUNCHER__",
)
"""Variables by which packages from elsewhere would get in, or ours get elsewhere."""
LAST = 3
"""Lines of a program's output that stand in the error; all of them were said before."""
VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
PATIENCE = 30.0
"""Seconds in which a Python says its version."""


def _clean() -> Mapping[str, str]:
    """The variables of this process, but for those that would let other packages in."""
    return {name: value for name, value in os.environ.items() if name not in LEAKS}


def carried_out(manifest: Manifest, args: Sequence[str], *, cwd: Path | None = None, say: Say) -> None:
    """Run a program to its end and say what it prints, line by line.

    Raises:
        NoEnvironment: it is not there, or fails; with its exit code, its last lines and the packages that it needs.
    """
    told = " ".join(args)
    last: deque[str] = deque(maxlen=LAST)
    try:
        process = subprocess.Popen(
            args,
            cwd=cwd,
            env=_clean(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise NoEnvironment(
            f"{manifest.name}: `{told}` cannot be started: {error.strerror}{_needs(manifest)}"
        ) from error
    with process:
        try:
            for line in process.stdout or ():
                say(line.rstrip())
                last.append(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = " / ".join(filter(None, last)) or "it printed nothing"
        raise NoEnvironment(
            f"{manifest.name}: `{told}` ended with exit code {process.returncode}: {said}{_needs(manifest)}"
        )


def _needs(manifest: Manifest) -> str:
    return f"; it needs Debian's packages {', '.join(manifest.system)}" if manifest.system else ""


# ---- a Python of the right version ----
def check_version(manifest: Manifest) -> None:
    """Is the Python that runs this one of those that the adapter runs on?

    Raises:
        NoEnvironment: it is not.
    """
    version = _running()
    if version not in SpecifierSet(manifest.python):
        raise NoEnvironment(f"{manifest.name} needs Python {manifest.python}, but this is {version}")


def interpreter(manifest: Manifest) -> str:
    """A Python that the adapter runs on: this one, else the newest of the right ones on PATH.

    Raises:
        NoEnvironment: there is none.
    """
    found: list[str] = []
    for path, version in _pythons():
        if version in SpecifierSet(manifest.python):
            return path
        found.append(f"{version} ({path})")
    raise NoEnvironment(
        f"{manifest.name} needs Python {manifest.python}; there are only {', '.join(found)}{_needs(manifest)}"
    )


def _running() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _pythons() -> Iterator[tuple[str, str]]:
    """(path, version) of this Python, then of all pythonX.Y on PATH, newest first, as far as they start."""
    yield sys.executable, _running()
    there = [
        (int(named[1]), path)
        for folder in os.get_exec_path()
        for path in sorted(Path(folder).glob("python3.*"))
        if (named := re.fullmatch(r"python3\.(\d+)(\.exe)?", path.name))
    ]
    for _, path in sorted(there, key=lambda entry: -entry[0]):
        if version := _version(path):
            yield str(path), version


def _version(path: Path) -> str:
    """What a Python says that it is; '' if it does not start (a shim of a version manager may not)."""
    try:
        said = subprocess.run(
            [path, "-I", "-c", VERSION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return said.stdout.strip()
