"""The arithmetic class of an implementation: how it rounds, as its author declares it or probes infer it (numerics.md).

What is not declared is assumed at its weakest that is still honest: sums accumulate in the dtype of the operands, in any
order.  Declaring more (``accumulator="f32"`` for float16) makes the bounds tighter and the verdict stronger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from conformance.errors import AdapterBroken

__all__ = ["ALGORITHMS", "Arithmetic", "described"]

PRECISION = {"f64": 53, "f32": 24, "tf32": 11, "f16": 11, "bf16": 8}
EXPONENTS = {
    "f64": (-1022, 1023),
    "f32": (-126, 127),
    "tf32": (-126, 127),
    "f16": (-14, 15),
    "bf16": (-126, 127),
}
ALGORITHMS = ("direct", "winograd", "fft")
FORMATS = ("accumulator", "inputs", "partial_sums")


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How sums of products are rounded.

    accumulator: the format in which sums are kept (``f64``, ``f32``, ``f16``, ``bf16``); None: that of the operands.
    inputs: the format to which operands are rounded before they are multiplied (``tf32``, ``bf16``, ...); None: not.
    partial_sums: a format in which intermediate sums are stored (and so rounded); None: not.
    truncates: do sums round toward zero, or are their terms cut off when they are aligned, as in tensor cores?
    flushes: are subnormal operands, sums and results replaced by zero?
    algorithm: ``direct`` (any order of the plain sums, GEMM included), ``winograd`` or ``fft``.
    tile: of ``winograd``, the outputs an axis that one tile computes: m of F(m, k), from 1 to 8.

    Raises:
        AdapterBroken: a format or algorithm that is not known, or a tile without ``winograd``.
    """

    accumulator: str | None = None
    inputs: str | None = None
    partial_sums: str | None = None
    truncates: bool = False
    flushes: bool = False
    algorithm: str = "direct"
    tile: int | None = None

    def __post_init__(self) -> None:
        for name in FORMATS:
            value = getattr(self, name)
            if value is not None and value not in PRECISION:
                raise AdapterBroken(
                    f"Arithmetic({name}={value!r}): it must be one of {', '.join(PRECISION)} or None"
                )
        if self.algorithm not in ALGORITHMS:
            raise AdapterBroken(
                f"Arithmetic(algorithm={self.algorithm!r}): it must be one of {', '.join(ALGORITHMS)}"
            )
        if (self.algorithm == "winograd") != (self.tile is not None) or self.tile not in (None, *range(1, 9)):
            raise AdapterBroken(
                f"Arithmetic(algorithm={self.algorithm!r}, tile={self.tile!r}): winograd takes the outputs of a tile, "
                "1 to 8, and no other algorithm does"
            )

    def unit(self, name: str, default: float) -> float:
        """Unit roundoff of one of its formats, `default` where none is declared."""
        value = getattr(self, name)
        return default if value is None else 2.0 ** -PRECISION[value]

    def range(self, default: tuple[float, float]) -> tuple[float, float]:
        """(largest error of an underflow, smallest overflow threshold) of all formats on the way; `default` the dtype's.

        An underflow loses half a step of the subnormals at most, or the smallest normal number where it is flushed.
        """
        formats = [f for f in map(self.__getattribute__, FORMATS) if f is not None]
        steps = [2.0 ** (EXPONENTS[f][0] - (0 if self.flushes else PRECISION[f] - 1)) for f in formats]
        limits = [(2.0 - 2.0 ** (1 - PRECISION[f])) * 2.0 ** EXPONENTS[f][1] for f in formats]
        return max([default[0], *steps]), min([default[1], *limits])

    def __str__(self) -> str:
        """Its declarations in words, as reports show them."""
        said = [f"accumulates in {self.accumulator}"] if self.accumulator else []
        said += [f"rounds inputs to {self.inputs}"] if self.inputs else []
        said += [f"stores partial sums in {self.partial_sums}"] if self.partial_sums else []
        said += ["rounds sums toward zero"] if self.truncates else []
        said += ["flushes subnormals to zero"] if self.flushes else []
        said += [f"winograd F({self.tile}, k)"] if self.algorithm == "winograd" else []
        said += [self.algorithm] if self.algorithm == "fft" else []
        return ", ".join(said) or "direct, accumulates in the dtype"


def described(classes: Mapping[str, Arithmetic]) -> str:
    """The class of each quantity in words; quantities of one class together."""
    alike: dict[str, list[str]] = defaultdict(list)
    for quantity, arithmetic in classes.items():
        alike[str(arithmetic)].append(quantity)
    if len(alike) == 1:
        return next(iter(alike))
    return "; ".join(f"{', '.join(quantities)}: {words}" for words, quantities in alike.items())
