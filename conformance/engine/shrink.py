"""The smallest problem that still fails, found by Hypothesis: geometry first, then data.

Every field of a problem is one draw between its simplest value and the failing problem's; Hypothesis shrinks draws in the
order in which they were made, so the order below is the order of importance.  It starts from the failing problem itself,
which is put into its database of examples.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes
from hypothesis.errors import NoSuchExample

from conformance.errors import GeometryError
from conformance.problem import Geometry, Problem

__all__ = ["shrunk"]

_KEY = b"failing"


def shrunk(problem: Problem, fails: Callable[[Problem], bool], *, seed: int = 0, tries: int = 400) -> Problem:
    """The smallest problem, no larger than `problem` in any field, for which `fails` holds; at worst `problem` itself.

    tries: an upper limit on calls of `fails`, which bounds the time.
    """
    best = problem
    left = tries

    def still_fails(fields: dict[str, int]) -> bool:
        nonlocal best, left
        candidate = _built(problem, fields)
        if candidate is None or left <= 0:
            return False
        left -= 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    database = InMemoryExampleDatabase()
    start = [value for (_, least, value) in _ranges(problem) if value != least]
    database.save(_KEY, choices_to_bytes(start))
    quiet = settings(
        max_examples=tries,
        database=database,
        deadline=None,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        smallest = find(
            _fields(problem), still_fails, settings=quiet, random=random.Random(seed), database_key=_KEY
        )
    except NoSuchExample:
        return best
    return _built(problem, smallest) or best


def _ranges(p: Problem) -> list[tuple[str, int, int]]:
    """(field, simplest value, the failing problem's): what is drawn, in order of importance.

    A value may be at most the failing problem's, so a negative padding and a word count as their distance from the simplest.
    """
    g = p.geometry
    ranges = [("batch", min(1, g.batch), g.batch), ("groups", 1, g.groups)]
    ranges += [("channels", 1, g.channels // g.groups), ("maps", 1, g.maps // g.groups)]
    for name in ("size", "kernel", "stride", "dilation"):
        ranges += [(f"{name}{axis}", 1, value) for axis, value in enumerate(getattr(g, name))]
    for axis, pair in enumerate(g.padding):
        ranges += [(f"{end}{axis}", 0, abs(value)) for end, value in zip(("lo", "hi"), pair, strict=True)]
    words = {
        "convention": g.convention != "correlation",
        "bias": g.bias != "none",
        "memory": p.memory != "c",
        "fill": _FILL_STEPS.get(p.fill, 0),
    }
    ranges += [(name, 0, int(value)) for name, value in words.items()]
    return [*ranges, ("seed", 0, p.seed)]


_FILL_STEPS = {"unit": 0, "small": 1, "sparse": 2, "real": 0}
"""How far a fill may be simplified: sparse to small to unit; real stays real."""


def _fields(problem: Problem) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries(
        {
            name: st.integers(least, most) if least != most else st.just(most)
            for name, least, most in _ranges(problem)
        }
    )


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
    fill = p.fill if p.fill == "real" else ("unit", "small", "sparse")[fields["fill"]]
    return p.replace(
        geometry=geometry, fill=fill, memory=p.memory if fields["memory"] else "c", seed=fields["seed"]
    )
