"""An adapter's method as a plain function, with the geometry filled in: what it calls, without the adapter around it.

``return my_cnn.conv_backward(x, w, b, delta, g.stride[0])`` becomes ``return my_cnn.conv_backward(x, w, b, delta, 2)``.
This works where the method uses nothing but its arguments, its own variables and what the adapter's file imports.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.adapter.protocol import Adapter
from conformance.problem import Geometry

__all__ = ["Function", "inlined"]


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that needs no adapter: its source, the imports that it needs, and the folder where these are found.

    folder: '' if nothing is imported from beside the adapter's file.
    """

    name: str
    source: str
    imports: tuple[str, ...]
    folder: str


def inlined(adapter: Adapter, method: str, g: Geometry) -> Function | None:
    """The function that ``forward`` or ``backward`` of an adapter is on one geometry; None if it is not that simple."""
    file = inspect.getsourcefile(type(adapter))
    if file is None:
        return None
    module = ast.parse(Path(file).read_text(encoding="utf-8"))
    definition = _method(module, type(adapter).__name__, method)
    if definition is None:
        return None
    me, geometry, *operands = [a.arg for a in definition.args.args]
    function = _function(definition, operands, _Filled(geometry, g))
    needed = _free_names(function)
    imports = {name: node for node in module.body for name in _bound(node)}
    simple = needed <= {*imports, *dir(builtins)} - {me, geometry, "super"}
    used = [imports[name] for name in sorted(needed & set(imports))]
    homes = {home for node in used for home in _homes(node)}
    if not simple or "conformance" in homes:
        return None
    folder = Path(file).resolve().parent
    beside = any((folder / f"{home}.py").is_file() or (folder / home).is_dir() for home in homes)
    return Function(
        name=method,
        source=ast.unparse(function),
        imports=tuple(dict.fromkeys(map(ast.unparse, used))),
        folder=str(folder) if beside else "",
    )


def _method(module: ast.Module, class_: str, method: str) -> ast.FunctionDef | None:
    """The undecorated method of the class, with positional arguments only."""
    found = [
        node
        for cls in module.body
        if isinstance(cls, ast.ClassDef) and cls.name == class_
        for node in cls.body
        if isinstance(node, ast.FunctionDef) and node.name == method and not node.decorator_list
    ]
    count = {"forward": 5, "backward": 6}[method]
    return found[0] if found and len(found[0].args.args) == count else None


def _function(
    definition: ast.FunctionDef, operands: list[str], filled: ast.NodeTransformer
) -> ast.FunctionDef:
    """The method without its first two arguments, its annotations and its docstring."""
    body = definition.body[1:] if ast.get_docstring(definition) is not None else definition.body
    made = ast.FunctionDef(
        name=definition.name,
        args=ast.arguments(
            posonlyargs=[],
            args=[ast.arg(arg=name) for name in operands],
            kwonlyargs=[],
            kw_defaults=[],
            defaults=[],
        ),
        body=[filled.visit(statement) for statement in body],
        decorator_list=[],
    )
    return ast.fix_missing_locations(made)


class _Filled(ast.NodeTransformer):
    """Puts the values of ``g.stride[0]`` and the like in their place."""

    def __init__(self, name: str, g: Geometry) -> None:
        self._name, self._g = name, g

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._filled(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return self._filled(node)

    def _filled(self, node: ast.expr) -> ast.AST:
        try:
            return ast.parse(repr(ast.literal_eval(repr(self._value(node)))), mode="eval").body
        except (ValueError, SyntaxError, AttributeError, LookupError, TypeError):
            return self.generic_visit(node)

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id == self._name:
            return self._g
        if isinstance(node, ast.Attribute):
            return getattr(self._value(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return self._value(node.value)[ast.literal_eval(node.slice)]
        raise ValueError(ast.unparse(node))


def _free_names(function: ast.FunctionDef) -> set[str]:
    """Names that the function reads and does not make."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | {
        a.arg for a in function.args.args
    }
    return {node.id for node in names} - made


def _bound(node: ast.stmt) -> list[str]:
    """The names that an import gives."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _homes(node: ast.stmt) -> list[str]:
    """The top packages that an import needs."""
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in node.names] if isinstance(node, ast.Import) else []
