"""Text from outside (of adapters, reports, files) on its way to a reader: it is shown, and never obeyed.

One function a medium, used where text leaves: by the command line for all that it prints, by the tables for their cells
and lines, by errors for themselves.  What is escaped once stays as it is on a terminal when it is escaped again.
"""

from __future__ import annotations

import re

__all__ = ["LONGEST", "brief", "markdown", "terminal"]

LONGEST = 2000
"""Characters of one text that are shown."""

_MARKUP = re.compile(
    r"[\\`|]"
    r"|<(?!\w+, \w+>)"  # a tag or a link, but for an inner product: <y, delta>
    r"|&(?=#?\w+;)"
    r"|(?<=\])\("
    r"|^[#>\[=~+*-]"
)


def terminal(text: str, *, keep: str = "") -> str:
    r"""One line of printable characters; what is none is written as Python writes it, but for characters to `keep`.

    Not printable are control characters, so that no sequence begins and no line ends, marks that turn the direction of
    writing, and lone surrogates, which no file takes.

    >>> print(terminal("red \x1b[31m\nPASS \u202e"))
    red \x1b[31m\nPASS \u202e
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def markdown(text: str) -> str:
    r"""One line of markdown, in a cell or by itself, that reads as the text does: no markup but emphasis.

    >>> print(markdown("# a|b <script>"))
    \# a\|b \<script>
    """
    return _MARKUP.sub(r"\\\g<0>", terminal(" ".join(text.split())))


def brief(text: str, most: int = LONGEST) -> str:
    """Its beginning, and how much is left out, if it is long."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"
