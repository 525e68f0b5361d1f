"""The library of sparse operators that an ONNX file needs: how it is called, and where a session finds it.

A file with operators of the domain ``compress.sparse`` names its library in its metadata. This module knows only
:mod:`compress.errors`, :mod:`compress.elf` and the standard library: all four packages may use it, on devices without
the onnx package, too.
"""

from __future__ import annotations

import mmap
import os
import platform as machine
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from compress import elf
from compress.errors import InputError

DOMAIN = "compress.sparse"
KEY = "compress.sparse.library"
"""Of the file's metadata: the name of the library, which lies beside the file."""

PLATFORMS = ("linux-x86_64", "linux-aarch64")

_AGAIN = "delete it; compress export --sparse --force writes it again"
_NAME = re.compile(r"libcompress_sparse\.[a-z]+-[a-z0-9_]+\.so")
_OPSETS, _PROPERTIES = 8, 14  # numbers of the fields opset_import and metadata_props of onnx.ModelProto
_MOST_BYTES = 1 << 20  # of an entry of either


def host() -> str:
    """Return this machine's platform, such as ``linux-x86_64``."""
    return platform_name(sys.platform, machine.machine())


def platform_name(system: str, architecture: str) -> str:
    """Return the platform that a system's own words mean: ``linux`` and ``arm64`` are ``linux-aarch64``."""
    kind = {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture.lower(), architecture.lower())
    return f"{system}-{kind}"


def library_name(platform: str) -> str:
    """Return the file name of the library for ``platform``."""
    return f"libcompress_sparse.{platform}.so"


def library_beside(model: str | os.PathLike[str]) -> Path | None:
    """Return the library that lies beside an ONNX file for this machine; None where the file needs none.

    Only the model's first bytes of each field are read, not its weights. What is no ONNX file needs no library.

    Raises:
        InputError: the file has sparse operators, and their library is not beside it, or is damaged.
    """
    path = Path(model)
    try:
        with open(path, "rb") as stream:
            needed, named = _declared(stream, path.stat().st_size)
        # ONNX Runtime writes every domain that is registered in its process into the files that it makes.
        needed = needed and _has_nodes(path)
    except (OSError, ValueError):  # not there, or not ONNX: the runtime's own words on it are better
        return None
    if not needed:
        return None
    wanted = library_name(host())
    found = path.resolve().parent / wanted
    if found.is_file():
        check_library(found)
        return found
    if named is not None and named != wanted and _NAME.fullmatch(named):
        raise InputError(
            f"its sparse operators were exported for another machine ({named})",
            where=str(path),
            hint=f"here {wanted} has to lie beside it: compress export --sparse --target-platform {host()} writes it",
        )
    raise InputError(
        f"has sparse operators, and their library {wanted} is not beside it",
        where=str(path),
        hint=f"copy {wanted} from where compress export --sparse wrote it; in code of your own, name it to "
        "SessionOptions.register_custom_ops_library before the session is made",
    )


def register(options: Any, model: str | os.PathLike[str]) -> None:
    """Register the library beside ``model`` with an ``onnxruntime.SessionOptions``, where the file needs one.

    A library is code: it is loaded only under its own name, from the model's own folder, for a model that asks for it.

    Raises:
        InputError: it is missing or damaged, or ONNX Runtime cannot load it.
    """
    library = library_beside(model)
    if library is None:
        return
    register_library(options, library)


def register_library(options: Any, library: Path) -> None:
    """Register ``library`` with an ``onnxruntime.SessionOptions``. Raises :class:`InputError` with the reason."""
    check_library(library)
    try:
        options.register_custom_ops_library(os.fspath(library))
    except Exception as error:  # its exception classes share no narrower base
        said = " ".join(str(error).split())[:300]
        raise InputError(f"ONNX Runtime cannot load it ({said})", where=str(library), hint=_AGAIN) from error


def check_library(library: Path) -> None:
    """Refuse a library that would end the process instead of failing to load.

    Raises:
        InputError: it is truncated, for another machine, or no shared library.
    """
    try:
        wrong = elf.fault(library, host().rpartition("-")[2])
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(library), hint=_AGAIN) from error
    if wrong is not None:
        raise InputError(wrong, where=str(library), hint=_AGAIN)


def _declared(stream: BinaryIO, size: int) -> tuple[bool, str | None]:
    """Whether the model imports the operators' domain, and the library that its metadata names."""
    needed, named = False, None
    for number, body in _fields(stream, size):
        texts = dict(_texts(body))
        if number == _OPSETS:
            needed |= texts.get(1) == DOMAIN.encode()
        elif texts.get(1) == KEY.encode():
            named = texts.get(2, b"").decode("utf-8", "replace")
    return needed, named


def _has_nodes(path: Path) -> bool:
    """Whether some node is of the domain: field 7 of onnx.NodeProto, length-delimited."""
    wanted = bytes([7 << 3 | 2, len(DOMAIN)]) + DOMAIN.encode()
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(wanted) >= 0


def _fields(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the wanted fields of a protobuf message in ``stream``; all others are skipped. ValueError: it is none."""
    while (tag := _varint(stream)) is not None:
        kind = tag & 7
        if kind == 2:
            length = _varint(stream)
            if length is None or stream.tell() + length > size:
                raise ValueError("truncated")
            if tag >> 3 in (_OPSETS, _PROPERTIES) and length <= _MOST_BYTES:
                yield tag >> 3, stream.read(length)
            else:
                stream.seek(length, os.SEEK_CUR)
        elif kind == 0:
            _varint(stream)
        elif kind in (1, 5):
            stream.seek(8 if kind == 1 else 4, os.SEEK_CUR)
        else:
            raise ValueError("no protobuf")


def _texts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a small message."""
    import io

    stream = io.BytesIO(body)
    while (tag := _varint(stream)) is not None:
        if tag & 7 == 2:
            yield tag >> 3, stream.read(_varint(stream) or 0)
        elif tag & 7 == 0:
            _varint(stream)
        else:
            raise ValueError("no protobuf")


def _varint(stream: BinaryIO) -> int | None:
    """Return the next number, or None at the end."""
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if not byte[0] & 0x80:
            return value
        if shift > 63:
            raise ValueError("no protobuf")
    if shift:
        raise ValueError("truncated")
    return None
