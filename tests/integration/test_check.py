"""A learner's file is judged as it is: `conformance check my_cnn.py`, with the words that a learner reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LEARNER = Path(__file__).parent / "learner"
STEPS = ("shape", "forward", "bias", "delta (dx)", "weight gradient (dw)", "bias gradient (db)")
Invoke = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the small problems of the corpus."""
    monkeypatch.setattr("conformance.learner.whole.BUDGET", 0.05)


@pytest.fixture
def changed(tmp_path: Path) -> Write:
    """A learner's file with some of its text changed."""

    def write(name: str, *changes: tuple[str, str]) -> Path:
        text = (LEARNER / f"{name}.py").read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str, name: str = "my_cnn.py") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def flat(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def passed(text: str) -> list[str]:
    return re.findall(r"^ok     (.+?)  +\d+ problem", text, re.MULTILINE)


def broken(text: str) -> list[str]:
    return re.findall(r"^WRONG  (.+?)  ", text, re.MULTILINE)


# ---- right ----
RIGHT: dict[str, tuple[str, ...]] = {
    "my_cnn": (
        "my_cnn.py: conv_forward(x, w, b, stride, padding) and conv_backward(x, w, b, delta, stride, padding)",
        "x is (N, C, H, W), w is (M, C, KH, KW), y is (N, M, OH, OW), b is (M,);",
        "cross-correlation: the kernel slides over x as it is;",
        "backward gives dx, dw, db, in this order;",
        "one stride and one padding for both axes.",
    ),
    "cs231n": (
        "cs231n.py: conv_forward_naive(x, w, b, conv_param) and conv_backward_naive(dout, cache)",
        "one stride and one padding for both axes.",
    ),
    "numpy_layer": ("numpy_layer.py: Convolution(W, b, stride, pad), .forward(x), .backward(dout)",),
    "conv_layer": (
        "conv_layer.py: ConvLayer(in_channels, out_channels, kernel_size, stride, padding), .forward(x), .backward(grad_output)",  # noqa: E501
        "b is (M, 1);",
        "dw and db are divided by the number of images: a mean, where others have the sum;",
        "its kernels are square",
    ),
    "one_image": (
        "one_image.py: forward(x, w, b) and backward(delta, x, w)",
        "x is (H, W), w is (KH, KW), y is (OH, OW), b is a number;",
        "true convolution: the kernel slides rotated by 180 degrees;",
        "it takes no stride and no padding.",
    ),
    "coursera": (
        "coursera.py: conv_forward(A_prev, W, b, hparameters) and conv_backward(dZ, cache)",
        "x is (N, H, W, C), w is (KH, KW, C, M), y is (N, OH, OW, M), b is (1, 1, 1, M);",
        "its kernels are square",
    ),
    "same_padding": (
        "same_padding.py: convolve(image, kernel), input_gradient(delta, image, kernel) and kernel_gradient(delta, image, kernel)",  # noqa: E501
        "there is no bias;",
        "backward gives dx, dw, in this order;",
        "it always pads k//2 on every side ('same');",
        "it takes no stride.",
    ),
    "untied": (
        "untied.py: Convolutional(input_shape, kernel_size, depth), .forward(inputs), .backward(output_gradient, learning_rate)",  # noqa: E501
        "x is (C, H, W), w is (M, C, KH, KW), y is (M, OH, OW), b is (M, OH, OW);",
        "the bias is untied: one number for every output position;",
        "backward moves the weights itself: dw and db are what a step of learning rate 1 takes off;",
    ),
    "first_layer": (
        "first_layer.py: Conv3x3(num_filters), .forward(image), .backprop(d_L_d_out, learn_rate)",
        "x is (H, W), w is (M, KH, KW), y is (OH, OW, M); there is no bias;",
        "no dx comes back, as in a first layer;",
        "its kernels are 3x3, no others.",
    ),
}
LACKING = {
    "same_padding": {"bias", "bias gradient (db)"},
    "first_layer": {"bias", "delta (dx)", "bias gradient (db)"},
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_layer_conforms_and_its_conventions_are_said(name: str, invoke: Invoke) -> None:
    said = invoke("check", LEARNER / f"{name}.py")
    assert (said.code, said.err) == (0, ""), said.out
    for words in RIGHT[name]:
        assert words in flat(said.out)
    assert passed(said.out) == [
        *(step for step in STEPS if step not in LACKING.get(name, ())),
        "everything else",
    ]
    assert re.search(rf"^{name}\.py conforms: (\d+) of \1 clauses hold", said.out, re.MULTILINE)
    assert "HYG-6 (operands of a wrong size are refused) was not asked." in flat(said.out)


@pytest.mark.slow
def test_fifteen_right_lines_conform_on_all_of_the_quick_profile(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.learner.whole.BUDGET", 1e9)
    said = invoke("check", LEARNER / "fifteen_lines.py")
    assert said.code == 0
    assert passed(said.out) == [*STEPS, "everything else"]
    assert "left out" not in said.out
    (count,) = re.findall(r"^ok     everything else +(\d+) problems$", said.out, re.MULTILINE)
    assert int(count) > 200


def test_a_neighbour_that_is_imported_is_part_of_the_layer(invoke: Invoke) -> None:
    said = invoke("check", LEARNER / "my_mistaken_cnn.py")
    assert said.code == 1
    assert broken(said.out) == ["delta (dx)"]
    assert "'=' for '+='" in said.out


# ---- wrong ----
WRONG: dict[str, tuple[str, tuple[str, str], str, str, tuple[str, ...]]] = {
    "kernel not rotated": (
        "one_image",
        ('conv2(delta, rot180(w), "full")', 'conv2(delta, w, "full")'),
        "delta (dx)",
        "DEL-1",
        ("slides the kernel as y did, unrotated", "dx[1,1] should be", "sum = 59"),
    ),
    "dw rotated": (
        "one_image",
        ('conv2(rot180(x), delta, "valid")', 'conv2(x, delta, "valid")'),
        "weight gradient (dw)",
        "WGT-1",
        ("rotated by 180 degrees", "dw[1,1] should be"),
    ),
    "overwritten where windows overlap": (
        "numpy_layer",
        ("img[:, :, y:y_max:stride, x:x_max:stride] += col", "img[:, :, y:y_max:stride, x:x_max:stride] = col"),
        "delta (dx)",
        "DEL-1",
        ("Where windows overlap, dx keeps", "is added up"),
    ),
    "stride ignored in dx": (
        "cs231n",
        (
            "rows, cols = slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW)",
            "rows, cols = slice(i, i + HH), slice(j, j + WW)",
        ),
        "delta (dx)",
        "DEL-1",
        ("The stride is ignored in dx: delta is not stuffed with zeros.", "s2x2"),
    ),
    "stride ignored in y": (
        "coursera",
        ("n_H = int((n_H_prev + 2 * pad - f) / stride) + 1", "n_H = int(n_H_prev + 2 * pad - f) + 1"),
        "shape",
        "FWD-2",
        ("y has shape (1, 3, 2, 1) where (1, 2, 2, 1) is right, in your order (N, OH, OW, M).",),
    ),
    "bias gradient a mean": (
        "cs231n",
        ("db = np.sum(dout", "db = np.mean(dout"),
        "bias gradient (db)",
        "BIA-1",
        ("db is the mean of delta", "sum = -1, divided by 4: -0.25"),
    ),
    "padding not cropped": (
        "cs231n",
        ("dx = dx_pad[:, :, pad : pad + H, pad : pad + W]", "dx = dx_pad"),
        "delta (dx)",
        "DEL-2",
        ("dx has shape (1, 1, 6, 6), the geometry gives (1, 1, 4, 4)",),
    ),
    "cropped by minus zero": (
        "cs231n",
        ("dx = dx_pad[:, :, pad : pad + H, pad : pad + W]", "dx = dx_pad[:, :, pad:-pad, pad:-pad]"),
        "delta (dx)",
        "DEL-2",
        ("[p:-p]", "-0 is 0"),
    ),
    "one bias for all": (
        "cs231n",
        ("+ b[f]", "+ b[0]"),
        "bias",
        "FWD-1",
        ("Every map gets the first map's bias.",),
    ),
    "channels reversed": (
        "cs231n",
        ("np.sum(window * w[f])", "np.sum(window * w[f, ::-1])"),
        "forward",
        "FWD-1",
        ("y reads the channels of the kernel in reversed order.", " - cross-correlation: the kernel slides over x as it is;"),  # noqa: E501
    ),
    "a mean over the window": (
        "cs231n",
        ("np.sum(window * w[f])", "np.mean(window * w[f])"),
        "forward",
        "FWD-1",
        ("y is divided by the number of elements of a kernel", "(a guess: y is wrong in either case)"),
    ),
    "width computed from the height": (
        "cs231n",
        ("W_out = 1 + (W + 2 * pad - WW) // stride", "W_out = 1 + (H + 2 * pad - HH) // stride"),
        "shape",
        "FWD-2",
        ("raises ValueError: operands could not be broadcast", "of cs231n.py: out[n, f, i, j] = np.sum(window * w[f]) + b[f]"),  # noqa: E501
    ),
    "last position only": (
        "coursera",
        ("db[:, :, :, c] += dZ", "db[:, :, :, c] = dZ"),
        "bias gradient (db)",
        "BIA-1",
        ("db keeps the last position only: '=' for '+='",),
    ),
    "a step along another gradient": (
        "untied",
        ('self.kernels[i, j], "full")', 'self.kernels[i, j][::-1, ::-1], "full")'),
        "delta (dx)",
        "DEL-1",
        ("dx slides the kernel as y did, unrotated.",),
    ),
    "a mean of one gradient only": (
        "conv_layer",
        (".reshape(-1, 1) / n", ".reshape(-1, 1)"),
        "weight gradient (dw)",
        "WGT-1",
        ("dw is divided by the number of images and db is not: I take both to be meant as sums.",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_stops_at_its_step_and_is_explained(mistake: str, invoke: Invoke, changed: Write) -> None:
    name, change, step, clause, words = WRONG[mistake]
    said = invoke("check", changed(name, change))
    assert (said.code, said.err) == (1, "")
    assert broken(said.out) == [step]
    offered = [s for s in STEPS if s not in LACKING.get(name, ())]
    assert passed(said.out) == offered[: offered.index(step)]
    for word in words:
        assert word in flat(said.out)
    assert f"To read: `conformance spec {clause}`: " in said.out
    left = offered[offered.index(step) + 1 :]
    assert ("Not looked at yet: " + ", ".join(left) + "." in flat(said.out)) == bool(left)
    assert re.search(rf"^{name}\.py is wrong: it (is not right|raises) in the step ", said.out, re.MULTILINE)


def test_fifteen_wrong_lines_are_counted_on_fingers(invoke: Invoke) -> None:
    said = invoke("check", LEARNER / "fifteen_lines_wrong.py")
    assert said.code == 1
    for words in (
        "dx slides the kernel as y did, unrotated.",
        "dx[1,1] should be",
        "+ delta[1,1]*w[0,0] (-1)*3 = -3",
        "To mend it: ",
        "rotated by 180 degrees",
        "To read: `conformance spec DEL-1`: dx equals the definition",
        "Not looked at yet: weight gradient (dw), bias gradient (db).",
    ):
        assert words in flat(said.out)


def test_a_gradient_that_grows_from_call_to_call_is_found_after_the_steps(
    invoke: Invoke, changed: Write
) -> None:
    grows = (
        "        self.dW = np.dot(self.col.T, dout)\n",
        "        before = 0 if self.dW is None else self.dW.reshape(FN, -1).T\n"  # noqa: ISC004
        "        self.dW = before + np.dot(self.col.T, dout)\n",
    )
    said = invoke("check", changed("numpy_layer", grows))
    assert said.code == 1
    assert passed(said.out) == list(STEPS)
    assert broken(said.out) == ["everything else"]
    assert (
        "HYG-3 (MUST): no state leaks from call to call: the second backward does not add to the first"
        in flat(said.out)
    )
    assert re.search(r"numpy_layer\.py does not conform: \d+ of \d+ clauses fail", flat(said.out))


def test_layers_beside_the_one_that_is_judged_are_named(invoke: Invoke, written: Write) -> None:
    one = (LEARNER / "fifteen_lines.py").read_text(encoding="utf-8")
    fast = one.replace("import numpy as np\n", "").replace("conv_forward", "conv_forward_fast")
    both = one + fast.replace("conv_backward", "conv_backward_fast")
    said = invoke("check", written(both))
    assert said.code == 0
    assert "my_cnn.py: conv_forward(x, w, b) and conv_backward(dout, x, w, b)" in said.out
    assert "Also there, and not looked at: conv_forward_fast." in said.out


def test_a_forward_pass_alone_is_judged_alone_and_what_it_prints_is_dropped(
    invoke: Invoke, written: Write
) -> None:
    text = "from scipy.signal import correlate2d\n\nprint('hello')\n\n\ndef conv2d(image, kernel):\n    print('working')\n"
    said = invoke("check", written(text + "    return correlate2d(image, kernel, mode='valid')\n"))
    assert (said.code, said.err) == (0, "")
    assert "there is no backward pass: only y is looked at;" in said.out
    assert passed(said.out) == ["shape", "forward", "everything else"]
    assert "hello" not in said.out
    assert "working" not in said.out


# ---- nothing to judge ----
BAD_FILES = {
    "raises": ("x = 1\ny = x / 0\n", ("raises ZeroDivisionError when it is imported, in line 2 (y = x / 0): division by zero",)),  # noqa: E501
    "syntax": ("def conv_forward(x, w:\n    pass\n", ("has a syntax error in line 1: ", "def conv_forward(x, w:")),
    "asks": ("n = int(input('how many? '))\n", ("asks for input() when it is imported, in line 1", "if __name__ == '__main__':")),  # noqa: E501
    "exits": ("import sys\nsys.exit(0)\n", ("ends the program when it is imported, in line 2 (sys.exit(0))",)),
    "loops": ("while True:\n    pass\n", ("is not imported within 0.5 s: does it train, or loop forever?",)),
    "module": ("import tensorflau\n", ("needs the module tensorflau, which is not installed here, in line 1",)),
    "nothing": ("def relu(x):\n    return x\n", ("has nothing that looks like a convolution layer (it defines relu)", "conv_forward")),  # noqa: E501
    "empty": ("", ("(it defines no function and no class)",)),
    "adapter": ("from conformance import Adapter\n\n\nclass A(Adapter):\n    pass\n", ("defines an adapter (A): `conformance run ./",)),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_without_a_layer_is_told_in_one_sentence(kind: str, invoke: Invoke, written: Write) -> None:
    text, words = BAD_FILES[kind]
    said = invoke("check", written(text, f"{kind}.py"), "--timeout", "0.5")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"conformance: {kind}.py ")
    assert said.err.endswith(" [the file has to change]\n")
    assert len(said.err.splitlines()) == 1
    for word in words:
        assert word in said.err


def test_a_file_that_is_not_there_is_told(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("check", tmp_path / "missing.py")
    assert (said.code, said.out) == (2, "")
    assert f"there is no file '{tmp_path / 'missing.py'}'" in said.err


def test_a_layer_that_nobody_can_call_is_told(invoke: Invoke, written: Write) -> None:
    said = invoke("check", written("def convolve(foo, bar):\n    return foo.nothing(bar)\n"))
    assert (said.code, said.out) == (2, "")
    assert "has convolve, but I found no way to call it (the last try raised AttributeError: " in said.err
    assert "line 2: return foo.nothing(bar)); write an adapter" in said.err


def test_a_layer_that_never_answers_is_told_and_wrong(invoke: Invoke, written: Write) -> None:
    said = invoke(
        "check", written("def conv_forward(x, w, b):\n    while True:\n        pass\n"), "--timeout", "0.5"
    )
    assert (said.code, said.err) == (1, "")
    assert (
        "conv_forward did not answer within 0.5 s on one small image: does one of its loops never end?"
        in flat(said.out)
    )


def test_a_layer_that_always_raises_is_told_with_its_line(invoke: Invoke, written: Write) -> None:
    said = invoke("check", written("def conv_forward(x, w, b):\n    y = x * 0\n    return yy\n"))
    assert (said.code, said.err) == (1, "")
    assert "but whatever order of axes I tried, it raised." in said.out
    assert "raises NameError: name 'yy' is not defined" in said.out
    assert "in line 3 of my_cnn.py: return yy" in said.out
    assert "my_cnn.py is wrong: it raises in the step shape." in said.out


def test_the_part_that_trains_is_not_run(invoke: Invoke, written: Write) -> None:
    text = (LEARNER / "fifteen_lines.py").read_text(encoding="utf-8")
    said = invoke(
        "check", written(text + "\n\nif __name__ == '__main__':\n    raise SystemExit('trained')\n")
    )
    assert said.code == 0


def test_a_backward_pass_that_asks_is_told(invoke: Invoke, changed: Write) -> None:
    asks = ("swapped = w", "input('ready?')\n    swapped = w")
    said = invoke("check", changed("fifteen_lines_wrong", asks))
    assert said.code == 1
    assert broken(said.out) == ["delta (dx)"]
    assert "raises EOFError: it asks for input(), and nobody is there to answer" in said.out
