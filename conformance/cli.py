"""The command line: parse, call, print.  Heavy imports wait until a command needs them.

Exit codes: 0 the implementation conforms; 1 it does not; 2 the call was wrong; 3 an adapter or this program is broken.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from conformance import __version__, cli_adapters
from conformance.errors import ConformanceError, NotationError
from conformance.escape import terminal
from conformance.say import say

if TYPE_CHECKING:
    from conformance.engine.run import Event, Run
    from conformance.problem import Problem
    from conformance.report.journal import Kept

__all__ = ["main"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """Errors of ours end in one sentence and their exit code, never in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConformanceError as error:
            say(f"conformance: {error} [{_FAULT[error.fault]}]", err=True)
            sys.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001  (the last door: a traceback of ours helps no user)
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
            say(f"conformance: {told} [{_FAULT['harness']}]", err=True)
            sys.exit(3)


_FAULT = {
    "user": "the call has to change",
    "adapter": "the adapter has to be mended",
    "environment": "the adapter's environment has to be mended",
    "file": "the file has to change",
    "harness": "a defect of this program: please report it",
}


@click.group(cls=_Commands, context_settings=CONTEXT, epilog=(__doc__ or "").partition("\n\n")[2])
@click.version_option(__version__, prog_name="conformance")
def main() -> None:
    """Does an implementation of convolutional layers compute the right gradients?"""


@main.command()
@click.argument("adapters", nargs=-1, metavar="ADAPTER...")
@click.option(
    "--profile", type=click.Choice(["quick", "standard", "thorough"]), default="standard", show_default=True
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="of the drawn problems"
)
@click.option(
    "--only",
    multiple=True,
    default=("*",),
    metavar="GLOB",
    callback=lambda _ctx, _option, globs: ",".join(globs),
    help="clauses to judge, as in 'DEL-*,WGT-1'; may be given several times",
)
@click.option(
    "--problem", "lines", multiple=True, metavar="LINE", help="judge this problem instead of the corpus"
)
@click.option("--dtype", metavar="NAME", help="all problems in one dtype: f64, f32, f16 or bf16")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="write report.jsonl and report.md there"
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="go on with a run that was cut off there"
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10,
    show_default=True,
    help="seconds that one call may take; in a process of its own, three times as many for the first call of a shape",
)
@click.option(
    "--memory",
    type=click.FloatRange(min=0.1),
    default=8,
    show_default=True,
    help="GiB that an adapter's process may use",
)
@click.option("--in-process", is_flag=True, help="ask adapters in this process, to debug them")
@click.option("--json", "as_json", is_flag=True, help="print the report as JSON lines instead of tables")
@click.pass_context
def run(ctx: click.Context, /, *, resume: Path | None, as_json: bool, **asked: Any) -> None:
    """Judge implementations: a bundled name, ./file.py, entry:name, each may be followed by :route; or cmd:PROGRAM.

    Adapters of others run in a process of their own: what crashes, hangs or floods is recorded, and the run goes on.
    """
    from conformance.report.journal import Journal, kept
    from conformance.report.table import rendered
    from conformance.report.write import Writer, write_markdown

    out: Path | None = asked.pop("out")
    how = {name: asked.pop(name) for name in ("timeout", "memory", "in_process")}
    done: Kept | None = None
    if resume:
        if out:
            raise click.UsageError("--resume goes on in its own folder: leave out --out")
        given = {name for name in asked if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
        done, out = kept(resume), resume
        if not done.ended:
            _check_programs(asked["adapters"], done.report.adapters, resume)
        asked |= _repeated(done.report.header, {name: asked[name] for name in given}, resume)
    elif not asked["adapters"]:
        raise click.UsageError("Missing argument 'ADAPTER...'.")
    if done and done.ended:
        report = done.report
    else:
        with contextlib.ExitStack() as stack:
            runs = _runs(asked, how, done, stack)
            writes: list[Callable[[str], None]] = [say] if as_json else []
            if out:
                writes.append(stack.enter_context(Journal(out, done.lines if done else ())).write)
            writer = Writer(runs, profile=asked["profile"], only=asked["only"], to=writes)
            for one in runs:
                before = done.finished.get(one.session.name) if done else None
                for event in _with_progress(one, quiet=as_json) if before is None else before:
                    writer.add(one.session.name, event)
            report = writer.close()
        if out:
            write_markdown(report, out)
    if not as_json or (done and done.ended):
        say(rendered(report), nl=False)
    sys.exit(report.exit_code())


def _runs(
    asked: dict[str, Any], how: dict[str, Any], done: Kept | None, stack: contextlib.ExitStack
) -> list[Run]:
    """One run an adapter; its session is closed with the stack.  how: it is asked: timeout, memory, in_process."""
    from conformance.adapter.connect import connect
    from conformance.engine.profiles import PROFILES
    from conformance.engine.run import Run
    from conformance.problem.line import parsed

    given = tuple(parsed(line) for line in asked["lines"])
    means = {
        "time_limit": how["timeout"],
        "memory": int(how["memory"] * 2**30),
        "in_process": how["in_process"],
    }
    return [
        Run(
            stack.enter_context(contextlib.closing(connect(name, **means))),
            PROFILES[asked["profile"]],
            seed=asked["seed"],
            only=asked["only"],
            dtype=asked["dtype"],
            given_problems=given,
            judged=done.judged_of(name) if done else None,
        )
        for name in dict.fromkeys(asked["adapters"])
    ]


def _repeated(header: dict[str, Any], given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a cut-off run was asked for; the call may say the same again, but nothing else."""
    from conformance.errors import OutputError
    from conformance.problem import dtype_of
    from conformance.problem.line import parsed

    if given.get("dtype"):
        given["dtype"] = dtype_of(given["dtype"]).code
    if "lines" in given:
        given["lines"] = tuple(str(parsed(line)) for line in given["lines"])
    was = {
        "adapters": tuple(a["name"] for a in header["adapters"]),
        "profile": header["profile"],
        "seed": header["seed"],
        "only": header["only"],
        "lines": tuple(header.get("given", ())),
        "dtype": header["dtype"],
    }
    for name, value in given.items():
        if was[name] != value:
            raise OutputError(
                f"the run in {str(folder)!r} has {name} {was[name]!r}, not {value!r}: it goes on as it began, or a new one "
                "is written elsewhere"
            )
    return was


def _check_programs(given: tuple[str, ...], named: list[str], folder: Path) -> None:
    """A report is data: it does not choose which programs run, but for those that come with this one."""
    from conformance.adapter.manifest import bundled
    from conformance.errors import ReportError

    programs = [name for name in named if name.partition(":")[0] not in bundled()]
    if programs and not given:
        again = shlex.join(["conformance", "run", *named, "--resume", str(folder)])
        raise ReportError(
            f"the report in {str(folder)!r} is of {programs[0]!r}: a report alone starts no program that does not come with "
            f"this one; if you trust it, say `{again}`"
        )


def _with_progress(run: Run, *, quiet: bool) -> Iterator[Event]:
    """The run's events; on a terminal with a bar that counts problems, elsewhere silently."""
    from conformance.mistakes.roots import events

    if quiet or not sys.stderr.isatty():
        yield from events(run)
        return
    met = ""
    with click.progressbar(
        length=len(run.problems()) + len(run.networks()), label=terminal(run.session.name), file=sys.stderr
    ) as bar:
        for event in events(run):
            problem = getattr(event, "problem", "")
            if problem != met:
                met = problem
                bar.update(1)
            yield event


@main.command()
@click.argument("clause", default="*", metavar="[ID]")
def spec(clause: str) -> None:
    """The specification: all clauses, or those whose id matches ID (a glob)."""
    from conformance.spec import matching
    from conformance.spec.document import described

    say("\n\n".join(described(c) for c in matching(clause)))


def _layer(line: str) -> Problem:
    """The problem of one layer."""
    from conformance.problem import Problem
    from conformance.problem.line import parsed

    problem = parsed(line)
    if isinstance(problem, Problem):
        return problem
    raise NotationError("one layer at a time: a whole network is judged by run --problem", line, 0)


@main.command()
@click.argument("line", metavar="LINE")
@click.argument("adapter", metavar="ADAPTER")
def explain(line: str, adapter: str) -> None:
    """What is wrong on a problem, counted on fingers; exit code 1 if anything is."""
    from conformance.adapter.connect import connect
    from conformance.mistakes.explain import explained
    from conformance.mistakes.explain_network import explained_network
    from conformance.problem.line import parsed
    from conformance.problem.network import NetworkProblem

    problem = parsed(line)
    with contextlib.closing(connect(adapter, in_process=False)) as session:
        told = (
            explained_network(session, problem)
            if isinstance(problem, NetworkProblem)
            else explained(session, problem)
        )
    say(told or f"nothing to explain: {adapter} is right on {problem}\n", nl=False)
    sys.exit(0 if told is None else 1)


@main.command()
@click.argument("line", metavar="LINE")
@click.argument("adapter", metavar="ADAPTER")
def repro(line: str, adapter: str) -> None:
    """Print a script that shows what is wrong on a problem without this package; exit code 1 if anything is."""
    from conformance.adapter.connect import connect
    from conformance.mistakes.reproducer import reproducer, shows

    problem = _layer(line)
    made = reproducer(connect(adapter), problem)
    if made is None:
        say(f"nothing to reproduce: {adapter} is right on {problem}", err=True)
        sys.exit(0)
    say(made.source, nl=False)
    if not made.source:
        say(f"no script of one call shows it: {terminal(made.fault.said)}", err=True)
    elif not shows(made):
        say("this script, run alone, does not show the fault: it hangs on what came before", err=True)
    sys.exit(1)


@main.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30,
    show_default=True,
    help="seconds that the import, and each call, may take",
)
def check(*, file: Path, timeout: float) -> None:
    """Is the convolution layer of FILE.py right?  It is judged as it is, step by step, without an adapter."""
    from conformance.learner.check import check as checked

    sys.exit(checked(file, seconds=timeout, tell=lambda text: say(f"{text}\n")))


@main.command()
@click.option("--only", default="*", metavar="GLOB", help="mistakes to try, as in 'dx-*'")
@click.option(
    "--pairs", type=click.IntRange(0), default=300, show_default=True, help="of mistakes made together, drawn"
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="of the drawn pairs"
)
@click.option("--json", "as_json", is_flag=True, help="print all results as one JSON document")
@click.option("--markdown", is_flag=True, help="print the report that is published as reports/power.md")
def power(*, only: str, pairs: int, seed: int, as_json: bool, markdown: bool) -> None:
    """Is every known mistake caught?  Each is run as an implementation; exit code 1 if one survives."""
    from conformance.mistakes.pairs import drawn_pairs
    from conformance.mistakes.power import Power, chosen, trials
    from conformance.report import power as report

    singles = chosen(only)
    drawn = drawn_pairs(singles, pairs, seed=seed)
    with click.progressbar(
        trials(singles, drawn),
        length=len(singles) + len(drawn),
        label="mistakes",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as tried:
        made = Power(trials=tuple(tried), seed=seed)
    written = report.as_json if as_json else report.as_markdown if markdown else report.rendered
    say(written(made), nl=False)
    sys.exit(1 if made.survivors else 0)


for command in (
    cli_adapters.list_adapters,
    cli_adapters.env,
    cli_adapters.doctor,
    cli_adapters.new_adapter,
    cli_adapters.probe,
):
    main.add_command(command)

if __name__ == "__main__":  # as `python -m conformance`: to do nothing would look like a success
    main(prog_name="conformance")
