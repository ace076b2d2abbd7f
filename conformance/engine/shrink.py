"""The smallest problem that still fails, found by Hypothesis: geometry first, then data.

Every field of a problem is one draw between its simplest value and the failing problem's; Hypothesis shrinks draws in the
order in which they were made, so the order below is the order of importance.  It starts from the failing problem itself,
which is all that its database of examples holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, choices_to_bytes

from conformance.errors import GeometryError
from conformance.problem import Geometry, Problem

__all__ = ["shrunk"]


class _Fails(Exception):  # noqa: N818  (a signal to Hypothesis, which shrinks what raises)
    pass


class _Start(ExampleDatabase):
    """A database of examples that holds one: the failing problem, as the draws that would make it."""

    def __init__(self, draws: list[int]) -> None:
        super().__init__()
        self._draws = choices_to_bytes(
            [*draws, 0]
        )  # one too many: what is replayed exactly counts as shrunk already

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return [self._draws]

    def save(self, key: bytes, value: bytes) -> None:
        pass

    def delete(self, key: bytes, value: bytes) -> None:
        pass


def shrunk(problem: Problem, fails: Callable[[Problem], bool], *, seed: int = 0, tries: int = 400) -> Problem:
    """The smallest problem, no larger than `problem` in any field, for which `fails` holds; at worst `problem` itself.

    tries: an upper limit on calls of `fails`, which bounds the time.
    """
    known: dict[Problem, bool] = {}
    best = problem

    def still_fails(candidate: Problem) -> bool:
        """Each problem is asked once: Hypothesis comes back to some, and an answer may not be the same twice."""
        if candidate not in known:
            if len(known) >= tries:
                return False
            known[candidate] = fails(candidate)
        return known[candidate]

    @settings(
        max_examples=max(tries, 1),
        database=_Start([value for _, least, value in _ranges(problem) if value != least]),
        deadline=None,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @hypothesis_seed(seed)
    @given(_fields(problem))
    def probe(fields: dict[str, int]) -> None:
        nonlocal best
        candidate = _built(problem, fields)
        if candidate is not None and still_fails(candidate):
            best = candidate
            raise _Fails

    with contextlib.suppress(_Fails):
        probe()
    return best


def _ranges(p: Problem) -> list[tuple[str, int, int]]:
    """(field, simplest value, the failing problem's): what is drawn, in order of importance.

    A value may be at most the failing problem's, so a negative padding and a word count as their distance from the simplest.
    """
    g = p.geometry
    ranges = [("batch", min(1, g.batch), g.batch), ("groups", 1, g.groups)]
    ranges += [("channels", 1, g.channels // g.groups), ("maps", 1, g.maps // g.groups)]
    for axis, pair in enumerate(g.padding):
        ranges += [(f"{end}{axis}", 0, abs(value)) for end, value in zip(("lo", "hi"), pair, strict=True)]
    for name in ("size", "kernel", "stride", "dilation"):
        ranges += [(f"{name}{axis}", 1, value) for axis, value in enumerate(getattr(g, name))]
    words = {
        "convention": g.convention != "correlation",
        "bias": g.bias != "none",
        "memory": p.memory != "c",
        "fill": _FILL_STEPS.get(p.fill, 0),
    }
    ranges += [(name, 0, int(value)) for name, value in words.items()]
    return [*ranges, ("seed", 0, p.seed)]


_FILL_STEPS = {"unit": 0, "small": 1, "sparse": 2}
"""How far a fill may be simplified: sparse to small to unit; the others stay what they are."""


def _fields(problem: Problem) -> st.SearchStrategy[dict[str, int]]:
    ranges = _ranges(problem)
    names = [name for name, _, _ in ranges]
    draws = [st.integers(least, most) if least != most else st.just(most) for _, least, most in ranges]
    return st.tuples(*draws).map(lambda values: dict(zip(names, values, strict=True)))


def _built(p: Problem, fields: dict[str, int]) -> Problem | None:
    """The problem of a draw; None if it is impossible."""
    g, axes = p.geometry, range(p.geometry.rank)
    signs = [[-1 if value < 0 else 1 for value in pair] for pair in g.padding]
    try:
        geometry = Geometry(
            batch=fields["batch"],
            groups=fields["groups"],
            channels=fields["channels"] * fields["groups"],
            maps=fields["maps"] * fields["groups"],
            size=tuple(fields[f"size{a}"] for a in axes),
            kernel=tuple(fields[f"kernel{a}"] for a in axes),
            stride=tuple(fields[f"stride{a}"] for a in axes),
            dilation=tuple(fields[f"dilation{a}"] for a in axes),
            padding=tuple((signs[a][0] * fields[f"lo{a}"], signs[a][1] * fields[f"hi{a}"]) for a in axes),
            convention=g.convention if fields["convention"] else "correlation",
            bias=g.bias if fields["bias"] else "none",
        )
    except GeometryError:
        return None
    fill = ("unit", "small", "sparse")[fields["fill"]] if p.fill in _FILL_STEPS else p.fill
    return p.replace(
        geometry=geometry, fill=fill, memory=p.memory if fields["memory"] else "c", seed=fields["seed"]
    )
