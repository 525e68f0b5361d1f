"""The shapes of values in a graph at one batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from compress.errors import ExportError

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | None, ...]


def shapes_at(proto: onnx.ModelProto, batch: int, sizes: Mapping[str, int]) -> dict[str, Shape]:
    """Return the shape of every value, by name, as far as ONNX's shape inference knows it; None is an unknown axis.

    Args:
        batch: for a dynamic first axis of inputs.
        sizes: of their other dynamic axes, by name.

    Raises:
        ExportError: a size was given for a name that no input has.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    del fixed.graph.value_info[:]
    names = set()
    for value in fixed.graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            names.add(size.dim_param)
            wanted = batch if axis == 0 else sizes.get(size.dim_param)
            if not size.HasField("dim_value") and wanted is not None:
                size.dim_value = wanted
    unknown = sorted(set(sizes) - names)
    if unknown:
        raise ExportError(f"no input has a dynamic dimension {unknown[0]!r}", hint=_known(names))
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    return {
        value.name: tuple(
            size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }


def _known(names: set[str]) -> str:
    """Which names a size can be given for."""
    known = sorted(names - {""})
    return f"there are {', '.join(known)}" if known else "no input has a named dynamic dimension: leave it out"


def places_of(operator: str, output: Shape | None) -> int | None:
    """Return pixels of an output (N, C, H, W) of one sample, or rows of a product (..., features); None: not known."""
    if output is None:
        return None
    wanted = output[2:] if operator == "SparseConv" else output[:-1]
    known = [size for size in wanted if size is not None]
    return math.prod(known) if len(known) == len(wanted) else None
