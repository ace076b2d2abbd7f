"""Imports point one way: a module imports from its own layer and from those before it, never from a later one.

All imports count, wherever they stand: at the top of a module, inside a function (a cycle that is put off is a cycle)
and under TYPE_CHECKING (to know a type is to know its module).  Only conformance/__init__.py is outside the order: it
is the table of contents, names what lies in many layers, and imports it on first use.  That is for users; inside the
package a name is imported from its home.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import conformance

DOORS = "doors"
LAYERS = (
    "escape",
    "errors",
    "problem",
    "oracle",
    "spec",
    "adapter",
    "engine",
    "mistakes",
    "report",
    "reference",
    "learner",
    DOORS,
)
LAYER_OF_DOOR = dict.fromkeys(("__main__", "cli", "cli_adapters", "say", "pytest_plugin", "testing"), DOORS)
NOT_OURS = "_bundled"  # adapters, by a build
PACKAGE = Path(conformance.__file__).parent


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of each module below the table of contents."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] not in ("__init__", NOT_OURS):
            yield ".".join(("conformance", *(p for p in parts if p != "__init__"))), path


def imports(module: str, path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports; what stands behind `from` comes first in the name."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            source = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*source, alias.name]) for alias in node.names)


def layer_of(name: str) -> str | None:
    """The layer of a dotted name of ours; None if it has none."""
    part = name.split(".")[1]
    layer = LAYER_OF_DOOR.get(part, part)
    return layer if layer in LAYERS else None


def reachable(layer: str) -> tuple[str, ...]:
    """The layers that a layer may import; the reference stands alone: it must be readable without the rest."""
    return (layer,) if layer == "reference" else LAYERS[: LAYERS.index(layer) + 1]


def violations(package: Path) -> list[str]:
    """One sentence a wrong import."""
    return [said for module, path in modules(package) for said in _wrong(module, path)]


def _wrong(module: str, path: Path) -> Iterator[str]:
    layer = layer_of(module)
    if layer is None:
        yield f"{module} has no layer: give it one here, or move it into one"
        return
    for name in imports(module, path):
        ours = name.startswith("conformance.") and name != "conformance.__version__"
        if ours and layer_of(name) not in reachable(layer):
            yield f"{module} imports {name}"


def imported_by(layer: str, package: Path = PACKAGE) -> set[str]:
    return {
        name
        for module, path in modules(package)
        if layer_of(module) == layer
        for name in imports(module, path)
    }


def test_imports_point_to_layers_before() -> None:
    assert violations(PACKAGE) == []


def test_the_oracle_never_imports_the_reference() -> None:
    """It would judge a copy of itself.  The order forbids it already; this holds whatever becomes of the order."""
    assert not {name for name in imported_by("oracle") if name.startswith("conformance.reference")}


def test_the_reference_imports_numpy_only() -> None:
    """But for what its network learns from: the digits are scikit-learn's, and imported when asked for."""
    foreign = {
        (module, name.split(".")[0])
        for module, path in modules(PACKAGE)
        if layer_of(module) == "reference"
        for name in imports(module, path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "conformance", "numpy"}
    }
    assert foreign == {("conformance.reference.digits", "sklearn")}


def test_the_reference_is_imported_without_the_digits() -> None:
    code = "import sys, conformance.reference.train; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- the test tested: what it must report, and what it must not ----


def package_with(tmp_path: Path, module: str, text: str) -> Path:
    path = tmp_path / "conformance" / module
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return tmp_path / "conformance"


@pytest.mark.parametrize(
    ("module", "text", "reported"),
    [
        ("problem/bad.py", "import conformance.engine", "conformance.engine"),
        ("problem/bad.py", "import json, conformance.engine.runner as r", "conformance.engine.runner"),
        ("problem/bad.py", "from conformance import engine", "conformance.engine"),
        ("problem/bad.py", "from conformance.engine import runner", "conformance.engine.runner"),
        ("problem/bad.py", "from conformance.cli import main", "conformance.cli.main"),
        ("problem/bad.py", "from ..engine.runner import run", "conformance.engine.runner.run"),
        ("problem/bad.py", "from .. import engine", "conformance.engine"),
        ("problem/__init__.py", "from ..spec import clause", "conformance.spec.clause"),
        ("problem/bad.py", "def f():\n    import conformance.spec", "conformance.spec"),
        (
            "problem/bad.py",
            "if TYPE_CHECKING:\n    from conformance.spec import Clause",
            "conformance.spec.Clause",
        ),
        ("problem/bad.py", "from conformance import Geometry", "conformance.Geometry"),
        ("oracle/bad.py", "from conformance.reference import conv", "conformance.reference.conv"),
        ("reference/bad.py", "from conformance.problem import Geometry", "conformance.problem.Geometry"),
        ("errors.py", "import conformance.problem", "conformance.problem"),
    ],
)
def test_a_wrong_import_is_reported(tmp_path: Path, module: str, text: str, reported: str) -> None:
    (said,) = violations(package_with(tmp_path, module, text))
    assert said.endswith(f" imports {reported}")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("problem/good.py", "from conformance.errors import GeometryError"),
        ("problem/good.py", "from conformance.problem.geometry import Geometry"),
        ("problem/good.py", "from .geometry import Geometry"),
        ("problem/__init__.py", "from .geometry import Geometry"),
        ("problem/good.py", "from conformance import __version__"),
        ("adapter/protocol.py", "from conformance.oracle.arithmetic import Arithmetic"),
        ("cli.py", "from conformance import engine, reference\nfrom conformance.report import model"),
        ("reference/good.py", "import numpy as np\nfrom conformance.reference import layers"),
        ("_bundled/adapters/python-torch/adapter_torch.py", "from conformance import Geometry"),
        ("__init__.py", "from conformance.cli import main"),
    ],
)
def test_a_right_import_is_not_reported(tmp_path: Path, module: str, text: str) -> None:
    assert violations(package_with(tmp_path, module, text)) == []


def test_a_module_without_a_layer_is_reported(tmp_path: Path) -> None:
    (said,) = violations(package_with(tmp_path, "helpers.py", ""))
    assert said.startswith("conformance.helpers has no layer")
