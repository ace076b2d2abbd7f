"""What is seen of the numeric mistakes: by this suite, and by the comparisons that people use, with their defaults.

    python tests/power/tolerances.py        renews reports/numerics.md, prints a short table

Every cell is measured.  The same wrong implementations are put to each.  The others get what they usually get: standard
normal data in a few layers of realistic proportions (`LAYERS`); this suite gets its own quick profile.  Right
implementations are put to all of them too: what rejects those says nothing by rejecting another (`WORTHLESS`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

sys.path.append(str(Path(__file__).parents[1]))

import miniatures
from conformance import Adapter, Geometry, Problem
from conformance.adapter.session import Session
from conformance.engine.findings import Finding
from conformance.engine.judgement import Judgement
from conformance.engine.profiles import PROFILES
from conformance.engine.run import Run
from conformance.mistakes import Mistake, right
from conformance.mistakes.catalogue import FAMILIES
from conformance.oracle.vectorised import Layer
from conformance.problem import DTYPES, QUANTITIES, Operands
from conformance.problem.fills import FILLS

REPORT = Path(__file__).parents[2] / "reports" / "numerics.md"
LAYERS = (
    "2d n2 c3 m4 i8x8 k3 p1",
    "2d n4 c2 m3 i9x7 k3x2 s2",
    "2d n1 c6 m6 i6x6 k3 p1",
    "2d n2 c4 m6 g2 i6x5 k3 p1 d2",
)
LONG = ("2d n1 c512 m1 i8x8 k3",)
"""4,608 summands, of which many nearly cancel."""
CLAUSES = "NUM-*,FWD-1,DEL-1,WGT-1,BIA-1,BIA-2"

SEEN, MISSED, NOT_INSTALLED = "seen", "missed", "not installed"
FALSE_ALARM, QUIET = "false alarm", "accepted"
WORTHLESS = "*"
"""Marks the verdict of a tool that rejects a right implementation of the same dtype on the same data."""
REJECTS_RIGHT = "rejects right ones"
"""The same, where the verdict would cost too much to ask for it."""


class NotApplicable(Exception):  # noqa: N818  (an answer, not an error)
    """A tool that cannot be asked, and why."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An implementation in one dtype (a code), right or mistaken, and the layers on which the other tools see it."""

    name: str
    dtype: str
    sentence: str
    make: Callable[[], Adapter]
    layers: tuple[str, ...] = LAYERS


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One layer with standard normal operands, rounded to a dtype."""

    g: Geometry
    operands: Operands
    dtype: str

    @classmethod
    def drawn(cls, line: str, dtype: str, seed: int) -> Sample:
        g, random = Problem.parse(line).geometry, np.random.default_rng(seed)
        arrays = {
            name: random.standard_normal(g.shape_of(name)).astype(DTYPES[dtype].numpy)
            for name in ("x", "w", "b", "delta")
        }
        return cls(g=g, operands=Operands(**arrays), dtype=dtype)

    def computed(self, adapter: Adapter) -> dict[str, Any]:
        o = self.operands
        gradients = adapter.backward(self.g, o.x, o.w, o.b, o.delta)
        return dict(zip(QUANTITIES, (adapter.forward(self.g, o.x, o.w, o.b), *gradients), strict=True))

    @functools.cached_property
    def expected(self) -> dict[str, Any]:
        """The definition's sums, in float64."""
        layer = Layer.of(self.g, self.operands)
        return {q: getattr(layer, q) for q in QUANTITIES}


# ---- the other tools: does it reject this implementation on this sample? ----
def allclose(adapter: Adapter, sample: Sample) -> bool:
    got = sample.computed(adapter)
    return not all(np.allclose(got[q].astype(np.float64), sample.expected[q]) for q in QUANTITIES)


def assert_close(adapter: Adapter, sample: Sample) -> bool:
    """Against the float64 result rounded to the dtype, whose tolerances it takes."""
    import torch

    got, kind = sample.computed(adapter), DTYPES[sample.dtype]
    try:
        for q in QUANTITIES:
            torch.testing.assert_close(
                _tensor(got[q], sample.dtype), _tensor(kind.rounded(sample.expected[q]), sample.dtype)
            )
    except AssertionError:
        return True
    return False


def gradcheck(adapter: Adapter, sample: Sample, *, fast: bool) -> bool:
    import torch

    g, dtype, o = sample.g, sample.dtype, sample.operands

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any, b: Any) -> Any:
            ctx.save_for_backward(x, w, b)
            return _tensor(adapter.forward(g, *(_array(t, dtype) for t in (x, w, b))), dtype)

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            operands = (_array(t, dtype) for t in (*ctx.saved_tensors, delta))
            return tuple(_tensor(a, dtype) for a in adapter.backward(g, *operands))

    leaves = [_tensor(a, dtype).requires_grad_() for a in (o.x, o.w, o.b)]
    _affordable(2 * sum(t.numel() for t in leaves))  # the fast mode, too, ends with these where it rejects
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where inputs are not float64
        return not torch.autograd.gradcheck(Layer.apply, leaves, fast_mode=fast, raise_exception=False)


def check_grads(adapter: Adapter, sample: Sample) -> bool:
    """In reverse mode, to first order; uncompiled: threads of XLA flush subnormals, in numpy's work too."""
    try:
        import jax
        from jax.test_util import check_grads as check
    except ImportError:
        raise NotApplicable(NOT_INSTALLED) from None
    jax.config.update("jax_enable_x64", sample.dtype == "f64")
    g, o = sample.g, sample.operands

    def forward(*operands: Any) -> Any:
        return jax.numpy.asarray(adapter.forward(g, *map(np.asarray, operands)))

    def backward(operands: Any, delta: Any) -> Any:
        return tuple(map(jax.numpy.asarray, adapter.backward(g, *map(np.asarray, (*operands, delta)))))

    layer = jax.custom_vjp(forward)
    layer.defvjp(lambda *operands: (forward(*operands), operands), backward)
    try:
        check(layer, (o.x, o.w, o.b), order=1, modes=("rev",))
    except AssertionError:
        return True
    return False


MOST_PASSES = 10_000


def _affordable(passes: int) -> None:
    if passes > MOST_PASSES:
        raise NotApplicable(f"not run: {passes:,} forward passes")


def _tensor(a: Any, dtype: str) -> Any:
    import torch

    return torch.tensor(a.astype(np.float64)).to(getattr(torch, DTYPES[dtype].name))


def _array(t: Any, dtype: str) -> Any:
    return t.detach().double().numpy().astype(DTYPES[dtype].numpy)


TOOLS: dict[str, Callable[[Adapter, Sample], bool]] = {
    "numpy allclose": allclose,
    "torch assert_close": assert_close,
    "gradcheck, slow": functools.partial(gradcheck, fast=False),
    "gradcheck, fast": functools.partial(gradcheck, fast=True),
    "jax check_grads": check_grads,
}


# ---- who is put to them ----
def honest() -> Iterator[Subject]:
    """Right implementations, that differ in the order of their sums."""
    nothing = Mistake(name="right", sentence="", hint="", compute=right, quantities=())
    for dtype in DTYPES:
        yield Subject(
            name="right",
            dtype=dtype,
            sentence="nothing is wrong: summed exactly, rounded once",
            make=nothing.adapter,
        )
        yield Subject(
            name="right, pairwise",
            dtype=dtype,
            sentence=f"nothing is wrong: summed pairwise in {'float64' if dtype == 'f64' else 'float32'}, rounded once",
            make=miniatures.PairwiseColumns,
        )
    for dtype in ("f64", "f32"):
        yield Subject(
            name="right, backwards",
            dtype=dtype,
            sentence="nothing is wrong: summed one by one, from the last product to the first",
            make=miniatures.ReorderedBackwards,
        )
    yield Subject(
        name="right, 4,608 summands",
        dtype="f32",
        sentence="nothing is wrong: as before, in a layer with 4,608 summands that nearly cancel here and there",
        make=miniatures.ReorderedBackwards,
        layers=LONG,
    )


def mistaken() -> Iterator[Subject]:
    for m in FAMILIES["numerics"]:
        for dtype in m.dtypes:
            yield Subject(name=m.name, dtype=dtype, sentence=m.sentence, make=m.adapter)


def rejected(tool: str, subject: Subject) -> bool:
    """On any of its samples?"""
    samples = (Sample.drawn(line, subject.dtype, seed) for seed, line in enumerate(subject.layers))
    return any(TOOLS[tool](subject.make(), sample) for sample in samples)


def of_right(tool: str, subject: Subject) -> str:
    try:
        return FALSE_ALARM if rejected(tool, subject) else QUIET
    except NotApplicable as why:
        return str(why)


@functools.cache
def rejects_right(tool: str, dtype: str) -> bool:
    """A right implementation of the dtype, on the same samples on which mistaken ones are shown."""
    same = (s for s in honest() if s.dtype == dtype and s.layers == LAYERS)
    return any(of_right(tool, s) == FALSE_ALARM for s in same)


def of_mistaken(tool: str, subject: Subject) -> str:
    worthless = rejects_right(tool, subject.dtype)
    if worthless and tool.startswith("gradcheck"):
        return REJECTS_RIGHT
    try:
        verdict = SEEN if rejected(tool, subject) else MISSED
    except NotApplicable as why:
        return str(why)
    return verdict + WORTHLESS * worthless


# ---- this suite ----
@dataclass(frozen=True, kw_only=True)
class Ours:
    """What the quick profile finds: the clause, all fills on which it failed, and the smallest problem that shows it."""

    clause: str = ""
    fills: tuple[str, ...] = ()
    problem: str = ""

    @property
    def seen(self) -> bool:
        return bool(self.clause)


@functools.cache
def measured_of_right(dtype: str) -> frozenset[str]:
    """What NUM-7 says of the right implementation."""
    (first, *_) = (s for s in honest() if s.dtype == dtype)
    return frozenset(j.note for j in _events(first) if isinstance(j, Judgement) and j.clause == "NUM-7")


def _events(subject: Subject) -> list[Any]:
    session = Session(subject.make(), subject.name)
    return list(Run(session, PROFILES["quick"], dtype=subject.dtype, only=CLAUSES).events())


def ours(subject: Subject) -> Ours:
    """The first finding; without one, what NUM-7 measures that it does not measure of the right implementation."""
    events = _events(subject)
    judgements = [e for e in events if isinstance(e, Judgement)]
    found = next((e for e in events if isinstance(e, Finding)), None)
    if found:
        failed = {Problem.parse(j.problem).fill for j in judgements if j.status.failed}
        return Ours(clause=found.clause, fills=_in_order(failed), problem=found.problem)
    usual = measured_of_right(subject.dtype)
    unusual = [j for j in judgements if j.clause == "NUM-7" and j.note not in usual]
    if not unusual:
        return Ours()
    smallest = min((j.problem for j in unusual), key=lambda line: Problem.parse(line).geometry.products)
    return Ours(
        clause="NUM-7", fills=_in_order({Problem.parse(j.problem).fill for j in unusual}), problem=smallest
    )


def _in_order(fills: set[str]) -> tuple[str, ...]:
    return tuple(f for f in FILLS if f in fills)


# ---- tables ----
HEAD = """\
# What is seen of numeric mistakes

Generated by `python tests/power/tolerances.py`; every cell is measured, with {versions}.

The same wrong implementations (`conformance/mistakes/catalogue/numerics.py`) are put to this suite and to the
comparisons that people use, all with their defaults. This suite runs its quick profile: chapter NUM and the clauses on
values. The others get standard normal data in {layers} layers (`{lines}`): `numpy.allclose` against the definition's sums in
float64, `torch.testing.assert_close` against the same rounded to the dtype, `torch.autograd.gradcheck` and
`jax.test_util.check_grads` (reverse mode) with the implementation's y, dx, dw and db as forward and backward pass: these two
hold one against the other, and do not see what is wrong in both alike.

## Right implementations

What rejects one of them has no say in that dtype: below, its verdicts there carry a star, or are not asked for.

{honest}

## Mistaken implementations

How many each rejects, of those on which it has a say:

{counts}

{reported} more are only reported, by NUM-7: saturating is allowed. `fills` are the data on which a clause failed;
`smallest problem` is the line to paste back (`conformance run ... --problem`).

{mistaken}

{sentences}
"""


def row_of_right(subject: Subject) -> dict[str, str]:
    found = ours(subject)
    return {
        "implementation": subject.sentence,
        "dtype": DTYPES[subject.dtype].name,
        "this suite": FALSE_ALARM if found.seen else QUIET,
        **{tool: of_right(tool, subject) for tool in TOOLS},
    }


def row_of_mistaken(subject: Subject) -> dict[str, str]:
    found = ours(subject)
    return {
        "mistake": subject.name,
        "dtype": DTYPES[subject.dtype].name,
        "this suite": found.clause or MISSED,
        **{tool: of_mistaken(tool, subject) for tool in TOOLS},
        "fills": ", ".join(found.fills),
        "smallest problem": f"`{found.problem}`" if found.seen else "",
    }


Rows = list[dict[str, str]]


def counted(rows: Rows) -> str:
    """How many each rejects, of those that may be rejected and where its verdict is worth something."""
    rows = [r for r in rows if r["this suite"] != "NUM-7"]
    lines = [["this suite", sum(r["this suite"] != MISSED for r in rows), len(rows)]]
    for tool in TOOLS:
        verdicts = [r[tool] for r in rows]
        lines.append([tool, verdicts.count(SEEN), verdicts.count(SEEN) + verdicts.count(MISSED)])
    return tabulate(lines, ["", "rejects", "of"], "github")


def reported(rows: Rows) -> int:
    """How many this suite reports and nobody need reject."""
    return sum(r["this suite"] == "NUM-7" for r in rows)


SHORT = (
    ("tf32-inputs", "f32"),
    ("narrow-accumulator", "f16"),
    ("narrow-accumulator", "bf16"),
    ("float64-in-float32", "f64"),
    ("cut-off", "f32"),
    ("times-1+2^-20", "f32"),
    ("plus-1e-6", "f64"),
    ("clipped-at-100", "f64"),
    ("nan-everywhere", "f64"),
    ("flushes-subnormals", "f64"),
)


def short(right_rows: Rows, rows: Rows) -> str:
    """For the README: some mistakes, and what the right float32 implementation meets."""
    kept = ("this suite", *TOOLS)
    chosen = [r for r in rows if (r["mistake"], r["dtype"]) in {(n, DTYPES[d].name) for n, d in SHORT}]
    table = [{"": f"{r['mistake']}, {r['dtype']}", **{k: r[k] for k in kept}} for r in chosen]
    for dtype in ("float64", "float32", "bfloat16"):
        same = [r for r in right_rows if r["dtype"] == dtype and "4,608" not in r["implementation"]]
        worst = {k: FALSE_ALARM if any(r[k] == FALSE_ALARM for r in same) else QUIET for k in kept}
        table.append({"": f"*nothing wrong, {dtype}*", **worst})
    return tabulate(table, "keys", "github")


def document(right_rows: Rows, rows: Rows, with_versions: str) -> str:
    sentences = [f"- `{m.name}`: {m.sentence}" for m in FAMILIES["numerics"]]
    return HEAD.format(
        versions=with_versions,
        layers=len(LAYERS),
        lines="`, `".join(LAYERS),
        honest=tabulate(right_rows, "keys", "github"),
        counts=counted(rows),
        reported=reported(rows),
        mistaken=tabulate(rows, "keys", "github"),
        sentences="\n".join(sentences),
    )


def _versions() -> Iterator[str]:
    yield f"python {platform.python_version()}"
    for name in ("numpy", "torch", "jax"):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} {NOT_INSTALLED}"


def versions() -> str:
    """Those that the published report was made with."""
    return REPORT.read_text("utf-8").partition("measured, with ")[2].partition(".\n")[0]


def published() -> dict[tuple[str, str], dict[str, str]]:
    """The published rows by (mistake or sentence, name of the dtype)."""
    found, head = {}, []
    for line in REPORT.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] in ("mistake", "implementation"):
            head = cells
        elif line.startswith("|") and head and not cells[0].startswith("-") and len(cells) == len(head):
            found[cells[0], cells[1]] = dict(zip(head, cells, strict=True))
    return found


def _told(rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    for row in rows:
        sys.stderr.write(" | ".join(row.values()) + "\n")
        yield row


def main() -> None:
    right_rows = list(_told(map(row_of_right, honest())))
    rows = list(_told(map(row_of_mistaken, mistaken())))
    REPORT.write_text(document(right_rows, rows, ", ".join(_versions())), "utf-8")
    sys.stdout.write(short(right_rows, rows) + "\n")


if __name__ == "__main__":
    main()
