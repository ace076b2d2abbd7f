"""An adapter at work.  The fakes are small and each does one thing."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from conformance import Adapter, Capabilities, Geometry, Problem, Unsupported
from conformance.adapter.connect import connect
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.oracle import Arithmetic
from conformance.oracle.vectorised import Layer
from conformance.problem import QUANTITIES
from conformance.problem.memory import MEMORIES
from conformance.spec import Answer, NotOffered, Question, Raised

EVERYTHING = Capabilities(
    ranks=frozenset({1, 2, 3}),
    dtypes=frozenset({"f64", "f32", "f16", "bf16"}),
    stride=True,
    padding="negative",
    dilation=True,
    groups=True,
    biases=frozenset({"none", "tied", "untied"}),
    convention="both",
    empty_batch=True,
)
PLAIN = "2d n2 c3 m4 i5x6 k3x2"


class Right(Adapter):
    """Nothing is wrong; remembers what it was given."""

    capabilities = EVERYTHING

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.given: list[dict[str, Any]] = []

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        self.given.append({"x": x, "w": w, "b": b})
        return Layer(g, x, w, b, np.zeros(g.y_shape)).y

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        self.given.append({"x": x, "w": w, "b": b, "delta": delta})
        layer = Layer(g, x, w, b, delta)
        return layer.dx, layer.dw, layer.db


class Says(Right):
    """forward and backward return (or raise, or call) what the test says."""

    def __init__(self, y: Any = None, gradients: Any = None) -> None:
        super().__init__()
        self.y, self.gradients = y, gradients

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return self._said(self.y, g, x, w, b)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        return self._said(self.gradients, g, x, w, b, delta)

    def _said(self, what: Any, *operands: Any) -> Any:
        if isinstance(what, BaseException):
            raise what
        return what(*operands) if callable(what) else what


def question(line: str = PLAIN, *, backward: bool = False, memory: str | None = None) -> Question:
    p = Problem.parse(line)
    return Question(geometry=p.geometry, operands=p.operands, memory=memory or p.memory, backward=backward)


def answered(
    adapter: Adapter, line: str = PLAIN, *, backward: bool = False, memory: str | None = None
) -> Answer:
    return Session(adapter, "fake").answer(question(line, backward=backward, memory=memory))


def claiming(adapter: Adapter, **claims: Any) -> Adapter:
    adapter.capabilities = dataclasses.replace(EVERYTHING, **claims)
    return adapter


# ---- what it claims ----
def test_an_answer_has_y_or_the_gradients() -> None:
    assert list(answered(Right()).arrays) == ["y"]
    assert list(answered(Right(), backward=True).arrays) == ["dx", "dw", "db"]
    assert list(answered(Right(), f"{PLAIN} bias=none", backward=True).arrays) == ["dx", "dw"]


def test_quantities_that_are_not_declared_are_left_out_even_if_they_come_back() -> None:
    adapter = claiming(Right(), quantities=frozenset({"dw"}))
    assert answered(adapter).arrays == {}
    assert list(answered(adapter, backward=True).arrays) == ["dw"]


def test_a_problem_that_is_not_claimed_is_not_put() -> None:
    adapter = claiming(Right(), stride=False)
    with pytest.raises(NotOffered, match=r"^stride not claimed$"):
        answered(adapter, f"{PLAIN} s2")
    assert isinstance(adapter, Right)
    assert adapter.given == []


def test_put_asks_although_it_is_not_claimed() -> None:
    answer = Session(claiming(Right(), stride=False), "fake").put(question(f"{PLAIN} s2"))
    assert answer.arrays["y"].shape == (2, 4, 2, 3)


class RefusesLargeKernels(Right):
    """Conditional: kernels above 2 in float32 are not offered."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return f"kernel {max(g.kernel)} in {dtype}" if max(g.kernel) > 2 and dtype == "float32" else None


def test_conditional_rules_come_after_the_capabilities_and_are_asked_with_the_name_of_the_dtype() -> None:
    session = Session(RefusesLargeKernels(), "fake")
    g = Problem.parse(PLAIN).geometry
    assert session.refusal(g, "f32") == "kernel 3 in float32"
    assert session.refusal(g, "f64") is None
    session = Session(claiming(RefusesLargeKernels(), ranks=frozenset({1})), "fake")
    assert session.refusal(g, "f32") == "2 spatial axes not claimed"


def test_the_arithmetic_class_is_the_declared_one_else_the_inferred_one_else_the_weakest() -> None:
    wide, doubled = Arithmetic(accumulator="f32"), Arithmetic(accumulator="f64")
    session = Session(claiming(Right(), arithmetic={"f16": wide}), "fake")
    session.inferred = {code: dict.fromkeys(QUANTITIES, doubled) for code in ("f16", "bf16")}
    found = [session.arithmetic(dtype) for dtype in ("f16", "bf16", "f64")]
    assert found == [dict.fromkeys(QUANTITIES, a) for a in (wide, doubled, Arithmetic())]


def test_sessions_do_not_share_what_was_inferred() -> None:
    one, other = Session(Right(), "one"), Session(Right(), "other")
    one.inferred["f32"] = dict.fromkeys(QUANTITIES, Arithmetic(accumulator="f64"))
    assert other.arithmetic("f32")["y"] == Arithmetic()


class UnsupportedRaises(Right):
    """Its conditional rule asks a Geometry for something it does not have."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return str(g.strides)  # type: ignore[attr-defined]


class UnsupportedSaysTrue(Right):
    """Its conditional rule answers yes instead of why."""

    def unsupported(self, g: Geometry, dtype: str) -> str | None:
        return True  # type: ignore[return-value]


@pytest.mark.parametrize("adapter", [UnsupportedRaises, UnsupportedSaysTrue])
def test_a_broken_conditional_rule_is_the_adapters_fault(adapter: type[Adapter]) -> None:
    with pytest.raises(AdapterBroken):
        answered(adapter())


class CapabilitiesAsADict(Right):
    """It declares a dictionary."""

    capabilities: Any = MappingProxyType({"ranks": {2}})


def test_capabilities_of_another_type_are_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken):
        Session(CapabilitiesAsADict(), "fake").refusal(Problem.parse(PLAIN).geometry, "f64")


# ---- layouts, there and back ----
X_LAYOUTS = ["".join(order) for order in itertools.permutations(("N", "C", "HW"))]
W_LAYOUTS = ["".join(order) for order in itertools.permutations(("O", "I", "HW"))]
BY_RANK = ["1d n2 c4 m6 g2 i7 k3", "2d n2 c4 m6 g2 i5x7 k3x2", "3d n2 c4 m6 g2 i3x4x5 k2x1x3"]


def axes(layout: str, spatial: tuple[str, ...]) -> list[str]:
    """NHWC of two axes is N, 0, 1, C."""
    return list(
        itertools.chain.from_iterable(spatial if c == "H" else (c,) for c in layout.replace("HW", "H"))
    )


def rearranged(a: Any, has: list[str], wants: list[str]) -> Any:
    """By the names of the axes, through einsum: not how the session does it."""
    letter = {name: chr(ord("a") + k) for k, name in enumerate(has)}
    return np.einsum(f"{''.join(letter[n] for n in has)}->{''.join(letter[n] for n in wants)}", a)


class InAnotherLayout(Adapter):
    """Computes rightly on arrays in the layouts that it declares."""

    def __init__(self, x_layout: str, w_layout: str) -> None:
        super().__init__()
        self.capabilities = dataclasses.replace(EVERYTHING, x_layout=x_layout, w_layout=w_layout)
        self.given: dict[str, Any] = {}

    def axes_of(self, g: Geometry) -> tuple[tuple[list[str], list[str]], tuple[list[str], list[str]]]:
        spatial = tuple("012"[: g.rank])
        able = self.capabilities
        return (axes(able.x_layout, spatial), ["N", "C", *spatial]), (
            axes(able.w_layout, spatial),
            ["O", "I", *spatial],
        )

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        (mine, plain), (mine_w, plain_w) = self.axes_of(g)
        self.given = {"x": x, "w": w, "b": b}
        y = Layer(g, rearranged(x, mine, plain), rearranged(w, mine_w, plain_w), b, np.zeros(g.y_shape)).y
        return rearranged(y, plain, mine)

    def backward(self, g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        (mine, plain), (mine_w, plain_w) = self.axes_of(g)
        self.given = {"x": x, "w": w, "b": b, "delta": delta}
        ours = rearranged(x, mine, plain), rearranged(w, mine_w, plain_w), b, rearranged(delta, mine, plain)
        layer = Layer(g, *ours)
        return rearranged(layer.dx, plain, mine), rearranged(layer.dw, plain_w, mine_w), layer.db


@pytest.mark.parametrize("line", BY_RANK)
@pytest.mark.parametrize("x_layout", X_LAYOUTS)
@pytest.mark.parametrize("w_layout", W_LAYOUTS)
def test_operands_go_out_and_results_come_back_in_the_declared_layouts(
    line: str, x_layout: str, w_layout: str
) -> None:
    adapter = InAnotherLayout(x_layout, w_layout)
    problem = Problem.parse(line)
    right = Layer.of(problem.geometry, problem.operands)
    y = answered(adapter, line).arrays["y"]
    assert np.array_equal(y, right.y)
    gradients = answered(adapter, line, backward=True).arrays
    assert all(np.array_equal(gradients[q], getattr(right, q)) for q in ("dx", "dw", "db"))


@pytest.mark.parametrize("line", BY_RANK)
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(
    ("x_layout", "w_layout"), [("NCHW", "OIHW"), ("NHWC", "HWIO"), ("HWCN", "IHWO"), ("CHWN", "IOHW")]
)
def test_a_memory_layout_changes_no_value_in_any_layout(
    line: str, memory: str, x_layout: str, w_layout: str
) -> None:
    problem = Problem.parse(f"{line} mem={memory} bias=untied")
    right = Layer.of(problem.geometry, problem.operands)
    adapter = InAnotherLayout(x_layout, w_layout)
    assert np.array_equal(answered(adapter, str(problem)).arrays["y"], right.y)
    gradients = answered(adapter, str(problem), backward=True).arrays
    assert all(np.array_equal(gradients[q], getattr(right, q)) for q in ("dx", "dw", "db"))


def operands_in(memory: str, x_layout: str = "NCHW", w_layout: str = "OIHW") -> dict[str, Any]:
    adapter = InAnotherLayout(x_layout, w_layout)
    answered(adapter, f"2d n3 c4 m6 i5x7 k3x2 bias=untied mem={memory}", backward=True)
    return adapter.given


@pytest.mark.parametrize(("x_layout", "w_layout"), [("NCHW", "OIHW"), ("NHWC", "HWIO"), ("HWCN", "IHWO")])
def test_the_adapters_own_arrays_are_in_the_memory_order_asked_for(x_layout: str, w_layout: str) -> None:
    assert all(a.flags.c_contiguous for a in operands_in("c", x_layout, w_layout).values())
    assert all(a.flags.f_contiguous for a in operands_in("fortran", x_layout, w_layout).values())
    assert all(not a.flags.forc for a in operands_in("sliced", x_layout, w_layout).values())
    assert all(max(a.strides) < 0 for a in operands_in("reversed", x_layout, w_layout).values())
    moved = operands_in("channels-last", x_layout, w_layout)
    assert all(a.strides[1] == a.itemsize for a in moved.values())


@pytest.mark.parametrize(("x_layout", "w_layout"), [("NCHW", "OIHW"), ("NHWC", "HWIO"), ("HWCN", "IHWO")])
def test_broadcast_repeats_items_and_maps_wherever_the_adapter_has_them(x_layout: str, w_layout: str) -> None:
    given = operands_in("broadcast", x_layout, w_layout)
    at = {"x": x_layout, "delta": x_layout, "w": w_layout}
    for name, layout in at.items():
        letters = axes(layout, ("0", "1"))
        repeated = letters.index("N" if name != "w" else "O")
        assert [axis for axis, step in enumerate(given[name].strides) if step == 0] == [repeated], name
        assert not given[name].flags.writeable
    assert given["b"].strides[0] == 0


def test_every_call_gets_fresh_operands() -> None:
    adapter, session = Right(), None
    session = Session(adapter, "fake")
    asked = question(backward=True)
    session.answer(asked)
    session.answer(asked)
    first, second = adapter.given
    for name, operand in asked.operands.items():
        assert not np.shares_memory(first[name], second[name])
        assert not np.shares_memory(first[name], operand)
        assert np.array_equal(first[name], operand)


def test_biases_are_never_rearranged() -> None:
    given = operands_in("c", "HWCN", "HWIO")
    assert given["b"].shape == (6, 3, 6)


def test_a_result_of_another_rank_comes_back_as_it_is() -> None:
    adapter = claiming(Says(y=np.zeros((2, 3))), x_layout="NHWC")
    assert answered(adapter).arrays["y"].shape == (2, 3)


# ---- what the call did ----
def spoils(name: str) -> Callable[..., Any]:
    def backward(g: Geometry, x: Any, w: Any, b: Any, delta: Any) -> Any:
        operand = {"x": x, "w": w, "b": b, "delta": delta}[name]
        operand[(0,) * operand.ndim] += 1
        return np.zeros(g.x_shape), np.zeros(g.w_shape), np.zeros(g.b_shape or ())

    return backward


@pytest.mark.parametrize("memory", [m for m in MEMORIES if m != "broadcast"])
@pytest.mark.parametrize("name", ["x", "w", "b", "delta"])
def test_an_operand_that_was_written_to_is_noticed(name: str, memory: str) -> None:
    answer = answered(Says(gradients=spoils(name)), backward=True, memory=memory)
    assert (answer.modified, answer.shared) == ((name,), ())


def test_an_operand_that_was_written_to_does_not_change_the_problem() -> None:
    asked = question(backward=True)
    before = {name: a.tobytes() for name, a in asked.operands.items()}
    Session(Says(gradients=spoils("x")), "fake").answer(asked)
    assert {name: a.tobytes() for name, a in asked.operands.items()} == before


def test_a_rewritten_nan_is_no_change() -> None:
    o = Problem.parse(PLAIN).operands
    spoiled = o.replace(x=np.full_like(o.x, np.nan))
    asked = dataclasses.replace(question(), operands=spoiled)
    assert Session(Right(), "fake").answer(asked).modified == ()


def test_writing_to_a_broadcast_operand_is_an_exception_of_the_implementation() -> None:
    with pytest.raises(Raised, match=r"^ValueError: assignment destination is read-only"):
        answered(Says(gradients=spoils("x")), f"{PLAIN} mem=broadcast", backward=True)


SQUARE = "2d n2 c3 m3 i5x5 k1 bias=none"


@pytest.mark.parametrize(
    "shares",
    [
        lambda g, x, w, b, delta: (x, w * 1, None),
        lambda g, x, w, b, delta: (delta[::-1], w * 1, None),
        lambda g, x, w, b, delta: (x.reshape(-1)[: x.size].reshape(x.shape), w * 1, None),
        lambda g, x, w, b, delta: (x.transpose(0, 1, 3, 2), w * 1, None),
    ],
    ids=["itself", "another's reversed", "reshaped", "transposed"],
)
def test_a_result_that_is_an_operands_memory_is_noticed(shares: Callable[..., Any]) -> None:
    answer = answered(Says(gradients=shares), SQUARE, backward=True)
    assert (answer.shared, answer.modified) == (("dx",), ())


@pytest.mark.parametrize("memory", MEMORIES)
def test_y_that_is_x_is_noticed_in_every_memory_layout(memory: str) -> None:
    answer = answered(Says(y=lambda g, x, w, b: x), f"{SQUARE} mem={memory}")
    assert answer.shared == ("y",)


def test_results_of_their_own_share_nothing_and_change_nothing() -> None:
    for backward in (False, True):
        answer = answered(Right(), backward=backward)
        assert (answer.shared, answer.modified) == ((), ())


def test_results_are_copied_before_the_implementation_uses_its_buffer_again() -> None:
    buffer = np.zeros((2, 4, 3, 5))

    def into_buffer(g: Geometry, x: Any, w: Any, b: Any) -> Any:
        buffer[...] += 1
        return buffer

    session = Session(Says(y=into_buffer), "fake")
    first = session.answer(question()).arrays["y"]
    session.answer(question())
    assert np.unique(first).tolist() == [1.0]


# ---- prints and warnings ----
def printing(g: Geometry, x: Any, w: Any, b: Any) -> Any:
    print("hello from the implementation")  # noqa: T201  (what is tested)
    return np.zeros(g.y_shape)


def test_what_an_adapter_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    answered(Says(y=printing))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello from the implementation\n")


def warning_and_overflowing(g: Geometry, x: Any, w: Any, b: Any) -> Any:
    warnings.warn("this API is old", DeprecationWarning, stacklevel=1)
    np.float64(1e308) * np.full(2, 10.0)
    np.array([1.0]) / np.array([0.0])
    return np.zeros(g.y_shape)


def test_warnings_of_an_implementation_do_not_become_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            assert not answered(Says(y=warning_and_overflowing)).arrays["y"].any()


def test_filters_and_error_states_are_as_before_after_a_call() -> None:
    filters, state = list(warnings.filters), np.geterr()

    def careless(g: Geometry, x: Any, w: Any, b: Any) -> Any:
        warnings.simplefilter("always")
        np.seterr(all="raise")
        return np.zeros(g.y_shape)

    answered(Says(y=careless))
    assert list(warnings.filters) == filters
    assert np.geterr() == state


class Deferred:
    """An array of a library that computes when it is asked for the numbers; prints, warns or raises then."""

    def __init__(self, shape: tuple[int, ...], then: Callable[[], None]) -> None:
        self.shape, self.then = shape, then

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.then()
        return np.zeros(self.shape)


def fails_late() -> None:
    raise FloatingPointError("computed at last, and failed")


def warns_late() -> None:
    warnings.warn("this API is old", DeprecationWarning, stacklevel=1)


def deferred(then: Callable[[], None]) -> Says:
    return Says(y=lambda g, x, w, b: Deferred(g.y_shape, then))


def test_prints_while_a_result_is_converted_go_to_stderr_too(capsys: pytest.CaptureFixture[str]) -> None:
    answered(deferred(lambda: print("hello")))  # noqa: T201  (what is tested)
    assert capsys.readouterr() == ("", "hello\n")


def test_warnings_while_a_result_is_converted_do_not_become_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answered(deferred(warns_late)).arrays["y"].shape == (2, 4, 3, 5)


# ---- results that break the contract ----
BAD_GRADIENTS = [
    (None, "backward must return (dx, dw, db), None for what is not offered; it returned NoneType"),
    ([np.zeros(1), np.zeros(1)], "it returned list of 2"),
    ((np.zeros(1),) * 4, "it returned tuple of 4"),
    ((), "it returned tuple of 0"),
    (np.zeros((3, 2)), "it returned ndarray"),
    ("abc", "it returned str"),
    ({"dx": 1, "dw": 2, "db": 3}, "it returned dict"),
]


@pytest.mark.parametrize(("gradients", "words"), BAD_GRADIENTS, ids=[w for _, w in BAD_GRADIENTS])
def test_gradients_that_are_no_triple_break_the_contract(gradients: Any, words: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        answered(Says(gradients=gradients), backward=True)
    assert str(caught.value).startswith("fake: backward must return (dx, dw, db)")
    assert str(caught.value).endswith(words)


class Renames(Right):
    def forward(self, g: Geometry, x: Any, kernel: Any, bias: Any = None) -> Any:  # type: ignore[override]
        return super().forward(g, x, kernel, bias)


class Wraps(Right):
    def forward(self, *operands: Any, **named: Any) -> Any:
        return len(3)  # type: ignore[arg-type]

    forward.__wrapped__ = Renames.forward  # type: ignore[attr-defined]


def test_operands_by_other_names_are_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken) as caught:
        answered(Renames())
    assert str(caught.value) == (
        "fake: forward must take (g, x, w, b), by these names; it takes (g, x, kernel, bias=None)"
    )


def test_another_type_error_is_the_implementations_whatever_its_wrapper_shows() -> None:
    with pytest.raises(Raised, match="has no len"):
        answered(Wraps())


def test_a_list_of_three_is_taken() -> None:
    adapter = Says(gradients=lambda g, x, w, b, delta: [x * 1, w * 1, b * 1])
    assert list(answered(adapter, backward=True).arrays) == ["dx", "dw", "db"]


def test_none_for_a_declared_quantity_breaks_the_contract() -> None:
    with pytest.raises(
        AdapterBroken, match=r"^fake: forward returned None for y, which its capabilities declare$"
    ):
        answered(Says(y=None))
    for name, at in (("dx", 0), ("dw", 1), ("db", 2)):
        three: list[Any] = [np.zeros(1)] * 3
        three[at] = None
        expected = f"^fake: backward returned None for {name}, which its capabilities declare$"
        with pytest.raises(AdapterBroken, match=expected):
            answered(Says(gradients=tuple(three)), backward=True)


def test_none_is_right_for_db_without_a_bias_and_for_what_is_not_declared() -> None:
    without = Says(gradients=lambda g, x, w, b, delta: (x * 1, w * 1, None))
    assert list(answered(without, f"{PLAIN} bias=none", backward=True).arrays) == ["dx", "dw"]
    first_layer = claiming(
        Says(gradients=lambda g, x, w, b, delta: (None, w * 1, b * 1)),
        quantities=frozenset({"y", "dw", "db"}),
    )
    assert list(answered(first_layer, backward=True).arrays) == ["dw", "db"]


NO_ARRAYS = [
    ("abc", "fake: y is str of dtype <U3, not an array of numbers"),
    (b"abc", "fake: y is bytes of dtype |S3, not an array of numbers"),
    (np.array([None, 1.0]), "fake: y is ndarray of dtype object, not an array of numbers"),
    (object(), "fake: y is object of dtype object, not an array of numbers"),
    (np.zeros(2, np.complex128), "fake: y is ndarray of dtype complex128, not an array of numbers"),
    (np.zeros(2, "datetime64[s]"), "fake: y is ndarray of dtype datetime64[s], not an array of numbers"),
    ([[1.0], [1.0, 2.0]], "fake: y is list of 2, not a numpy array"),
]


@pytest.mark.parametrize(("y", "sentence"), NO_ARRAYS, ids=[s for _, s in NO_ARRAYS])
def test_what_is_no_array_of_numbers_breaks_the_contract(y: Any, sentence: str) -> None:
    with pytest.raises(AdapterBroken) as caught:
        answered(Says(y=y))
    assert str(caught.value) == sentence


def test_a_gradient_that_is_no_array_of_numbers_is_named() -> None:
    gradients = (np.zeros(1), np.zeros(1, np.complex64), np.zeros(1))
    with pytest.raises(
        AdapterBroken, match=r"^fake: dw is ndarray of dtype complex64, not an array of numbers$"
    ):
        answered(Says(gradients=gradients), backward=True)


@pytest.mark.parametrize("y", [3.0, True, [[1, 2], [3, 4]], np.zeros((1, 2), np.float16)], ids=str)
def test_numbers_of_any_shape_and_real_dtype_are_for_the_clauses_to_judge(y: Any) -> None:
    assert np.array_equal(answered(Says(y=y)).arrays["y"], np.asarray(y))


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_the_dtype_of_results_is_kept(dtype: str) -> None:
    adapter = Says(y=lambda g, x, w, b: np.zeros(g.y_shape, x.dtype))
    assert (
        answered(adapter, f"{PLAIN} {dtype}").arrays["y"].dtype
        == Problem.parse(f"{PLAIN} {dtype}").format.numpy
    )


# ---- whose fault an exception is ----
def raising(error: BaseException) -> Callable[..., Any]:
    def forward(g: Geometry, x: Any, w: Any, b: Any) -> Any:
        raise error

    return forward


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        RuntimeError(""),
        MemoryError("much"),
        SystemExit(3),
        NotImplementedError("later"),
        KeyError("w"),
    ],
)
def test_an_exception_of_the_implementation_is_a_record_with_its_place(error: BaseException) -> None:
    with pytest.raises(Raised) as caught:
        answered(Says(y=raising(error)))
    raised = caught.value
    file, _, line = raised.traceback.rpartition(":")
    assert (raised.kind, raised.text) == (type(error).__name__, str(error))
    assert file == __file__
    assert int(line) == raising.__code__.co_firstlineno + 2
    assert str(raised) == f"{raised.kind}: {raised.text}"
    assert raised.__cause__ is error


def test_an_exception_of_backward_is_a_record_too() -> None:
    with pytest.raises(Raised, match=r"^ZeroDivisionError: no gradient$"):
        answered(Says(gradients=ZeroDivisionError("no gradient")), backward=True)


def test_the_text_of_an_exception_is_one_line_of_at_most_300_characters() -> None:
    with pytest.raises(Raised) as caught:
        answered(Says(y=ValueError("first\n   second\tthird " + "x" * 400)))
    assert caught.value.text.startswith("first second third xxx")
    assert caught.value.text.endswith("xxx...")
    assert len(caught.value.text) == 300


def test_an_exception_while_a_result_is_converted_is_the_implementations() -> None:
    with pytest.raises(Raised, match=r"^FloatingPointError: computed at last, and failed$"):
        answered(deferred(fails_late))


def test_unsupported_is_an_answer_with_its_reason() -> None:
    with pytest.raises(NotOffered, match=r"^no even kernels today$") as caught:
        answered(Says(y=Unsupported("no even kernels today")))
    assert caught.value.__cause__ is None


def test_an_interrupt_is_nobodys_fault() -> None:
    with pytest.raises(KeyboardInterrupt):
        answered(Says(y=KeyboardInterrupt()))


def test_an_attribute_that_a_geometry_does_not_have_is_the_adapters_fault() -> None:
    with pytest.raises(AdapterBroken) as caught:
        answered(Says(y=lambda g, x, w, b: g.strides))
    assert str(caught.value).startswith("Says asks a Geometry for 'strides', which it does not have (")
    assert __file__ in str(caught.value)


def test_an_attribute_that_something_else_does_not_have_is_the_implementations() -> None:
    with pytest.raises(Raised, match=r"^AttributeError: 'numpy.ndarray' object has no attribute 'cuda'$"):
        answered(Says(y=lambda g, x, w, b: x.cuda()))


@pytest.mark.parametrize(
    "error", [ImportError("no such symbol"), ModuleNotFoundError("No module named 'my_cnn'")]
)
def test_an_import_that_fails_is_the_adapters_fault(error: ImportError) -> None:
    with pytest.raises(AdapterBroken) as caught:
        answered(Says(y=error))
    assert str(caught.value).startswith(f"Says: an import fails: {error} (")


def test_operands_by_other_names_are_the_adapters_fault_in_a_process_of_its_own_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from conformance import Adapter, Capabilities\n\n\nclass Mine(Adapter):\n"
        "    capabilities = Capabilities()\n\n    def backward(self, g, x, w, b, dy):\n        pass\n",
        encoding="utf-8",
    )
    p = Problem.parse("2d i4 k2")
    asked = Question(geometry=p.geometry, operands=p.operands, memory="c", backward=True)
    with (
        closing(connect(str(file), in_process=False)) as there,
        pytest.raises(AdapterBroken, match=r"backward must take .* by these names; it takes .*, b, dy"),
    ):
        there.put(asked)


class ForwardOnly(Adapter):
    """It has no backward, and its capabilities do not say so."""

    capabilities = EVERYTHING

    def forward(self, g: Geometry, x: Any, w: Any, b: Any) -> Any:
        return np.zeros(g.y_shape)


def test_a_missing_method_is_the_adapters_fault() -> None:
    with pytest.raises(
        AdapterBroken, match=r"^ForwardOnly has no backward, though its capabilities declare its quantities$"
    ):
        answered(ForwardOnly(), backward=True)


def test_a_session_takes_operands_of_any_size() -> None:
    """Clauses put mismatched operands on purpose: what comes of it is the implementation's answer."""
    asked = question()
    wider = dataclasses.replace(asked, operands=asked.operands.replace(x=np.ones((2, 9, 5, 6))))
    assert Session(Says(y=lambda g, x, w, b: list(x.shape)), "fake").answer(wider).arrays["y"].tolist() == [
        2,
        9,
        5,
        6,
    ]
