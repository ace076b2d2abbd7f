"""TensorFlow: `tf.nn.convolution` with GradientTape, the kernels beneath it, XLA, and oneDNN.

TensorFlow pads by rules of its own or not at all ("SAME", "VALID"), so x is padded, or cropped, beforehand;
axes are in NHWC and HWIO order; groups are never named, they follow from the channels of x and w.  Which
combinations have gradients depends on the kernels, and so on the route.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from conformance import Adapter, Arithmetic, Capabilities, Geometry, Network, Networks, Unsupported

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read while TensorFlow is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

WHOLE = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset({"none", "tied", "untied"}),
    convention="both",
    x_layout="NHWC",
    w_layout="HWIO",
    empty_batch=True,
    network=Networks(
        activations=frozenset({"identity", "relu", "leaky", "sigmoid", "tanh", "softplus", "softmax"}),
        costs=frozenset({"quadratic", "cross-entropy"}),
        step=True,
    ),
    operations=frozenset({"transposed", "double_backward", "forward_mode"}),
    # y is summed in float32, but rounded before the bias is added and again after; outside XLA, dx and dw
    # round partial sums, and db is summed in the narrow format itself.  Its threads flush subnormal numbers; those of
    # float16 are none in float32.
    arithmetic={
        **dict.fromkeys(("f64", "f32"), Arithmetic(flushes=True)),
        "f16": {
            **dict.fromkeys(("y", "db"), Arithmetic(accumulator="f32", partial_sums="f16")),
            **dict.fromkeys(("dx", "dw"), Arithmetic()),
        },
        "bf16": {
            "y": Arithmetic(accumulator="f32", partial_sums="bf16", flushes=True),
            **dict.fromkeys(("dx", "dw", "db"), Arithmetic(flushes=True)),
        },
    },
)


class TensorFlow(Adapter):
    """A "VALID" convolution of padded x plus a bias, and its gradients."""

    routes: ClassVar[Mapping[str, str]] = {
        "eager": "tf.nn.convolution and GradientTape",
        "raw-ops": "the kernels Conv2D, Conv2DBackpropInput and Conv2DBackpropFilter with explicit padding",
        "xla": "tf.nn.conv1d, conv2d, conv3d and GradientTape, compiled by XLA",
        "onednn": "the same, not compiled, in oneDNN's float32 kernels; needs a process of its own",
    }
    capabilities = dataclasses.replace(WHOLE, groups=False)

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        if self.route == "raw-ops":
            self.capabilities = dataclasses.replace(
                WHOLE, ranks=frozenset({2}), padding="asymmetric", dilation=False, groups=False
            )
        elif self.route == "xla":
            self.capabilities = WHOLE
        elif self.route == "onednn":
            # of an empty batch, y has the shape of x
            self.capabilities = dataclasses.replace(WHOLE, dtypes=frozenset({"float32"}), empty_batch=False)
        self._tf = _tensorflow(onednn=self.route == "onednn")
        self._compiled: dict[tuple[object, ...], Any] = {}

    def versions(self) -> Mapping[str, str]:
        return {"tensorflow": self._tf.__version__}

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        if self.route == "eager" and max(g.stride) > 1 and max(g.dilation) > 1:
            return "tf.nn.convolution refuses stride > 1 together with dilation > 1"
        if self.route == "onednn" and g.rank == 3 and g.groups > 1:
            return "Conv3D knows groups only in XLA"
        return None

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._called(self._layer, g, x, w, b).numpy()  # a copy

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        gradients = self._called(self._raw_vjp if self.route == "raw-ops" else self._vjp, g, x, w, b, delta)
        dx, dw, *db = (gradient.numpy() for gradient in gradients)
        return dx, dw, db[0] if db else None

    def network(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        cost, deltas, gradients = self._asked(net, x, target, params)
        return cost.numpy(), [delta.numpy() for delta in deltas], _by_layer(gradients, params)

    def step(self, net: Network, x: Any, target: Any, params: Any, rate: float) -> Any:
        """By the kernel of plain gradient descent, on variables."""
        tf = self._tf
        _, _, gradients = self._asked(net, x, target, params)
        variables = [tf.Variable(p) for pair in params for p in pair if p is not None]
        for variable, gradient in zip(variables, gradients, strict=True):
            alpha = tf.constant(rate, variable.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=alpha, delta=gradient)
        return _by_layer(variables, params)

    def _asked(self, net: Network, x: Any, target: Any, params: Any) -> Any:
        """C, [delta^1, ...] and the gradients by all parameters, in order."""
        flat = [self._tf.constant(p) for pair in params for p in pair if p is not None]
        operands = (self._tf.constant(x), self._tf.constant(target), *flat)
        if self.route != "xla":
            return self._backpropagated(net, *operands)
        if (net,) not in self._compiled:
            compiled = self._tf.function(jit_compile=True, autograph=False)
            self._compiled[(net,)] = compiled(lambda *tensors: self._backpropagated(net, *tensors))
        return self._compiled[(net,)](*operands)

    def _backpropagated(self, net: Network, x: Any, target: Any, *params: Any) -> Any:
        tf = self._tf
        with tf.GradientTape() as tape:
            tape.watch(params)
            a, zs, left = x, [], iter(params)
            for layer in net.layers:
                w, b = next(left), None if layer.geometry.bias == "none" else next(left)
                zs.append(self._layer(layer.geometry, a, w, b))
                a = self._activated(layer.activation, layer.slope, zs[-1])
            cost = self._cost(net, zs[-1], a, target)
        found = tape.gradient(cost, [*zs, *params])
        return cost, found[: len(zs)], found[len(zs) :]

    def _activated(self, name: str, slope: float, z: Any) -> Any:
        tf = self._tf
        if name in ("identity", "softmax"):  # softmax is in the cost
            return z
        if name == "leaky":
            return tf.nn.leaky_relu(z, slope)
        return {"relu": tf.nn.relu, "sigmoid": tf.sigmoid, "tanh": tf.tanh, "softplus": tf.nn.softplus}[name](
            z
        )

    def _cost(self, net: Network, z: Any, a: Any, target: Any) -> Any:
        tf = self._tf
        if net.cost == "quadratic":
            return tf.reduce_sum(tf.math.squared_difference(a, target)) / 2
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        if net.activations[-1] == "softmax":
            entropy = tf.nn.softmax_cross_entropy_with_logits  # over the last axis, which is that of the maps
        return tf.reduce_sum(entropy(labels=target, logits=z))

    def transposed(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._run(self._transposed, g, x=x, w=w, b=b).numpy()

    def transposed_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        dx, dw, *db = (a.numpy() for a in self._run(self._transposed_vjp, g, x=x, w=w, b=b, delta=delta))
        return dx, dw, db[0] if db else None

    def double_backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any, u: Any, v: Any, r: Any) -> Any:
        second = self._run(self._vjp_of_vjp, g, x=x, w=w, b=b, delta=delta, u=u, v=v, r=r)
        return tuple(a.numpy() for a in second)

    def forward_mode(self, g: Geometry, x: Any, w: Any, b: Any, u: Any, v: Any, r: Any) -> Any:
        return self._run(self._jvp, g, x=x, w=w, b=b, u=u, v=v, r=r).numpy()

    def _run(self, function: Callable[..., Any], g: Geometry, **operands: Any) -> Any:
        """A call with operands by name; those that are None are left out."""
        tensors = {name: self._tf.constant(a) for name, a in operands.items() if a is not None}
        if self.route != "xla":
            return function(g, **tensors)
        key = (function.__name__, g, *tensors)
        if key not in self._compiled:
            compiled = self._tf.function(jit_compile=True, autograph=False)
            self._compiled[key] = compiled(lambda tensors: function(g, **tensors))
        return self._compiled[key](tensors)

    def _called(self, function: Callable[..., Any], g: Geometry, x: Any, w: Any, b: Any, *delta: Any) -> Any:
        # TensorFlow takes other channels for other groups, and accepts an x smaller than the kernel, and any
        # delta where y is of size 1 and a bias is added
        g.check(x=np.moveaxis(x, -1, 1), w=np.moveaxis(w, (-1, -2), (0, 1)), b=b)
        for d in delta:
            g.check(delta=np.moveaxis(d, -1, 1))
        tensors = [self._tf.constant(a) for a in (*delta, x, w, b) if a is not None]
        if self.route != "xla":
            return function(g, *tensors)
        key = (function.__name__, g)
        if key not in self._compiled:
            compiled = self._tf.function(jit_compile=True, autograph=False)
            self._compiled[key] = compiled(lambda *tensors: function(g, *tensors))
        return self._compiled[key](*tensors)

    def _layer(self, g: Geometry, x: Any, w: Any, b: Any = None) -> Any:
        """y; each step differentiable."""
        tf = self._tf
        y = self._convolve(g, x, self._rotated(g, w))
        if g.bias == "untied":
            return y + tf.transpose(b, (*range(1, g.rank + 1), 0))
        return y if b is None else tf.nn.bias_add(y, b)

    def _rotated(self, g: Geometry, w: Any) -> Any:
        return self._tf.reverse(w, range(g.rank)) if g.convention == "convolution" else w

    def _convolve(self, g: Geometry, x: Any, w: Any) -> Any:
        tf = self._tf
        if self.route == "raw-ops":
            return tf.raw_ops.Conv2D(input=x, filter=w, **_attributes(g))
        within = (slice(max(-lo, 0), i - max(-hi, 0)) for i, (lo, hi) in zip(g.size, g.padding, strict=True))
        pads = [(max(lo, 0), max(hi, 0)) for lo, hi in g.padding]
        x = tf.pad(x[(slice(None), *within)], [(0, 0), *pads, (0, 0)])
        if self.route == "eager":
            # its default for data_format, None, breaks the gradient of Conv3D
            order = ("NWC", "NHWC", "NDHWC")[g.rank - 1]
            return tf.nn.convolution(x, w, g.stride, "VALID", data_format=order, dilations=g.dilation)
        function = (tf.nn.conv1d, tf.nn.conv2d, tf.nn.conv3d)[g.rank - 1]
        return function(x, w, [1, *g.stride, 1], "VALID", dilations=[1, *g.dilation, 1])

    def _vjp(self, g: Geometry, delta: Any, *operands: Any) -> Any:
        """dx, dw and, with a bias, db."""
        with self._tf.GradientTape() as tape:
            tape.watch(operands)
            y = self._layer(g, *operands)
        return tape.gradient(y, operands, output_gradients=delta)

    def _raw_vjp(self, g: Geometry, delta: Any, x: Any, w: Any, b: Any = None) -> Any:
        tf, same = self._tf, {"out_backprop": delta, **_attributes(g)}
        dx = tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=self._rotated(g, w), **same)
        dw = tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=w.shape, **same)
        if b is None:
            return dx, self._rotated(g, dw)
        untied = g.bias == "untied"
        db = tf.einsum("nhwm->mhw", delta) if untied else tf.raw_ops.BiasAddGrad(out_backprop=delta)
        return dx, self._rotated(g, dw), db

    def _transposed(self, g: Geometry, x: Any, w: Any, b: Any = None) -> Any:
        """y of the transposed convolution, cropped from all of the padded size; each step differentiable."""
        if max(g.dilation) > 1 and (self.route == "eager" or (self.route == "onednn" and g.rank == 3)):
            raise Unsupported("its kernels for the transposed convolution know no dilation")
        tf, shape = self._tf, (g.batch, *g.padded_size, g.channels)
        w = self._rotated(g, w)
        if self.route == "raw-ops":
            y = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=g.x_shape[:1] + g.size + (g.channels,), filter=w, out_backprop=x, **_attributes(g)
            )
        else:
            y = tf.nn.conv_transpose(x, w, shape, g.stride, "VALID", dilations=g.dilation)
            y = tf.pad(y[(slice(None), *g.inner)], [(0, 0), *_cropped(g), (0, 0)])
        return y if b is None else tf.nn.bias_add(y, b)

    def _transposed_vjp(self, g: Geometry, x: Any, w: Any, delta: Any, b: Any = None) -> Any:
        operands = (x, w) if b is None else (x, w, b)
        with self._tf.GradientTape() as tape:
            tape.watch(operands)
            y = self._transposed(g, *operands)
        return tape.gradient(y, operands, output_gradients=delta)

    def _vjp_of_vjp(
        self,
        g: Geometry,
        x: Any,
        w: Any,
        delta: Any,
        b: Any = None,
        u: Any = None,
        v: Any = None,
        r: Any = None,
    ) -> Any:
        """By x, w and delta, of the gradients that have a direction: a tape in a tape."""
        tf, layer = self._tf, (x, w) if b is None else (x, w, b)
        given = [(operand, d) for operand, d in zip((x, w, b), (u, v, r), strict=True) if d is not None]
        with tf.GradientTape() as outer:
            outer.watch((x, w, delta))
            with tf.GradientTape() as inner:
                inner.watch(layer)
                y = self._layer(g, *layer)
            first = inner.gradient(y, [operand for operand, _ in given], output_gradients=delta)
        zero = tf.UnconnectedGradients.ZERO
        return outer.gradient(
            first, (x, w, delta), output_gradients=[d for _, d in given], unconnected_gradients=zero
        )

    def _jvp(
        self, g: Geometry, x: Any, w: Any, b: Any = None, u: Any = None, v: Any = None, r: Any = None
    ) -> Any:
        """dy by the operands that have a direction."""
        given = [(operand, d) for operand, d in zip((x, w, b), (u, v, r), strict=True) if d is not None]
        with self._tf.autodiff.ForwardAccumulator([o for o, _ in given], [d for _, d in given]) as along:
            y = self._layer(g, x, w, b)
        return along.jvp(y)


def _cropped(g: Geometry) -> list[tuple[int, int]]:
    """What negative padding cuts off of x, which the transposed convolution fills with zeros."""
    return [(max(-lo, 0), max(-hi, 0)) for lo, hi in g.padding]


def _by_layer(flat: Any, params: Any) -> list[Any]:
    """Tensors of all parameters, in order, as (w, b) a layer."""
    left = iter(flat)
    return [tuple(None if p is None else next(left).numpy() for p in pair) for pair in params]


def _attributes(g: Geometry) -> dict[str, Any]:
    """Of the kernels for two spatial axes."""
    pads = [0, 0, *(p for pair in g.padding for p in pair), 0, 0]
    return {"strides": [1, *g.stride, 1], "padding": "EXPLICIT", "explicit_paddings": pads}


def _tensorflow(*, onednn: bool) -> Any:
    """The package, with or without oneDNN; the default depends on the processor, so it is chosen here."""
    wanted = str(int(onednn))  # read while TensorFlow is imported
    if "tensorflow" in sys.modules and os.environ.get(ONEDNN) != wanted:
        raise RuntimeError(f"this route needs a process that starts TensorFlow with {ONEDNN}={wanted}")
    os.environ[ONEDNN] = wanted
    tf = importlib.import_module("tensorflow")
    tf.get_logger().setLevel("ERROR")  # it advises against compiling a function for each geometry
    return tf
