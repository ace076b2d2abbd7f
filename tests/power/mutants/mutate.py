"""The mutants of one source, made by cosmic-ray, each judged in a process of its own.

    python tests/power/mutants/mutate.py reference SESSION      and: scipy

Cosmic-ray's own `exec` would write each mutant over the source and start an interpreter for it.  Here the source on disk
is left alone and a fork starts from loaded libraries, which is what makes hundreds of mutants affordable: most fall on
the first problem within a tenth of a second, and each that survives costs a whole quick run.  SESSION is a cosmic-ray
database: a run that was stopped goes on, and with the further argument ``again`` those that survived are judged once
more, by a suite that has grown since.  `report.py` publishes it; `cr-report SESSION --show-diff` shows every mutant.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import resource
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from verdict import killer

import conformance
from conformance.adapter.manifest import folder
from conformance.engine.corpus import corpus
from conformance.engine.profiles import PROFILES

MEMORY, SECONDS, PATIENCE = 4 << 30, 300, 7200
"""Bytes, seconds of the processor and, for one that only waits, of the clock that judging one mutant may take."""

REFERENCE = Path(conformance.__file__).parent / "reference" / "convolution.py"
NUMPY = folder() / "python-numpy" / "adapter_numpy.py"
SCIPY = folder() / "python-scipy" / "adapter_scipy.py"


def judge_reference(mutant: str) -> str:
    """The bundled NumPy adapter on a mutated `conformance.reference.convolution`."""
    name = "conformance.reference.convolution"
    sys.modules.pop("conformance.reference", None)  # it would keep the right one
    module = sys.modules[name] = ModuleType(name)
    try:
        exec(compile(mutant, str(REFERENCE), "exec"), module.__dict__)  # noqa: S102  the mutant is ours
    except Exception as error:  # noqa: BLE001  whatever a mutant raises kills it
        return f"does not load: {error!r}"
    return killer([str(NUMPY)])


def judge_scipy(mutant: str) -> str:
    """Both routes of a mutated adapter, which is loaded by its path; the first one is asked for without its name."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / SCIPY.name
        path.write_text(mutant, encoding="utf-8")
        return killer([str(path), f"{path}:fftconvolve"])


SOURCES: dict[str, tuple[Path, Callable[[str], str]]] = {
    "reference": (REFERENCE, judge_reference),
    "scipy": (SCIPY, judge_scipy),
}


def main(which: str, session: str, again: str = "") -> None:
    path, judge = SOURCES[which]
    source = path.read_text(encoding="utf-8")
    warm()
    reason = isolated(judge, source)
    if reason:
        sys.exit(f"the source itself, unmutated, does not conform: {reason}")
    with use_db(session) as db:
        if not db.num_work_items:
            init([path], db, {})
        leave_out_annotations(db)
        for item in survivors(db) if again else db.pending_work_items:
            result = judged(item, source, judge)
            db.set_result(item.job_id, result)
            count = f"{db.num_results} of {db.num_work_items}"
            print(count, result.test_outcome.value, result.output, flush=True)  # noqa: T201  progress


def warm() -> None:
    """What every fork needs, once."""
    for name in PROFILES["quick"].corpora:
        corpus(name)
    importlib.import_module("scipy.signal")


def survivors(db: WorkDB) -> list[WorkItem]:
    return [item for item, result in db.completed_work_items if result.test_outcome is TestOutcome.SURVIVED]


def leave_out_annotations(db: WorkDB) -> None:
    """`|` stands in annotations only, and those are never evaluated (`from __future__ import annotations`)."""
    for item in db.pending_work_items:
        if "BinaryOperator_BitOr" in item.mutations[0].operator_name:
            db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED, "annotation"))


def judged(item: WorkItem, source: str, judge: Callable[[str], str]) -> WorkResult:
    mutant = mutated(source, item.mutations[0])
    diff = "\n".join(difflib.unified_diff(source.splitlines(), mutant.splitlines(), lineterm="", n=0))
    try:
        compile(mutant, "mutant", "exec")
    except SyntaxError:
        return WorkResult(WorkerOutcome.NORMAL, "not Python", TestOutcome.INCOMPETENT, diff)
    reason = isolated(judge, mutant)
    return WorkResult(
        WorkerOutcome.NORMAL, reason, TestOutcome.KILLED if reason else TestOutcome.SURVIVED, diff
    )


def mutated(source: str, mutation: MutationSpec) -> str:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    mutant: str | None = mutate_code(source.encode(), operator, mutation.occurrence)
    if mutant is None:
        raise ValueError(f"{mutation} does not exist: the session belongs to another source")
    return mutant


def isolated(judge: Callable[[str], str], mutant: str) -> str:
    """judge(mutant) in a forked process; a reason of its own where that dies or does not end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.write(writing, b"=" + judge(mutant).encode()[:2000])
        os._exit(0)
    os.close(writing)
    ended = select.select([reading], [], [], PATIENCE)[0]
    answer = os.read(reading, 4096).decode() if ended else ""
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return answer.removeprefix("=") if answer else "died" if ended else f"not judged within {PATIENCE} s"


if __name__ == "__main__":
    main(*sys.argv[1:])
