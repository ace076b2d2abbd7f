"""Programs in C++ for tests: built once a test run, whatever the number of its processes; and talked to byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import portalocker
import pytest

from conformance.adapter.manifest import folder
from conformance.adapter.wire import header_of, tensors_of

ADAPTERS = folder()
SDK = ADAPTERS / "_sdk" / "cpp"
SOURCES = Path(__file__).parent / "adapters" / "cpp"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
REPORTED = (b"Sanitizer", b"runtime error")
"""What a sanitizer's report contains."""


def once(factory: pytest.TempPathFactory, name: str) -> tuple[Path, portalocker.Lock]:
    """A folder that all processes of this test run share, and its lock."""
    base = factory.getbasetemp()
    home = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return home / name, portalocker.Lock(home / f"{name}.lock", timeout=300)


def built(factory: pytest.TempPathFactory, adapter: str, *flags: str) -> Path:
    """The program of an adapter's folder, sanitized; its files and the SDK's side by side, as an environment has them."""
    home, lock = once(factory, adapter.replace("/", "-"))
    with lock:
        if not home.exists():
            shutil.copytree(ADAPTERS / adapter, home, ignore=shutil.ignore_patterns("adapter"))
            shutil.copytree(SDK, home, dirs_exist_ok=True)
            run(["make", "CXXFLAGS=" + " ".join(("-O1", *SANITIZED, *flags))], home)
    assert (home / "adapter").is_file(), "another process of this test run has failed to build it"
    return home / "adapter"


def run(command: Sequence[str], where: Path) -> str:
    """What a compiler says; a failure of it is one of the test."""
    need_compiler()
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def need_compiler() -> None:
    """Never skipped: a test that did not run is not green."""
    if missing := [name for name in ("g++", "make") if not shutil.which(name)]:
        pytest.fail(
            f"{' and '.join(missing)} must be installed to test what is written in C++", pytrace=False
        )


class Conversation:
    """A program that is sent bytes, and whose answers are read; ended by `finish`."""

    def __init__(self, program: Path, route: str = "") -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe)
        self.ended: tuple[int, bytes] | None = None
        self.hello = self.ask({"op": "hello", "protocol": 1, "route": route, "shared": None})[0]

    def send(self, raw: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(raw)
        self._process.stdin.flush()

    def ask(self, request: dict[str, Any], blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Its answer and the blob of that."""
        line = json.dumps({"seq": 0, "bytes": len(blob), **request}, ensure_ascii=False)
        self.send(line.encode() + b"\n" + blob)
        return self.read()

    def read(self) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        return answer, self._process.stdout.read(answer["bytes"])

    def call(self, op: str, tensors: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer and its tensors."""
        answer, found = self.ask({"op": op, "where": "pipe", **fields}, blob_of(tensors))
        return answer, tensors_of(found) if found else {}

    def finish(self) -> tuple[int, bytes]:
        """(exit status, standard error) when the input ends; no sanitizer has reported anything."""
        if self.ended is None:
            left, said = self._process.communicate(timeout=60)
            self.ended = self._process.returncode, said
            assert left == b""
            assert not any(word in said for word in REPORTED), said.decode()
        return self.ended


def blob_of(tensors: dict[str, Any]) -> bytes:
    head, arrays = header_of(tensors)
    return head + b"".join(a.tobytes() for a in arrays)
