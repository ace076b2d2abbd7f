"""How much is run: which corpora, which of the real layers, how many drawn problems beyond them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much one profile runs.

    corpora: in order.  largest: multiplications of a forward pass up to which a problem is run.  explored: problems
    drawn beyond the corpora.
    """

    name: str
    corpora: tuple[str, ...]
    largest: int
    explored: int


PROFILES = {
    p.name: p
    for p in (
        Profile(name="quick", corpora=("covering", "seed"), largest=10**6, explored=0),
        Profile(
            name="standard", corpora=("covering", "seed", "sizes", "layers"), largest=10**7, explored=150
        ),
        Profile(
            name="thorough", corpora=("covering", "seed", "sizes", "layers"), largest=2 * 10**9, explored=2000
        ),
    )
}
