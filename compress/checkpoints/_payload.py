"""The white-list for the weight and constant tables of a ``.pt2`` archive: raw tensors that fit their bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.checkpoints._expressions import RefusedError
from compress.checkpoints._graph_json import clean_device, clean_path

# Bytes per element of torch/_export/serde/schema.py: ScalarType.
_ITEM_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2,
    28: 2, 29: 1, 30: 1, 31: 1, 32: 1, 33: 1, 34: 4, 35: 8,
}  # fmt: skip
_STRIDED = 7
_FILE = re.compile(r"(?:weight|tensor)_\d+")
# A view may repeat its elements (stride 0), but must not unfold into more than this when it is copied.
_MAX_UNFOLDED = 64 * 2**20


@dataclass(frozen=True)
class Payloads:
    """A checked table as JSON, and the archive entries that it refers to."""

    config: bytes
    files: frozenset[str]


def clean_payloads(document: Any, folder: str, sizes: Mapping[str, int]) -> Payloads:
    """Return the table ``document`` rebuilt from checked fields; ``sizes`` are bytes per archive entry.

    Raises:
        RefusedError: a pickled or custom entry, a missing file, or a tensor that exceeds its file.
    """
    table = document.get("config") if isinstance(document, dict) else None
    if not isinstance(table, dict):
        raise RefusedError("a table of weights is not one that torch.export.save writes")
    types: dict[str, int] = {}
    config = {}
    try:
        for name, entry in table.items():
            config[clean_path(name)] = _clean_entry(name, entry, folder, sizes, types)
    except (TypeError, AttributeError) as error:  # values of other types than the schema's
        raise RefusedError("a table of weights is not one that torch.export.save writes") from error
    return Payloads(json.dumps({"config": config}).encode(), frozenset(types))


def _clean_entry(name: str, entry: Any, folder: str, sizes: Mapping[str, int], types: dict[str, int]) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(file := entry.get("path_name"), str):
        raise RefusedError(f"the description of {name!r} is not one that torch.export.save writes")
    meta = entry.get("tensor_meta")
    if entry.get("use_pickle") is not False or not isinstance(meta, dict) or not _FILE.fullmatch(file):
        raise RefusedError(f"{name!r} is stored as a pickled object, which could run code")
    path = folder + file
    if path not in sizes:
        raise RefusedError(f"the data of {name!r} is missing")
    if types.setdefault(path, meta.get("dtype", 0)) != meta.get("dtype"):
        raise RefusedError(f"{name!r} shares its data with a tensor of another type")
    return {
        "path_name": file,
        "is_param": entry.get("is_param") is True,
        "use_pickle": False,
        "tensor_meta": _clean_meta(name, meta, sizes[path]),
    }


def _clean_meta(name: str, meta: dict[str, Any], nbytes: int) -> dict[str, Any]:
    item = _ITEM_SIZES.get(meta.get("dtype", 0))
    if item is None or meta.get("layout") != _STRIDED:
        raise RefusedError(f"{name!r} is not a plain dense tensor")
    shape = [_count(name, size) for size in _axis_list(name, meta, "sizes")]
    strides = [_count(name, stride) for stride in _axis_list(name, meta, "strides")]
    offset = _count(name, meta.get("storage_offset"))
    if len(shape) != len(strides):
        raise RefusedError(f"the description of {name!r} is not one that torch.export.save writes")
    elements = 1
    for size in shape:
        elements *= size
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    needed = (last + 1) * item if elements else 0
    if needed > nbytes or nbytes % item or elements * item > max(nbytes, _MAX_UNFOLDED):
        raise RefusedError(f"{name!r} needs {needed} bytes, its data has {nbytes}")
    return {
        "dtype": meta["dtype"],
        "sizes": [{"as_int": size} for size in shape],
        "requires_grad": meta.get("requires_grad") is True,
        "device": clean_device(meta.get("device")),
        "strides": [{"as_int": stride} for stride in strides],
        "storage_offset": {"as_int": offset},
        "layout": _STRIDED,
    }


def _axis_list(name: str, meta: dict[str, Any], key: str) -> list[Any]:
    values = meta.get(key)
    if not isinstance(values, list):
        raise RefusedError(f"{name!r} has no {key}")
    return values


def _count(name: str, value: Any) -> int:
    number = value.get("as_int") if isinstance(value, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise RefusedError(f"{name!r} has a size that is not a number")
    return number
