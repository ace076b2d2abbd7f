"""NumPy 1 and NumPy 2 at once: two adapters that no single environment can hold.  Needs a package index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conformance.adapter.environment import command, create, found
from conformance.adapter.manifest import FILE, read

ADAPTER = "import numpy\nprint(numpy.__version__)\n"
MANIFEST = """\
language = "python"
summary = "Says which NumPy it has."
start = ["adapter_numpy.py"]

[environment]
python = ">=3.11,<3.13"
requirements = ["numpy=={}"]
"""
VERSIONS = ("1.26.4", "2.4.6")


@pytest.mark.slow
def test_two_adapters_with_numpys_that_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    manifests = []
    for version in VERSIONS:
        folder = tmp_path / f"python-numpy-{version[0]}"
        folder.mkdir()
        (folder / "adapter_numpy.py").write_text(ADAPTER)
        (folder / FILE).write_text(MANIFEST.format(version))
        manifests.append(read(folder / FILE))
    for manifest in manifests:  # both, before either is used
        create(manifest, say=print)
    said = []
    for manifest in manifests:
        started = command(manifest, found(manifest))
        args = [started.args[0], str(manifest.path)]
        done = subprocess.run(args, env=started.environ, capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    assert tuple(said) == VERSIONS
