"""The arithmetic class of an implementation: what its author says about how it rounds (numerics.md).

What is not declared is assumed at its weakest that is still honest: sums accumulate in the dtype of the operands, in any
order.  Declaring more (``accumulator="f32"`` for float16) makes the bounds tighter and the verdict stronger.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.errors import AdapterBroken

__all__ = ["ALGORITHMS", "Arithmetic"]

PRECISION = {"f64": 53, "f32": 24, "tf32": 11, "f16": 11, "bf16": 8}
EXPONENTS = {
    "f64": (-1022, 1023),
    "f32": (-126, 127),
    "tf32": (-126, 127),
    "f16": (-14, 15),
    "bf16": (-126, 127),
}
ALGORITHMS = ("direct", "fft")


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How sums of products are rounded.

    accumulator: the format in which sums are kept (``f64``, ``f32``, ``f16``, ``bf16``); None: that of the operands.
    inputs: the format to which operands are rounded before they are multiplied (``tf32``, ``bf16``, ...); None: not.
    partial_sums: a format in which intermediate sums are stored (and so rounded); None: not.
    algorithm: ``direct`` (any order of the plain sums, GEMM included) or ``fft``.
    """

    accumulator: str | None = None
    inputs: str | None = None
    partial_sums: str | None = None
    algorithm: str = "direct"

    def __post_init__(self) -> None:
        for name in ("accumulator", "inputs", "partial_sums"):
            value = getattr(self, name)
            if value is not None and value not in PRECISION:
                raise AdapterBroken(
                    f"Arithmetic({name}={value!r}): it must be one of {', '.join(PRECISION)} or None"
                )
        if self.algorithm not in ALGORITHMS:
            raise AdapterBroken(
                f"Arithmetic(algorithm={self.algorithm!r}): it must be one of {', '.join(ALGORITHMS)}"
            )

    def unit(self, name: str, default: float) -> float:
        """Unit roundoff of one of its formats, `default` where none is declared."""
        value = getattr(self, name)
        return default if value is None else 2.0 ** -PRECISION[value]

    def range(self, default: tuple[float, float]) -> tuple[float, float]:
        """(largest step of its subnormals, smallest overflow threshold) of all formats on the way; `default` the dtype's."""
        formats = [f for f in (self.accumulator, self.inputs, self.partial_sums) if f is not None]
        steps = [2.0 ** (EXPONENTS[f][0] - PRECISION[f] + 1) for f in formats]
        limits = [(2.0 - 2.0 ** (1 - PRECISION[f])) * 2.0 ** EXPONENTS[f][1] for f in formats]
        return max([default[0], *steps]), min([default[1], *limits])

    def __str__(self) -> str:
        """Its declarations in words, as reports show them."""
        said = [f"accumulates in {self.accumulator}"] if self.accumulator else []
        said += [f"rounds inputs to {self.inputs}"] if self.inputs else []
        said += [f"stores partial sums in {self.partial_sums}"] if self.partial_sums else []
        said += [self.algorithm] if self.algorithm != "direct" else []
        return ", ".join(said) or "direct, accumulates in the dtype"
