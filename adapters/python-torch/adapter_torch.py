"""PyTorch on the CPU, eager: torch.nn.functional forward, autograd or torch.nn.grad backward."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody writes it)
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import grad

from conformance import Adapter, Arithmetic, Capabilities, Geometry, Network, Networks

Array = NDArray[Any]
Gradients = tuple[Tensor | None, ...]
Function = Callable[..., Tensor]

CONV: dict[int, Function] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Function] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
GRAD_INPUT: dict[int, Function] = {1: grad.conv1d_input, 2: grad.conv2d_input, 3: grad.conv3d_input}
GRAD_WEIGHT: dict[int, Function] = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}
# Where oneDNN has no 16-bit kernels for the processor, sums are kept in float32, but col2im adds up dx, and a loop over
# the batch dw, in the dtype itself; an untied bias is added to y after it was rounded.
NARROW: dict[str, dict[str, Arithmetic]] = {
    code: {
        **dict.fromkeys(("y", "dx", "dw"), Arithmetic(accumulator="f32", partial_sums=code)),
        "db": Arithmetic(accumulator="f32"),
    }
    for code in ("f16", "bf16")
}
ARITHMETIC: dict[str, Arithmetic | dict[str, Arithmetic]] = {
    "f64": Arithmetic(),
    "f32": Arithmetic(),
    **NARROW,
}

NETWORKS = Networks(
    activations=frozenset({"identity", "relu", "leaky", "sigmoid", "tanh", "softplus", "softmax"}),
    costs=frozenset({"quadratic", "cross-entropy"}),
    step=True,
)
ACTIVATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda z, _: z,
    "relu": lambda z, _: F.relu(z),
    "leaky": F.leaky_relu,
    "sigmoid": lambda z, _: torch.sigmoid(z),
    "tanh": lambda z, _: torch.tanh(z),
    "softplus": lambda z, _: F.softplus(z),
    "softmax": lambda z, _: torch.softmax(z, 1),
}

OPERATIONS = frozenset({"transposed", "double_backward", "forward_mode"})
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class Torch(Adapter):
    """F.conv1d, F.conv2d and F.conv3d, which correlate; for true convolution the kernel is flipped first."""

    routes = {
        "autograd": "gradients by torch.autograd.grad",
        "nn-grad": "gradients by torch.nn.grad.conv*_input and conv*_weight; db is a plain sum",
        "channels-last": "autograd, operands in the channels-last memory format",
        "no-mkldnn": "autograd, kernels of torch itself: without oneDNN and NNPACK",
    }

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return Capabilities(
            ranks=frozenset({2, 3} if self.route == "channels-last" else {1, 2, 3}),
            dtypes=frozenset({"float64", "float32", "float16", "bfloat16"}),
            stride=True,
            padding="symmetric" if self.route == "nn-grad" else "negative",
            dilation=True,
            groups=True,
            biases=frozenset({"none", "tied", "untied"}),
            convention="both",
            empty_batch=True,
            network=None if self.route == "nn-grad" else NETWORKS,  # torch.nn.grad has layers only
            operations=frozenset() if self.route == "nn-grad" else OPERATIONS,
            arithmetic=ARITHMETIC,
        )

    def versions(self) -> dict[str, str]:
        onednn = re.search(r"MKL-DNN v(\S+)", torch.__config__.show())
        return {"torch": torch.__version__, **({"mkldnn": onednn[1]} if onednn else {})}

    def forward(self, g: Geometry, x: Array, w: Array, b: Array | None) -> Array:
        with self._kernels():
            return _array(_layer(g, *self._operands(g, x, w, b)))

    def backward(self, g: Geometry, x: Array, w: Array, b: Array | None, delta: Array) -> tuple[Any, ...]:
        way = _by_functions if self.route == "nn-grad" else _by_autograd
        with self._kernels():
            gradients = way(g, *self._operands(g, x, w, b), self._operand(g, delta))
        return tuple(None if gradient is None else _array(gradient) for gradient in gradients)

    def network(self, net: Network, x: Array, target: Array, params: Any) -> Any:
        with self._kernels():
            cost, zs, leaves = self._cost(net, x, target, params)
            found = torch.autograd.grad(cost, [*zs, *(t for pair in leaves for t in pair if t is not None)])
        deltas, of_params = found[: len(zs)], iter(found[len(zs) :])
        gradients = [
            (_array(next(of_params)), None if b is None else _array(next(of_params))) for _, b in leaves
        ]
        return _array(cost), [_array(delta) for delta in deltas], gradients

    def step(self, net: Network, x: Array, target: Array, params: Any, rate: float) -> Any:
        """By torch.optim.SGD."""
        with self._kernels():
            cost, _, leaves = self._cost(net, x, target, params)
            optimizer = torch.optim.SGD([t for pair in leaves for t in pair if t is not None], lr=rate)
            cost.backward()
            optimizer.step()
        return [(_array(w), None if b is None else _array(b)) for w, b in leaves]

    def _cost(
        self, net: Network, x: Array, target: Array, params: Any
    ) -> tuple[Tensor, list[Tensor], list[Any]]:
        """(C, [z^1, ...], [(w^1, b^1), ...]), of leaves that gradients can be asked for."""
        leaves = [
            tuple(None if p is None else _tensor(p).clone().requires_grad_() for p in pair) for pair in params
        ]
        a, zs, t = self._operand(net.layers[0].geometry, x), [], _tensor(target)
        for layer, (w, b) in zip(net.layers, leaves, strict=True):
            zs.append(_layer(layer.geometry, a, w, b))
            a = ACTIVATIONS[layer.activation](zs[-1], layer.slope)
        if net.cost == "quadratic":
            return F.mse_loss(a, t, reduction="sum") / 2, zs, leaves
        if net.activations[-1] == "sigmoid":
            return F.binary_cross_entropy_with_logits(zs[-1], t, reduction="sum"), zs, leaves
        return F.cross_entropy(zs[-1], t, reduction="sum"), zs, leaves

    def transposed(self, g: Geometry, x: Array, w: Array, b: Array | None) -> Array:
        with self._kernels():
            return _array(_transposed(g, *self._operands(g, x, w, b)))

    def transposed_backward(
        self, g: Geometry, x: Array, w: Array, b: Array | None, delta: Array
    ) -> tuple[Any, ...]:
        with self._kernels():
            leaves = [t.requires_grad_() for t in self._operands(g, x, w, b) if t is not None]
            y = _transposed(g, *leaves)
            gradients = torch.autograd.grad(y, leaves, self._operand(g, delta))
        return tuple(_array(a) for a in gradients) + ((None,) if b is None else ())

    def double_backward(
        self,
        g: Geometry,
        x: Array,
        w: Array,
        b: Array | None,
        delta: Array,
        u: Array | None,
        v: Array | None,
        r: Array | None,
    ) -> tuple[Any, ...]:
        with self._kernels():
            leaves = [t for t in (*self._operands(g, x, w, b), self._operand(g, delta)) if t is not None]
            *layer, error = (t.requires_grad_() for t in leaves)
            given = [
                (t, d) for t, d in zip(layer, self._directions(g, u, v, r), strict=False) if d is not None
            ]
            first = torch.autograd.grad(_layer(g, *layer), [t for t, _ in given], error, create_graph=True)
            second = torch.autograd.grad(
                first, (layer[0], layer[1], error), [d for _, d in given], materialize_grads=True
            )
        return tuple(_array(a) for a in second)

    def forward_mode(self, g: Geometry, x: Array, w: Array, b: Array | None, u: Any, v: Any, r: Any) -> Array:
        """torch.func.jvp by the operands that have a direction; the others are constants."""
        operands, directions = self._operands(g, x, w, b), self._directions(g, u, v, r)
        moved = [k for k, d in enumerate(directions) if d is not None]

        def y(*moving: Tensor) -> Tensor:
            changed = dict(zip(moved, moving, strict=True))
            return _layer(g, *(changed.get(k, operand) for k, operand in enumerate(operands)))

        with self._kernels():
            _, dy = torch.func.jvp(y, tuple(operands[k] for k in moved), tuple(directions[k] for k in moved))
            return _array(dy)

    def _directions(self, g: Geometry, u: Any, v: Any, r: Any) -> list[Tensor | None]:
        return [
            None if u is None else self._operand(g, u),
            None if v is None else self._operand(g, v),
            None if r is None else _tensor(r),
        ]

    def _operands(
        self, g: Geometry, x: Array, w: Array, b: Array | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        return self._operand(g, x), self._operand(g, w), None if b is None else _tensor(b)

    def _operand(self, g: Geometry, a: Array) -> Tensor:
        t = _tensor(a)
        return t.to(memory_format=CHANNELS_LAST[g.rank]) if self.route == "channels-last" else t

    @contextlib.contextmanager
    def _kernels(self) -> Iterator[None]:
        """The kernels torch may choose from.  NNPACK, the next in turn, sums by transforms: off as well."""
        with contextlib.ExitStack() as switched:
            if self.route == "no-mkldnn":
                switched.enter_context(torch.backends.mkldnn.flags(enabled=False, allow_tf32=None))
                switched.enter_context(torch.backends.nnpack.flags(enabled=False))
            yield


def _layer(g: Geometry, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """y.  torch pads both sides alike and adds one bias a map; the rest is composed."""
    padding = _symmetric(g)
    if padding is None:
        x, padding = F.pad(x, _pads(g)), [0] * g.rank
    tied = b if g.bias == "tied" else None
    y = CONV[g.rank](x, _flipped(g, w), tied, g.stride, padding, g.dilation, g.groups)
    if b is None or g.bias == "tied":
        return y
    g.check(b=b)  # + would broadcast a bias of another shape
    return y + b


def _transposed(g: Geometry, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """y of the transposed convolution: what the stride leaves over is torch's output_padding.

    torch crops both sides alike; else it computes all of the padded size, and what g's padding adds is cut off.
    """
    padding = _symmetric(g)
    native = padding is not None
    crop = [0] * g.rank if padding is None else padding
    w = _flipped(g, w)
    y = TRANSPOSED[g.rank](x, w, b if native else None, g.stride, crop, g.remainder, g.groups, g.dilation)
    if native:
        return y
    y = F.pad(y, [-n for n in _pads(g)])
    return y if b is None else y + b.reshape(-1, *(1,) * g.rank)


def _by_autograd(g: Geometry, x: Tensor, w: Tensor, b: Tensor | None, delta: Tensor) -> Gradients:
    leaves = [t.requires_grad_() for t in (x, w, b) if t is not None]
    gradients = torch.autograd.grad(_layer(g, x, w, b), leaves, delta)
    return gradients if b is not None else (*gradients, None)


def _by_functions(g: Geometry, x: Tensor, w: Tensor, b: Tensor | None, delta: Tensor) -> Gradients:
    g.check(b=b)  # these functions never see it
    options = (g.stride, _symmetric(g), g.dilation, g.groups)
    dx = GRAD_INPUT[g.rank](x.shape, _flipped(g, w), delta, *options)
    dw = GRAD_WEIGHT[g.rank](x, w.shape, delta, *options)
    summed = {"none": None, "tied": (0, *range(2, delta.ndim)), "untied": (0,)}[g.bias]
    return dx, _flipped(g, dw), None if summed is None else delta.sum(summed)


def _symmetric(g: Geometry) -> list[int] | None:
    """The padding as torch takes it, one number an axis; None if it cannot."""
    return [lo for lo, _ in g.padding] if all(lo == hi >= 0 for lo, hi in g.padding) else None


def _pads(g: Geometry) -> list[int]:
    """The padding as F.pad takes it: begin and end, the last axis first; negative numbers crop."""
    return [n for pair in reversed(g.padding) for n in pair]


def _flipped(g: Geometry, w: Tensor) -> Tensor:
    """ROT180 under the true convolution: torch computes the correlation."""
    return w.flip(tuple(range(2, w.ndim))) if g.convention == "convolution" else w


def _tensor(a: Array) -> Tensor:
    """A tensor on the array's memory and strides; on a copy if a stride is negative, which torch refuses."""
    if a.dtype == ml_dtypes.bfloat16:
        return _tensor(a.view(np.int16)).view(torch.bfloat16)
    if any(stride < 0 for stride in a.strides):
        a = a.copy(order="K")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing here writes
        return torch.from_numpy(a)


def _array(t: Tensor) -> Array:
    brain = t.dtype == torch.bfloat16  # numpy sees its bits only
    a: Array = (t.detach().view(torch.int16) if brain else t.detach()).numpy()
    return a.view(ml_dtypes.bfloat16) if brain else a
