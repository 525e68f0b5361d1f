"""An ONNX file from anywhere: read, checked, with sparse initializers as the dense tensors that they stand for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress import operators
from compress.errors import ExportError
from exporters._runtime import first_line

if TYPE_CHECKING:
    import onnx

_INVALID = "export it again, or try onnx.checker.check_model on it"


def read_onnx(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Return the model with the type of every value inferred, and without sparse initializers.

    ONNX's shape inference takes these for sparse values, which no operator accepts; runtimes unpack them.

    Raises:
        ExportError: not an ONNX file, or an invalid one.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    where = Path(path).name
    if not Path(path).is_file():
        raise ExportError("no such file", where=str(path), hint="give an .onnx file")
    try:
        proto = onnx.load(os.fspath(path))
        onnx.checker.check_model(proto)
        unpack_initializers(proto.graph)
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, OSError) as error:
        raise ExportError(f"is not a valid ONNX file ({first_line(error)})", where=where, hint=_INVALID) from error


def read_plain(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """As :func:`read_onnx`, for what knows ONNX's own operators alone.

    Raises:
        ExportError: not an ONNX file, an invalid one, or one with this package's sparse operators.
    """
    proto = read_onnx(path)
    if any(entry.domain == operators.DOMAIN for entry in proto.opset_import):
        raise ExportError("has sparse operators already", where=Path(path).name, hint="give the dense file")
    return proto


def unpack_initializers(graph: onnx.GraphProto) -> None:
    """Make the sparse initializers of ``graph`` and of the graphs in its nodes dense ones, in place."""
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            # Touching an unset graph would set it.
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                unpack_initializers(inner)


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    """ONNX's coordinates are places in the flattened tensor, or one row of indices for each value."""
    from onnx import numpy_helper

    values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 2:
        array[tuple(places.T)] = values
    else:
        array.reshape(-1)[places] = values
    return numpy_helper.from_array(array, sparse.values.name)
