"""The bundled reference: the NumPy CNN's convolution layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry
from conformance.reference import Convolution, directional, second_order, transposed, transposed_gradients


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
        operations=frozenset({"transposed", "double_backward", "forward_mode"}),
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

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return transposed(x, w, b, size=g.size, **_options(g))

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return transposed_gradients(x, w, b, delta, **_options(g))

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        return second_order(x, w, delta, u, v, r, **_options(g))

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return directional(x, w, u, v, r, **_options(g))


def _layer(g: Geometry, w: Any, b: Any) -> Convolution:
    return Convolution(w, b, **_options(g))


def _options(g: Geometry) -> dict[str, Any]:
    return {
        "stride": g.stride,
        "padding": g.padding,
        "dilation": g.dilation,
        "groups": g.groups,
        "convention": g.convention,
    }
