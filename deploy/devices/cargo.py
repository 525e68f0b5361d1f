"""What has to travel to a device with a deployment file: its external data, and the library of its sparse operators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.files import sha256_file
from compress.operators import library_name
from deploy.devices.bundle import bundle
from deploy.devices.channel import Part

FOLDER = "files"
CODE = "runner.zip"

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80


@dataclass(frozen=True)
class Cargo:
    """The ``parts`` to send; ``entries`` are the files' places among them, in the order of the request."""

    parts: tuple[Part, ...]
    entries: tuple[tuple[str, ...], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.size for part in self.parts)


def pack(files: Sequence[str], platform: str) -> Cargo:
    """Return the runner and ``files`` as they lie on a device of ``platform`` (such as ``linux-aarch64``).

    Every file gets a folder of its own and a name without odd characters, whatever it is called here. A library of
    sparse operators that is not here is not sent: the device's runtime says of which file it is missing.

    Raises:
        InputError: a file or its external data is missing or damaged.
    """
    runner = bundle()
    parts = [Part((CODE,), runner.data, runner.sha256)]
    entries: list[tuple[str, ...]] = []
    for index, name in enumerate(files):
        path, folder = Path(name), (FOLDER, str(index))
        entries.append((*folder, plain_name(path)))
        parts.append(Part(entries[-1], path, sha256_file(path)))
        for beside, source in _belongings(path, platform).items():
            parts.append(Part((*folder, *Path(beside).parts), source, sha256_file(source)))
    return Cargo(tuple(parts), tuple(entries))


def plain_name(path: Path) -> str:
    """Return the file's name as any system and any terminal can take it; the ending stays."""
    stem = _ODD.sub("_", path.stem).strip("._-")[:_LONGEST]
    return f"{stem or 'model'}{_ODD.sub('_', path.suffix)}"


def _belongings(path: Path, platform: str) -> dict[str, Path]:
    """Return what lies beside ``path`` and belongs to it, by its place relative to the file."""
    if path.suffix != ".onnx":
        return {}
    from deploy.modelfile import identify

    found = {name: path.parent / name for name in identify(path).external}
    library = path.resolve().parent / library_name(platform)
    return found | ({library.name: library} if library.is_file() else {})
