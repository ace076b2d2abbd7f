"""Text from outside on its way to a reader: shown, and never obeyed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import conformance
from conformance.errors import GeometryError, NotationError, ReportError
from conformance.escape import LONGEST, brief, markdown, terminal

HOSTILE = {
    "\x1b[31mPASS\x1b[0m": r"\x1b[31mPASS\x1b[0m",
    "\x9b2J": r"\x9b2J",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\r\nDEL-1 PASS": r"a\r\nDEL-1 PASS",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u2066\u2069\u200f": r"\u2066\u2069\u200f",
    "\u2028": r"\u2028",
    "\udcff": r"\udcff",
    "\x00\x7f": r"\x00\x7f",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=map(ascii, HOSTILE))
def test_what_is_not_printable_is_written_out(text: str, shown: str) -> None:
    assert terminal(text) == shown


@pytest.mark.parametrize("text", ["", "dx[0, 1] is -3; \\x1b", "größer als π, 卷积 ≤ ∂"])
def test_what_is_printable_stays(text: str) -> None:
    assert terminal(text) == text


@given(st.text(st.characters()))
def test_one_printable_line_that_a_file_takes_comes_out(text: str) -> None:
    for shown in (terminal(text), markdown(text)):
        assert shown.isprintable()
        shown.encode()
    assert terminal(terminal(text)) == terminal(text)
    assert terminal(text, keep="\n").replace("\n", "").isprintable()


MARKUP = {
    "a|b": r"a\|b",
    "a\\|b": r"a\\\|b",
    "`rm -rf`": r"\`rm -rf\`",
    "<script>alert(1)</script>": r"\<script>alert(1)\</script>",
    "<img src=x onerror=y>": r"\<img src=x onerror=y>",
    "<https://example.org>": r"\<https://example.org>",
    "[here](https://example.org)": r"\[here]\(https://example.org)",
    "see ![x](https://example.org/pixel)": r"see ![x]\(https://example.org/pixel)",
    "# PASS": r"\# PASS",
    "> quoted": r"\> quoted",
    "===": r"\===",
    "- - -": r"\- - -",
    "&lt;b&gt;": r"\&lt;b\&gt;",
    "a\n\n# PASS\n|x|": r"a # PASS \|x\|",
    "\x1b[31m": r"\\x1b[31m",
}


@pytest.mark.parametrize(("text", "shown"), MARKUP.items(), ids=map(ascii, MARKUP))
def test_markup_is_escaped(text: str, shown: str) -> None:
    assert markdown(text) == shown


@pytest.mark.parametrize(
    "text", ["a step v in x moves <y, delta> by <dx, v>", "dx[0, 1] is 3, right is 4", "i3x3 a < b"]
)
def test_what_is_no_markup_stays(text: str) -> None:
    assert markdown(text).replace("\\<", "<") == text


def test_long_texts_are_cut_and_say_so() -> None:
    assert brief("x" * LONGEST) == "x" * LONGEST
    assert brief("x" * (LONGEST + 7)) == "x" * LONGEST + "... (7 more characters)"


# ---- errors ----
def test_an_error_is_one_line_whatever_is_in_it() -> None:
    assert str(ReportError("a\nb\x1b[2J")) == r"a\nb\x1b[2J"
    assert len(str(GeometryError("x" * 10**6))) < LONGEST + 100


def test_a_line_that_does_not_parse_is_marked_where_it_is_wrong_after_escaping() -> None:
    said = str(NotationError("no\ttoken", "i3\tk2 q2", 6)).splitlines()
    assert said == [r"no\ttoken", r"    i3\tk2 q2", "           ^"]
    assert said[1][said[2].index("^")] == "q"


def test_a_long_line_that_does_not_parse_is_shown_around_the_place() -> None:
    line = "a" * 10_000 + "?" + "b" * 10_000
    _, shown, mark = str(NotationError("no token", line, 10_000)).splitlines()
    assert len(shown) < 500
    assert shown[mark.index("^")] == "?"


# ---- the door ----
def test_the_command_line_has_one_door_to_a_terminal() -> None:
    doors = [
        node.name
        for path in Path(conformance.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("click.echo", "print", "click.secho")
    ]
    assert doors == ["say"]
