"""Writing a report while its run goes on: every record is handed over as it is made."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import io
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import conformance
from conformance.adapter.doctor import Remark
from conformance.adapter.session import Session
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement
from conformance.engine.run import Event, Run
from conformance.errors import DiskFull
from conformance.oracle.arithmetic import Arithmetic, described
from conformance.problem import DTYPES
from conformance.report.files import opened
from conformance.report.model import SCHEMA, Report, record
from conformance.report.table import rendered

__all__ = ["Writer", "write_markdown"]


class Writer:
    """Collects a run's events in a `Report`, and hands each over as a line to all who write."""

    def __init__(
        self, runs: list[Run], *, profile: str, only: str, to: Sequence[Callable[[str], None]] = ()
    ) -> None:
        self.report = Report(header=header(runs, profile=profile, only=only))
        self._to = tuple(to)
        self._line(record("header", self.report.header))

    def add(self, adapter: str, event: Event) -> None:
        if isinstance(event, Remark):
            self.report.remarks.append((adapter, event))
            self._line(record("remark", event, adapter=adapter))
        elif isinstance(event, Judgement):
            self.report.judgements.append(event)
            self._line(record("judgement", event))
        elif isinstance(event, Finding):
            self.report.findings.append(event)
            self._line(record("finding", event))

    def close(self) -> Report:
        """Write the footer."""
        report = self.report
        report.footer = {
            "finished": _now(),
            "judgements": len(report.judgements),
            "findings": len(report.findings),
            "exit_code": report.exit_code(),
            "verdicts": [report.verdict(a) for a in report.adapters],
        }
        self._line(record("footer", report.footer))
        return report

    def _line(self, line: str) -> None:
        for write in self._to:
            write(line)


def header(runs: list[Run], *, profile: str, only: str) -> dict[str, Any]:
    """What a reader must know to repeat the run: versions of everything, profile, seed, clauses, adapters."""
    packages = ("scipy", "hypothesis", "ml_dtypes")
    versions = {
        "conformance": conformance.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    versions |= {name: importlib.metadata.version(name) for name in packages}
    return {
        "schema": SCHEMA,
        "versions": versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "started": _now(),
        "profile": profile,
        "seed": runs[0].seed,
        "only": only,
        "dtype": runs[0].dtype,
        "given": [str(p) for p in runs[0].given],
        "clauses": [c.id for c in runs[0].clauses],
        "adapters": [_described(run.session) for run in runs],
    }


def _described(session: Session) -> dict[str, Any]:
    able = session.capabilities
    claims = {f.name: getattr(able, f.name) for f in dataclasses.fields(able) if f.name != "arithmetic"}
    return {
        "name": session.name,
        "versions": session.versions(),
        "capabilities": _listed(claims),
        "arithmetic": {DTYPES[d].name: _declared(able.arithmetic_of(d)) for d in DTYPES if d in able.dtypes},
    }


def _listed(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Claims as JSON writes them: sets in order, what is offered of networks one level down."""
    plain = {
        k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
        for k, v in claims.items()
    }
    return {
        k: sorted(v) if isinstance(v, frozenset) else _listed(v) if isinstance(v, dict) else v
        for k, v in plain.items()
    }


def _declared(classes: Mapping[str, Arithmetic] | None) -> str:
    return "not declared" if classes is None else described(classes)


def write_markdown(report: Report, folder: Path) -> None:
    """report.md beside the JSON lines.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / "report.md"
    try:
        with io.BufferedWriter(opened(path)) as file:
            file.truncate(0)
            file.write(rendered(report, "markdown").encode())
    except OSError as error:
        raise DiskFull.of(f"{path} cannot be written", error) from error


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
