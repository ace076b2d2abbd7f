from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.learner.calling import BACKWARD, CONSTRUCTOR, FORWARD, Options, Values, callings
from conformance.problem import Geometry

G = Geometry(batch=2, channels=3, maps=5, size=(6, 7), kernel=(3, 2), stride=(2,), padding=((1, 1),))
ARRAYS = {
    "x": np.zeros(G.x_shape),
    "w": np.zeros(G.w_shape),
    "b": np.zeros(5),
    "delta": np.zeros(G.y_shape),
    "y": "y",
}
VALUES = Values(g=G, arrays=ARRAYS, cache="cache", options=Options(stride=2, pad=1))


def first(function: Any, roles: tuple[str, ...], *needed: str) -> dict[str, str]:
    return dict(next(callings(function, roles, needed)).roles)


def test_parameters_get_the_roles_that_their_names_say() -> None:
    def conv_forward(x, w, b, stride=1, pad=0): ...

    assert list(first(conv_forward, FORWARD, "x", "w").values()) == ["x", "w", "b", "stride", "pad"]


def test_a_dictionary_of_options_and_a_cache_are_known() -> None:
    def ahead(x, w, b, conv_param): ...

    def back(dout, cache): ...

    assert list(first(ahead, FORWARD, "x", "w").values()) == ["x", "w", "b", "options"]
    assert list(first(back, BACKWARD, "delta").values()) == ["delta", "cache"]


def test_names_that_say_nothing_get_every_role_in_turn() -> None:
    def layer(foo, bar): ...

    found = list(callings(layer, FORWARD, ("x", "w")))
    assert [list(c.roles.values()) for c in found] == [["x", "w"], ["w", "x"]]
    assert all(c.guessed for c in found)


def test_an_optional_parameter_that_says_nothing_keeps_its_default() -> None:
    def layer(x, w, verbose=False, foo=3, bias=True): ...

    assert first(layer, FORWARD, "x", "w") == {"x": "x", "w": "w"}


def test_defaults_say_whether_a_pair_or_a_word_is_wanted() -> None:
    def pairs(x, w, stride=(1, 1), padding=(0, 0)): ...

    def word(x, w, padding="valid"): ...

    assert list(first(pairs, FORWARD, "x", "w").values())[2:] == ["strides", "pads"]
    assert first(word, FORWARD, "x", "w")["padding"] == "mode"


def test_a_kernel_size_is_a_number_to_some_and_a_pair_to_others() -> None:
    def make(in_channels, out_channels, kernel_size): ...

    kinds = [c.roles["kernel_size"] for c in callings(make, CONSTRUCTOR, ())]
    assert kinds == ["kernel", "kernels"]


@pytest.mark.parametrize(
    ("role", "value"),
    [
        ("stride", 2), ("strides", (2, 2)), ("pad", 1), ("pads", (1, 1)), ("mode", "same"), ("kernel", 3), ("kernels", (3, 2)),  # noqa: E501
        ("channels", 3), ("maps", 5), ("x_shape", (2, 3, 6, 7)), ("item_shape", (3, 6, 7)), ("w_shape", (5, 3, 3, 2)),
        ("lr", 1.0), ("cache", "cache"), ("y", "y"),
    ],
)  # fmt: skip
def test_a_role_is_given_its_value(role: str, value: Any) -> None:
    from conformance.learner.calling import Calling

    assert Calling(roles={"p": role})(lambda p: p, VALUES) == value


def test_positional_parameters_are_given_by_position() -> None:
    def layer(x, w, /):
        return x.shape, w.shape

    calling = next(callings(layer, FORWARD, ("x", "w")))
    assert calling(layer, VALUES) == (G.x_shape, G.w_shape)


def test_options_know_what_they_were_asked_for() -> None:
    options = Options(stride=1, pad=0)
    assert (options["stride"], options.get("dilation", 1)) == (1, 1)
    assert options.asked == {"stride", "dilation"}


def test_what_has_no_signature_cannot_be_called() -> None:
    assert list(callings(dict, FORWARD, ("x", "w"))) == []
