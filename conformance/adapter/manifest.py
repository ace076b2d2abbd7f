"""What an adapter is, before anything of it is started: `adapters/<name>/adapter.toml`.

    language = "python"                  # or cpp, javascript, octave, other
    summary = "PyTorch on the CPU: torch.nn.functional, and its gradients."     # what it asks
    start = ["adapter_torch.py"]         # python: its file; others: the command, started in its environment's folder
    build = ["make"]                     # others only, if need be: run once in that folder

    [routes]                             # ways through the library, if there are several; the first is the default
    autograd = "gradients by torch.autograd.grad"

    [environment]
    python = ">=3.11"                    # python only: the versions that it runs on (PEP 440)
    requirements = ["torch==2.13.0"]     # python only: what its file imports, pinned; none: it runs where conformance does
    system = ["g++", "make"]             # Debian's names of packages that have to be there: told, never installed

Nothing of this is listed anywhere else: environments, tests and CI install from here (`conformance.adapter.environment`).
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

import conformance
from conformance.errors import AdapterBroken, AdapterNotFound, near

__all__ = [
    "FILE",
    "LANGUAGES",
    "Manifest",
    "bundled",
    "folder",
    "is_folder",
    "named",
    "read",
    "sdk",
    "sought",
]

FILE = "adapter.toml"
LANGUAGES = ("python", "cpp", "javascript", "octave", "other")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An adapter.toml, validated; folder is where it lies, and gives the adapter its name.

    python: the versions that it runs on, '': any.  requirements, system: packages, by pip's and by Debian's names.
    """

    folder: Path
    language: str
    summary: str
    start: tuple[str, ...]
    build: tuple[str, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    requirements: tuple[str, ...] = ()
    system: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def target(self) -> str:
        """What names it in a command line, wherever that is given."""
        return self.name if self.folder.parent == folder() else shlex.quote(str(self.folder))

    @property
    def path(self) -> Path:
        """The file that is the adapter: Python's own, of another language its manifest."""
        return self.folder / (self.start[0] if self.language == "python" else FILE)

    @property
    def isolated(self) -> bool:
        """Has it an environment of its own?  Python without requirements runs where conformance does."""
        return self.language != "python" or bool(self.requirements)


def folder() -> Path:
    """Where bundled adapters live: inside the wheel, or in the checkout."""
    package = Path(conformance.__file__).parent
    packed = package / "_bundled" / "adapters"
    return packed if packed.is_dir() else package.parent / "adapters"


def sdk(language: str) -> Path:
    """Where the files lie that adapters of a language are written with."""
    return folder() / "_sdk" / language


def bundled() -> dict[str, Manifest]:
    """The manifests of the bundled adapters by name; nothing of theirs is imported."""
    return {path.parent.name: read(path) for path in sorted(folder().glob(f"[!_]*/{FILE}"))}


def sought(target: str) -> Manifest | None:
    """The manifest of a bundled adapter, or that in a folder (``./my-adapter``); None if there is none."""
    if is_folder(target):
        path = Path(target).resolve() / FILE
        return read(path) if path.is_file() else None
    return bundled().get(target)


def named(target: str) -> Manifest:
    """What is `sought`.

    Raises:
        AdapterNotFound: there is no such adapter, or no manifest in that folder.  AdapterBroken: it is not as it should be.
    """
    manifest = sought(target)
    if manifest:
        return manifest
    if is_folder(target):
        raise AdapterNotFound(f"there is no {FILE} in {target!r}")
    raise AdapterNotFound(
        f"no bundled adapter is called {target!r}{near(target, bundled())}; `conformance list` shows all, "
        f"a folder with an {FILE} is given as ./{target}"
    )


def is_folder(target: str) -> bool:
    """Is it written as a folder's path, not as a name?"""
    return target in (os.curdir, os.pardir) or "/" in target or os.sep in target


# ---- the file ----
def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\n" not in value


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


KINDS: dict[str, Callable[[Any], bool]] = {
    "a text of one line": _is_text,
    "a list of texts": _are_texts,
    "a table of texts": _is_table_of_texts,
    "a table": lambda value: isinstance(value, dict),
}
FIELDS = {
    "language": "a text of one line",
    "summary": "a text of one line",
    "start": "a list of texts",
    "build": "a list of texts",
    "routes": "a table of texts",
    "environment": "a table",
}
ENVIRONMENT = {"python": "a text of one line", "requirements": "a list of texts", "system": "a list of texts"}
NEEDED = ("language", "summary", "start")


def read(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        AdapterBroken: it cannot be read, or something in it is not as it should be.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise AdapterBroken(f"{path} is not TOML: {error}") from error
    _check(raw, FIELDS, f"{path}: ")
    for key in NEEDED:
        if not raw.get(key):
            raise AdapterBroken(f"{path}: {key} is needed")
    environment = raw.pop("environment", {})
    _check(environment, ENVIRONMENT, f"{path}: environment.")
    fields: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in {**raw, **environment}.items()
    }
    manifest = Manifest(folder=path.parent, **fields)
    _check_sense(manifest, path)
    return manifest


def _check(raw: dict[str, Any], fields: dict[str, str], place: str) -> None:
    for key, value in raw.items():
        if key not in fields:
            raise AdapterBroken(f"{place}{key} = {value!r} is not known; there are {', '.join(fields)}")
        if not KINDS[fields[key]](value):
            raise AdapterBroken(f"{place}{key} = {value!r} must be {fields[key]}")


def _check_sense(manifest: Manifest, path: Path) -> None:
    """What each key must be beside its type."""
    if manifest.language not in LANGUAGES:
        raise AdapterBroken(f"{path}: language = {manifest.language!r} must be one of {', '.join(LANGUAGES)}")
    if manifest.language == "python":
        _check_python(manifest, path)
        return
    for key in ("python", "requirements"):
        if value := getattr(manifest, key):
            raise AdapterBroken(
                f"{path}: environment.{key} = {value!r} is for adapters in Python, not in {manifest.language}"
            )


def _check_python(manifest: Manifest, path: Path) -> None:
    if len(manifest.start) != 1 or not manifest.path.is_file():
        raise AdapterBroken(f"{path}: start = {list(manifest.start)!r} must be one file of its folder")
    if manifest.build:
        raise AdapterBroken(f"{path}: build = {list(manifest.build)!r} is for languages that are built")
    try:
        SpecifierSet(manifest.python)
    except InvalidSpecifier:
        raise AdapterBroken(
            f"{path}: environment.python = {manifest.python!r} must be a range of versions, as in '>=3.11'"
        ) from None
    for requirement in manifest.requirements:
        if not _is_pinned(requirement):
            raise AdapterBroken(
                f"{path}: environment.requirements has {requirement!r}, which must be pinned, as in 'numpy==2.4.6'"
            )


def _is_pinned(text: str) -> bool:
    """One version and no other."""
    try:
        specifiers = list(Requirement(text).specifier)
    except InvalidRequirement:
        return False
    return [(s.operator, s.version.endswith(".*")) for s in specifiers] == [("==", False)]
