"""`conformance env`: environments from the command line, made of a folder that make builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]

MANIFEST = """\
language = "other"
summary = "a copy"
start = ["./adapter"]
build = ["make"]

[environment]
system = ["make"]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "other-tiny"
    folder.mkdir()
    (folder / "adapter.toml").write_text(MANIFEST)
    (folder / "Makefile").write_text("adapter:\n\tcp source adapter\n")
    (folder / "source").write_text("#!/bin/sh\n")
    return folder


def rows(said: Any) -> list[list[str]]:
    return [line.split() for line in said.out.splitlines()[2:]]


def test_an_environment_is_made_listed_and_removed(invoke: Invoke, folder: Path, cache: Path) -> None:
    said = invoke("env", "create", folder)
    (made,) = cache.glob("other-tiny-*")
    assert (said.code, said.out) == (0, "")
    assert said.err == f"cp source adapter\nother-tiny: made, {made}\n"
    assert (made / "adapter").is_file()
    assert invoke("env", "create", folder, folder).err == f"other-tiny: there already, {made}\n"
    assert rows(invoke("env", "list")) == [
        ["other-tiny", "former,", "or", "of", "a", "folder", str(made)],
    ]
    said = invoke("env", "remove", "other-tiny")
    assert (said.code, said.err) == (0, f"other-tiny: deleted, {made}\n")
    assert not made.exists()
    assert rows(invoke("env", "list")) == []


def test_the_current_environment_of_a_bundled_adapter_is_told_from_former_ones(
    invoke: Invoke, cache: Path
) -> None:
    from conformance.adapter.environment import place
    from conformance.adapter.manifest import bundled

    current = place(bundled()["python-scipy"])
    for path in (current, cache / "python-scipy-000000000000"):
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").touch()
        (path / ".ready").touch()
    states = {row[-1]: row[1].rstrip(",") for row in rows(invoke("env", "list"))}
    assert states == {str(current): "current", str(cache / "python-scipy-000000000000"): "former"}
    listed = {row[0]: row[2:4] for row in rows(invoke("list"))}
    assert listed["python-scipy"][0] == "made"
    assert listed["python-torch"] == ["not", "made"]
    assert listed["python-numpy"] == ["none", "needed"]


def test_a_build_that_fails_ends_with_exit_code_3(invoke: Invoke, folder: Path) -> None:
    (folder / "source").unlink()
    said = invoke("env", "create", folder)
    assert (said.code, said.out) == (3, "")
    last = said.err.splitlines()[-1]
    assert last.startswith("conformance: other-tiny: `make` ended with exit code 2: ")
    assert last.endswith("; it needs Debian's packages make [the adapter's environment has to be mended]")
    assert "No such file" in said.err


def test_a_manifest_that_is_wrong_is_the_adapters_fault(invoke: Invoke, folder: Path) -> None:
    (folder / "adapter.toml").write_text(MANIFEST.replace('"other"', '"rust"'))
    said = invoke("env", "create", folder)
    assert said.code == 3
    assert said.err == (
        f"conformance: {folder / 'adapter.toml'}: language = 'rust' must be one of python, cpp, javascript, octave, other "
        "[the adapter has to be mended]\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "python-torhc"), "(did you mean python-torch?)"),
        (("remove", "python-torch"), "no environment is that of 'python-torch'"),
        (("create",), "Missing argument 'NAME...'"),
    ],
)
def test_a_call_that_is_wrong_ends_with_exit_code_2(
    arguments: tuple[str, ...], words: str, invoke: Invoke, cache: Path
) -> None:
    said = invoke("env", *arguments)
    assert said.code == 2
    assert words in said.err
    assert not cache.exists()


def test_one_unknown_name_among_several_stops_before_anything_is_made(
    invoke: Invoke, folder: Path, cache: Path
) -> None:
    assert invoke("env", "create", folder, "nonsense").code == 2
    assert not cache.exists()


def test_here_is_for_python(invoke: Invoke, folder: Path) -> None:
    said = invoke("env", "create", "--here", folder)
    assert said.code == 2
    assert "--here is for adapters in Python: other-tiny is in other" in said.err
    assert invoke("env", "create", "--here", "python-numpy").code == 0


def test_the_reference_needs_no_environment(invoke: Invoke, cache: Path) -> None:
    said = invoke("env", "create", "python-numpy")
    assert (said.code, said.err) == (
        0,
        "python-numpy needs no environment: it runs where conformance does\n",
    )
    assert not cache.exists()
