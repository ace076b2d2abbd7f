"""What a user downloads has everything in it, and nothing else."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from fnmatch import fnmatch
from pathlib import Path

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

CHECKOUT = Path(__file__).resolve().parents[2]
BUNDLED = "conformance/_bundled/adapters/"
DATA = (
    "conformance/py.typed",
    "conformance/engine/corpus/*.txt",
    "conformance/*.json",
    "conformance/mistakes/templates/*.jinja",
)
"""What is no module and is needed at run time; * crosses folders."""
PROJECT = (
    ".ci/run",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "SPEC.md",
    "adapters/*/adapter.toml",
    "adapters/*/adapter_*.py",
    "adapters/*/known_failures.toml",
    "adapters/*/package-lock.json",
    "adapters/*/reproducer.py.jinja",
    "adapters/_sdk/javascript/conformance.mjs",
    "adapters/_sdk/octave/conformance_*.m",
    "adapters/_template/*/adapter.*",
    "hatch_build.py",
    "pyproject.toml",
    "reports/README.md",
    "tests/package/test_archives.py",
    "tests/test_layers.py",
    "tox.ini",
)
SDIST_ONLY = {".gitignore", "PKG-INFO", "action.yml", "conformance"}
"""Beside PROJECT's, the only names at the top of an sdist."""


@dataclass(frozen=True)
class Archive:
    """The regular files of a wheel or of an sdist, by name; an sdist's top folder is left out."""

    path: Path
    files: dict[str, bytes]

    def below(self, folder: str) -> dict[str, bytes]:
        """The files below a folder, by their names in it."""
        return {
            name.removeprefix(folder): data for name, data in self.files.items() if name.startswith(folder)
        }


class Builder:
    """Builds from any copy of the project, in one isolated environment."""

    def __init__(self, env: DefaultIsolatedEnv) -> None:
        self.env = env
        self.installed: set[str] = set()

    def build(self, source: Path, kind: str, target: Path) -> Path:
        """The path of the new archive; kind is sdist, wheel or editable."""
        project = ProjectBuilder.from_isolated_env(self.env, source)
        self._install(project.build_system_requires)
        self._install(project.get_requires_for_build(kind))
        return Path(project.build(kind, target))

    def _install(self, requirements: set[str]) -> None:
        if missing := requirements - self.installed:
            self.env.install(missing)
            self.installed |= missing


def read_wheel(path: Path) -> Archive:
    with zipfile.ZipFile(path) as wheel:
        return Archive(path, {name: wheel.read(name) for name in wheel.namelist()})


def read_sdist(path: Path) -> Archive:
    with tarfile.open(path) as sdist:
        members = [member for member in sdist.getmembers() if member.isfile()]
        return Archive(path, {m.name.partition("/")[2]: sdist.extractfile(m).read() for m in members})


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    with DefaultIsolatedEnv() as env:
        yield Builder(env)


@pytest.fixture(scope="session")
def wheel(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The wheel of the checkout."""
    return read_wheel(builder.build(CHECKOUT, "wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="session")
def sdist(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The sdist of the checkout."""
    return read_sdist(builder.build(CHECKOUT, "sdist", tmp_path_factory.mktemp("sdist")))


@pytest.fixture
def unpacked(sdist: Archive, tmp_path: Path) -> Path:
    """A fresh folder with the contents of the sdist."""
    folder = tmp_path / "unpacked"
    for name, data in sdist.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def version() -> str:
    text = (CHECKOUT / "conformance" / "__init__.py").read_text("utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


def missing(archive: Archive, patterns: tuple[str, ...]) -> list[str]:
    return [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in archive.files)]


def metadata(wheel: Archive, name: str) -> str:
    return wheel.files[f"conv_conformance-{version()}.dist-info/{name}"].decode()


# ---- wheel ----


def test_wheel_has_data_and_adapters(wheel: Archive) -> None:
    assert (
        missing(
            wheel,
            (*DATA, f"{BUNDLED}*/adapter.toml", f"{BUNDLED}*/adapter_*.py", "*.dist-info/licenses/LICENSE"),
        )
        == []
    )


def test_wheel_installs_one_import_package(wheel: Archive) -> None:
    """A top-level package `adapters` or `tests` would overwrite others'."""
    tops = {name.partition("/")[0] for name in wheel.files}
    assert tops == {"conformance", f"conv_conformance-{version()}.dist-info"}


def test_wheel_has_all_adapters_of_the_sdist(wheel: Archive, sdist: Archive) -> None:
    assert wheel.below(BUNDLED) == sdist.below("adapters/")


def test_wheel_has_the_whole_package_of_the_sdist(wheel: Archive, sdist: Archive) -> None:
    package = {
        name: data for name, data in wheel.below("conformance/").items() if not name.startswith("_bundled/")
    }
    assert package == sdist.below("conformance/")


def test_wheel_is_pure_and_named(wheel: Archive) -> None:
    assert wheel.path.name == f"conv_conformance-{version()}-py3-none-any.whl"
    assert "conformance = conformance.cli:main" in metadata(wheel, "entry_points.txt")
    fields = message_from_bytes(metadata(wheel, "METADATA").encode())
    assert (fields["Version"], fields["License-Expression"]) == (version(), "MIT")


# ---- sdist ----


def test_sdist_has_the_project(sdist: Archive) -> None:
    assert missing(sdist, (*PROJECT, *DATA)) == []


def test_sdist_has_nothing_else(sdist: Archive) -> None:
    tops = {name.partition("/")[0] for name in sdist.files}
    assert tops <= {name.partition("/")[0] for name in PROJECT} | SDIST_ONLY


def test_sdist_has_what_git_has(sdist: Archive) -> None:
    """A file that is committed and not in the list of pyproject.toml would be missing for whoever downloads."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a checkout: git does not know the files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    tracked = {name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()}
    assert tracked - sdist.files.keys() == set()


# ---- builds from other places ----


def test_wheel_of_the_sdist_is_the_wheel_of_the_checkout(
    builder: Builder, unpacked: Path, tmp_path: Path, wheel: Archive
) -> None:
    assert read_wheel(builder.build(unpacked, "wheel", tmp_path)).files == wheel.files


def test_what_git_ignores_is_not_bundled(
    builder: Builder, unpacked: Path, tmp_path: Path, wheel: Archive
) -> None:
    for name in ("__pycache__/adapter_any.cpython-311.pyc", "build/adapter.o"):
        litter = unpacked / "adapters" / "any" / name
        litter.parent.mkdir(parents=True)
        litter.touch()
    assert read_wheel(builder.build(unpacked, "wheel", tmp_path)).files == wheel.files


def test_editable_wheel_copies_no_adapters(builder: Builder, tmp_path: Path) -> None:
    """An edit in the checkout's adapters/ would not be seen behind a copy."""
    assert read_wheel(builder.build(CHECKOUT, "editable", tmp_path)).below("conformance/") == {}
