"""Digest of a Python source file that ignores formatting and comments, and its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unidet.store.hashing import sha256_bytes

VERSION = 1  # of the hashed text; increase it when the same source gives another text

_TYPE_ONLY = ("__future__", "typing", "typing_extensions", "collections.abc")
_MEANINGLESS_FIELDS = ("ctx", "kind", "type_comment", "type_ignores")


@dataclass(frozen=True)
class Source:
    """One module.

    Attributes:
        digest: sha256 of its normalised syntax tree.
        imports: absolute names of modules that it imports from its own top package.
        perhaps: `package.name` for each `from package import name`; it may not be a module.
    """

    digest: str
    imports: tuple[str, ...]
    perhaps: tuple[str, ...]


def read_source(text: bytes, name: str, is_package: bool) -> Source:
    """Parse a module's source.

    Raises:
        SyntaxError: it does not parse.
    """
    writer = _Writer(name, is_package)
    writer.write_node(ast.parse(text, filename=name))
    normalised = "\n".join(writer.words).encode()
    return Source(
        sha256_bytes(normalised), tuple(sorted(writer.imports)), tuple(sorted(writer.perhaps))
    )


class _Writer:
    """Walks a syntax tree once, writes its text and collects its imports.

    `ast.dump` is not used because its output differs between Python versions. Empty fields are
    omitted, since newer versions add fields that are empty for older source.
    """

    def __init__(self, name: str, is_package: bool) -> None:
        self.words: list[str] = []
        self.imports: set[str] = set()
        self.perhaps: set[str] = set()
        self._top = name.partition(".")[0]
        self._package = name.split(".") if is_package else name.split(".")[:-1]

    def write_node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._note_dynamic_import(node)
        self.words.append(f"({type(node).__name__}")
        for field in node._fields:
            value: Any = getattr(node, field, None)
            is_constant = isinstance(node, ast.Constant) and field == "value"
            if field in _MEANINGLESS_FIELDS or (not is_constant and (value is None or value == [])):
                continue
            self.words.append(f".{field}")
            if isinstance(node, ast.JoinedStr):
                value = list(_join_constants(value))
            self._write(value)
        self.words.append(")")

    def _write(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.write_node(value)
        elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            self._write_statements(value)
        elif isinstance(value, list):
            self.words.append("[")
            for item in value:
                self._write(item)
            self.words.append("]")
        else:
            # ascii instead of repr: Python versions differ in which characters are printable.
            self.words.append(ascii(value))

    def _write_statements(self, statements: list[ast.stmt]) -> None:
        self.words.append("[")
        run: list[str] = []
        for statement in _meaningful(statements):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                run.extend(self._import(statement))
            else:
                self._end_imports(run)
                self.write_node(statement)
        self._end_imports(run)
        self.words.append("]")

    def _end_imports(self, run: list[str]) -> None:
        """Write consecutive imports in sorted order, so that sorting them changes no digest."""
        self.words.extend(sorted(run))
        run.clear()

    def _import(self, statement: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                self._note(alias.name)
            return [f"import {alias.name} as {alias.asname}" for alias in statement.names]
        module = self._absolute(statement)
        if module in _TYPE_ONLY:
            return []
        self._note(module)
        if self._is_own(module):
            self.perhaps.update(f"{module}.{alias.name}" for alias in statement.names)
        return [f"from {module} import {alias.name} as {alias.asname}" for alias in statement.names]

    def _absolute(self, statement: ast.ImportFrom) -> str:
        if statement.level == 0:
            return statement.module or ""
        base = self._package[: len(self._package) - (statement.level - 1)]
        return ".".join([*base, *([statement.module] if statement.module else [])])

    def _note_dynamic_import(self, call: ast.Call) -> None:
        """Collect calls such as `import_module("unidet.x")` with a literal name."""
        name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
        if name in ("import_module", "__import__") and call.args:
            target = getattr(call.args[0], "value", None)
            if isinstance(target, str):
                self._note(target)

    def _note(self, module: str) -> None:
        if self._is_own(module):
            self.imports.add(module)

    def _is_own(self, module: str) -> bool:
        return module.partition(".")[0] == self._top


def _meaningful(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements without docstrings and without `if TYPE_CHECKING` blocks."""
    for statement in statements:
        if isinstance(statement, ast.If) and _is_type_checking(statement.test):
            yield from _meaningful(statement.orelse)
        elif not _is_bare_text(statement):
            yield statement


def _is_type_checking(test: ast.expr) -> bool:
    if isinstance(test, ast.Attribute):
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _is_bare_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return (
        isinstance(statement, ast.Expr)
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
    )


def _join_constants(values: list[ast.expr]) -> Iterator[ast.expr]:
    """Parts of an f-string without empty strings, which Python 3.12 adds to format specs."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield value
    if text:
        yield ast.Constant(text)
