"""Methods of adapters as plain functions: taken over only where they mean the same without the adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance.adapter.connect import load_class
from conformance.mistakes.inline import Function, inlined
from conformance.problem import Geometry

G = Geometry(size=(5, 6), kernel=(2, 3), stride=(2, 3), padding=((1, 0), (2, 1)))
Inline = Callable[..., Function | None]


@pytest.fixture
def inline(tmp_path: Path) -> Inline:
    """`forward` of an adapter whose file has these lines."""

    def written(
        body: str, *, head: str = "import numpy as np", signature: str = "self, g, x, w, b"
    ) -> Function | None:
        text = (
            f"{head}\nfrom conformance import Adapter\n\n\nclass A(Adapter):\n    def forward({signature}):\n"
        )
        path = tmp_path / f"adapter{abs(hash((body, head, signature)))}.py"
        path.write_text(text + "".join(f"        {line}\n" for line in body.splitlines()), encoding="utf-8")
        return inlined(load_class(path)(), "forward", G)

    return written


def test_the_geometry_is_filled_in(inline: Inline) -> None:
    function = inline("return np.pad(x, g.padding[1][0]) * g.stride[-1] + w.sum() + len(g.convention)")
    assert function is not None
    assert function.source == (
        "def forward(x, w, b):\n    return np.pad(x, 2) * 3 + w.sum() + len('correlation')"
    )
    assert function.imports == ("import numpy as np",)
    assert function.folder == ""


def test_whole_tuples_are_filled_in_and_variables_kept(inline: Inline) -> None:
    function = inline(
        '"""What it does."""\ntotal = x\nfor s in g.stride:\n    total = total * s\nreturn total'
    )
    assert function is not None
    assert "for s in (2, 3):" in function.source
    assert "What it does" not in function.source
    namespace: dict[str, Callable[..., object]] = {}
    exec(function.source, namespace)  # noqa: S102  (that is what it is for)
    np.testing.assert_array_equal(namespace["forward"](np.ones(2), None, None), [6, 6])


def test_annotations_and_other_names_of_arguments_do_not_matter(inline: Inline) -> None:
    function = inline("return image * geo.stride[0]", signature="me, geo: dict, image: list, w, b")
    assert function is not None
    assert function.source == "def forward(image, w, b):\n    return image * 2"


def test_what_lies_beside_the_adapter_is_found_in_its_folder(inline: Inline, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("def conv(x): return x\n", encoding="utf-8")
    function = inline("return neighbour.conv(x)", head="import neighbour")
    assert function is not None
    assert (function.folder, function.imports) == (str(tmp_path.resolve()), ("import neighbour",))
    assert inline("return conv(x)", head="from neighbour import conv").imports == (
        "from neighbour import conv",
    )


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("return self.layer(x)", ""),
        ("return super().forward(g, x, w, b)", ""),
        ("return super().versions()", ""),
        ("return print(g)", "import math as g"),
        ("return layer(g, x)", "layer = print"),
        ("return print(g)", ""),
        ("return print(g.x_shape, g)", ""),
        ("return x[g.kept]", ""),
        ("return helper(x)", "def helper(x): return x"),
        ("return Convolution(w)", "from conformance.reference import Convolution"),
        ("return conformance.Geometry", "import conformance"),
        ("return g.nonsense", ""),
    ],
)
def test_what_needs_the_adapter_or_this_package_is_left_alone(body: str, head: str, inline: Inline) -> None:
    assert inline(body, head=head) is None


@pytest.mark.parametrize(
    ("signature", "body"), [("self, *args", "return 1"), ("self, g, x, w, b, *more", "return more")]
)
def test_other_signatures_are_left_alone(signature: str, body: str, inline: Inline) -> None:
    assert inline(body, signature=signature) is None
