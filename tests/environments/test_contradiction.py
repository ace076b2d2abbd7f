"""NumPy 1 and NumPy 2 in one report: two adapters that no single environment can hold.  Needs a package index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.adapter.environment import CACHE
from conformance.adapter.manifest import FILE
from conformance.report.model import read

VERSIONS = ("1.26.4", "2.4.6")
LINE = "2d n2 c1 m1 i4x3 k2 bias=none f64 seed=1"
MANIFEST = """\
language = "python"
summary = "A layer in loops, and the NumPy that it has."
start = ["adapter_loops.py"]

[environment]
python = ">=3.11,<3.13"
requirements = ["numpy=={}"]
"""
ADAPTER = """\
import numpy as np

from conformance import Adapter, Capabilities


class Loops(Adapter):
    capabilities = Capabilities(ranks={2}, dtypes={"float64"}, biases={"none"}, quantities={"y", "dw"})

    def versions(self):
        return {"numpy": np.__version__}

    def forward(self, g, x, w, b):
        y = np.zeros((len(x), 1, x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1))
        for i, j in np.ndindex(*w.shape[2:]):
            y += w[0, 0, i, j] * x[:, :, i : i + y.shape[2], j : j + y.shape[3]]
        return y

    def backward(self, g, x, w, b, delta):
        dw = np.zeros(w.shape)
        for i, j in np.ndindex(*w.shape[2:]):
            dw[0, 0, i, j] = (delta * x[:, :, i : i + delta.shape[2], j : j + delta.shape[3]]).sum()
        return None, dw, None
"""


@pytest.mark.slow
def test_one_run_judges_adapters_whose_numpys_exclude_each_other(tmp_path: Path) -> None:
    for version in VERSIONS:
        folder = tmp_path / f"numpy-{version[0]}"
        folder.mkdir()
        (folder / "adapter_loops.py").write_text(ADAPTER)
        (folder / FILE).write_text(MANIFEST.format(version))
    conformance = [sys.executable, "-m", "conformance"]
    names = ["./numpy-1", "./numpy-2"]
    environ = {**os.environ, CACHE: str(tmp_path / "cache")}
    for call in (
        ["env", "create", *names],
        ["run", *names, "--problem", LINE, "--only", "FWD-1,WGT-1", "--out", "out"],
    ):
        subprocess.run([*conformance, *call], cwd=tmp_path, env=environ, check=True)
    report = read(tmp_path / "out" / "report.jsonl")
    told = {a["name"]: a["versions"]["numpy"] for a in report.header["adapters"]}
    assert told == dict(zip(names, VERSIONS, strict=True))
    judged = {(j.adapter, j.clause, j.status.name) for j in report.judgements}
    assert judged == {(name, clause, "PASS") for name in names for clause in ("FWD-1", "WGT-1")}
