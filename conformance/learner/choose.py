"""Which of a file's functions and classes is the layer: the likeliest by name of those that can be called and are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from conformance.learner.find import Subject, subjects
from conformance.learner.load import NothingToCheck, own
from conformance.learner.quiet import Late, place
from conformance.learner.understand import Understood, understood

__all__ = ["Chosen", "chosen"]

USUAL = "conv_forward and conv_backward, or a class Conv2D with forward and backward"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The layer, and the names of others that may be one too."""

    layer: Understood
    others: tuple[str, ...]


def chosen(module: ModuleType, seconds: float) -> Chosen:
    """The layer of a file.

    Raises:
        NothingToCheck: there is none, or no way is found to call it.
        Late: the likeliest one does not answer.
    """
    file, found = Path(module.__file__ or "").name, subjects(module)
    likely = [s for s in found if s.likely]
    seen, late = _all_of(likely, seconds)
    usable = [u for u in seen if u.exact or u.score > 0 or not u.guessed]
    if not any(u.exact for u in usable) and late is None:
        unlikely, _ = _all_of([s for s in found if not s.likely], seconds)
        usable += [u for u in unlikely if u.exact]
    if not usable and late is not None:
        raise late
    if not usable:
        raise NothingToCheck(_uncallable(likely, seen, file) if likely else _nothing(module, file))
    best = max(usable, key=lambda u: (u.exact, bool(u.reading.gradients), u.score))
    return Chosen(layer=best, others=tuple(s.name for s in likely if s is not best.subject and s.whole))


def _all_of(found: list[Subject], seconds: float) -> tuple[list[Understood], Late | None]:
    """What is understood, up to the first that is right with its gradients; the first that does not answer."""
    seen: list[Understood] = []
    late: Late | None = None
    for subject in found:
        try:
            understanding = understood(subject, seconds)
        except Late:
            late = late or Late(subject.name)
            continue
        if understanding is not None:
            seen.append(understanding)
            if understanding.exact and understanding.reading.gradients:
                break
    return seen, late


def _nothing(module: ModuleType, file: str) -> str:
    names = [name for name, _ in own(module)]
    there = f"it defines {', '.join(names)}" if names else "it defines no function and no class"
    return f"{file} has nothing that looks like a convolution layer ({there}); the usual names are {USUAL}"


def _uncallable(likely: list[Subject], seen: list[Understood], file: str) -> str:
    """What was found, and what happened when it was called."""
    names = ", ".join(s.name for s in likely)
    error = next((u.error for u in seen if u.error is not None), None)
    raised = ""
    if error is not None:
        _, line, text = place(error)
        raised = f" (the last try raised {type(error).__name__}: {error}, line {line}: {text})"
    return f"{file} has {names}, but I found no way to call it{raised}; write an adapter, as the README shows"
