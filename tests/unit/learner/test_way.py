from __future__ import annotations

import numpy as np

from conformance.learner.calling import Calling, Values
from conformance.learner.way import Function, Functions, Layer, array, parts, slots
from conformance.problem import Geometry

G = Geometry(size=(4, 4), kernel=(2, 2))
ONE = np.ones((2, 2))
VALUES = Values(g=G, arrays={"x": np.ones((4, 4)), "w": ONE, "b": np.zeros(1), "delta": np.ones((3, 3))})


def test_what_comes_back_is_taken_apart() -> None:
    assert [name for name, _ in parts({"dx": 1, "dW": 2})] == ["dx", "dW"]
    assert len(parts((ONE, ONE, None))) == 3
    assert len(parts([ONE, ONE])) == 2
    assert parts(None) == []
    (nested,) = parts([[1, 2], [3, 4]])
    assert np.array_equal(array(nested[1]), [[1, 2], [3, 4]])


def test_what_is_no_array_of_numbers_is_none() -> None:
    assert array("text") is None
    assert array((ONE, "cache")) is None
    assert array(np.float32(3)) is not None


def test_functions_hand_y_and_the_cache_on() -> None:
    ahead = Function(name="f", function=lambda x: (x + 1, "cache"), calling=Calling(roles={"x": "x"}))
    back = Function(
        name="g",
        function=lambda d, c, y: (d, c, y),
        calling=Calling(roles={"d": "delta", "c": "cache", "y": "y"}),
    )
    came = Functions(ahead=ahead, backs=(back,)).backward(VALUES)
    assert came[1][1] == "cache"
    assert np.array_equal(came[2][1], VALUES.arrays["x"] + 1)


class Keeps:
    """Keeps its gradient."""

    def __init__(self) -> None:
        self.params = {"W": np.zeros((2, 2)), "b": 0.0}
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.params["W"].sum()

    def backward(self, d):
        self.grads = {"W": d, "b": d.sum()}
        return d


class Steps:
    """Takes the step itself."""

    def __init__(self) -> None:
        self.w = np.zeros((2, 2))

    def forward(self, x):
        return x * self.w.sum()

    def backward(self, d, lr):
        dx = d * self.w.sum()
        self.w -= lr * 7
        return dx


def layer(cls: type, back: dict[str, str], **more) -> Layer:
    return Layer(
        cls=cls,
        maker=Calling(roles={}),
        ahead=("forward", Calling(roles={"x": "x"})),
        back=("backward", Calling(roles=back)),
        **more,
    )


def test_a_layer_keeps_its_kernel_in_an_attribute_or_a_dictionary() -> None:
    assert [slot for slot, _ in slots(Keeps(), "w")] == [("params", "W")]
    assert [slot for slot, _ in slots(Keeps(), "b")] == [("params", "b")]
    assert [slot for slot, _ in slots(Steps(), "w")] == [("w",)]


def test_the_same_object_serves_a_geometry_again_and_again() -> None:
    keeps = layer(Keeps, {"d": "delta"}, w=("params", "W"))
    keeps.forward(VALUES)
    keeps.forward(VALUES)
    assert keeps.instance(VALUES).calls == 2


def test_gradients_are_found_in_what_a_layer_keeps() -> None:
    came = dict(layer(Keeps, {"d": "delta"}, w=("params", "W")).backward(VALUES)[1:])
    assert set(came) == {"dw", "db"}
    assert came["db"] == 9


def test_gradients_are_read_off_a_step_without_rounding() -> None:
    came = layer(Steps, {"d": "delta", "lr": "lr"}, w=("w",), updates=True).backward(VALUES)
    assert np.array_equal(
        came[0][1], np.full((3, 3), 4.0)
    )  # of the kernel that was given, not of the one that was moved
    assert came[1][0] == "dw"
    assert np.array_equal(came[1][1], np.full((2, 2), 7.0))
    assert np.array_equal(VALUES.arrays["w"], ONE)
