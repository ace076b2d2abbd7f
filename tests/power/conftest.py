"""Miniatures put through whole runs, and what comes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import miniatures
from conformance.adapter.doctor import Remark
from conformance.adapter.session import Session
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.problem import Problem
from conformance.report.model import Report
from conformance.report.write import Writer

PROBLEMS = (
    "1d n2 c3 m4 i11 k3 f64 seed=1",
    "1d n1 c3 m3 g3 i9 k4 s3 p1:2 d2 conv bias=untied f32 fill=sparse mem=reversed seed=2",
    "1d n0 c2 m3 i5 k2 f32 seed=3",
    "1d n3 c2 m2 i6 k1 bias=none f16 fill=real mem=sliced seed=4",
    "2d n1 c1 m1 i3x3 k2x2 f64 seed=5",
    "2d n3 c4 m6 g2 i7x6 k2x3 s2x2 p1:2x0 f32 mem=fortran seed=6",
    "2d n2 c3 m4 i3x4 k3x4 conv f64 seed=7",
    "2d n1 c2 m4 g2 i6x8 k3x2 s3x1 d1x2 bias=untied bf16 mem=channels-last seed=8",
    "2d n2 c2 m3 i5x4 k1x1 s2x3 bias=none bf16 fill=real seed=9",
    "2d n2 c3 m2 i6x5 k3x3 p1 f32 fill=real seed=10",
    "2d n2 c2 m2 i5x5 k2x2 p-1:1x1:0 conv f64 mem=broadcast seed=11",
    "3d n2 c2 m4 g2 i4x3x5 k2x3x2 s2x1x3 p1x1x0 d1x1x2 conv f16 seed=12",
    "3d n1 c2 m3 i3x4x3 k2x2x2 f64 fill=real seed=13",
    "2d n2 c2 m3 i5x4 k2x3 f32 fill=gaps seed=14",
    "1d n2 c3 m2 i8 k3 p1 f64 fill=huge seed=15",
    "2d n1 c2 m2 i6x5 k3x2 f16 fill=wide seed=16",
)
"""Every feature, dtype, fill and memory layout, small: the corpus would take four seconds a miniature."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that came of one run."""

    report: Report

    @property
    def findings(self) -> list[Finding]:
        return self.report.findings

    @property
    def roots(self) -> list[str]:
        return [f.clause for f in self.report.findings]

    @property
    def faults(self) -> list[Remark]:
        return [remark for _, remark in self.report.remarks if not remark.ok]

    @property
    def failed(self) -> list[Judgement]:
        return [j for j in self.report.judgements if j.status.failed]


@pytest.fixture(scope="session")
def session_of() -> Callable[[str], Session]:
    return lambda name: Session(getattr(miniatures, name)(), name)


@pytest.fixture(scope="session")
def put(session_of: Callable[[str], Session]) -> Callable[..., Outcome]:
    """Put a miniature through a run of `PROBLEMS` (or other lines); the same run is made once."""

    @functools.cache
    def put_through(name: str, *lines: str, only: str = "*") -> Outcome:
        given = tuple(Problem.parse(line) for line in lines or PROBLEMS)
        run = Run(session_of(name), PROFILES["quick"], only=only, given_problems=given)
        writer = Writer([run], profile="quick", only=only)
        for event in run.events():
            writer.add(name, event)
        return Outcome(report=writer.close())

    return put_through
