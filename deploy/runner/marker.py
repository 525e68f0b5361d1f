"""Which file a process is at, readable after its death: a number in a mapped file, set without a system call."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_NUMBER = struct.Struct("<q")
_NOTHING = -1


class Marker:
    """A number that one process sets and another reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "r+b") as stream:
            self._page = mmap.mmap(stream.fileno(), _NUMBER.size)

    @classmethod
    def create(cls, path: Path) -> Marker:
        """Make a marker that points nowhere yet."""
        path.write_bytes(_NUMBER.pack(_NOTHING))
        return cls(path)

    def set(self, number: int) -> None:
        """Say what the process is about to do."""
        _NUMBER.pack_into(self._page, 0, number)

    def get(self) -> int | None:
        """Return what was said last, ``None`` before anything was."""
        number: int = _NUMBER.unpack_from(self._page, 0)[0]
        return None if number == _NOTHING else number

    def close(self) -> None:
        """Let go of the file."""
        self._page.close()
