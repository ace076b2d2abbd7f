"""A new adapter from a template: `adapters/_template/<language>/`, with the SDK's files beside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from conformance.adapter.manifest import FILE, folder, sdk
from conformance.errors import DiskFull, OutputError

__all__ = ["begun"]

NAME = "NAME"
"""Stands in a template where the adapter's name goes."""
WORDS = {FILE, "README.md"}
IGNORED = shutil.ignore_patterns("__pycache__", "adapter", "node_modules")
"""What building in place leaves behind."""


def begun(target: Path, language: str) -> str:
    """Copy the template to a new folder; what to do next, in words.

    Raises:
        OutputError: the folder is there already, cannot be made, or has a name that a shell would split.
    """
    if re.search(r"[^\w.+-]", target.resolve().name):
        raise OutputError(
            f"{str(target)!r} is no name for an adapter: take letters, digits, '-', '_', '.' and '+', so that commands need "
            "no quotes"
        )
    try:
        shutil.copytree(folder() / "_template" / language, target, ignore=IGNORED)
        if language != "python":  # its host is part of this package
            shutil.copytree(sdk(language), target, ignore=IGNORED, dirs_exist_ok=True)
        for path in (target / word for word in WORDS):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(NAME, target.resolve().name), encoding="utf-8")
    except FileExistsError:
        raise OutputError(f"{str(target)!r} is there already: a new adapter needs a new folder") from None
    except OSError as error:
        raise DiskFull.of(f"{str(target)!r} cannot be made", error) from error
    return (target / "README.md").read_text(encoding="utf-8").rstrip()
