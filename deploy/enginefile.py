"""Look at a TensorRT engine. What is known of it stands in its record, the JSON file beside it, where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compress.errors import InputError
from compress.files import sha256_file
from deploy.records import ModelFile

SUFFIXES = (".engine", ".plan")
_RUNTIMES = {"TensorRT": "tensorrt", "TensorRT for RTX": "tensorrt-rtx"}
_AGAIN = "compress export --trt writes both again"


def inspect_engine(file: Path) -> ModelFile:
    """Identify an engine by content; its precision is known where its record is beside it.

    Raises:
        InputError: it is empty, or its record is damaged or belongs to another engine (or the engine is truncated).
    """
    if file.stat().st_size == 0:
        raise InputError("is empty", where=str(file), hint=_AGAIN)
    content = sha256_file(file)
    record = _record(file)
    if record and record.get("engine_sha256") != content:
        raise InputError(
            f"is truncated, or is another engine than {_beside(file).name} tells of", where=str(file), hint=_AGAIN
        )
    precision = str(record.get("precision", "unknown"))
    return ModelFile(name=file.name, sha256=content, size=file.stat().st_size, precision=precision, nodes=None)


def runtime_of(file: Path) -> str | None:
    """Return the runtime that the engine was compiled for, ``None`` where it has no record that says so.

    Raises:
        InputError: the record is damaged.
    """
    return _RUNTIMES.get(str(_record(file).get("tensorrt")))


def _record(file: Path) -> dict[str, Any]:
    path = _beside(file)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", where=str(path), hint=_AGAIN) from error
    if not isinstance(record, dict):
        raise InputError("is not the record of an engine", where=str(path), hint=_AGAIN)
    return record


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".json")
