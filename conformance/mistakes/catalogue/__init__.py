"""The catalogue, a family a file: every wrong implementation that the suite must catch, by name."""

from conformance.mistakes.catalogue import (
    activation,
    axes,
    bias,
    corners,
    derivatives,
    dilation,
    groups,
    interface,
    modes,
    numerics,
    operands,
    padding,
    reductions,
    rotation,
    scale,
    sizes,
    state,
    stride,
    transposed,
)
from conformance.mistakes.mistake import Mistake

__all__ = ["CATALOGUE", "FAMILIES"]

FAMILIES: dict[str, tuple[Mistake, ...]] = {
    "rotation": rotation.MISTAKES,
    "modes": modes.MISTAKES,
    "stride": stride.MISTAKES,
    "padding": padding.MISTAKES,
    "dilation": dilation.MISTAKES,
    "groups": groups.MISTAKES,
    "reductions": reductions.MISTAKES,
    "axes": axes.MISTAKES,
    "bias": bias.MISTAKES,
    "activation": activation.MISTAKES,
    "operands": operands.MISTAKES,
    "sizes": sizes.MISTAKES,
    "scale": scale.MISTAKES,
    "corners": corners.MISTAKES,
    "state": state.MISTAKES,
    "interface": interface.MISTAKES,
    "transposed": transposed.MISTAKES,
    "derivatives": derivatives.MISTAKES,
    "numerics": numerics.MISTAKES,
}
"""Family -> its mistakes."""

CATALOGUE: dict[str, Mistake] = {m.name: m for family in FAMILIES.values() for m in family}
"""All of them; a name stands once."""
