"""adapter.toml: what is read from it, what is refused and in which words, and that the bundled ones are true."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conformance.adapter.manifest import FILE, LANGUAGES, Manifest, bundled, folder, named, read
from conformance.errors import AdapterBroken, AdapterNotFound

CHECKOUT = Path(__file__).resolve().parents[3]
Write = Callable[..., Path]

PYTHON = """\
language = "python"
summary = "a library"
start = ["adapter_my.py"]

[routes]
fast = "by matrix products"
slow = "by loops"

[environment]
python = ">=3.11,<3.14"
requirements = ["my-lib==1.2.3", "numpy==2.4.6"]
system = ["libmy"]
"""
CPP = """\
language = "cpp"
summary = "a library"
start = ["./adapter", "--quiet"]
build = ["make"]
"""
PYTHONS = [m for m in bundled().values() if m.language == "python"]
DISTRIBUTIONS = {"tensorflow": "tensorflow-cpu"}
"""Where a package is not called as its distribution."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """adapter.toml in a folder `my`, with some of its text replaced, beside an adapter's file."""

    def written(text: str, *change: str) -> Path:
        if change:
            old, new = change
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "my" / FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.with_name("adapter_my.py").touch()
        return path

    return written


# ---- what is read ----
def test_a_manifest_in_python(write: Write, tmp_path: Path) -> None:
    manifest = read(write(PYTHON))
    assert manifest == Manifest(
        folder=tmp_path / "my",
        language="python",
        summary="a library",
        start=("adapter_my.py",),
        routes={"fast": "by matrix products", "slow": "by loops"},
        python=">=3.11,<3.14",
        requirements=("my-lib==1.2.3", "numpy==2.4.6"),
        system=("libmy",),
    )
    assert (manifest.name, manifest.path) == ("my", tmp_path / "my" / "adapter_my.py")
    assert list(manifest.routes) == ["fast", "slow"]  # the first is the default
    assert manifest.isolated


def test_a_manifest_of_a_language_that_is_built(write: Write) -> None:
    path = write(CPP)
    manifest = read(path)
    assert (manifest.start, manifest.build, manifest.path) == (("./adapter", "--quiet"), ("make",), path)
    assert (manifest.routes, manifest.requirements, manifest.system) == ({}, (), ())
    assert manifest.isolated


def test_python_without_requirements_needs_no_environment(write: Write) -> None:
    assert not read(write(PYTHON, 'requirements = ["my-lib==1.2.3", "numpy==2.4.6"]\n', "")).isolated


@pytest.mark.parametrize(
    "pinned", ["a==1", "a[x]==1.0", "a==1.0; python_version < '3.12'", "a==1.0+cpu", "a == 1"]
)
def test_what_counts_as_pinned(write: Write, pinned: str) -> None:
    assert read(write(PYTHON, "my-lib==1.2.3", pinned)).requirements[0] == pinned


# ---- what is refused ----
BROKEN: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no TOML": (CPP, ('"cpp"', "cpp"), " is not TOML: Invalid value (at line 1, column 12)"),
    "an unknown key": (
        CPP,
        ("build", "built"),
        ": built = ['make'] is not known; there are language, summary, start, build, routes, environment",
    ),
    "an unknown key of the environment": (
        PYTHON,
        ("system", "debian"),
        ": environment.debian = ['libmy'] is not known; there are python, requirements, system",
    ),
    "no language": (CPP, ('language = "cpp"\n', ""), ": language is needed"),
    "no summary": (CPP, ('summary = "a library"\n', ""), ": summary is needed"),
    "nothing to start": (CPP, ('start = ["./adapter", "--quiet"]', "start = []"), ": start is needed"),
    "another language": (
        CPP,
        ('"cpp"', '"c++"'),
        ": language = 'c++' must be one of python, cpp, javascript, octave, other",
    ),
    "a number for a text": (CPP, ('"a library"', "3"), ": summary = 3 must be a text of one line"),
    "an empty text": (CPP, ('"a library"', '" "'), ": summary = ' ' must be a text of one line"),
    "two lines": (CPP, ('"a library"', r'"a\nb"'), r": summary = 'a\nb' must be a text of one line"),
    "a text for a list": (CPP, ('["make"]', '"make"'), ": build = 'make' must be a list of texts"),
    "a number in a list": (CPP, ('["make"]', '["make", 2]'), ": build = ['make', 2] must be a list of texts"),
    "a list for a table": (
        CPP,
        ('build = ["make"]', "routes = []"),
        ": routes = [] must be a table of texts",
    ),
    "a route without a sentence": (
        PYTHON,
        ('"by loops"', "1"),
        ": routes = {'fast': 'by matrix products', 'slow': 1} must be a table of texts",
    ),
    "a text for the environment": (
        CPP,
        ('build = ["make"]', 'environment = "x"'),
        ": environment = 'x' must be a table",
    ),
    "two files in Python": (
        PYTHON,
        ('["adapter_my.py"]', '["adapter_my.py", "b.py"]'),
        ": start = ['adapter_my.py', 'b.py'] must be one file of its folder",
    ),
    "a file that is not there": (
        PYTHON,
        ('["adapter_my.py"]', '["other.py"]'),
        ": start = ['other.py'] must be one file of its folder",
    ),
    "a build in Python": (
        PYTHON,
        ("[routes]", 'build = ["make"]\n[routes]'),
        ": build = ['make'] is for languages that are built",
    ),
    "no range of versions": (
        PYTHON,
        (">=3.11,<3.14", "3.11"),
        ": environment.python = '3.11' must be a range of versions, as in '>=3.11'",
    ),
    "a range in C++": (
        CPP,
        ('build = ["make"]', '[environment]\npython = ">=3.11"'),
        ": environment.python = '>=3.11' is for adapters in Python, not in cpp",
    ),
    "requirements in C++": (
        CPP,
        ('build = ["make"]', '[environment]\nrequirements = ["a==1"]'),
        ": environment.requirements = ('a==1',) is for adapters in Python, not in cpp",
    ),
}


@pytest.mark.parametrize(("text", "change", "told"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_not_as_it_should_be_is_told_in_one_sentence(
    write: Write, text: str, change: tuple[str, ...], told: str
) -> None:
    path = write(text, *change)
    with pytest.raises(AdapterBroken) as caught:
        read(path)
    assert str(caught.value) == f"{path}{told}"


@pytest.mark.parametrize("loose", ["a", "a>=1", "a==1.*", "a==1,<2", "a @ https://x/a.whl", "a===1", "==1"])
def test_what_is_not_pinned_is_refused(write: Write, loose: str) -> None:
    path = write(PYTHON, "my-lib==1.2.3", loose)
    with pytest.raises(AdapterBroken) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: environment.requirements has {loose!r}, which must be pinned, as in 'numpy==2.4.6'"
    )


# ---- by name ----
def test_an_adapter_is_named_or_its_folder_is() -> None:
    assert named("python-numpy") == bundled()["python-numpy"]


def test_a_folder_is_named_by_its_path(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read(write(CPP))
    assert named(str(tmp_path / "my")) == manifest
    monkeypatch.chdir(tmp_path)
    assert named("./my") == manifest
    monkeypatch.chdir(tmp_path / "my")
    assert named("./") == manifest


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            "python-nump",
            (
                "no bundled adapter is called 'python-nump' (did you mean python-numpy?); `conformance list` shows all, "
                "a folder with an adapter.toml is given as ./python-nump"
            ),
        ),
        ("./nowhere", "there is no adapter.toml in './nowhere'"),
    ],
)
def test_a_name_that_is_none_is_the_users_fault(target: str, told: str) -> None:
    with pytest.raises(AdapterNotFound) as caught:
        named(target)
    assert str(caught.value) == told


# ---- those that come with the project ----
def test_every_folder_of_an_adapter_has_a_manifest() -> None:
    folders = {path.name for path in folder().iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert {*bundled()} == folders - {"__pycache__"} >= {"python-numpy", "python-torch"}


def test_the_bundled_adapters_have_their_folders_names() -> None:
    found = bundled()
    assert list(found) == sorted(found)
    for name, manifest in found.items():
        assert manifest.name == name == manifest.path.parent.name
        assert manifest.path.is_file()
        assert name.split("-")[0] in (*LANGUAGES, "js")
        assert manifest.summary.endswith(".")


def test_bundled_adapters_are_read_without_importing_their_libraries() -> None:
    code = (
        "import sys; from conformance.adapter.manifest import bundled; assert bundled();"
        "print([m for m in ('torch', 'jax', 'tensorflow', 'scipy', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def routes_of(source: str) -> dict[str, str]:
    """The literal ``routes`` of a class body, read from the source: frameworks may not be installed."""
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    for line in itertools.chain(*bodies):
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "routes" for target in targets):
            return ast.literal_eval(line.value)
    return {}


@pytest.mark.parametrize("manifest", PYTHONS, ids=lambda m: m.name)
def test_the_routes_of_a_manifest_are_those_of_the_class(manifest: Manifest) -> None:
    routes = routes_of(manifest.path.read_text(encoding="utf-8"))
    assert list(manifest.routes.items()) == list(routes.items())


@pytest.mark.parametrize(
    "declaration",
    [
        'routes = {"a": "1", "b": "2"}',
        'routes: ClassVar[dict[str, str]] = {"a": "1", "b": "2"}',
        'x = routes = {"a": "1", "b": "2"}',
    ],
)
def test_routes_are_read_from_a_class_body_however_they_are_assigned(declaration: str) -> None:
    source = f"from typing import ClassVar\nclass A:\n    other = {{'c': '1'}}\n    {declaration}\n"
    assert routes_of(source) == {"a": "1", "b": "2"}


def imported_by(source: str) -> Iterator[str]:
    """The names of the packages that a file imports, without Python's own and ours."""
    for node in ast.walk(ast.parse(source)):
        names: list[Any] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        yield from {n.split(".")[0] for n in names} - {*sys.stdlib_module_names, "conformance"}


@pytest.mark.parametrize("manifest", [m for m in PYTHONS if m.isolated], ids=lambda m: m.name)
def test_the_requirements_of_a_manifest_have_all_that_its_file_imports(manifest: Manifest) -> None:
    required = {canonicalize_name(Requirement(r).name) for r in manifest.requirements}
    imported = set(imported_by(manifest.path.read_text(encoding="utf-8")))
    assert imported
    assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in imported} <= required


def test_only_the_bundled_reference_runs_where_conformance_does() -> None:
    """It is a part of this package; whatever else needs packages pins them."""
    assert [m.name for m in PYTHONS if not m.isolated] == ["python-numpy"]


def test_no_version_of_a_library_is_pinned_elsewhere() -> None:
    """tox.ini, pyproject.toml and CI install from the manifests."""
    pinned = {Requirement(r).name for m in PYTHONS for r in m.requirements}
    for name in ("tox.ini", "pyproject.toml", "README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        assert [p for p in sorted(pinned) if re.search(rf"\b{re.escape(p)}\s*==", text)] == []
