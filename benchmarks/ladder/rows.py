"""Results files: one JSON line for each network and run; the last line of a network counts."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.commits import commit
from compress.files import write_text

Row = dict[str, Any]

_PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "tensorrt_rtx": "tensorrt_rtx_cu13_bindings",
    "torch_pruning": "torch-pruning",
}
_CODE = ("compress", "exporters", "models", "benchmarks/ladder", "benchmarks/prunability.py")


def read(path: Path) -> dict[str, Row]:
    """Rows by reference; an empty dictionary where there is no file yet."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["ref"]: row for row in map(json.loads, lines)}


def append(path: Path, row: Row) -> None:
    """Add a row at once, so that a run that is stopped loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def compact(path: Path) -> None:
    """Rewrite the file with one line for each network, in the order of their names."""
    found = read(path)
    if found:
        write_text(path, "".join(json.dumps(found[ref]) + "\n" for ref in sorted(found)), overwrite=True)


def is_complete(row: Row, rungs: tuple[str, ...]) -> bool:
    """Whether the row holds an answer for every rung: passed, failed, or out of reach because one before failed."""
    return bool(row["failed"]) or set(rungs) <= set(row["rungs"])


@cache
def conditions() -> Row:
    """The repository's commit (``+`` where its code was changed since) and the versions of what matters."""
    return {"commit": commit(*_CODE), "versions": {name: _version(package) for name, package in _PACKAGES.items()}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
