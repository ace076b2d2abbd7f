"""The bundled reference: the NumPy CNN's convolution layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry
from conformance.reference import Convolution


class NumPy(Adapter):
    """`conformance.reference.Convolution`, asked through its public methods: every geometry, every dtype."""

    capabilities = Capabilities(
        ranks=frozenset({1, 2, 3}),
        dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
        stride=True,
        padding="negative",
        dilation=True,
        groups=True,
        biases=frozenset({"none", "tied", "untied"}),
        convention="both",
        empty_batch=True,
        arithmetic={
            **dict.fromkeys(("float64", "float32"), Arithmetic()),
            **dict.fromkeys(("float16", "bfloat16"), Arithmetic(accumulator="f32")),
        },
    )

    def versions(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return _layer(g, w, b).forward(x)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        layer = _layer(g, w, b)
        layer.forward(x)
        return layer.backward(delta)


def _layer(g: Geometry, w: Any, b: Any) -> Convolution:
    """What is the default is left out, as callers do: so defaults are judged too."""
    unusual: dict[str, Any] = {}
    if g.groups != 1:
        unusual["groups"] = g.groups
    if g.convention != "correlation":
        unusual["convention"] = g.convention
    return Convolution(w, b, stride=g.stride, padding=g.padding, dilation=g.dilation, **unusual)
