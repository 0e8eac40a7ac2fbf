"""Which of our files an app needs, found by reading its imports without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from deploy.errors import DeployError

PACKAGES = ("common", "router", "nano")
"""Our packages that may travel in a bundle; `spaces` is always the one from PyPI."""

How = Literal["always", "late", "optional"]
"""At import; when a function is called; or under `except ImportError`."""


@dataclass
class Closure:
    """Our files, and the foreign modules they import (top-level name to the first file that names it).

    `late` are those that only functions import; they may be extras.
    """

    files: set[Path] = field(default_factory=set)
    foreign: dict[str, Path] = field(default_factory=dict)
    late: dict[str, Path] = field(default_factory=dict)

    @property
    def packages(self) -> set[Path]:
        """Folders of our packages that are in it."""
        return {f.parent for f in self.files if f.name == "__init__.py"}


def closure(root: Path, start: Iterable[Path]) -> Closure:
    """Follow every import, the late ones in functions too, from the `start` files."""
    found = Closure()
    queue = list(start)
    siblings = {f.parent for f in queue}
    while queue:
        file = queue.pop()
        if file in found.files:
            continue
        found.files.add(file)
        try:
            package = file.name == "__init__.py"
            imports = _imports_of(file.read_text(encoding="utf-8"), _module_name(root, file), package)
        except SyntaxError as error:
            where = f"{file.relative_to(root)} line {error.lineno}"
            raise DeployError(f"{where} must be valid Python to travel; {error.msg}: mend it") from None
        for module, how in imports:
            top = module.split(".")[0]
            if top in PACKAGES:
                queue += _files_of(root, module)
            elif local := next((d / f"{top}.py" for d in siblings if (d / f"{top}.py").is_file()), None):
                queue.append(local)
            elif top not in sys.stdlib_module_names and how != "optional":
                (found.late if how == "late" else found.foreign).setdefault(top, file)
    found.late = {k: v for k, v in found.late.items() if k not in found.foreign}
    return found


def _module_name(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache  # a push reads the same files for each Space, and more than once
def _imports_of(source: str, module: str, is_package: bool) -> tuple[tuple[str, How], ...]:
    return tuple(_imports(ast.parse(source), module, is_package))


def _imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, How]]:
    """(module, how) of each import; `from a import b` gives a and a.b, for b may be a module."""
    for node, how in _walk(tree, "always"):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, how
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base, how
            for alias in node.names:
                yield f"{base}.{alias.name}", how


def _walk(node: ast.AST, how: How) -> Iterator[tuple[ast.AST, How]]:
    """Every node but what stands under TYPE_CHECKING, with how an import there would be meant."""
    yield node, how
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for child in node.orelse:
            yield from _walk(child, how)
        return
    if isinstance(node, ast.Try):
        caught = "".join(ast.dump(h.type) for h in node.handlers if h.type)
        tried: How = "optional" if "ImportError" in caught or "ModuleNotFound" in caught else how
        for child in node.body:
            yield from _walk(child, tried)
        for child in (*node.handlers, *node.orelse, *node.finalbody):
            yield from _walk(child, how)
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and how == "always":
        how = "late"
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, how)


def _files_of(root: Path, module: str) -> list[Path]:
    """The file of a dotted name with the __init__ of every package above it; [] for an attribute."""
    parts = module.split(".")
    out: list[Path] = []
    for i in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:i])
        if (base / "__init__.py").is_file():
            out.append(base / "__init__.py")
        elif base.with_suffix(".py").is_file():
            out.append(base.with_suffix(".py"))
    return out
