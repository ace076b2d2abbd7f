"""The commands about adapters: parse, call, print.  Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from conformance.escape import terminal
from conformance.say import say

if TYPE_CHECKING:
    from conformance.adapter.doctor import Remark

__all__ = ["COMMANDS"]


@click.command("list")
def list_adapters() -> None:
    """The bundled adapters, their routes, and whether an environment is made."""
    from tabulate import tabulate

    from conformance.adapter.environment import found
    from conformance.adapter.manifest import bundled

    rows = [
        (
            m.name,
            m.language,
            ("made" if found(m) else "not made") if m.isolated else "none needed",
            ", ".join(m.routes),
            m.summary,
        )
        for m in bundled().values()
    ]
    headers = ("adapter", "language", "environment", "routes", "what it asks")
    say(tabulate(rows, headers=headers, tablefmt="simple"))


@click.group()
def env() -> None:
    """Environments of adapters: what they need to run, each in a folder of its own.

    They lie in the user's cache folder, or in that which the variable CONFORMANCE_CACHE names.
    """


@env.command("create")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--here", "in_place", is_flag=True, help="install Python packages where conformance runs, instead"
)
def env_create(names: tuple[str, ...], *, in_place: bool) -> None:
    """Make the environment of a bundled adapter, or of a folder with an adapter.toml; what is there stays as it is.

    Exit codes: 0 it is there; 2 no such adapter; 3 it cannot be made.
    """
    from conformance.adapter.environment import create, here
    from conformance.adapter.manifest import named

    manifests = [named(name) for name in dict.fromkeys(names)]
    strange = [m for m in manifests if in_place and m.language != "python"]
    if strange:
        raise click.UsageError(
            f"--here is for adapters in Python: {strange[0].name} is in {strange[0].language}"
        )
    for manifest in manifests:
        (here if in_place else create)(manifest, say=lambda line: say(line, err=True))


@env.command("list")
def env_list() -> None:
    """The environments that are made, and whether a bundled adapter uses them as it is now."""
    from tabulate import tabulate

    from conformance.adapter.environment import listed, place
    from conformance.adapter.manifest import bundled

    used = {place(m) for m in bundled().values()}
    rows = [
        (
            folder.name.rpartition("-")[0],
            "current" if folder in used else "former, or of a folder",
            str(folder),
        )
        for folder in listed()
    ]
    say(tabulate(rows, headers=("adapter", "state", "folder"), tablefmt="simple"))


@env.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def env_remove(names: tuple[str, ...]) -> None:
    """Delete all environments of adapters, former ones too; exit code 2 if one has none."""
    from conformance.adapter.environment import remove

    for name in dict.fromkeys(names):
        for folder in remove(name):
            say(f"{name}: deleted, {folder}", err=True)


@click.command()
@click.argument("adapter", metavar="ADAPTER")
@click.option("--wire", is_flag=True, help="does it speak the wire protocol? message by message")
@click.option("--in-process", is_flag=True, help="ask it in this process, to debug it")
def doctor(adapter: str, *, wire: bool, in_process: bool) -> None:
    """Is an adapter wired rightly?  Exit code 3 if it is not."""
    from conformance.adapter.connect import connect, process_of
    from conformance.adapter.doctor import examine
    from conformance.adapter.doctor_wire import conversed

    if wire:
        found = process_of(adapter)
        if found is None:
            raise click.UsageError(f"{adapter} is always asked in this process: there is no wire")
        _remark(conversed(found.command, found.route))
    with contextlib.closing(connect(adapter, in_process=in_process)) as session:
        _remark(examine(session))


def _remark(remarks: Iterable[Remark]) -> NoReturn:
    """Print them, and end with the exit code that they make."""
    sound = True
    for remark in remarks:
        say(f"{'ok    ' if remark.ok else 'FAULT '} {remark.check}: {terminal(remark.text)}")
        sound &= remark.ok
    sys.exit(0 if sound else 3)


@click.command("new-adapter")
@click.argument("folder", type=click.Path(path_type=Path), metavar="NAME")
@click.option(
    "--language",
    type=click.Choice(["python", "cpp", "javascript", "octave"]),
    default="python",
    show_default=True,
    help="that it is written in",
)
def new_adapter(*, folder: Path, language: str) -> None:
    """Begin an adapter: a new folder NAME with a template that runs, and the SDK of its language beside it."""
    from conformance.adapter.template import begun

    say(begun(folder, language))


@click.command()
@click.argument("adapter", metavar="ADAPTER")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object an observation")
def probe(adapter: str, *, as_json: bool) -> None:
    """What kind of arithmetic is it?  Inferred from outside, with the evidence.

    Exit codes: 0 it was probed, whatever was seen; 3 the adapter is broken.
    """
    import dataclasses
    import json

    from tabulate import tabulate

    from conformance.adapter.connect import connect
    from conformance.adapter.probe import probe as observed

    with contextlib.closing(connect(adapter, in_process=False)) as session:
        seen = observed(session)
    if as_json:
        for o in seen:
            say(json.dumps(dataclasses.asdict(o)))
        return
    headers = ("dtype", "quantity", "property", "value", "declared", "evidence")
    rows = [(o.dtype, o.quantity or "all", o.property, o.value, o.declared, o.evidence) for o in seen]
    widths = [None, None, None, 34, 20, 60]
    say(tabulate(rows, headers=headers, maxcolwidths=widths, disable_numparse=True))


COMMANDS: tuple[click.Command, ...] = (list_adapters, env, doctor, new_adapter, probe)
"""All of them."""
