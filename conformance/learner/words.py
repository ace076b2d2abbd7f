"""The words that people write for the parts of a convolution layer: names of functions, parameters and attributes.

A name only says what is tried first.  What a parameter is for is settled by calling (`reading`).
"""

from __future__ import annotations

import re

__all__ = [
    "is_backward",
    "is_convolution",
    "is_forward",
    "is_other",
    "meanings",
    "quantity_in",
    "quantity_of",
    "role_of",
    "stem",
]

_SPELLINGS = {
    "x": "x input inputs inp image images img imgs a aprev prev data xin inputdata inputimage inputarray features "
    "featuremap feature matrix signal layerinput activation activations batch lastinput arr array xprev",
    "w": "w weight weights kernel kernels filter filters filt k f wt theta mask kern",
    "b": "b bias biases bs beta",
    "delta": "delta deltas dout doutput dy dz da dh d grad grads gradout gradoutput gradoutputs outgrad outputgrad gradient "
    "gradients outputgradient outputgradients upstream upstreamgrad error err errors dnext deltanext nextdelta dldout dldy "
    "dldz dlout lossgradient lossgrad losserror outputerror dloss djdz djdy dedy dedz dedout g gout residual gradz gradin",
    "stride": "stride strides step steps s",
    "pad": "pad padding pads paddings p zeropad zeropadding padsize padwidth padamount",
    "mode": "mode",
    "options": "convparam convparams hparameters hparams hparam hyperparameters params param config options opts",
    "cache": "cache caches memory saved context ctx",
    "kernel": "kernelsize ksize filtersize fsize size kernelshape kernel k f filter filtershape windowsize",
    "channels": "inchannels inch inchannel cin inputchannels inputchannel nin channels channel inputdepth nchannels inc "
    "indepth numchannels numinputchannels depthin c inputs",
    "maps": "outchannels outch outchannel cout numfilters nfilters nfilter filters depth outputchannels outputchannel nout "
    "outc numkernels nkernels outputdepth numf outdepth kernels numoffilters n",
    "x_shape": "inputshape xshape imageshape inputsize inshape inputdim inputdims imagesize",
    "w_shape": "wshape weightshape weightsshape kernelshape filtershape",
    "lr": "lr learningrate learnrate eta rate alpha",
    "y": "y out output z",
}  # fmt: skip
"""Role -> spellings, in lower case, without underscores and without a number at the end."""

_FORWARD = {"forward", "fwd", "fprop", "feedforward", "call", "propagate"}
_BACKWARD = {
    "backward", "backwards", "back", "bwd", "bprop", "backprop", "backpropagation", "backpropagate", "grad", "grads",
    "gradient", "gradients", "deriv", "derivative", "delta", "deltas", "dx", "dw", "db", "dinput", "dweights", "dkernel",
    "dfilter", "dbias", "dconv",
}  # fmt: skip
_CONVOLUTION = {
    "conv", "convolve", "convolution", "convolutional", "correlate", "correlation", "corr", "xcorr", "convolved",
}  # fmt: skip
_OTHER = {
    "relu", "sigmoid", "tanh", "softmax", "activation", "pool", "pooling", "maxpool", "avgpool", "affine", "fc", "dense",
    "linear", "loss", "svm", "cost", "batchnorm", "norm", "bn", "dropout", "flatten", "test", "train", "fit", "main",
    "numerical", "numeric", "check", "eval", "plot", "show", "accuracy", "predict", "deconv", "transpose", "transposed",
    "depthwise", "separable", "rot", "rotate", "flip", "load", "save", "download", "im", "col", "init", "update",
}  # fmt: skip


_BEFORE = re.compile(r"^(?:grads|grad|gradient|nabla|dld|djd|ded|dl|delta|d)(.+)$")
_BEHIND = re.compile(r"^(.+?)(?:grad|gradient|gradients|grads|delta)$")


def _tokens(name: str) -> list[str]:
    """``ConvLayer2D_naive`` -> conv, layer, naive."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    words = re.split(r"[_\d]+", parted.lower())
    return [
        re.sub(r"^d?conv$|^conv[dx]$", "conv", word) if word != "dconv" else word for word in words if word
    ]


def is_convolution(name: str) -> bool:
    """Does a function or class call itself a convolution?"""
    return not _CONVOLUTION.isdisjoint(_tokens(name))


def is_forward(name: str) -> bool:
    """Does a function call itself a forward pass?"""
    return not _FORWARD.isdisjoint(_tokens(name))


def is_backward(name: str) -> bool:
    """Does a function call itself a backward pass, or a gradient?"""
    return not _BACKWARD.isdisjoint(_tokens(name))


def is_other(name: str) -> bool:
    """Is it another layer's, or no layer's at all?"""
    return not _OTHER.isdisjoint(_tokens(name))


def stem(name: str) -> frozenset[str]:
    """What is left without the direction: conv_forward_fast and conv_backward_fast have one stem."""
    return frozenset(_tokens(name)) - _FORWARD - _BACKWARD


def _plain(name: str) -> str:
    return name.lower().replace("_", "").rstrip("0123456789")


def meanings(name: str) -> list[str]:
    """The roles that a parameter of this name may have."""
    return [role for role, spellings in _SPELLINGS.items() if _plain(name) in spellings.split()]


def role_of(name: str) -> str | None:
    """``w`` or ``b`` of an attribute, a key or what a gradient's name is left with."""
    return next((role for role in meanings(name) if role in ("x", "w", "b")), None)


def quantity_in(name: str) -> str | None:
    """The gradient that a function is named for, as ``kernel_gradient``; None if it says nothing."""
    return next((f"d{role}" for word in _tokens(name) if (role := role_of(word))), None)


def quantity_of(name: str) -> str | None:
    """``dx``, ``dw`` or ``db`` of what an attribute or a key calls a gradient; None if it does not call it one."""
    word = _plain(name)
    for affix in (_BEFORE, _BEHIND):
        match = affix.match(word)
        role = role_of(match[1]) if match else None
        if role:
            return f"d{role}"
    return None
