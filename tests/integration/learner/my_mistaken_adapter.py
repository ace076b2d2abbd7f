"""The adapter of `my_mistaken_cnn`, after the README's example: what works on both axes alike is said in `unsupported`."""

import my_mistaken_cnn

from conformance import Adapter, Capabilities


class MyMistakenCNN(Adapter):
    capabilities = Capabilities(ranks={2}, dtypes={"float64"}, stride=True, padding="symmetric")

    def unsupported(self, g, dtype):
        if len(set(g.stride)) > 1 or len(set(g.padding)) > 1:
            return "one stride and one padding for both axes"
        return None

    def forward(self, g, x, w, b):
        return my_mistaken_cnn.conv_forward(x, w, b, g.stride[0], g.padding[0][0])

    def backward(self, g, x, w, b, delta):
        return my_mistaken_cnn.conv_backward(x, w, b, delta, g.stride[0], g.padding[0][0])
