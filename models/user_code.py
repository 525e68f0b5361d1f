"""Functions from the user's own files, loaded so that the packages beside them win over ours.

A user's project often has a ``models`` package of its own. While such a file is loaded, and while its functions are
called through :class:`UserFunction`, every name that its folder offers resolves there; afterwards ``sys.modules`` is as
before. Imports that the user's functions do later (in ``forward``, say) still find their own packages, because each of
their modules is given an ``__import__`` of its own. See ``models/_user_folder.py``.
"""

from __future__ import annotations

import ast
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from compress.errors import CompressError, ModelError
from models import torchvision_shim
from models._user_folder import UserFolder
from models.providers.base import one_line

_folders: dict[Path, UserFolder] = {}


@dataclass(frozen=True)
class UserFunction:
    """A function or class of a user's file. Calling it runs it among the user's own packages.

    ``where`` is the reference that named it, ``name`` what follows the colon.
    """

    function: Callable[..., Any]
    folder: UserFolder
    name: str
    where: str

    @classmethod
    def load(cls, ref: str) -> UserFunction:
        """Load ``path/file.py:name``; ``name`` may be dotted. An unchanged file is not run a second time.

        Raises:
            ModelError: the file is missing, does not run, or has no such callable.
        """
        text, colon, name = ref.rpartition(":")
        if not colon:
            raise ModelError("names no function", where=ref, hint="write path/file.py:function")
        folder = _folder(_existing_file(text, ref))
        torchvision_shim.ensure()  # the file, or a package it imports, may import torchvision
        module = _run(lambda: folder.load_main(), folder, f"{folder.file.name} cannot be loaded", ref)
        return cls(_find(module, name, folder.file, ref), folder, name, ref)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it; whatever it raises becomes a :class:`ModelError` that names the exception, file and line."""

        def call() -> Any:
            with self.folder.active():
                return self.function(*args, **kwargs)

        return _run(call, self.folder, f"'{self.name}' failed", self.where)


def load_function(ref: str) -> Callable[..., Any]:
    """Return the bare function ``path/file.py:name``, for callers that call it often (a loss, a metric).

    What it raises is passed on as it is. Raises as :meth:`UserFunction.load`.
    """
    return UserFunction.load(ref).function


def _existing_file(text: str, ref: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix != ".py":
        raise ModelError("is not a Python file", where=ref, hint="write path/file.py:function")
    if path.is_dir():
        raise ModelError("is a folder, a Python file was expected", where=ref)
    if not path.is_file():
        raise ModelError("no such file", where=ref, hint=f"paths are relative to {os.path.basename(Path.cwd())}/")
    if not os.access(path, os.R_OK):
        raise ModelError("cannot be read", where=ref, hint="check the file's permissions")
    return path.resolve()


def _folder(path: Path) -> UserFolder:
    known = _folders.get(path)
    if known is None or known.is_stale():
        known = _folders[path] = UserFolder(path)
    return known


def _run(action: Callable[[], Any], folder: UserFolder, what: str, where: str) -> Any:
    try:
        return action()
    except SystemExit as error:
        raise ModelError(f"{what}: it calls exit ({error.code})", where=where, hint=_MAIN_GUARD) from error
    except CompressError:
        raise
    except Exception as error:
        raise ModelError(f"{what}: {one_line(error)}{_place(error, folder)}", where=where) from error


_MAIN_GUARD = 'put what is to run as a script under if __name__ == "__main__":'


def _place(error: Exception, folder: UserFolder) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if folder.owns_file(f.filename)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _find(module: ModuleType, name: str, file: Path, ref: str) -> Callable[..., Any]:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            offered = _public_names(file)
            hint = f"the file defines: {', '.join(offered[:8])}" if offered else "the file defines no function or class"
            raise ModelError(f"{file.name} has no '{name}'", where=ref, hint=hint)
        value = getattr(value, part)
    if not callable(value):
        raise ModelError(f"'{name}' is not a function or class but {type(value).__name__}", where=ref)
    return value


def _public_names(file: Path) -> list[str]:
    body = ast.parse(file.read_bytes()).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]
