"""Known failures: what an adapter's folder says of its library, in `known_failures.toml`, and whether it still holds.

    [[known]]
    clauses = ["NUM-6"]               # globs too
    routes = ["xla"]                  # all, if left out
    where = { groups = true, dtypes = ["float32", "float16"], quantities = ["dw"] }     # everywhere, if left out
    raises = "Negative dimension"     # if it is an exception: what its text contains
    example = "2d n1 c1 m1 i3 k2"     # a problem on which it fails, where it does not on every one; may be left out
    reason = "a NaN leaks into the other groups"
    link = "https://..."              # of the upstream issue; may be left out

A failure that is known becomes KNOWN: shown, and no failure of the run.  An entry that was met and did not fail once is
stale, and that is a failure: what was mended must not stay excused.  One with an example: if that was met.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance.adapter.doctor import Remark
from conformance.adapter.session import Session
from conformance.engine.judgement import Judgement, Status
from conformance.errors import AdapterBroken, UnknownClause, UserError
from conformance.problem import QUANTITIES, Problem, dtype_of
from conformance.problem.fills import FILLS
from conformance.problem.geometry import BIASES, CONVENTIONS, RANKS
from conformance.problem.line import parsed
from conformance.problem.network import NetworkProblem
from conformance.spec import matching

__all__ = ["CHECK", "FILE", "Known", "Ledger", "entries", "read"]

FILE = "known_failures.toml"
CHECK = "known failures"
"""The name of the remark about a stale entry."""

FIELDS = ("clauses", "routes", "where", "raises", "example", "reason", "link")
SETS: dict[str, tuple[Callable[[Problem], Any], tuple[Any, ...]]] = {
    "ranks": (lambda p: p.geometry.rank, RANKS),
    "dtypes": (lambda p: p.format.name, ("float64", "float32", "float16", "bfloat16")),
    "biases": (lambda p: p.geometry.bias, BIASES),
    "conventions": (lambda p: p.geometry.convention, CONVENTIONS),
    "fills": (lambda p: p.fill, tuple(FILLS)),
    "memory": (lambda p: p.memory, ()),
}
"""(what a problem has, what there is; empty: anything)"""
FEATURES: dict[str, Callable[[Problem], bool]] = {
    "stride": lambda p: max(p.geometry.stride) > 1,
    "dilation": lambda p: max(p.geometry.dilation) > 1,
    "groups": lambda p: p.geometry.groups > 1,
    "depthwise": lambda p: p.geometry.groups == p.geometry.channels > 1,
    "padding": lambda p: any(map(any, p.geometry.padding)),
    "bias": lambda p: p.geometry.bias != "none",
    "batch": lambda p: p.geometry.batch > 1,
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """One entry.

    sets: name -> allowed values; features: name -> has it; quantities: those of the verdict, empty: any; raises: what the
    text of an exception contains, empty: it is none that is known.  example: whether that fails tells whether it is stale;
    None: whether anything does.
    """

    clauses: tuple[str, ...]
    reason: str
    link: str = ""
    raises: str = ""
    example: Problem | NetworkProblem | None = None
    routes: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    sets: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    features: dict[str, bool] = field(default_factory=dict)

    def applies(self, problem: Problem | NetworkProblem, clause: str) -> bool:
        """Is this a problem, and a clause, of which it speaks?  Of networks, what holds everywhere does."""
        if isinstance(problem, NetworkProblem):
            return clause in self.clauses and not (self.sets or self.features)
        return (
            clause in self.clauses
            and all(SETS[name][0](problem) in allowed for name, allowed in self.sets.items())
            and all(FEATURES[name](problem) == wanted for name, wanted in self.features.items())
        )

    @property
    def told(self) -> str:
        return " ".join(filter(None, (f"known: {self.reason}", self.link)))

    def excuses(self, j: Judgement) -> bool:
        """Does it speak of what failed?"""
        if self.raises:
            return j.status is Status.CRASHED and self.raises in j.note
        return j.status is Status.FAIL and (not self.quantities or j.quantity in self.quantities)


class Ledger:
    """The known failures of one adapter's route during a run."""

    def __init__(self, entries: Iterable[Known]) -> None:
        self._entries = [_Met(entry=entry) for entry in entries]

    @classmethod
    def of(cls, session: Session) -> Ledger:
        """Those that stand beside the adapter's file and are of its route.

        Raises:
            AdapterBroken: the file is not as it should be.
        """
        path = session.folder and session.folder / FILE
        entries = read(path) if path and path.is_file() else ()
        return cls(e for e in entries if not e.routes or session.route in e.routes)

    def marked(self, j: Judgement) -> Judgement:
        """KNOWN, with the reason, if it failed and that is known; or was, in a run that goes on."""
        known = j
        for met in self._entries:
            problem = parsed(j.problem)
            if j.status is Status.UNSUPPORTED or not met.entry.applies(problem, j.clause):
                continue
            met.judged += met.entry.example in (None, problem)
            met.failed += j.status is Status.KNOWN and j.note.startswith(met.entry.told)
            if j.status.failed and met.entry.excuses(j):
                met.failed += 1
                note = "; ".join(filter(None, (met.entry.told, j.note)))
                known = replace(j, status=Status.KNOWN, note=note)
        return known

    def stale(self) -> Iterator[Remark]:
        """Entries that were judged and did not fail."""
        for met in self._entries:
            if met.judged and not met.failed:
                text = (
                    f"{FILE}: {', '.join(met.entry.clauses)} is said to be known ({met.entry.reason}), but passed on all "
                    f"{met.judged} problems that it speaks of: take the entry out"
                )
                yield Remark(check=CHECK, ok=False, text=text)


@dataclass(kw_only=True)
class _Met:
    """An entry, on how many problems it was judged, and on how many it failed."""

    entry: Known
    judged: int = 0
    failed: int = 0


# ---- the file ----
def read(path: Path) -> tuple[Known, ...]:
    """The entries of a file.

    Raises:
        AdapterBroken: it is not TOML, or an entry is not as it should be; the entry is named by its number.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AdapterBroken(f"{path} cannot be read: {error}") from error
    return entries(content, str(path))


def entries(content: bytes, source: str) -> tuple[Known, ...]:
    """The entries that a file of this name holds; raises AdapterBroken."""
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise AdapterBroken(f"{source} is not TOML: {error}") from error
    found = document.get("known")
    if set(document) != {"known"} or not isinstance(found, list) or not found:
        raise AdapterBroken(f"{source}: it must hold [[known]] entries and nothing else")
    return tuple(_entry(e, f"{source}, entry {k}") for k, e in enumerate(found, start=1))


def _entry(raw: Any, place: str) -> Known:
    if not isinstance(raw, dict) or not {"clauses", "reason"} <= set(raw):
        raise AdapterBroken(f"{place}: clauses and reason are needed")
    strange = sorted(set(raw) - set(FIELDS))
    if strange:
        raise AdapterBroken(f"{place}: {strange[0]!r} is not known; there are {', '.join(FIELDS)}")
    for name in ("reason", "link", "raises", "example"):
        if not isinstance(raw.get(name, ""), str) or (name == "reason" and not raw[name].strip()):
            raise AdapterBroken(f"{place}: {name} = {raw.get(name)!r} must be a text")
    where = raw.get("where", {})
    if not isinstance(where, dict):
        raise AdapterBroken(f"{place}: where = {where!r} must be a table")
    return Known(
        clauses=_clauses(raw["clauses"], f"{place}: clauses"),
        reason=raw["reason"],
        link=raw.get("link", ""),
        raises=raw.get("raises", ""),
        example=_example(raw.get("example"), place),
        routes=_chosen(raw.get("routes", []), (), f"{place}: routes", some=False),
        quantities=_chosen(where.get("quantities", []), QUANTITIES, f"{place}: quantities", some=False),
        **_where({k: v for k, v in where.items() if k != "quantities"}, place),
    )


def _example(line: str | None, place: str) -> Problem | NetworkProblem | None:
    try:
        return None if line is None else parsed(line)
    except UserError as error:
        raise AdapterBroken(f"{place}: example = {line!r} is no problem: {error}") from error


def _clauses(value: Any, place: str) -> tuple[str, ...]:
    globs = _chosen(value, (), place)
    try:
        return tuple(c.id for c in matching(",".join(globs)))
    except UnknownClause as error:
        raise AdapterBroken(f"{place}: {error}") from error


def _where(where: dict[str, Any], place: str) -> dict[str, dict[str, Any]]:
    """sets and features."""
    found: dict[str, dict[str, Any]] = {"sets": {}, "features": {}}
    for name, value in where.items():
        if name in SETS:
            named = [_dtype(v) for v in value] if name == "dtypes" and isinstance(value, list) else value
            found["sets"][name] = _chosen(named, SETS[name][1], f"{place}: {name}")
        elif name in FEATURES:
            if not isinstance(value, bool):
                raise AdapterBroken(f"{place}: {name} = {value!r} must be true or false")
            found["features"][name] = value
        else:
            there = ", ".join(("quantities", *SETS, *FEATURES))
            raise AdapterBroken(f"{place}: where has no {name!r}; there are {there}")
    return found


def _dtype(name: Any) -> Any:
    try:
        return dtype_of(name).name
    except (TypeError, ValueError):
        return name


def _chosen(value: Any, there: tuple[Any, ...], place: str, *, some: bool = True) -> tuple[Any, ...]:
    """A list of what there is, not empty."""
    if not isinstance(value, list) or (some and not value):
        raise AdapterBroken(f"{place} = {value!r} must be a list, not empty")
    strange = [v for v in value if (v not in there if there else not isinstance(v, str))]
    if strange:
        raise AdapterBroken(f"{place}: {strange[0]!r} is not one of {', '.join(map(str, there)) or 'texts'}")
    return tuple(value)
