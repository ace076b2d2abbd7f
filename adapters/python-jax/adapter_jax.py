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
    operations=frozenset({"transposed", "double_backward", "forward_mode"}),
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
        jit = self.route == "jit"
        self._y, self._gradients, self._transposed, self._transposed_gradients, self._second, self._dy = (
            jax.jit(f, static_argnums=0) if jit else f
            for f in (
                self._layer,
                self._vjp,
                self._transposed_layer,
                self._transposed_vjp,
                self._vjp_of_vjp,
                self._jvp,
            )
        )
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

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        g.check(c=b)
        return self._run(self._transposed, g, x, w, b)

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        g.check(c=b)
        return self._run(self._transposed_gradients, g, x, w, b, delta)

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        return self._called(self._second, g, x, w, b, delta, u, v, r)

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return self._called(self._dy, g, x, w, b, u, v, r)

    def _called(self, function: Callable[..., Any], g: Geometry, x: Any, w: Any, b: Any, *others: Any) -> Any:
        # JAX takes an x that is smaller than the kernel (y is empty), and repeats a bias of length 1
        g.check(x=np.moveaxis(x, -1, 1) if self.route == "nhwc" else x, b=b)
        return self._run(function, g, x, w, b, *others)

    def _run(self, function: Callable[..., Any], g: Geometry, x: Any, *others: Any) -> Any:
        self._count((g, x.dtype))
        results = function(g, x, *others)
        return jax.tree.map(np.array, results)  # copies; None, for want of a bias, stays None

    def _layer(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y, in the layouts of the route."""
        x_axes, w_axes = self._axes(g)
        w = self._rotated(g, w)
        y = lax.conv_general_dilated(
            x,
            w,
            window_strides=g.stride,
            padding=g.padding,
            rhs_dilation=g.dilation,
            dimension_numbers=(x_axes, w_axes, x_axes),
            feature_group_count=g.groups,
        )
        return y if b is None else y + self._column(g, b)

    def _axes(self, g: Geometry) -> tuple[str, str]:
        """The axis orders of x and w, as in NHWC and HWIO."""
        spatial = "DHW"[-g.rank :]
        able = self.capabilities
        return able.x_layout.replace("HW", spatial), able.w_layout.replace("HW", spatial)

    def _rotated(self, g: Geometry, w: Any) -> Any:
        w_axes = self._axes(g)[1]
        spatial = [w_axes.index(axis) for axis in "DHW"[-g.rank :]]
        return lax.rev(w, spatial) if g.convention == "convolution" else w

    def _column(self, g: Geometry, b: Any) -> Any:
        """A bias, (M,) or (M, *O), as it is added to y."""
        b = b.reshape(b.shape + (1,) * (g.rank + 1 - b.ndim))
        return jax.numpy.moveaxis(b, 0, self._axes(g)[0].index("C") - 1)

    def _vjp(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        """dx, dw, db."""
        _, vjp = jax.vjp(lambda *operands: self._layer(g, *operands), x, w, b)
        return vjp(delta)

    def _transposed_layer(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        """y of the transposed convolution; JAX has no groups in lax.conv_transpose, so what it does is written out.

        A stride-1 convolution of x, stuffed with zeros by lhs_dilation, with the kernel rotated and its maps and channels
        exchanged within each group.
        """
        x_axes, w_axes = self._axes(g)
        w = self._rotated(g, w)
        w = lax.rev(w, [w_axes.index(axis) for axis in "DHW"[-g.rank :]])
        pads = [
            (reach - 1 - lo, reach - 1 - hi + rest)
            for reach, (lo, hi), rest in zip(g.kernel_reach, g.padding, g.remainder, strict=True)
        ]
        y = lax.conv_general_dilated(
            x,
            _mirrored(w, w_axes, g.groups),
            window_strides=(1,) * g.rank,
            padding=pads,
            lhs_dilation=g.stride,
            rhs_dilation=g.dilation,
            dimension_numbers=(x_axes, w_axes, x_axes),
            feature_group_count=g.groups,
        )
        return y if b is None else y + self._column(g, b)

    def _transposed_vjp(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        _, vjp = jax.vjp(lambda *operands: self._transposed_layer(g, *operands), x, w, b)
        return vjp(delta)

    def _vjp_of_vjp(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        """By x, w and delta, of the gradients that have a direction."""

        def first(x: Any, w: Any, delta: Any) -> list[Any]:
            gradients = self._vjp(g, x, w, b, delta)
            return [a for a, along in zip(gradients, (u, v, r), strict=True) if along is not None]

        _, vjp = jax.vjp(first, x, w, delta)
        return vjp([along for along in (u, v, r) if along is not None])

    def _jvp(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        """dy by the operands that have a direction; the others are constants."""
        moved = [k for k, along in enumerate((u, v, r)) if along is not None]

        def y(*moving: Any) -> Any:
            operands = [x, w, b]
            for k, operand in zip(moved, moving, strict=True):
                operands[k] = operand
            return self._layer(g, *operands)

        return jax.jvp(y, [(x, w, b)[k] for k in moved], [(u, v, r)[k] for k in moved])[1]


def _mirrored(w: Any, axes: str, groups: int) -> Any:
    """w with maps and channels exchanged within each group: (M, C/G, ..) becomes (C, M/G, ..)."""
    out, into = axes.index("O"), axes.index("I")
    w = jax.numpy.moveaxis(w, (out, into), (0, 1))
    maps, channels = w.shape[:2]
    w = w.reshape(groups, maps // groups, *w.shape[1:]).swapaxes(1, 2)
    w = w.reshape(groups * channels, maps // groups, *w.shape[3:])
    return jax.numpy.moveaxis(w, (0, 1), (out, into))
