"""Zeros stored sparsely: ONNX's ``sparse_initializer`` (coordinates and values), for a smaller file and no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import ExportError
from compress.files import atomic_path, check_writable, sha256_file
from exporters._runtime import Session
from exporters.artifact import Artifact
from exporters.onnx_file import read_plain
from exporters.sparse.proving import make_feed

if TYPE_CHECKING:
    import onnx

KIND = "onnx-sparse-storage"
_INDEX_BYTES = 8  # ONNX's coordinates are int64


def store_sparse(
    onnx_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    sizes: Mapping[str, int] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Write ``onnx_path`` to ``path`` with those weights as sparse initializers that take fewer bytes so.

    A non-zero of float32 takes 12 bytes, so that weights with more than two thirds zeros gain. It makes nothing faster:
    runtimes unpack the weights when they load the file.

    Args:
        sizes: of dynamic dimensions other than the batch, by name, to run it at.
        overwrite: whether a file that exists may be replaced.

    Returns:
        The artifact of kind ``onnx-sparse-storage``; ``metadata`` has ``stored`` (the weights by name, each with its
        bytes before and after) and ``notes``.

    Raises:
        ExportError: ``onnx_path`` is not valid ONNX or has sparse operators, a dynamic dimension has no size, or the
            outputs are not the very same; nothing is written then.
        InputError: ``path`` cannot be written, or exists and ``overwrite`` is false.
    """
    check_writable(path, overwrite=overwrite)
    plain = read_plain(onnx_path)
    import onnx

    proto = onnx.load(os.fspath(onnx_path))
    stored = _convert(proto)
    data = proto.SerializeToString(deterministic=True)
    figures = _prove(plain, Path(onnx_path), data, sizes or {})
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
    notes = ["sparse storage makes nothing faster: runtimes unpack the weights when they load the file"]
    if not stored:
        notes.insert(0, "no weight takes fewer bytes stored sparsely: the file is the dense one")
    metadata = {"stored": stored, "notes": notes}
    return Artifact(Path(path), sha256_file(path), KIND, verification=figures, metadata=metadata)


def _convert(proto: onnx.ModelProto) -> dict[str, dict[str, int]]:
    """Convert in place. Inputs stay, since a caller may replace them, and int64: shapes and indices, not weights."""
    import onnx
    from onnx import numpy_helper

    inputs = {value.name for value in proto.graph.input}
    stored: dict[str, dict[str, int]] = {}
    kept = []
    for tensor in proto.graph.initializer:
        weight = tensor.name not in inputs and len(tensor.dims) and tensor.data_type != onnx.TensorProto.INT64
        array = numpy_helper.to_array(tensor) if weight else None
        before, after = (0, 0) if array is None else (array.nbytes, _sparse_bytes(array))
        if array is None or after >= before:
            kept.append(tensor)
            continue
        proto.graph.sparse_initializer.append(_sparse(tensor.name, array))
        stored[tensor.name] = {"dense_bytes": before, "sparse_bytes": after}
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return stored


def _sparse_bytes(array: np.ndarray[Any, np.dtype[Any]]) -> int:
    return int(np.count_nonzero(array)) * (array.itemsize + _INDEX_BYTES)


def _sparse(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> onnx.SparseTensorProto:
    from onnx import helper, numpy_helper

    places = np.flatnonzero(array).astype(np.int64)
    values = numpy_helper.from_array(np.ascontiguousarray(array.reshape(-1)[places]), name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places, f"{name}.places"), list(array.shape))


def _prove(plain: onnx.ModelProto, dense: Path, data: bytes, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Both hold the same weights: their outputs are the same, bit for bit."""
    where = dense.name
    sessions = Session(dense, threads=1), Session(data, where=where, threads=1)
    feed = make_feed(plain, sessions[0], 1, sizes)
    for port, one, other in zip(sessions[0].outputs, *(session.run(feed) for session in sessions), strict=True):
        if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            raise ExportError(f"stored sparsely, output {port.name!r} is another; nothing was written", where=where)
    return {
        "max_error": 0.0,
        "allowed": 0.0,
        "samples": 1,
        "reference": "the dense ONNX file",
        "runtime": "onnxruntime",
    }
