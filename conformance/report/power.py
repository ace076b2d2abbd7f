"""The power of the suite as text: one row a mistake, one row a clause, and which kills which."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE
from conformance.mistakes.pairs import KINDS
from conformance.mistakes.power import CLAUSES, NETWORK, NETWORK_CLAUSES, PAIR, Power, Trial, probes
from conformance.report.table import STYLES

__all__ = ["SCHEMA", "as_json", "as_markdown", "rendered"]

SCHEMA = "conformance-power/1"
SENTENCES = {name: m.sentence for name, m in CATALOGUE.items()} | {
    name: m.sentence for name, m in NETWORK_CATALOGUE.items()
}

ABOUT = """\
Made by `conformance power --markdown`.  Every catalogued mistake is run as an implementation, on the problems of the
corpora in their order, until a clause fails.  The clauses that kill it are those that fail on that problem, on the same
geometry with small integers, or on one of the first problems that show each clause ({probes}).
Mistakes in networks are put through the corpus of networks, to chapter NET."""

PAIRS = """\
Two mistakes of one kind, made together; drawn with seed {seed}.  Those of layers and of optional operations are put to the
problems of the standard profile, those of networks to the corpus of networks."""

COLUMNS = """\
kills: of how many mistakes the clause fails.  root: of how many it names a finding (the others fall with it).  alone: of how
many nothing else fails on those problems."""


def rendered(power: Power) -> str:
    """For a terminal; clauses are told of only if all mistakes were tried."""
    headers = ("mistake", "", "by", "problems", "ms", "first problem")
    rows = [
        (t.name, t.verdict, ", ".join(t.clauses), t.problems, f"{t.milliseconds:.0f}", t.killer)
        for t in power.trials
    ]
    parts = [_table(rows, headers, "terminal", widths=(44, None, 48, None, None, None))]
    if {t.name for t in power.singles} == set(SENTENCES):
        parts.append(_clauses(power, "terminal"))
    return "\n\n".join([*parts, *_verdicts(power)]) + "\n"


def as_json(power: Power) -> str:
    """One document; a mistake's verdict is ``killed``, ``equivalent`` or ``SURVIVES``."""
    trials = [{**dataclasses.asdict(t), "verdict": t.verdict} for t in power.trials]
    return json.dumps({"schema": SCHEMA, "seed": power.seed, "trials": trials}, indent=1) + "\n"


def as_markdown(power: Power) -> str:
    """The published report: the same whenever and wherever it is made, so without times."""
    parts = [
        "# Power of the suite",
        ABOUT.format(probes=", ".join(f"`{n.id}`" for n in probes())),
        *_verdicts(power),
        "## Clauses",
        COLUMNS,
        _clauses(power, "markdown"),
        "## Clauses by families",
        _families(power),
        "## Mistakes",
        *_mistakes(power),
        "## Pairs",
        *_pairs(power),
    ]
    return "\n\n".join(parts) + "\n"


def _verdicts(power: Power) -> Iterator[str]:
    for what, trials in (("single mistakes", power.singles), ("pairs", power.pairs)):
        if trials:
            yield f"{len(trials)} {what}: {_counted(trials)}; the median takes {Power.median(trials):g} problems to kill."
    for t in power.trials:
        if t.equivalent:
            yield f"{t.name} is equivalent: {t.equivalent}."
    if power.survivors:
        yield f"Not killed: {', '.join(t.name for t in power.survivors)}."


def _counted(trials: Sequence[Trial]) -> str:
    verdicts = [t.verdict for t in trials]
    return ", ".join(f"{verdicts.count(v)} {v.lower()}" for v in dict.fromkeys(("killed", *sorted(verdicts))))


def _clauses(power: Power, style: str) -> str:
    rows = []
    for c in (*CLAUSES, *NETWORK_CLAUSES):
        kills, alone = power.killed_by(c.id), power.killed_by(c.id, alone=True)
        roots = sum(c.id in t.roots for t in power.singles)
        flag = "" if alone else "kills nothing alone" if kills else "KILLS NOTHING"
        rows.append((c.id, c.severity, len(kills), roots, len(alone), flag))
    return _table(rows, ("clause", "", "kills", "root", "alone", ""), style)


def _families(power: Power) -> str:
    """Of how many mistakes of a family each clause fails."""
    rows = []
    for c in CLAUSES:
        killed = [t.family for t in power.killed_by(c.id)]
        rows.append((c.id, *(killed.count(family) or "" for family in FAMILIES)))
    return _table(rows, ("clause", *FAMILIES), "markdown")


def _mistakes(power: Power) -> Iterator[str]:
    headers = ("mistake", "what is done instead", "problems", "first problem", "found as", "and by")
    for family in (*FAMILIES, NETWORK):
        trials = [t for t in power.singles if t.family == family]
        if trials:
            yield f"### {family}"
            yield _table([_row(t) for t in trials], headers, "markdown")


def _row(t: Trial) -> tuple[object, ...]:
    others = ", ".join(c for c in t.clauses if c not in t.roots)
    return t.name, SENTENCES[t.name], t.problems, t.killer or t.verdict, ", ".join(t.roots), others


def _pairs(power: Power) -> Iterator[str]:
    """How many of each kind were drawn, and what became of them."""
    if not power.pairs:
        yield "None were drawn."
        return
    yield PAIRS.format(seed=power.seed)
    headers = ("of", "pairs", "killed", "equivalent", "not killed", "problems, median", "problems, most")
    kinds = {kind: [t for t in power.pairs if t.family == PAIR + kind] for kind in KINDS}
    yield _table([_kind(kind, drawn) for kind, drawn in kinds.items() if drawn], headers, "markdown")


def _kind(kind: str, drawn: Sequence[Trial]) -> tuple[object, ...]:
    verdicts = [t.verdict for t in drawn]
    counts = (verdicts.count(verdict) for verdict in ("killed", "equivalent", "SURVIVES"))
    most = max([t.problems for t in drawn if t.killer], default=0)
    return kind, len(drawn), *counts, f"{Power.median(drawn):g}", most


def _table(
    rows: Iterable[Sequence[object]],
    headers: Sequence[str],
    style: str,
    widths: tuple[int | None, ...] | None = None,
) -> str:
    cells = [list(map(str, row)) for row in rows]
    return tabulate(cells, headers, STYLES[style], disable_numparse=True, maxcolwidths=widths)
