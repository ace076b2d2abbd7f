"""What must be CAUGHT: wrong implementations of one mistake each, executable, with a sentence that names it and a hint."""

from conformance.mistakes.mistake import Mistake, right

__all__ = ["Mistake", "right"]
