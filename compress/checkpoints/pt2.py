"""Rewrite a ``.pt2`` archive in memory so that ``torch.export.load`` has nothing left to execute.

``torch.export.load`` unpickles example inputs, weights and constants, evaluates expressions and compiles guards, so a
``.pt2`` from a stranger is a program that runs. Layout: torch/export/pt2_archive/_package.py of torch 2.13.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from torch.export.pt2_archive import PT2ArchiveWriter

from compress.checkpoints._expressions import RefusedError
from compress.checkpoints._formats import ACCEPTED, detect
from compress.checkpoints._graph_json import clean_identifier, clean_program, load_json
from compress.checkpoints._payload import clean_payloads
from compress.errors import CheckpointError

ARCHIVE_VERSIONS = ("0",)
MAX_ENTRIES = 200_000

_MODEL = re.compile(r"models/([^/]+)\.json")
_EXTRA = re.compile(r"extra/[\w.\-]+(?:/[\w.\-]+)*")
_DATA = re.compile(r"data/(?:weights|constants)/(?:weight|tensor)_\d+")
_CONFIG = re.compile(r"data/(?:weights/[^/]+_weights_config|constants/[^/]+_constants_config)\.json")
_DROPPED = re.compile(r"data/sample_inputs/[^/]+\.pt|\.data/.*|\.format_version|\.storage_alignment")
_HEADERS = ("archive_format", "archive_version", "byteorder")
_EXECUTABLE = {
    "data/aotinductor/": "machine code compiled ahead of time (AOTInductor)",
    "data/executorch/": "an ExecuTorch program",
    "data/mtia": "machine code compiled ahead of time",
    "data/constants/custom_obj_": "a pickled custom object",
    "data/constants/opaque_obj_": "a pickled object",
}
_HINT = "save it again with torch.export.save from a source that you trust"


def sanitise_pt2(path: str | os.PathLike[str]) -> io.BytesIO:
    """Return the archive at ``path``, rewritten so that ``torch.export.load`` of the result is safe.

    Kept: every program's white-listed description, raw weights and constants, and the texts under ``extra/``.
    Dropped: example inputs and guards. Everything lives on the CPU afterwards. Devices, sizes and offsets are checked
    against the real file, so a small file cannot ask for much memory.

    Raises:
        CheckpointError: not an archive of a known version, damaged, or it holds anything that could run code.
    """
    source = Path(path)
    if detect(source) != "pt2":
        raise CheckpointError("is not an exported program (.pt2)", where=str(source), hint=ACCEPTED)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = _entries(archive, source.stat().st_size)
            return _rewrite(archive, entries)
    except RefusedError as refusal:
        raise CheckpointError(f"is refused: {refusal}", where=str(source), hint=_HINT) from refusal
    # NotImplementedError is zipfile's answer to a damaged version or compression field.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        what = f"is a damaged or truncated .pt2 archive ({_first_line(error)})"
        raise CheckpointError(what, where=str(source), hint="copy or download it again") from error
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", where=str(source)) from error


def _entries(archive: zipfile.ZipFile, real_size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by their name below the archive's one folder, after checks that need no reading."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise RefusedError(f"it has more than {MAX_ENTRIES} entries")
    entries: dict[str, zipfile.ZipInfo] = {}
    roots = set()
    for info in infos:
        root, _, name = _checked_name(info).partition("/")
        roots.add(root)
        if name in entries:
            raise RefusedError(f"it has two entries named {name!r}")
        entries[name] = info
    if len(roots) != 1 or "" in entries:
        raise RefusedError("its entries are not in one folder")
    if sum(info.file_size for info in infos) > real_size:
        raise RefusedError("its entries claim more bytes than the file has")
    return entries


def _checked_name(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    parts = name.split("/")
    if name != info.filename or "\\" in name or ":" in name or name.startswith("/") or {"..", ""} & set(parts):
        raise RefusedError(f"it has an entry with the unsafe name {name[:80]!r}")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise RefusedError(f"its entry {name!r} is a link")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 0x1:
        raise RefusedError(f"its entry {name!r} is compressed or encrypted, which torch.export.save never does")
    return name


def _rewrite(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> io.BytesIO:
    _check_headers(archive, entries)
    _check_names(entries)
    models = [clean_identifier(match[1]) for match in map(_MODEL.fullmatch, entries) if match]
    if "model" not in models:
        raise RefusedError("it holds no exported program named 'model'")
    output = io.BytesIO()
    with PT2ArchiveWriter(output) as writer:
        for name, data in _contents(archive, entries, models):
            writer.write_bytes(name, data)
    output.seek(0)
    return output


def _check_headers(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> None:
    found = {name: archive.read(entries[name])[:20].decode("ascii", "replace") for name in _HEADERS if name in entries}
    if found.get("archive_format") != "pt2":
        raise RefusedError("it is not an archive that torch.export.save wrote")
    if found.get("archive_version") not in ARCHIVE_VERSIONS:
        raise RefusedError(
            f"it has archive version {found.get('archive_version')!r}, known: {', '.join(ARCHIVE_VERSIONS)}"
        )
    if found.get("byteorder", "little") != "little":
        raise RefusedError("it was written on a big-endian machine")


def _check_names(entries: dict[str, zipfile.ZipInfo]) -> None:
    for name in entries:
        for prefix, content in _EXECUTABLE.items():
            if name.startswith(prefix):
                raise RefusedError(f"it holds {content} ({name})")
        if name not in _HEADERS and not any(p.fullmatch(name) for p in (_MODEL, _EXTRA, _DATA, _CONFIG, _DROPPED)):
            raise RefusedError(f"its entry {name!r} is not one that a network needs")


def _contents(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], models: list[str]
) -> Iterator[tuple[str, bytes]]:
    used: set[str] = set()
    for model in models:
        for folder, kind in (("data/weights/", "weights"), ("data/constants/", "constants")):
            config = f"{folder}{model}_{kind}_config.json"
            payloads = clean_payloads(load_json(_read(archive, entries, config)), folder, _sizes(entries))
            used.update(payloads.files)
            yield config, payloads.config
        yield f"models/{model}.json", clean_program(_read(archive, entries, f"models/{model}.json"))
        # torch reads this entry always; an empty one means that there are no example inputs.
        yield f"data/sample_inputs/{model}.pt", b""
    for name in sorted(used):
        yield name, _read(archive, entries, name)
    for name in filter(_EXTRA.fullmatch, entries):
        yield name, _text_of(name, _read(archive, entries, name))


def _sizes(entries: dict[str, zipfile.ZipInfo]) -> dict[str, int]:
    return {name: info.file_size for name, info in entries.items()}


def _read(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    if name not in entries:
        raise RefusedError(f"its entry {name!r} is missing")
    return archive.read(entries[name])


def _text_of(name: str, data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"its entry {name!r} is not text") from error
    return data


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
