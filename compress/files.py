"""Atomic writes and content hashes: a killed run leaves the old file or the new one, never half of one.

This module knows only :mod:`compress.errors`: all four packages may use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from compress.errors import InputError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed over ``path``, else removed.

    Raises:
        InputError: the folder does not exist, ``path`` is a folder, or it exists and ``overwrite`` is false.
    """
    target = Path(path)
    check_writable(target, overwrite=overwrite)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", where=str(target)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str], *, overwrite: bool, option: str = "-o") -> None:
    """Fail before work starts when ``path``, which ``option`` names, could not be written at its end.

    Raises:
        InputError: as :func:`atomic_path`.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError("is a folder, a file was expected", where=str(target), hint="give a file name")
    if not target.parent.is_dir():
        raise InputError("its folder does not exist", where=str(target), hint=f"create {target.parent} first")
    if not os.access(target.parent, os.W_OK):
        raise InputError("its folder cannot be written to", where=str(target), hint=f"choose another with {option}")
    if target.exists() and not overwrite:
        raise InputError("exists already", where=str(target), hint=f"choose another name with {option}, or add --force")


def write_bytes(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write ``data`` to ``path`` atomically. Raises :class:`InputError` as :func:`atomic_path`."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = True) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically. Raises :class:`InputError` as :func:`atomic_path`."""
    write_bytes(path, text.encode(), overwrite=overwrite)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
