"""The runner as one zip: the modules that measuring needs, found by their imports, the same bytes every time."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGES = ("compress", "deploy")
# Runtimes are chosen by name when the runner runs, so that no import statement leads to them.
_WHOLE = ("deploy.runner", "deploy.runtimes")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


@dataclass(frozen=True)
class Bundle:
    """``data`` is the zip; ``sha256`` of it identifies the runner."""

    data: bytes
    sha256: str
    modules: tuple[str, ...]


@cache
def bundle() -> Bundle:
    """Return the zip of the runner, the runtimes' drivers and all of the project's modules that they import."""
    modules = closure()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in modules.items():
            entry = zipfile.ZipInfo(_entry(name, path), _EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _MODE
            archive.writestr(entry, path.read_bytes())
    data = stream.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest(), tuple(modules))


def closure() -> dict[str, Path]:
    """Return the modules that the runner needs, by name in order, with their files.

    Imports inside functions count; those for type checkers only do not.
    """
    found: dict[str, Path] = {}
    waiting = [module for package in _WHOLE for module in _within(package)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _file(name)
        if path is None:
            continue
        found[name] = path
        parent = name.rpartition(".")[0]
        waiting += [parent] if parent else []
        waiting += [imported for imported in _imports(path) if imported.partition(".")[0] in _PACKAGES]
    return dict(sorted(found.items()))


def foreign() -> dict[str, set[str]]:
    """Return the top-level names that the closure imports from outside the project, each with who imports it."""
    names: dict[str, set[str]] = {}
    for module, path in closure().items():
        for imported in _imports(path):
            top = imported.partition(".")[0]
            if top not in _PACKAGES:
                names.setdefault(top, set()).add(module)
    return names


def _within(package: str) -> Iterator[str]:
    yield package
    folder = _root(package) / Path(*package.split("."))
    for path in sorted(folder.rglob("*.py")):
        parts = [*package.split("."), *path.relative_to(folder).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Yield what a module imports; ``from a import b`` may mean the module ``a.b``, so that both are said."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes(), filename=str(path))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            if node.module.partition(".")[0] in _PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _file(module: str) -> Path | None:
    base = _root(module).joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _entry(module: str, path: Path) -> str:
    return str(path.relative_to(_root(module)).as_posix())


@cache
def _package_root(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the project's package {package} is not installed", name=package)
    return Path(spec.origin).resolve().parent.parent


def _root(module: str) -> Path:
    return _package_root(module.partition(".")[0])
