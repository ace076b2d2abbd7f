"""A fault on a page: the operands, what came out beside what should have, and the worst element counted on fingers.

The problem is first made small enough, with small integers where it shows on them too.  Nothing is told that was not
computed: the sum that is called a mistake's is written out only if that mistake gives, bit for bit, all that came back.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.adapter.session import Session
from conformance.escape import terminal
from conformance.mistakes.diagnose import Explanation, diagnose
from conformance.mistakes.fault import READS, Fault, fault, simplest
from conformance.mistakes.fingers import Told, counted
from conformance.mistakes.mistake import Mistake
from conformance.mistakes.page import WIDTH, Block, Names, apart, beside, matrices, matrix, shown
from conformance.mistakes.recipe import Recipe, Switch, recipe
from conformance.mistakes.terms import Sum, made_by, written
from conformance.problem import QUANTITIES, Problem

__all__ = ["explained"]

Floats = NDArray[np.float64]
Index = tuple[int, ...]

NAMES = (*QUANTITIES, "x", "w", "b", "delta")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What was done instead, in words (or, if that is not `known`, where it shows), and how to mend it.

    switches: those that do it, if they give all that came back.
    """

    said: str = ""
    hint: str = ""
    known: bool = False
    switches: tuple[Switch, ...] = ()


def explained(session: Session, problem: Problem, *, mistakes: Sequence[Mistake] | None = None) -> str | None:
    """The page of the worst fault on a problem; None if nothing is wrong.

    mistakes: what was done, if it is known; else it is looked for (`diagnose`).
    """
    seen = fault(session, problem)
    if seen is None:
        return None
    small = simplest(session, seen)
    cause = _cause(session, small, mistakes)
    parts = [_heading(session, seen, small)]
    if small.kind == "value" and small.got is not None:
        with np.errstate(all="ignore"):  # results may hold anything
            parts += _fingers(small, small.got, cause)
    else:
        parts += _words(small, cause)
    if cause.hint:
        parts.append(_wrapped(f"To mend it: {cause.hint}."))
    return "\n\n".join(parts) + "\n"


def _heading(session: Session, seen: Fault, small: Fault) -> str:
    lines = [f"{terminal(session.name)} on {small.problem}"]
    if small.problem != seen.problem:
        lines.append(f"    made simpler from {seen.problem}")
    if small.call == 2:
        lines.append(
            "    The first call is right; this is what the second one gives, with the same operands."
        )
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


# ---- the cause ----
def _cause(session: Session, small: Fault, mistakes: Sequence[Mistake] | None) -> Cause:
    if mistakes is not None:
        said = "; and ".join(m.sentence for m in mistakes)
        hint = "; ".join(dict.fromkeys(m.hint for m in mistakes))
        return Cause(said=said, hint=hint, known=bool(mistakes), switches=_switches(small, mistakes))
    if small.got is None:
        return Cause()
    known = diagnose(session, small.problem, small.quantity)
    if not known.explanations:
        return Cause(said=known.location)
    best = known.explanations[0]
    hint = best.hint if best.certain else ""
    return Cause(said=known.text, hint=hint, known=True, switches=_switches(small, _of_layers(best)))


def _of_layers(best: Explanation) -> list[Mistake]:
    """Of one layer all are: those of whole networks have no switches."""
    return [m for m in best.mistakes if isinstance(m, Mistake)]


def _switches(small: Fault, mistakes: Sequence[Mistake]) -> tuple[Switch, ...]:
    """The mistakes' switches, if they give what came back; else none."""
    switches = tuple(m.switch for m in mistakes if m.switch is not None)
    if len(switches) < len(mistakes) or small.got is None:
        return ()
    try:
        with np.errstate(all="ignore"):
            made = small.problem.format.rounded(made_by(_right(small), switches).result())
    except (ValueError, IndexError):
        return ()
    return switches if np.array_equal(made, small.got, equal_nan=True) else ()


def _right(small: Fault) -> Recipe:
    return recipe(small.problem.geometry, small.problem.operands, small.quantity)


# ---- a fault in words ----
def _words(small: Fault, cause: Cause) -> list[str]:
    parts = [_wrapped(f"{small.said}.")]
    if small.got is not None:
        right = matrix(
            f"{small.quantity} should be, of shape {small.expected.exact.shape}", small.expected.exact
        )
        got = matrix(f"got, of shape {small.got.shape}", small.got)
        parts.append("\n".join(beside([right, got])))
    if cause.said:
        parts.append(_wrapped(_sentence(cause.said)))
    return parts


def _sentence(said: str) -> str:
    """A sentence that begins with the name of a quantity keeps it."""
    return f"{said if said.split(maxsplit=1)[0] in NAMES else said[0].upper() + said[1:]}".rstrip(".") + "."


# ---- a fault on fingers ----
def _fingers(small: Fault, got: Floats, cause: Cause) -> list[str]:
    names, start = Names(g=small.problem.geometry), _right(small)
    sums = [written(start, small.index)]
    if cause.switches:
        sums.append(written(start, small.index, cause.switches))
    used = _used(small, made_by(start, cause.switches), sums)
    read = {f: None for s in sums for t in s.terms for f in t.factors}
    blocks = [
        matrices(names, name, a, focus=[f.index for f in read if f.name == name]) for name, a in used.items()
    ]
    return [
        _wrapped(names.legend([*used, small.quantity])),
        "\n".join(beside([block for of_one in blocks for block in of_one])),
        "\n".join(beside(_results(names, small, got))),
        "\n".join(_count(names, small, float(got[small.index]), sums, cause)),
    ]


def _used(small: Fault, made: Recipe, sums: Sequence[Sum]) -> dict[str, Floats]:
    """What is multiplied: the operands as they were given, and with a prime what a mistake made of one."""
    given = dict(small.problem.operands.items())
    used = {name: given[name].astype(np.float64) for name in READS[small.quantity] if name in given}
    primed = dict.fromkeys(f.name for s in sums for t in s.terms for f in t.factors if f.name.endswith("'"))
    for name in primed:
        bias = name == "b'"
        used[name] = np.broadcast_to(made.bias, made.g.y_shape) if bias else getattr(made, name[:-1])
    return used


def _results(names: Names, small: Fault, got: Floats) -> Iterator[Block]:
    """What should have come out beside what did; wrong places are marked."""
    right, came = (
        matrices(names, small.quantity, a, focus=[small.index], marked=small.wrong, stars=a is got)
        for a in (small.expected.exact, got)
    )
    for (title, *rows), (_, *others) in zip(right, came, strict=True):
        if rows:
            yield from ([f"{title} should be", *rows], ["got", *others])
        else:
            yield [title]


def _count(names: Names, small: Fault, got: float, sums: Sequence[Sum], cause: Cause) -> list[str]:
    """The worst element, as a sum that is right and as the one that was computed."""
    format_ = small.problem.format
    head = f"{names.element(small.quantity, small.index)} should be"
    right = sums[0]
    told = [Told(head=head, sum=right, stored=float(format_.rounded(np.asarray(right.total))))]
    told += [Told(head="got", sum=s, stored=got) for s in sums[1:]]
    lines = counted(names, told, format_)
    if len(sums) == 1:
        place = len(head) if len(lines) == 1 else 0
        lines.append(f"{'got':{place}} {_alone(names, small, got, right, guess=not cause.known)}")
    if not cause.said:
        return lines
    if len(sums) > 1 and len(lines[-1]) + len(cause.said) + 2 <= WIDTH:
        return [*lines[:-1], f"{lines[-1]}: {cause.said}"]
    return [*lines, "", _wrapped(_sentence(cause.said))]


def _alone(names: Names, small: Fault, got: float, right: Sum, *, guess: bool) -> str:
    """What came out, where no sum is known that made it: how far it is off; what would explain it, if one thing does."""
    value, off = apart(got, right.total), got - right.total
    if not math.isfinite(off):
        return value
    said = f"{value}: {shown(abs(off))} {'more' if off > 0 else 'less'} than it should be"
    if not guess:
        return said
    changes = ((-1, "were missing"), (1, "counted twice"), (-2, "had the other sign"))
    found = [(t, words) for t in right.terms for change, words in changes if change * t.value == off != 0]
    if len(found) == 1 and len(right.terms) > 1:
        return f"{said}, as if {names.term(found[0][0])} {found[0][1]}"
    ratio = got / right.total if right.total else 0.0
    everywhere = ratio and np.array_equal(np.asarray(small.got), ratio * small.expected.exact)
    return (
        f"{value}: like all of {small.quantity}, {shown(ratio)} times what it should be"
        if everywhere
        else said
    )
