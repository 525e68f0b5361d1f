"""Tell file formats apart by their bytes, without executing anything, and say in one line what a wrong file is."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

from compress.errors import CheckpointError

Format = Literal["pt2", "safetensors", "torch-zip", "torch-legacy", "torchscript"]

ACCEPTED = "give a .pt2, .safetensors, or a state dict saved with torch.save (.pt, .pth, .th, .bin)"
PROGRAM_KEY = "compress.json"

# What torch.save wrote before version 1.6: a pickled magic number comes first.
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_GIT_LFS = b"version https://git-lfs.github.com/spec/"
_MAX_HEADER = 100_000_000
_KNOWN_BYTES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)"),
    (b"\x1f\x8b", "a gzip archive, unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive, unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive, unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive, unpack it first"),
    (b"BZh", "a bzip2 archive, unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"\x7fELF", "an executable or library"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%PDF", "a PDF document"),
)


class SafetensorsHeader(NamedTuple):
    """The header of a safetensors file: what each tensor is, the free-text metadata, and where the data starts."""

    tensors: dict[str, dict[str, object]]
    metadata: dict[str, str]


def detect(path: str | os.PathLike[str]) -> Format:
    """Return the format of the file at ``path``.

    Raises:
        CheckpointError: missing, a folder, empty, truncated, text, or anything that is not a checkpoint.
    """
    source = Path(path)
    size = _size_of(source)
    try:
        with open(source, "rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", where=str(source)) from error
    if head.startswith(b"PK\x03\x04"):
        return _zip_format(source)
    if head.startswith(b"PK"):
        raise CheckpointError("is an empty or split zip archive", where=str(source), hint=ACCEPTED)
    if head[:1] == b"\x80" and head[2:].startswith(_LEGACY_MAGIC):
        return "torch-legacy"
    if _looks_like_safetensors(head, size):
        safetensors_header(source)
        return "safetensors"
    raise CheckpointError(f"is {_describe(source, head)}", where=str(source), hint=ACCEPTED)


def safetensors_header(path: Path) -> SafetensorsHeader:
    """Return the header of a safetensors file, checked against the file's size.

    Raises:
        CheckpointError: damaged or truncated.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = struct.unpack("<Q", stream.read(8))[0]
        if length > min(size - 8, _MAX_HEADER):
            raise _truncated(path, f"its header should have {length} bytes")
        header = stream.read(length)
    try:
        document = json.loads(header)
        metadata = document.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in document.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError("is a damaged safetensors file, its header is not readable", where=str(path)) from error
    if 8 + length + end != size:
        raise _truncated(path, f"it should have {8 + length + end} bytes and has {size}")
    return SafetensorsHeader(document, metadata)


def _size_of(path: Path) -> int:
    if path.is_dir():
        hint = "give the checkpoint file in it" if any(path.iterdir()) else ACCEPTED
        raise CheckpointError("is a folder, a file was expected", where=str(path), hint=hint)
    if not path.exists():
        raise CheckpointError("does not exist", where=str(path), hint="check the path")
    if not path.is_file():
        raise CheckpointError("is not a regular file", where=str(path), hint=ACCEPTED)
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError("is empty", where=str(path), hint="copy or download it again")
    return size


def _zip_format(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            # The list of a zip stored inside is found instead where the file's own list was cut off.
            if names and min(info.header_offset for info in archive.infolist()) != 0:
                raise zipfile.BadZipFile("not the list of this archive")
            below = {name.partition("/")[2] for name in names}
            if "archive_format" in below:
                return "pt2"
            if "constants.pkl" in below:
                return "torchscript"
            if "data.pkl" in below:
                return "torch-zip"
    # Of a damaged list zipfile says so in four ways: OSError is a seek to before the file, NotImplementedError a
    # version or compression that no zip has. That the file can be opened and read was checked before.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _truncated(path, "its list of contents at the end is missing") from error
    if "version" in names and "serialized_exported_program.json" in names:
        hint = "save it again with torch.export.save of torch 2.8 or newer"
        raise CheckpointError("is an exported program in the format of torch 2.7 or older", where=str(path), hint=hint)
    what = "a NumPy .npz archive" if names and all(name.endswith(".npy") for name in names) else "a zip of other files"
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise CheckpointError(f"is {what} ({shown})", where=str(path), hint=ACCEPTED)


def _looks_like_safetensors(head: bytes, size: int) -> bool:
    return len(head) >= 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER and size > 9


def _describe(path: Path, head: bytes) -> str:
    for magic, name in _KNOWN_BYTES:
        if head.startswith(magic):
            return f"{name}, not a checkpoint"
    if head.startswith(_GIT_LFS):
        return "a git-lfs pointer, the file itself was not downloaded: run git lfs pull"
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page saved under this name, the download failed: download it again"
    if path.suffix == ".onnx":
        return "an ONNX file; compress works on checkpoints and measures ONNX files with compress profile"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a Python pickle that torch.save did not write; load it yourself and save its state dict with torch.save"
    if head[257:262] == b"ustar":
        return "a tar archive, unpack it first, not a checkpoint"
    if _is_text(head):
        line = head.decode("utf-8", "replace").strip().splitlines()[:1]
        return f"a text file, not a checkpoint (it begins {line[0][:40]!r})" if line else "a file of blank text"
    return f"not a checkpoint (it begins with the bytes {head[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode() if len(head) == 512 else head.decode()
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _truncated(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"is truncated or damaged ({why})", where=str(path), hint="copy or download it again")
