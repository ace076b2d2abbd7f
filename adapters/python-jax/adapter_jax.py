"""JAX: `lax.conv_general_dilated`, differentiated by `jax.vjp`.

JAX names the axis order of each operand of a convolution, so a route may speak another order than NCHW; it
pads by negative amounts itself, and dilation and groups are arguments of their own.  It has neither a bias
(added here, as users of JAX do) nor a switch for true convolution (the kernel is reversed here, inside what
is differentiated).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry, Network, Networks

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # read while JAX is imported

import jax
from jax import lax

jax.config.update("jax_enable_x64", True)  # before any array: float64 would become float32 in silence

COMPILED_AT_MOST = 500
"""Geometries; each keeps some 25 mappings of memory, and Linux allows a process 65,530 of them."""

NCHW = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset({"none", "tied", "untied"}),
    convention="both",
    empty_batch=True,
    network=Networks(
        activations=frozenset({"identity", "relu", "leaky", "sigmoid", "tanh", "softplus", "softmax"}),
        costs=frozenset({"quadratic", "cross-entropy"}),
        step=True,
    ),
    # dx and dw are summed in float32 and rounded once; y is rounded before the bias is added and again after, and db
    # is summed in the narrow format itself.  XLA's threads flush subnormal numbers; those of float16 are none in
    # float32.
    arithmetic={
        **dict.fromkeys(("f64", "f32"), Arithmetic(flushes=True)),
        **{
            code: {
                **dict.fromkeys(("dx", "dw"), Arithmetic(accumulator="f32", flushes=code == "bf16")),
                "y": Arithmetic(accumulator="f32", partial_sums=code, flushes=code == "bf16"),
                "db": Arithmetic(flushes=code == "bf16"),
            }
            for code in ("f16", "bf16")
        },
    },
)


ACTIVATIONS: Mapping[str, Callable[[Any, float], Any]] = {
    "identity": lambda z, _: z,
    "relu": lambda z, _: jax.nn.relu(z),
    "leaky": jax.nn.leaky_relu,
    "sigmoid": lambda z, _: jax.nn.sigmoid(z),
    "tanh": lambda z, _: jax.numpy.tanh(z),
    "softplus": lambda z, _: jax.nn.softplus(z),
}


class Jax(Adapter):
    """A lax convolution plus a bias, and its vector-Jacobian product."""

    routes: ClassVar[Mapping[str, str]] = {
        "nchw": "operation by operation, arrays in NCHW and OIHW",
        "nhwc": "operation by operation, arrays in NHWC and HWIO",
        "jit": "one compiled function for y and one for the gradients, arrays in NCHW and OIHW",
    }
    capabilities = NCHW

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        if self.route == "nhwc":
            self.capabilities = dataclasses.replace(NCHW, x_layout="NHWC", w_layout="HWIO")
        self._y, self._gradients = self._layer, self._vjp
        if self.route == "jit":
            self._y, self._gradients = (jax.jit(f, static_argnums=0) for f in (self._layer, self._vjp))
        # compiled on every route: operation by operation, a network takes seconds to compile
        self._costs = jax.jit(self._cost_gradients, static_argnums=0)
        self._compiled: set[tuple[object, ...]] = set()

    def versions(self) -> Mapping[str, str]:
        return {name: version(name) for name in ("jax", "jaxlib")}

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._called(self._y, g, x, w, b)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return self._called(self._gradients, g, x, w, b, delta)

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        cost, (deltas, gradients) = self._asked(net, x, target, params)
        return cost, deltas, gradients

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        """JAX has no optimizer: the parameters minus rate times their gradients, in JAX's arithmetic."""
        _, (_, gradients) = self._asked(net, x, target, params)
        return jax.tree.map(lambda p, gradient: np.array(p - rate * gradient), list(params), gradients)

    def _asked(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        self._count((net, x.dtype))
        return jax.tree.map(np.array, self._costs(net, x, target, params))

    def _cost_gradients(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        """C, and its gradients by every z (as what nothing, added to it, would change) and by the parameters."""
        nothing = [jax.numpy.zeros_like(z) for z in self._cost(net, x, target, params, None)[1]]

        def cost(added: Any, params: Any) -> Any:
            return self._cost(net, x, target, params, added)[0]

        return jax.value_and_grad(cost, argnums=(0, 1))(nothing, params)

    def _cost(self, net: Network, x: Any, target: Any, params: Any, added: Any) -> tuple[Any, list[Any]]:
        """(C, [z^1, ...]), with `added` put to each z."""
        a, zs, maps = x, [], -1 if self.route == "nhwc" else 1
        for number, (layer, (w, b)) in enumerate(zip(net.layers, params, strict=True)):
            z = self._layer(layer.geometry, a, w, b)
            zs.append(z if added is None else z + added[number])
            if layer.activation != "softmax":
                a = ACTIVATIONS[layer.activation](zs[-1], layer.slope)
        if net.cost == "quadratic":
            return ((a - target) ** 2).sum() / 2, zs
        if net.activations[-1] == "sigmoid":
            z = zs[-1]
            return -(target * jax.nn.log_sigmoid(z) + (1 - target) * jax.nn.log_sigmoid(-z)).sum(), zs
        return -(target * jax.nn.log_softmax(zs[-1], axis=maps)).sum(), zs

    def _count(self, key: tuple[object, ...]) -> None:
        """Forget what was compiled, before there is too much of it."""
        self._compiled.add(key)
        if len(self._compiled) > COMPILED_AT_MOST:
            jax.clear_caches()
            self._compiled.clear()

    def _called(self, function: Callable[..., Any], g: Geometry, x: Any, w: Any, b: Any, *delta: Any) -> Any:
        # JAX takes an x that is smaller than the kernel (y is empty), and repeats a bias of length 1
        g.check(x=np.moveaxis(x, -1, 1) if self.route == "nhwc" else x, b=b)
        self._count((g, x.dtype))
        results = function(g, x, w, b, *delta)
        return jax.tree.map(np.array, results)  # copies; None, for want of a bias, stays None

    def _layer(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y, in the layouts of the route."""
        axes = "DHW"[-g.rank :]
        x_axes = self.capabilities.x_layout.replace("HW", axes)
        w_axes = self.capabilities.w_layout.replace("HW", axes)
        if g.convention == "convolution":
            w = lax.rev(w, [w_axes.index(axis) for axis in axes])
        y = lax.conv_general_dilated(
            x,
            w,
            window_strides=g.stride,
            padding=g.padding,
            rhs_dilation=g.dilation,
            dimension_numbers=(x_axes, w_axes, x_axes),
            feature_group_count=g.groups,
        )
        if b is None:
            return y
        b = b.reshape(b.shape + (1,) * (g.rank + 1 - b.ndim))  # (M, 1, ..) or (M, *O)
        return y + jax.numpy.moveaxis(b, 0, x_axes.index("C") - 1)

    def _vjp(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        """dx, dw, db."""
        _, vjp = jax.vjp(lambda *operands: self._layer(g, *operands), x, w, b)
        return vjp(delta)
