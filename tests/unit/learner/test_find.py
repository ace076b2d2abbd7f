from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from conformance.learner.find import Class, subjects

Module = Callable[..., ModuleType]


def test_a_backward_pass_of_the_same_name_comes_first(module: Module) -> None:
    names = ["conv_backward_fast", "conv_backward", "conv_forward_fast", "conv_forward"]
    found = {s.name: s for s in subjects(module("\n".join(f"def {name}(x, w): return x" for name in names)))}
    assert found["conv_forward"].backs[0][0] == "conv_backward"
    assert found["conv_forward_fast"].backs[0][0] == "conv_backward_fast"


def test_a_class_has_its_methods(module: Module) -> None:
    text = "class Conv2D:\n    def forward(self, x): ...\n    def backprop(self, d): ...\n    def update(self, lr): ...\n"
    (found,) = subjects(module(text))
    assert isinstance(found, Class)
    assert [name for name, _ in found.aheads] == ["forward"]
    assert [name for name, _ in found.backs] == ["backprop"]


def test_names_that_say_nothing_come_last(module: Module) -> None:
    found = subjects(module("def foo(a, k): ...\n\n\ndef convolve(a, k): ...\n"))
    assert [(s.name, s.likely) for s in found] == [("convolve", True), ("foo", False)]


def test_other_layers_are_not_looked_at(module: Module) -> None:
    text = "class MaxPool2D:\n    def forward(self, x): ...\n    def backward(self, d): ...\n\n\ndef relu(x): ...\n"
    assert subjects(module(text)) == []
