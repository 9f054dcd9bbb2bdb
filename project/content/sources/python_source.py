"""What one Python source file of the standard library defines, documents, imports and offers."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True, slots=True)
class Definition:
    """A documented class or function; `path` is its dotted name inside the module."""

    path: str
    signature: str
    docstring: str
    is_class: bool

    @property
    def head(self) -> str:
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Module:
    """`imports` holds (module, names) of each `from module import names`; `exports` is `__all__`, if it is plain."""

    name: str
    is_package: bool
    docstring: str
    definitions: tuple[Definition, ...]
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    exports: frozenset[str]


def modules_under(top: str) -> Iterator[str]:
    """The names of the module or package `top` and of everything in it."""
    if (ROOT / f"{top}.py").exists():
        yield top
    for path in (ROOT / top).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def read(name: str) -> Module | None:
    """The module called `name`; None where it has no source file or cannot be parsed."""
    path = ROOT.joinpath(*name.split("."))
    is_package = (path / "__init__.py").exists()
    try:
        source = (path / "__init__.py" if is_package else path.with_suffix(".py")).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return None
    return Module(
        name=name,
        is_package=is_package,
        docstring=ast.get_docstring(tree) or "",
        definitions=tuple(_definitions(tree.body, "")),
        imports=tuple(_imports(tree.body, name if is_package else name.rpartition(".")[0])),
        exports=_exports(tree.body),
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, with those under `if` and `try`, where libraries keep their variants."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from _statements([*statement.body, *handlers, *statement.orelse])


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[Definition]:
    for node in _statements(body):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        is_class = isinstance(node, ast.ClassDef)
        if docstring := ast.get_docstring(node):
            yield Definition(prefix + node.name, _signature(node, bool(prefix)), docstring, is_class)
        if is_class:
            yield from _definitions(node.body, f"{prefix}{node.name}.")


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> str:
    """The parameters as a caller gives them: a class has those of its `__init__`, a method no `self`."""
    if isinstance(node, ast.ClassDef):
        makers = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
        return _signature(makers[0], True) if makers else ""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if any(decorator.endswith(("property", ".setter")) for decorator in decorators):
        return ""
    arguments = node.args
    if is_method and "staticmethod" not in decorators:
        positional = arguments.posonlyargs or arguments.args
        del positional[:1]
    return f"({ast.unparse(arguments)})"


def _imports(body: list[ast.stmt], package: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in _statements(body):
        if isinstance(node, ast.ImportFrom):
            yield _origin(node, package), tuple(alias.name for alias in node.names)


def _origin(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that `node` imports from, inside `package`."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])


def _exports(body: list[ast.stmt]) -> frozenset[str]:
    names: set[str] = set()
    for node in _statements(body):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names.update(_strings(value))
            case ast.AugAssign(target=ast.Name(id="__all__"), value=value):
                names.update(_strings(value))
    return frozenset(names)


def _strings(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.List | ast.Tuple):
        for element in value.elts:
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                yield element.value
