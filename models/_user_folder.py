"""One user's file and the modules that belong to it, kept apart from everybody else's ``sys.modules``.

The names that belong to the file are those that Python would resolve beside it: in its own folder, or, where that
folder is a package, in the folder that holds the outermost package (so that relative imports work). Further folders,
the file's own when it lies in a package and the working directory when it holds the file, are asked only for names
that nothing else offers. Our own four packages never win over a user's, also where the user's lie in a folder that his
code adds to ``sys.path``; the standard library always wins.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_OURS = ("compress", "deploy", "exporters", "models")
_OUR_ROOT = Path(__file__).resolve().parent.parent
# sys.modules is one for all threads: two folders must not be active at a time.
_lock = threading.RLock()


class UserFolder:
    """The modules of the project around one file; also the finder that loads them (a ``sys.meta_path`` entry)."""

    def __init__(self, file: Path) -> None:
        self.file = file
        root = _package_root(file)
        self._in_package = root != file.parent
        self._roots = [root, *_further_roots(file, root)]
        self.main_name = _module_name(file, root)
        self._names = _owned_names(self._roots) | {self.main_name.partition(".")[0]}
        self._modules: dict[str, ModuleType] = {}
        self._outside: dict[str, ModuleType] = {}
        self._outer_path: list[str] = []
        self._added_path: list[str] = []
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._depth = 0
        self.builtins = {**vars(builtins), "__import__": self._import}

    def load_main(self) -> ModuleType:
        """Run the file as a module, once; later calls return the same module. Whatever it raises is passed on."""
        importlib.invalidate_caches()
        with self.active():
            if self._in_package:
                return importlib.import_module(self.main_name)
            return self._load_alone()

    def is_stale(self) -> bool:
        """Whether a file that was loaded has changed or gone since."""
        return any(_stamp(path) != stamp for path, stamp in self._stamps.items())

    def owns_file(self, path: str) -> bool:
        """Whether ``path`` is one of the files that were loaded for this project."""
        return Path(path) in self._stamps

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While entered, the project's names resolve in it; ``sys.modules`` and ``sys.path`` are restored after."""
        with _lock:
            if self._depth == 0:
                self._enter()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._leave()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the project (the protocol of ``sys.meta_path``)."""
        if name.partition(".")[0] not in self._names:
            return None
        spec = PathFinder.find_spec(name, [str(root) for root in self._roots] if path is None else path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self)
        return spec

    def remember(self, path: str) -> None:
        """Note that ``path`` was loaded, as it is now."""
        self._stamps[Path(path)] = _stamp(Path(path))

    def _load_alone(self) -> ModuleType:
        known = sys.modules.get(self.main_name)
        if known is not None:
            return known
        loader = _Loader(self.main_name, str(self.file), self)
        spec = importlib.util.spec_from_file_location(self.main_name, self.file, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.main_name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            sys.modules.pop(self.main_name, None)
            raise
        return sys.modules[self.main_name]

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """``__import__`` for the project's modules: their names resolve in the project, whenever they are imported."""
        top = name.partition(".")[0]
        foreign = level == 0 and top not in self._names
        if foreign and top not in _OURS and name in sys.modules:
            return builtins.__import__(name, globals, locals, fromlist, level)
        with self.active():
            if foreign and top in _OURS:
                self._claim(top)
            return builtins.__import__(name, globals, locals, fromlist, level)

    def _enter(self) -> None:
        self._outside = _take_out(self._names)
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        self._outer_path = list(sys.path)
        sys.path[:0] = self._added_path

    def _leave(self) -> None:
        self._added_path = [entry for entry in sys.path if entry not in self._outer_path]
        sys.path[:] = self._outer_path
        sys.meta_path.remove(self)
        self._modules = _take_out(self._names)
        sys.modules.update(self._outside)

    def _claim(self, name: str) -> None:
        """Make one of our names the project's, if a folder that its code added to ``sys.path`` holds it."""
        added = [Path(entry).resolve() for entry in sys.path if entry not in self._outer_path]
        for root in added:
            if root != _OUR_ROOT and name in _importable_names(root):
                self._roots.append(root)
                self._names.add(name)
                self._outside |= _take_out({name})
                return


class _Loader(SourceFileLoader):
    """Loads from source only: byte code files are trusted by whole seconds, and would litter the user's folders."""

    def __init__(self, name: str, path: str, folder: UserFolder) -> None:
        super().__init__(name, path)
        self._folder = folder

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        self._folder.remember(self.path)
        vars(module)["__builtins__"] = self._folder.builtins
        super().exec_module(module)


def _package_root(file: Path) -> Path:
    root = file.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    return root


def _further_roots(file: Path, root: Path) -> list[Path]:
    candidates = [file.parent, *([Path.cwd()] if file.is_relative_to(Path.cwd()) else [])]
    return [folder for folder in dict.fromkeys(candidates) if folder != root]


def _module_name(file: Path, root: Path) -> str:
    if root != file.parent:
        parts = file.relative_to(root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    stem = file.stem.replace(".", "_")
    return f"user_file_{stem}" if stem in sys.stdlib_module_names else stem


def _owned_names(roots: Sequence[Path]) -> set[str]:
    owned: set[str] = set()
    for root in roots:
        for name, regular in _importable_names(root).items():
            if name in sys.stdlib_module_names or _is_ours(root, name):
                continue
            beside = regular and root == roots[0]
            if beside or name in _OURS or not _importable_elsewhere(name):
                owned.add(name)
    return owned


def _importable_names(folder: Path) -> dict[str, bool]:
    """Top-level names that ``folder`` offers, and whether each is a module or regular package (not a bare folder)."""
    names: dict[str, bool] = {}
    if not os.access(folder, os.R_OK | os.X_OK):
        return names
    for entry in folder.iterdir():
        if entry.suffix == ".py" and entry.stem.isidentifier():
            names[entry.stem] = True
        elif entry.name.isidentifier() and entry.is_dir():
            regular = (entry / "__init__.py").is_file()
            if regular or any(entry.glob("*.py")):
                names[entry.name] = regular or names.get(entry.name, False)
    return names


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    found = [name for name in list(sys.modules) if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


def _is_ours(root: Path, name: str) -> bool:
    return name in _OURS and root.resolve() == _OUR_ROOT


def _importable_elsewhere(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
