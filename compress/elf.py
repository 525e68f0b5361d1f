"""Whether a shared library is whole: loading one that is cut off kills the process instead of raising an error.

The layout is that of the System V ABI, chapters 4 and 5 (ELF header, section header table, program header table).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

MACHINES = {62: "x86_64", 183: "aarch64"}
"""By ELF's number, the machines that are known here."""

_IDENTITY = b"\x7fELF\x02\x01\x01"  # 64 bit, little-endian, version 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SHARED = 3  # the type of a shared library
_LOADED, _DYNAMIC = 1, 2  # types of segments


def fault(path: Path, machine: str) -> str | None:
    """Return why ``path`` cannot be a whole shared library for ``machine`` (such as ``x86_64``); None where it can.

    Only the tables of the file are read, not what they point to.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        data = stream.read(_HEADER.size)
        if size == 0:
            return "is empty"
        if not data.startswith(_IDENTITY[: len(data)]):
            return "is no shared library"
        if len(data) < _HEADER.size:
            return f"is truncated after {size} bytes"
        identity, kind, number, _, _, segments, sections, *_, length, count, section, section_count, _ = _HEADER.unpack(
            data
        )
        found = MACHINES.get(number, f"machine {number}")
        if found != machine:
            return f"is for {found}, not for {machine}"
        if kind != _SHARED or length != _SEGMENT.size or not identity.startswith(_IDENTITY):
            return "is no shared library"
        ends = [segments + count * length, sections + section_count * section]
        if max(ends) > size:
            return _truncated(size, max(ends))
        return _segment_fault(stream, segments, count, size)


def _segment_fault(stream: BinaryIO, start: int, count: int, size: int) -> str | None:
    stream.seek(start)
    entries = list(_SEGMENT.iter_unpack(stream.read(count * _SEGMENT.size)))
    if not {_LOADED, _DYNAMIC} <= {entry[0] for entry in entries}:
        return "is no shared library"
    end = max(offset + length for _, _, offset, _, _, length, _, _ in entries)
    return _truncated(size, end) if end > size else None


def _truncated(size: int, needed: int) -> str:
    return f"is truncated ({size} bytes of at least {needed})"
