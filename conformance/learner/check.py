"""A learner's file, from its path to a verdict in words."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from conformance.adapter.probe import inferred
from conformance.adapter.session import Session
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement, Status
from conformance.escape import terminal
from conformance.learner.choose import Chosen, chosen
from conformance.learner.load import load
from conformance.learner.quiet import Late
from conformance.learner.reading import Learned, Reading
from conformance.learner.say import assumptions
from conformance.learner.show import broken, to_read
from conformance.learner.steps import Walked, offered, walk
from conformance.learner.whole import LEFT_OUT, Whole, whole
from conformance.report.table import seen
from conformance.spec import REGISTRY

__all__ = ["check"]

WIDTH = 100


def check(path: Path, *, seconds: float, tell: Callable[[str], None]) -> int:
    """Judge the layer of a file, in which a call may take so many seconds; `tell` is given one paragraph after the other.

    Returns:
        0: it is right.  1: it is wrong.  3: the reading of it breaks the rules of an adapter.

    Raises:
        NothingToCheck: it holds no layer, or cannot be imported.
    """
    module, file = load(path, seconds), terminal(path.name)
    try:
        found = chosen(module, seconds)
    except Late as name:
        tell(
            _wrapped(
                f"{name} did not answer within {seconds:g} s on one small image: does one of its loops never end?"
            )
        )
        tell(f"{file} is wrong: it does not come to an end.")
        return 1
    tell(_read(file, found))
    reading = found.layer.reading
    session = Session(Learned(reading), file, time_limit=seconds)
    session.inferred[reading.dtype] = inferred(session, reading.dtype)
    walked = list(walk(session, reading))
    tell("\n".join(map(_line, walked)))
    fault = walked[-1].broken
    if fault is not None:
        _each(tell, _broken(session, reading, walked, fault, path))
        return 1
    done = whole(session, reading)
    _each(tell, _whole(done, file))
    return done.report.exit_code()


def _each(tell: Callable[[str], None], paragraphs: Iterator[str]) -> None:
    for text in paragraphs:
        tell(text)


def _read(file: str, found: Chosen) -> str:
    """What was found, and what was assumed about it."""
    lines = [f"{file}: {found.layer.reading.way.name}", "", "I assumed:"]
    lines += [_wrapped(f"  - {sentence};") for sentence in assumptions(found.layer)]
    lines[-1] = lines[-1][:-1] + "."
    if found.others:
        lines += ["", _wrapped(f"Also there, and not looked at: {', '.join(found.others)}.")]
    return "\n".join(lines)


def _line(walked: Walked) -> str:
    if walked.broken is not None:
        return f"WRONG  {walked.step.title:<22}{walked.broken.clause}"
    return f"ok     {walked.step.title:<22}{walked.problems} problem{'s' if walked.problems != 1 else ''}"


def _broken(
    session: Session, reading: Reading, walked: list[Walked], fault: Judgement, path: Path
) -> Iterator[str]:
    """The step that stopped it: what went wrong, what to read, what was not looked at."""
    step = walked[-1].step
    yield from broken(session, reading, step.quantity, fault, path)
    yield _wrapped(to_read(fault.clause))
    left = [step.title for step in offered(reading)][len(walked) :]
    if left:
        yield _wrapped(f"Not looked at yet: {', '.join(left)}.")
    said = "it raises" if fault.status is Status.CRASHED else "it is not right"
    yield f"{session.name} is wrong: {said} in the step {step.name}."


def _whole(done: Whole, name: str) -> Iterator[str]:
    """The findings of the run, if there are any, and its verdict."""
    report, conforms = done.report, done.report.exit_code() == 0
    count = f"{done.problems} problems"
    if done.left_out:
        count += f" ({done.left_out} larger ones left out, on which these loops would take minutes)"
    yield f"{'ok   ' if conforms else 'WRONG'}  {'everything else':<22}{count}"
    yield from map(_finding, report.findings)
    yield from (_wrapped(f"doctor: {remark.text}") for _, remark in report.remarks if not remark.ok)
    yield _wrapped(
        _verdict(done, name) + f" {LEFT_OUT} (operands of a wrong size are refused) was not asked."
    )


def _verdict(done: Whole, name: str) -> str:
    rows = done.report.rows(name)
    met = [row for row in rows if row.problems]
    held = sum(row.status is Status.PASS for row in met)
    aside = f", {len(rows) - len(met)} do not apply to what it offers" if len(rows) > len(met) else ""
    if done.report.exit_code() == 0:
        return f"{name} conforms: {held} of {len(met)} clauses hold{aside}."
    return (
        f"{name} does not conform: {sum(row.status.failed for row in met)} of {len(met)} clauses fail{aside}."
    )


def _finding(finding: Finding) -> str:
    said = [
        f"{finding.clause} ({finding.severity}): {REGISTRY[finding.clause].text}",
        f"    on {finding.problem}",
    ]
    said += [f"    {text}" for text in (seen(finding.judgement), finding.diagnosis, finding.hint) if text]
    said.append(f"    to read: `conformance spec {finding.clause}`")
    return "\n".join(textwrap.fill(terminal(line), WIDTH, subsequent_indent="      ") for line in said)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        terminal(text), WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
