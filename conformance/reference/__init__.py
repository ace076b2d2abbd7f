"""The bundled NumPy convolution layer, made to be read: it is tested, it never judges."""

from conformance.reference.convolution import Convolution, backward_delta, forward, gradient_b, gradient_w
from conformance.reference.transposed import directional, second_order, transposed, transposed_gradients

__all__ = [
    "Convolution",
    "backward_delta",
    "directional",
    "forward",
    "gradient_b",
    "gradient_w",
    "second_order",
    "transposed",
    "transposed_gradients",
]
