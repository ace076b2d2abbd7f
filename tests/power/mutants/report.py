"""reports/mutants.md, made from the finished sessions of `mutate.py` and from `equivalent.toml`.

    python tests/power/mutants/report.py REFERENCE_SESSION SCIPY_SESSION

Survivors that `equivalent.toml` has no reason for are published as not seen, and the exit status says so; a reason for
a mutant that does not survive is an error.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome
from tabulate import tabulate

REPORT = Path(__file__).parents[3] / "reports" / "mutants.md"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
SOURCES = {
    "reference": "conformance/reference/convolution.py",
    "scipy": "adapters/python-scipy/adapter_scipy.py",
}

HEAD = """\
# Mutants of the sources

Every small change that cosmic-ray knows, made to a right implementation, should be noticed by a run. Made by
`tests/power/mutants/report.py` from the sessions of

    tox -e mutants

{versions}. All mutants were judged. One is killed if
`conformance run --profile quick` would not exit with 0: a MUST clause fails, the doctor objects, or nothing was judged
with power; or if judging it takes more than five minutes of the processor or 4 GiB. The adapter python-numpy is put on
each mutant of the reference; python-scipy is run by both routes.

{scores}

What killed them: {killers}.
"""


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """A mutant that survives rightly: `was` became `now` in a function of a source."""

    source: str
    function: str
    was: str
    now: str

    def is_made_by(self, function: str, old: str, new: str) -> bool:
        """Is it the change of one line into another?"""
        parts = old.split(self.was)
        made = (self.was.join(parts[:k]) + self.now + self.was.join(parts[k:]) for k in range(1, len(parts)))
        return function == self.function and new in made


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why mutants are equivalent."""

    title: str
    text: str
    mutants: tuple[Equivalent, ...]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One of a session: what it changed and what came of it."""

    source: str
    function: str
    outcome: str
    killer: str
    lines: tuple[str, str]


def reasons() -> list[Reason]:
    """What `equivalent.toml` says."""
    given = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["reason"]
    return [
        Reason(
            title=r["title"],
            text=" ".join(r["text"].split()),
            mutants=tuple(
                Equivalent(source=source, function=function, was=was, now=now)
                for source, functions in r["mutants"].items()
                for function, changes in functions.items()
                for was, now in changes
            ),
        )
        for r in given
    ]


def read(source: str, db: WorkDB) -> list[Mutant]:
    """The mutants of a session; those of annotations, which cosmic-ray skipped, have the outcome ``skipped``."""
    if db.num_results != db.num_work_items:
        sys.exit(f"{source}: {db.num_work_items - db.num_results} mutants are not judged yet")
    return [
        Mutant(
            source=source,
            function=item.mutations[0].definition_name or "",
            outcome="skipped"
            if r.worker_outcome is WorkerOutcome.SKIPPED
            else TestOutcome(r.test_outcome).value,
            killer=(r.output or "").partition(" ")[0].rstrip(":"),
            lines=changed(r.diff or ""),
        )
        for item, r in db.completed_work_items
    ]


def changed(diff: str) -> tuple[str, str]:
    """The lines taken out, and those put in."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    old, new = ("\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return old, new


# ---- the page ----
def page(mutants: list[Mutant]) -> str:
    survivors = [m for m in mutants if m.outcome == "survived"]
    explained = {
        (m.source, m.function, m.lines): e
        for m in survivors
        for r in reasons()
        for e in r.mutants
        if e.source == m.source and e.is_made_by(m.function, *m.lines)
    }
    stale = [e for r in reasons() for e in r.mutants if e not in explained.values()]
    if stale:
        sys.exit("these do not survive:\n" + "\n".join(map(str, stale)))
    unseen = [m for m in survivors if (m.source, m.function, m.lines) not in explained]
    killers = Counter(m.killer for m in mutants if m.outcome == "killed")
    parts = [
        HEAD.format(
            versions=versions(),
            scores=scores(mutants, unseen),
            killers=", ".join(f"{name} {count}" for name, count in killers.most_common()),
        )
    ]
    if unseen:
        rows = [[m.source, m.function, *map(code, m.lines)] for m in unseen]
        parts.append(
            "## Not seen\n\n" + tabulate(rows, ["source", "in", "was", "is"], tablefmt="github") + "\n"
        )
    parts.append(f"## Equivalent: {len(survivors) - len(unseen)}\n")
    parts += [section(r) for r in reasons()]
    return "\n".join(parts)


def scores(mutants: list[Mutant], unseen: list[Mutant]) -> str:
    rows: dict[str, list[str]] = {name: [] for name in TITLES}
    for source in SOURCES:
        count = Counter(m.outcome for m in mutants if m.source == source)
        missed = sum(m.source == source for m in unseen)
        figures = (
            count.total(),
            count["skipped"],
            count["incompetent"],
            count["killed"],
            count["survived"] - missed,
            missed,
            f"{count['killed']} of {count['killed'] + missed}",
        )
        for name, figure in zip(TITLES, figures, strict=True):
            rows[name].append(str(figure))
    return tabulate([[name, *row] for name, row in rows.items()], ["", *SOURCES.values()], tablefmt="github")


TITLES = (
    "mutants that cosmic-ray makes",
    "in annotations, which are never evaluated",
    "not Python (`*` between parameters replaced)",
    "killed",
    "equivalent",
    "not seen",
    "**killed of those that are not equivalent**",
)


def section(reason: Reason) -> str:
    rows = [[e.source, e.function, code(e.was), code(e.now)] for e in reason.mutants]
    table = tabulate(rows, ["source", "in", "was", "is"], tablefmt="github")
    return f"### {reason.title}\n\n{reason.text}\n\n{table}\n"


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def versions() -> str:
    names = ("cosmic-ray", "numpy", "scipy")
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{libraries}, python {platform.python_version()}"


def main(*sessions: str) -> None:
    mutants: list[Mutant] = []
    for source, session in zip(SOURCES, sessions, strict=True):
        with use_db(session, WorkDB.Mode.open) as db:
            mutants += read(source, db)
    text = page(mutants)
    REPORT.write_text(text, encoding="utf-8")
    sys.exit("some mutants are not seen" if "## Not seen" in text else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
