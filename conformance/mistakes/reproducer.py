"""A script that shows a fault without this package: literal operands, the call, what is right, and an exit code.

What the call is depends on the adapter.  Beside a bundled one lies `reproducer.py.jinja`, which knows the library's own
call; of a learner's adapter the method is taken over as a function, if it is simple enough; else the script asks the
adapter itself, needs this package, and says so in its first line.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from conformance.adapter.local import Local
from conformance.adapter.session import Session
from conformance.engine.runner import case_of
from conformance.errors import UserError
from conformance.escape import terminal
from conformance.mistakes.fault import Fault, fault, simplest
from conformance.mistakes.inline import inlined
from conformance.mistakes.page import WIDTH
from conformance.oracle import demanded
from conformance.problem import Problem

__all__ = ["Reproducer", "reproducer", "script", "shows"]

TEMPLATES = Path(__file__).parent / "templates"
OWN = "reproducer.py.jinja"
"""The template in an adapter's folder."""
PATIENCE = 300
"""Seconds that a script may take; frameworks take some to start."""
OVERWRITTEN = "HYG-1"
"""The clause that operands are left as they were."""


@dataclass(frozen=True, kw_only=True)
class Reproducer:
    """A script that shows a fault; '' if no single call does.  fault: what it shows."""

    source: str
    fault: Fault


def reproducer(session: Session, problem: Problem) -> Reproducer | None:
    """The script of the worst fault on a problem, made small; None if nothing is wrong."""
    seen = fault(session, problem)
    if seen is None:
        return None
    small = simplest(session, seen)
    return Reproducer(source=script(session, small), fault=small)


def script(session: Session, seen: Fault) -> str:
    """The script of a fault; '' if it is not in what one call, or the same one twice, returns or overwrites."""
    overwritten = _overwritten(session, seen)
    template, more = _way(session, seen)
    in_values = seen.kind in ("value", "size") or seen.kind.startswith("raises")
    if not in_values and (not overwritten or template == OWN):  # what a library keeps is no array of ours
        return ""
    jinja = _environment(session, template)
    context = {**_context(session, seen, overwritten), **more}
    way = jinja.get_template(template).make_module(context)
    imports = str(way.imports())  # type: ignore[attr-defined]
    needs_us = re.search(r"(?m)^(from|import) conformance\b", imports) is not None
    title = _title(session, seen, needs_us=needs_us)
    return _spaced(jinja.get_template("base.py.jinja").render(way=way, title=title, **context))


def _environment(session: Session, template: str) -> jinja2.Environment:
    """Templates of ours, and of the adapter's folder if it has its own."""
    own = [session.folder] if template == OWN and session.folder else []
    return jinja2.Environment(  # noqa: S701  (it writes Python, not HTML)
        loader=jinja2.FileSystemLoader([*own, TEMPLATES]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )


def _spaced(source: str) -> str:
    """One empty line between parts, two around functions."""
    source = re.sub(r"\n{3,}", "\n\n", source.rstrip() + "\n")
    source = re.sub(r"\n\n(?=@|def )", "\n\n\n", source)
    return re.sub(r"(?m)^( +return .*\n)\n(?=\S)(?!@|def )", r"\1\n\n", source)


def shows(made: Reproducer) -> bool:
    """Does the script show the fault in a process of its own?"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reproducer.py"
        path.write_text(made.source, encoding="utf-8")
        command = [sys.executable, str(path)]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, encoding="utf-8", check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return False
    raised = made.fault.kind.removeprefix("raises ")
    return done.returncode == 1 and ("expected" in done.stdout or raised in done.stderr)


def _title(session: Session, seen: Fault, *, needs_us: bool) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in session.versions().items())
    told = f"{seen.quantity} of a convolution is wrong" if seen.kind == "value" else seen.said
    if seen.call == 2:
        told = f"{seen.quantity} of a convolution is wrong when it is computed a second time"
    needs = (
        f"It needs the package conformance (pip install conv-conformance), to ask {session.name}.  "
        if needs_us
        else ""
    )
    text = f"{needs}{told}{f' ({versions})' if versions else ''}."
    printable = terminal(" ".join(text.split()))  # it stands in the script's docstring, and cannot end it
    return textwrap.fill(printable.replace("\\", "/").replace('"', "'"), WIDTH)


# ---- which way ----
def _way(session: Session, seen: Fault) -> tuple[str, dict[str, Any]]:
    """The template, and what it needs beyond the problem."""
    if session.folder and (session.folder / OWN).is_file():
        return OWN, {}
    method = "forward" if seen.quantity == "y" else "backward"
    if not isinstance(session.place, Local):
        raise UserError(
            f"{session.name} is not in Python, and no {OWN} lies in its folder: there is no script to write; explain shows it"
        )
    function = inlined(session.adapter, method, seen.problem.geometry)
    if function is not None:
        return "function.py.jinja", {"function": function}
    head, colon, route = session.name.partition(":")
    target = f"{Path(head).resolve()}{colon}{route}" if head.endswith(".py") else session.name
    return "adapter.py.jinja", {"target": target}


def _overwritten(session: Session, seen: Fault) -> str:
    """The operand that the call changes, if that is the fault."""
    if seen.kind != OVERWRITTEN:
        return ""
    modified = case_of(session, seen.problem).call(seen.quantity).modified
    return modified[0] if modified else ""


# ---- what a template knows ----
def _context(session: Session, seen: Fault, overwritten: str) -> dict[str, Any]:
    p, g, quantity = seen.problem, seen.problem.geometry, seen.quantity
    x_layout, w_layout = (
        re.sub("[DHW]+", "DHW"[-g.rank :], layout)
        for layout in (session.capabilities.x_layout, session.capabilities.w_layout)
    )
    layouts = _Layouts(x_layout, w_layout)
    expected, allowed = demanded(seen.expected)
    if overwritten:
        expected = getattr(p.operands, overwritten).astype(np.float64)
        allowed = np.zeros(1)
    result = overwritten or quantity
    return {
        "g": g,
        "line": str(p),
        "quantity": quantity,
        "position": None if quantity == "y" else ("dx", "dw", "db").index(quantity),
        "dtype": p.format.name,
        "memory": p.memory,
        "route": session.route,
        "x_layout": x_layout,
        "w_layout": w_layout,
        "w_spatial": [w_layout.index(axis) for axis in "DHW"[-g.rank :]],
        "axes": list(range(2, g.rank + 2)),
        "symmetric": all(lo == hi >= 0 for lo, hi in g.padding),
        "biased": g.bias != "none",
        "names": "x, w, delta" if g.bias == "none" else "x, w, b, delta",
        "operands": {
            name: "None" if a is None else _array(layouts.put(name, a), p.format.name, p.memory)
            for name, a in (
                ("x", p.operands.x),
                ("w", p.operands.w),
                ("b", p.operands.b),
                ("delta", p.operands.delta),
            )
        },
        "expected": _array(layouts.put(result, expected), "float64"),
        "allowed": _array(layouts.put(result, allowed), "float64") if np.any(allowed) else "",
        "twice": seen.call == 2,
        "overwritten": overwritten,
    }


@dataclass(frozen=True)
class _Layouts:
    """Axis orders, as in NCW and HWIO."""

    x: str
    w: str

    def put(self, name: str, a: NDArray[Any]) -> NDArray[Any]:
        """An operand or a result in its axis order."""
        if name in ("b", "db"):
            return a
        ours, theirs = ("OI", self.w) if name in ("w", "dw") else ("NC", self.x)
        ours += "".join(sorted(set(theirs) - set(ours)))  # D, H, W: our order is the alphabet's
        return a.transpose([ours.index(axis) for axis in theirs])


def _array(a: NDArray[Any], dtype: str, memory: str = "c") -> str:
    """Python that makes an array, in a memory layout; bfloat16 as float32."""
    dtype = "float32" if dtype == "bfloat16" else dtype
    values = a.astype(np.float64)
    made = (
        f'np.array({_literal(values.tolist())}, "{dtype}")' if a.size else f'np.zeros({a.shape}, "{dtype}")'
    )
    code = (_MEMORY if a.ndim > 1 else _MEMORY_OF_LINES).get(memory, "{}")
    lines = textwrap.wrap(
        code.format(made), WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


_MEMORY = {
    "fortran": "np.asfortranarray({})",
    "sliced": "np.repeat(np.repeat({}, 2, 1), 2, -1)[:, ::2, ..., ::2]",
    "reversed": "np.flip(np.flip({}).copy())",
    "channels-last": "np.moveaxis(np.moveaxis({}, 1, -1).copy(), -1, 1)",
}
"""How the layouts are made; what repeats one item is written out."""
_MEMORY_OF_LINES = {"sliced": "np.repeat({}, 2)[::2]", "reversed": "np.flip(np.flip({}).copy())"}
"""The same for a bias of one axis."""


def _literal(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join(map(_literal, values))}]"
    if not math.isfinite(values):
        return f"{'-' if values < 0 else ''}np.{'nan' if math.isnan(values) else 'inf'}"
    return str(int(values)) if values == int(values) and abs(values) < 2**53 else repr(values)
