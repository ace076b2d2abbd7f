"""The bundled NumPy CNN, made to be read: it is tested, it never judges.

convolution     y, dx, dw, db of a convolution of any rank and geometry
activation      sigma and sigma'
cost            C and grad_a C
layer           z^l from a^{l-1}, and back
transposed      the transposed convolution, second derivatives, derivatives along a direction
pooling         mean pooling, which is a convolution, and max pooling, which is not
network         layers in a row: the seed's five steps
descent         steps against the gradient
initial         where they start
digits, train   a network that learns to read: `python -m conformance.reference.train`
picture         kernels and deltas as text
"""

from conformance.reference.activation import (
    ACTIVATIONS,
    IDENTITY,
    RELU,
    SIGMOID,
    SOFTPLUS,
    TANH,
    Activation,
    leaky_relu,
)
from conformance.reference.convolution import Convolution, backward_delta, forward, gradient_b, gradient_w
from conformance.reference.cost import (
    COSTS,
    CROSS_ENTROPY_WITH_SIGMOID,
    CROSS_ENTROPY_WITH_SOFTMAX,
    QUADRATIC,
    Cost,
)
from conformance.reference.descent import Momentum, descend
from conformance.reference.initial import initial
from conformance.reference.layer import ConvolutionLayer, Gradients, Layer, Parameters, dense_layer
from conformance.reference.network import Backpropagation, Feedforward, Network
from conformance.reference.picture import pictures
from conformance.reference.pooling import MaxPoolingLayer, mean_pooling_layer
from conformance.reference.transposed import directional, second_order, transposed, transposed_gradients

__all__ = [
    "ACTIVATIONS",
    "COSTS",
    "CROSS_ENTROPY_WITH_SIGMOID",
    "CROSS_ENTROPY_WITH_SOFTMAX",
    "IDENTITY",
    "QUADRATIC",
    "RELU",
    "SIGMOID",
    "SOFTPLUS",
    "TANH",
    "Activation",
    "Backpropagation",
    "Convolution",
    "ConvolutionLayer",
    "Cost",
    "Feedforward",
    "Gradients",
    "Layer",
    "MaxPoolingLayer",
    "Momentum",
    "Network",
    "Parameters",
    "backward_delta",
    "dense_layer",
    "descend",
    "directional",
    "forward",
    "gradient_b",
    "gradient_w",
    "initial",
    "leaky_relu",
    "mean_pooling_layer",
    "pictures",
    "second_order",
    "transposed",
    "transposed_gradients",
]
