"""The bundled NumPy convolution layer, made to be read: it is tested, it never judges."""

from conformance.reference.convolution import Convolution, backward_delta, forward, gradient_b, gradient_w

__all__ = ["Convolution", "backward_delta", "forward", "gradient_b", "gradient_w"]
