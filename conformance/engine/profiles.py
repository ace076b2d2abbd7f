"""How much is run: which corpora, which of the real layers, how many drawn problems beyond them."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.problem.fills import REGIMES

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much one profile runs.

    corpora: in order.  largest: multiplications of a forward pass up to which a problem is run.  explored: problems
    drawn beyond the corpora; networks: the same of whole networks.  regimes: how many of the numeric regimes a problem of
    the corpora is also run with; they take turns.
    """

    name: str
    corpora: tuple[str, ...]
    largest: int
    explored: int
    regimes: int
    networks: int = 0


PROFILES = {
    p.name: p
    for p in (
        Profile(name="quick", corpora=("covering", "seed", "edges"), largest=10**6, explored=0, regimes=3),
        Profile(
            name="standard",
            corpora=("covering", "seed", "edges", "sizes", "layers"),
            largest=10**7,
            explored=150,
            regimes=len(REGIMES),
            networks=25,
        ),
        Profile(
            name="thorough",
            corpora=("covering", "seed", "edges", "sizes", "layers"),
            largest=2 * 10**9,
            explored=2000,
            regimes=len(REGIMES),
            networks=400,
        ),
    )
}
