"""The only door to a terminal: whoever wrote a text, it gives no orders there."""

from __future__ import annotations

import click

from conformance.escape import terminal

__all__ = ["say"]


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text; what is not printable in it is shown escaped."""
    click.echo(terminal(text, keep="\n\t"), err=err, nl=nl)
