"""Environments: made once, whole or not at all, of nothing but what the manifest names.  No test needs a network."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import conformance.adapter.environment as module
from conformance.adapter.environment import Environment, command, create, found, here, listed, place, remove
from conformance.adapter.manifest import FILE, Manifest, bundled, sdk
from conformance.adapter.programs import carried_out, interpreter
from conformance.errors import AdapterNotFound, NoEnvironment, OutputError

Adapter = Callable[..., Manifest]
MAKEFILE = "adapter: adapter.txt sdk.txt\n\techo building >> built.log\n\tcat adapter.txt sdk.txt > adapter\n"


MADE = ("Makefile", "adapter.txt", "sdk.txt", "adapter")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An SDK of one file."""
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "sdk.txt").write_text("SDK\n")
    monkeypatch.setattr(module, "sdk", lambda language: kit)
    return kit


@pytest.fixture
def built(tmp_path: Path, kit: Path) -> Adapter:
    """An adapter that make builds of its own file and the SDK's."""

    def written(**changes: object) -> Manifest:
        folder = tmp_path / "cpp-tiny"
        folder.mkdir(exist_ok=True)
        for name, text in {"Makefile": MAKEFILE, "adapter.txt": "adapter\n", FILE: ""}.items():
            (folder / name).write_text(text)
        manifest = Manifest(
            folder=folder, language="cpp", summary="s", start=("./adapter", "-q"), build=("make",)
        )
        return replace(manifest, **changes)

    return written


@pytest.fixture
def python(tmp_path: Path) -> Adapter:
    def written(name: str = "python-tiny", **changes: object) -> Manifest:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "adapter_tiny.py").touch()
        manifest = Manifest(
            folder=tmp_path / name, language="python", summary="s", start=("adapter_tiny.py",)
        )
        return replace(manifest, requirements=("tiny==1.0",), **changes)

    return written


def sentence(call: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- built ----
def test_what_is_built_has_the_adapters_files_beside_those_of_its_sdk(built: Adapter, cache: Path) -> None:
    manifest, said = built(), []
    assert found(manifest) is None
    environment = create(manifest, say=said.append)
    assert environment == found(manifest) == Environment(folder=place(manifest))
    assert environment.folder.parent == cache
    assert environment.folder.name.startswith("cpp-tiny-")
    assert (environment.folder / "adapter").read_text() == "adapter\nSDK\n"
    assert not (manifest.folder / "adapter").exists()
    assert "echo building >> built.log" in said
    assert said[-1] == f"cpp-tiny: made, {environment.folder}"


def test_what_is_there_is_said_and_not_made_again(built: Adapter) -> None:
    manifest, said = built(), []
    first = create(manifest, say=lambda line: None)
    assert create(manifest, say=said.append) == first
    assert said == [f"cpp-tiny: there already, {first.folder}"]
    assert (first.folder / "built.log").read_text() == "building\n"


def test_files_of_a_program_stay_executable(built: Adapter) -> None:
    manifest = built(build=("./configure",))
    script = manifest.folder / "configure"
    script.write_text("#!/bin/sh\necho configured > adapter\n")
    script.chmod(0o755)
    assert (create(manifest, say=print).folder / "adapter").read_text() == "configured\n"


def test_a_language_without_a_build_has_its_files_and_the_sdk(built: Adapter) -> None:
    folder = create(built(build=(), language="octave"), say=print).folder
    assert {p.name for p in folder.iterdir()} == {"Makefile", "adapter.txt", "sdk.txt", ".ready"}


def test_what_building_in_the_adapters_folder_left_behind_is_not_taken(built: Adapter) -> None:
    manifest = built()
    before = place(manifest)
    for name in ("node_modules/a.js", "build/a.o", "__pycache__/a.pyc", ".git/a", ".hidden"):
        (manifest.folder / name).parent.mkdir(exist_ok=True)
        (manifest.folder / name).touch()
    assert place(manifest) == before
    folder = create(manifest, say=print).folder
    assert {p.name for p in folder.iterdir()} == {*MADE, "built.log", ".ready"}


def test_what_goes_in_makes_another_environment(built: Adapter, kit: Path, python: Adapter) -> None:
    manifest = built()
    places = [
        place(manifest),
        place(replace(manifest, build=("make", "all"))),
        place(replace(manifest, system=("x",))),
    ]
    (manifest.folder / "adapter.txt").write_text("adapted\n")
    places.append(place(manifest))
    (kit / "sdk.txt").write_text("KIT\n")
    places.append(place(manifest))
    (manifest.folder / "adapter.txt").rename(manifest.folder / "renamed.txt")
    places.append(place(manifest))
    mine = python()
    places += [
        place(mine),
        place(replace(mine, requirements=("tiny==2.0",))),
        place(replace(mine, python=">=3.11")),
    ]
    assert len(set(places)) == len(places)


def test_what_does_not_go_in_makes_none(built: Adapter, kit: Path, python: Adapter) -> None:
    for manifest in (built(), python()):
        before = place(manifest)
        assert place(replace(manifest, summary="other", routes={"a": "b"}, start=("x",))) == before
    mine = python()
    mine.path.write_text("changed = True\n")
    (kit / "sdk.txt").write_text("KIT\n")
    assert place(mine) == before  # the process of a Python adapter reads both where they are


def test_an_adapter_may_have_its_own_copy_of_the_sdk(built: Adapter) -> None:
    manifest = built()
    (manifest.folder / "sdk.txt").write_text("mine\n")
    environment = create(manifest, say=print)
    assert environment
    assert (environment.folder / "sdk.txt").read_text() == "mine\n"


# ---- what fails, and what is cut off ----
def test_a_build_that_fails_is_told_with_its_last_lines_and_leaves_nothing(
    built: Adapter, cache: Path
) -> None:
    manifest, said = built(system=("g++", "libmy-dev")), []
    script = "import sys; [print(f'line {i}') for i in range(9)]; sys.exit(7)"
    manifest = replace(manifest, build=("python3", "-c", script))
    told = sentence(lambda: create(manifest, say=said.append), NoEnvironment)
    assert told == (
        f"cpp-tiny: `python3 -c {script}` ended with exit code 7: line 6 / line 7 / line 8; "
        "it needs Debian's packages g++, libmy-dev"
    )
    assert said == [f"line {i}" for i in range(9)]
    assert found(manifest) is None
    assert [p for p in cache.iterdir() if p.is_dir()] == []


def test_a_program_that_is_not_there_is_told_with_the_packages(built: Adapter) -> None:
    manifest = built(build=("no-such-make", "all"), system=("make",))
    assert sentence(lambda: create(manifest, say=print), NoEnvironment) == (
        "cpp-tiny: `no-such-make all` cannot be started: No such file or directory; it needs Debian's packages make"
    )


def test_a_program_that_prints_nothing_is_told_so(built: Adapter) -> None:
    told = sentence(lambda: create(built(build=("false",)), say=print), NoEnvironment)
    assert told == "cpp-tiny: `false` ended with exit code 1: it printed nothing"


def test_an_interruption_ends_the_program_and_leaves_nothing(built: Adapter, cache: Path) -> None:
    script = "import time; print('begun', flush=True); time.sleep(60)"
    manifest = built(build=("python3", "-c", script))

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        create(manifest, say=interrupt)
    assert time.monotonic() - began < 30
    assert found(manifest) is None
    assert [p for p in cache.iterdir() if p.is_dir()] == []


def test_what_a_killed_creation_left_is_not_found_and_made_anew(built: Adapter) -> None:
    manifest = built()
    place(manifest).mkdir(parents=True)
    for name in ("adapter", "rubbish"):
        (place(manifest) / name).write_text("half\n")
    assert found(manifest) is None
    assert listed() == ()
    folder = create(manifest, say=print).folder
    assert (folder / "adapter").read_text() == "adapter\nSDK\n"
    assert not (folder / "rubbish").exists()


def test_a_cache_that_cannot_be_written_is_told(built: Adapter, cache: Path) -> None:
    manifest = built()
    cache.parent.touch()
    assert sentence(lambda: create(manifest, say=print), OutputError) == (
        f"the cache {str(cache)!r} cannot be written: Not a directory; CONFORMANCE_CACHE names another"
    )


def test_of_two_at_once_the_second_waits_and_uses_what_the_first_made(built: Adapter, tmp_path: Path) -> None:
    log = tmp_path / "log"
    manifest = built(build=("sh", "-c", f"echo built >> {log}; echo begun; sleep 1"))
    begun, said, environments = threading.Event(), [], []

    def first(line: str) -> None:
        begun.set()

    maker = threading.Thread(target=lambda: environments.append(create(manifest, say=first)))
    maker.start()
    assert begun.wait(30)
    environments.append(create(manifest, say=said.append))
    maker.join()
    assert log.read_text() == "built\n"
    assert environments[0] == environments[1] == found(manifest)
    assert said == [
        f"{place(manifest).name} is being made by another process: waiting",
        f"cpp-tiny: there already, {place(manifest)}",
    ]


# ---- Python ----
@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One package, the only one that pip finds."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    files = {
        "tiny.py": "number = '1.0'\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.slow
def test_python_has_its_requirements_and_nothing_else(
    python: Adapter, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = tmp_path / "leak"
    leak.mkdir()
    for name in ("pip", "venv", "tiny"):
        (leak / f"{name}.py").write_text("raise SystemExit('leaked')\n")
    monkeypatch.setenv("PYTHONPATH", str(leak))
    monkeypatch.setenv("VIRTUAL_ENV", str(leak))
    manifest, said = python(), []
    environment = create(manifest, say=said.append)
    assert environment == found(manifest)
    assert "Successfully installed tiny-1.0" in said
    started = command(manifest, environment)
    assert started.args[0] == str(environment.interpreter)
    code = "import tiny, importlib.util as u; print(tiny.number, u.find_spec('conformance'), u.find_spec('click'))"
    done = subprocess.run(
        [started.args[0], "-c", code],
        cwd=tmp_path,
        env=started.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1.0 None None\n"
    environment.interpreter.unlink()  # as when the Python that it was made by is gone
    assert found(manifest) is None


def test_python_without_requirements_needs_no_environment(python: Adapter, cache: Path) -> None:
    said = []
    assert create(replace(python(), requirements=()), say=said.append) is None
    assert said == ["python-tiny needs no environment: it runs where conformance does"]
    assert not cache.exists()


# ---- a Python of the right version ----
@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with Pythons of the future, and one that is only a name of one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    says = {
        "python3.97": "echo 3.97.2",
        "python3.98": "echo 3.98.1",
        "python3.99": "exit 127",
        "python3.98-config": "",
    }
    for name, line in says.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "nowhere"), str(folder)]))
    return folder


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(">=3.97", "python3.98"), (">=3.97,<3.98", "python3.97"), ("==3.98.1", "python3.98")],
)
def test_the_newest_python_of_the_range_is_taken(
    python: Adapter, pythons: Path, wanted: str, chosen: str
) -> None:
    assert interpreter(python(python=wanted)) == str(pythons / chosen)


@pytest.mark.parametrize("wanted", ["", ">=3.11"])
def test_but_first_the_one_that_runs_this(python: Adapter, pythons: Path, wanted: str) -> None:
    assert interpreter(python(python=wanted)) == sys.executable


def test_no_python_of_the_range_is_told_with_those_that_there_are(python: Adapter, pythons: Path) -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    manifest = python(python=">=3.99", system=("python3.99-venv",))
    assert sentence(lambda: create(manifest, say=print), NoEnvironment) == (
        f"python-tiny needs Python >=3.99; there are only {running} ({sys.executable}), "
        f"3.98.1 ({pythons / 'python3.98'}), 3.97.2 ({pythons / 'python3.97'}); "
        "it needs Debian's packages python3.99-venv"
    )


# ---- here ----
def test_here_installs_where_this_runs(python: Adapter, wheels: Path) -> None:
    said = []
    manifest = replace(python(), requirements=(f"click=={version('click')}",))
    here(manifest, say=said.append)
    assert any(line.startswith("Requirement already satisfied: click==") for line in said)


def test_here_fails_as_pip_does(python: Adapter, wheels: Path) -> None:
    manifest = replace(python(), requirements=("tiny==3.0",))
    told = sentence(lambda: here(manifest, say=print), NoEnvironment)
    pip = f"{sys.executable} -m pip install --no-input --disable-pip-version-check"
    assert told.startswith(f"python-tiny: `{pip} tiny==3.0` ended with exit code 1: ")
    assert "ERROR: No matching distribution found for tiny==3.0" in told


def test_here_needs_this_python_to_be_of_the_range(python: Adapter) -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    told = sentence(lambda: here(python(python="<3.11"), say=print), NoEnvironment)
    assert told == f"python-tiny needs Python <3.11, but this is {running}"


def test_here_installs_nothing_if_nothing_is_required(python: Adapter) -> None:
    said = []
    here(replace(python(), requirements=()), say=said.append)
    assert said == []


# ---- what there is, and away with it ----
def test_environments_are_listed_and_removed_by_their_adapters(built: Adapter) -> None:
    manifest = built()
    first = create(manifest, say=print).folder
    (manifest.folder / "adapter.txt").write_text("adapted\n")
    second = create(manifest, say=print).folder
    assert listed() == tuple(sorted([first, second]))
    assert found(manifest).folder == second
    told = sentence(lambda: remove("cpp-tini"), AdapterNotFound)
    assert told == (
        "no environment is that of 'cpp-tini' (did you mean cpp-tiny?); `conformance env list` shows all"
    )
    assert {*remove("cpp-tiny")} == {first, second}
    assert listed() == ()
    assert not first.exists()
    assert not second.exists()
    assert found(manifest) is None


def test_without_a_cache_none_are_listed() -> None:
    assert listed() == ()


# ---- how a process is started ----
def test_a_python_adapter_without_environment_runs_where_this_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    manifest = bundled()["python-numpy"]
    started = command(manifest, None)
    host = sdk("python") / "conformance_adapter.py"
    assert started.args == (sys.executable, str(host), str(manifest.path))
    assert started.environ["PYTHONPATH"] == "/some/where"


def test_a_python_adapter_with_one_gets_nothing_from_elsewhere(
    python: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    started = command(python(), Environment(folder=tmp_path, interpreter=tmp_path / "bin" / "python"))
    assert started.args[0] == str(tmp_path / "bin" / "python")
    assert "PYTHONPATH" not in started.environ
    assert started.environ["PATH"] == os.environ["PATH"]


def test_a_built_adapter_is_started_in_its_folder(built: Adapter, tmp_path: Path) -> None:
    started = command(built(), Environment(folder=tmp_path))
    assert (started.args, started.cwd) == (("./adapter", "-q"), tmp_path)


def test_a_built_adapter_has_to_be_built_first(built: Adapter) -> None:
    mine = built()
    assert sentence(lambda: command(mine, None), NoEnvironment) == (
        f"cpp-tiny has not been built: conformance env create {mine.folder}"
    )
    theirs = bundled()["cpp-onednn"]
    assert sentence(lambda: command(theirs, None), NoEnvironment).endswith("env create cpp-onednn")


def test_a_route_that_there_is_not_is_told(built: Adapter, tmp_path: Path) -> None:
    environment, manifest = Environment(folder=tmp_path), built(routes={"fast": "1", "slow": "2"})
    assert command(manifest, environment, "slow") == command(manifest, environment)
    told = sentence(lambda: command(manifest, environment, "slwo"), AdapterNotFound)
    assert told == "cpp-tiny has no route 'slwo' (did you mean slow?); it has fast, slow"
    told = sentence(lambda: command(built(), environment, "x"), AdapterNotFound)
    assert told == "cpp-tiny has no route 'x'; it has none"


# ---- programs ----
def test_a_program_reads_nothing_and_what_it_prints_is_said_as_it_comes(python: Adapter) -> None:
    said = []
    script = textwrap.dedent("""
        import sys
        print('read', repr(sys.stdin.read()))
        sys.stderr.write('error\\n')
        sys.stdout.flush()
        sys.stdout.buffer.write(b'\\xff no UTF-8\\n')
    """)
    carried_out(python(), [sys.executable, "-c", script], say=said.append)
    assert sorted(said) == ["error", "read ''", "\N{REPLACEMENT CHARACTER} no UTF-8"]
