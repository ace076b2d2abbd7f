"""From which size on, up to which, or at which multiples is it wrong?  Bisected, and checked on both sides of the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from conformance.mistakes.localise.axes import Axis, axes
from conformance.mistakes.localise.looks import Look, Looks
from conformance.problem import Problem

__all__ = ["thresholds"]

BLOCKS = (2, 3, 4, 8, 16)
Model = Callable[[int], bool]
"""Is it right at a value?"""


def thresholds(looks: Looks, wrong: Sequence[Look]) -> str:
    """The first edge that is certain, as a sentence; '' without one."""
    problems = [look.problem for look in wrong]
    lines = (_Line(looks, problems, axis).sentence() for axis in axes(problems[0].geometry))
    return next(filter(None, lines), "")


class _Line:
    """The problems that differ from the first one in one number alone, and what is known of them."""

    def __init__(self, looks: Looks, problems: Sequence[Problem], axis: Axis) -> None:
        self._looks, self._axis = looks, axis
        self._base, self._others = problems[0], problems[1:]
        self._here = axis.value(self._base.geometry)
        self.right: dict[int, bool] = {}

    def sentence(self) -> str:
        """From an edge on, up to an edge, or at multiples."""
        if self._at(self._here) is not False:
            return ""
        said, least, most = "", self._axis.least, self._axis.most
        right, wide = self._at(least), self._at(most)
        if right and wide is not True:
            edge = self._edge(least, self._here)
            words = f"from {self._name(edge)} on, right up to {self._name(edge - 1)}"
            said = self._checked(lambda n: n < edge, edge, words)
        elif wide and right is not True:
            edge = self._edge(self._here, most)
            words = f"up to {self._name(edge - 1)}, right from {self._name(edge)} on"
            said = self._checked(lambda n: n >= edge, edge, words)
        return said or (self._periodic() if self._axis.blocks and self._varies() else "")

    def _varies(self) -> bool:
        """Is anything on the line right?"""
        if self._axis.spatial is not None:
            self._at(self._here - 1), self._at(self._here + 1)
        return any(self.right.values())

    def _name(self, n: int) -> str:
        return self._axis.words(n)

    def _at(self, n: int) -> bool | None:
        """Is it right at n?  None: not known."""
        if n not in self.right and self._axis.least <= n <= self._axis.most:
            verdict = self._looks.ok(self._axis.put(self._base, n))
            if verdict is not None:
                self.right[n] = verdict
        return self.right.get(n)

    def _edge(self, a: int, b: int) -> int:
        """Between values of which one is right: the first behind the edge."""
        while b - a > 1:
            middle = self._at((a + b) // 2)
            if middle is None:
                return 0
            a, b = ((a + b) // 2, b) if middle == self.right[a] else (a, (a + b) // 2)
        return b

    def _checked(self, model: Model, edge: int, words: str) -> str:
        """Said, if further values on both sides and another problem at the edge agree."""
        most = self._axis.most
        for n in (edge - 2, edge + 1, edge + 2, (edge + most) // 2, most, *self._round(edge)):
            self._at(n)
        known = edge and self._agree(model) and self._told()
        return self._said(words) if known and self._elsewhere(model, (edge - 1, edge)) else ""

    def _round(self, edge: int) -> Iterator[int]:
        """The first value behind the edge that is a multiple of every block, and the first of which the output is."""
        for of, _ in self._counts():
            behind = range(edge, self._axis.most + 1)
            yield from next(([n] for m in (32, 16) for n in behind if of(n) % m == 0), [])

    def _agree(self, model: Model) -> bool:
        return all(model(n) == right for n, right in self.right.items())

    def _elsewhere(self, model: Model, values: Sequence[int]) -> bool:
        """Does another problem, wrong as the first one is, agree at some values?  Is what is right so by no chance?"""
        right = (self._axis.put(self._base, n) for n in values if model(n))
        if not all(p is not None and self._looks.surely(p) for p in right):
            return False
        for problem in self._others:
            if self._axis.value(problem.geometry) == self._here:
                verdicts = [self._looks.ok(self._axis.put(problem, n)) for n in values]
                return verdicts == [model(n) for n in values]
        return False

    # ---- multiples ----
    def _periodic(self) -> str:
        for n in range(self._here - 4, self._here + 6):
            self._at(n)
        for words, model in self._models():
            if self._agree(model) and self._told() and self._predicts(model):
                return self._said(words)
        return ""

    def _told(self) -> bool:
        """Are at least two values right and two wrong, or one that is the least possible?"""
        counted = (sum(right is wanted for right in self.right.values()) for wanted in (True, False))
        enough = sum(n >= 2 for n in counted)
        return enough == 2 or (enough == 1 and self._axis.least in self.right)

    def _predicts(self, model: Model) -> bool:
        """Does it hold at values not yet asked, and on another problem?"""
        fresh = [
            n for n in range(self._here + 6, self._here + 40) if n not in self.right and n <= self._axis.most
        ]
        chosen = [n for wanted in (True, False) for n in [n for n in fresh if model(n) is wanted][:2]]
        answers = [self._at(n) for n in chosen]
        known = len(chosen) == 4 and None not in answers
        return known and self._agree(model) and self._elsewhere(model, chosen[1:3])

    def _models(self) -> Iterator[tuple[str, Model]]:
        """Multiples of a block, by the size of x and by that of the output."""
        for of, name in self._counts():
            for m in BLOCKS:
                yield f"where {name} is no multiple of {m}", lambda n, of=of, m=m: of(n) % m == 0  # type: ignore[misc]
                yield f"where {name} is a multiple of {m}", lambda n, of=of, m=m: of(n) % m > 0  # type: ignore[misc]
                yield (
                    f"where {name} is larger than {m} and no multiple of it",
                    lambda n, of=of, m=m: of(n) < m or of(n) % m == 0,  # type: ignore[misc]
                )

    def _counts(self) -> Iterator[tuple[Callable[[int], int], str]]:
        name = self._axis.words(None)
        yield lambda n: n, f"the {name}"
        axis = self._axis.spatial
        if axis is not None:
            yield self._output, f"the {name} of the output"

    def _output(self, n: int) -> int:
        made = self._axis.put(self._base, n)
        return 0 if made is None or self._axis.spatial is None else made.geometry.output[self._axis.spatial]

    def _said(self, words: str) -> str:
        right = ", ".join(str(n) for n in sorted(self.right) if self.right[n])
        wrong = ", ".join(str(n) for n in sorted(self.right) if not self.right[n])
        return f"It is wrong {words} (all else unchanged; right at {right}; wrong at {wrong})."
