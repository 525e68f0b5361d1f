"""``file.py:factory``: the user's own function, which returns a training and a validation loader."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compress.data.source import DataSource
from compress.errors import DataError
from compress.files import sha256_file
from models.user_code import UserFunction


def is_factory(ref: str) -> bool:
    """Say whether ``ref`` looks like ``file.py:factory``, arguments allowed."""
    return ".py:" in ref or ref.endswith(".py")


def load(ref: str) -> DataSource:
    """Call the factory and take what it returns: ``(train, val)``, loaders or map-style data sets.

    A loader yields ``(input, ..., target)`` or ``((input, ...), target)`` with the batch first, already preprocessed. A
    training loader yields whole batches; several processes share each of them. Its random numbers are seeded for every
    batch, so resuming works, but batches before the point of resumption are loaded again.

    Raises:
        ModelError: the file or function is missing or fails.
        DataError: it returns something else.
    """
    made = UserFunction.load(ref)()
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise DataError(f"returned {_described(made)}, expected (train_loader, val_loader)", where=ref)
    for name, part in zip(("training", "validation"), made, strict=True):
        if not isinstance(part, Iterable) and not hasattr(part, "__getitem__"):
            raise DataError(f"its {name} part is a {type(part).__name__}, expected a loader", where=ref)
        if hasattr(part, "__len__") and len(part) == 0:
            raise DataError(f"its {name} part is empty", where=ref)
    train, val = made
    return DataSource(ref, train, val, _classes(train), None, _fingerprint(ref, made))


def _classes(loader: Any) -> list[str] | None:
    found = getattr(getattr(loader, "dataset", loader), "classes", None)
    return [str(name) for name in found] if isinstance(found, (list, tuple)) else None


def _fingerprint(ref: str, made: Any) -> str:
    path = Path(ref.rpartition(":")[0]).expanduser()
    lengths = [len(part) if hasattr(part, "__len__") else None for part in made]
    return hashlib.sha256(f"{sha256_file(path)} {ref} {lengths}".encode()).hexdigest()


def _described(made: Any) -> str:
    if isinstance(made, (tuple, list)):
        return f"{len(made)} values"
    return f"a {type(made).__name__}"
