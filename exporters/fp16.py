"""Convert an ONNX file from float32 to float16, so that strongly typed runtimes (TensorRT) compute in half precision.

Weights and inner values become float16; inputs and outputs stay float32 with a Cast at the border. Kept in float32:
the operators in ``KEPT``, inputs whose ONNX signature knows no float16, and every node through which a value goes that
float16 cannot hold (measured in ONNX Runtime, not assumed). Which nodes were kept, and why, is in the artifact.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import ExportError
from compress.files import atomic_path, check_writable, sha256_file
from exporters._numerics import relative_error
from exporters._runtime import Feed, Session, first_line, random_feed
from exporters.artifact import Artifact
from exporters.onnx_file import read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    import onnx_ir as ir

    from exporters._runtime import Array

KEPT = frozenset(
    {
        "CumSum",
        "Exp",
        "LayerNormalization",
        "Log",
        "LogSoftmax",
        "Pow",
        "Range",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Softmax",
    }
)
"""Operators that overflow or lose all digits in float16 on ordinary values: exponentials, powers, long sums."""

LARGEST = 65504.0
HEADROOM = 0.5
ALLOWED = 0.02
"""Largest error accepted, relative to the output's largest magnitude: some 40 units in float16's last place."""


def convert_fp16(
    onnx_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    samples: Mapping[str, Array] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Write ``onnx_path`` in float16 to ``path``, verified in ONNX Runtime against the float32 file.

    It is run there as it is, and once more in float32 with every inner value rounded to float16.

    Args:
        samples: real inputs by name, ``(N, ...)`` each, beside the random ones at batch 1 and 3.

    Returns:
        The artifact of kind ``onnx-fp16``; ``metadata["kept_float32"]`` maps node names to the reason.

    Raises:
        ExportError: ``onnx_path`` is not a float32 ONNX model, holds control flow, or its float16 form differs from it
            by more than ``ALLOWED`` of the output's largest magnitude; nothing is written then.
        InputError: ``path`` cannot be written, or exists and ``overwrite`` is false.
    """
    import onnx_ir as ir

    from exporters._half import Halver
    from exporters._rounded import rounded_twin

    check_writable(path, overwrite=overwrite)
    where = Path(onnx_path).name
    proto = read_plain(onnx_path)
    session = Session(onnx_path)
    feeds = [random_feed(session.inputs, batch) for batch in (1, 3)] + ([dict(samples)] if samples else [])
    model = ir.from_proto(proto)
    _refuse(model, where)
    kept = _kept(model, _largest_magnitudes(proto, feeds))
    Halver(model, kept, where).convert()
    half = ir.to_proto(model)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(half.SerializeToString(deterministic=True))
        _check(temporary, where)
        twin = Session(rounded_twin(half).SerializeToString(), where=where)
        figures = _compare(session, (Session(temporary, where=where), twin), feeds, where)
    return Artifact(Path(path), sha256_file(path), "onnx-fp16", verification=figures, metadata={"kept_float32": kept})


def _refuse(model: ir.Model, where: str) -> None:
    import onnx_ir as ir

    if any(True for _ in model.graph.subgraphs()) or model.functions:
        raise ExportError("holds control flow or local functions, which cannot be converted to float16", where=where)
    values = [value for node in model.graph for value in node.outputs]
    if not any(value.dtype == ir.DataType.FLOAT for value in (*model.graph.inputs, *values)):
        raise ExportError("holds no float32 values, so there is nothing to convert to float16", where=where)
    if any(value.dtype == ir.DataType.FLOAT16 for value in (*model.graph.inputs, *values)):
        raise ExportError("holds float16 values already", where=where, hint="convert the float32 file")


def _largest_magnitudes(proto: onnx.ModelProto, feeds: Sequence[Feed]) -> dict[str, float]:
    """Run the float32 model with every inner float value as an output, at no graph optimisation that would hide one."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    known = {value.name for value in probe.graph.output}
    for info in proto.graph.value_info:
        if info.name not in known and info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(info.name))
    produced = {name for node in probe.graph.node for name in node.output} | {value.name for value in probe.graph.input}
    extra = [value for value in probe.graph.output if value.name in produced]
    del probe.graph.output[:]
    probe.graph.output.extend(extra)
    session = Session(probe.SerializeToString())
    largest: dict[str, float] = {}
    for feed in feeds:
        for port, array in zip(session.outputs, session.run(feed), strict=True):
            if array.dtype.kind == "f" and array.size:
                largest[port.name] = max(largest.get(port.name, 0.0), float(np.max(np.abs(array))))
        for name, array in feed.items():
            if array.dtype.kind == "f" and array.size:
                largest[name] = max(largest.get(name, 0.0), float(np.max(np.abs(array))))
    return largest


def _kept(model: ir.Model, largest: Mapping[str, float]) -> dict[str, str]:
    """Return ``{node name: reason}`` for the nodes that stay in float32."""
    kept: dict[str, str] = {}
    for number, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{number}"
        touching = [value for value in (*node.inputs, *node.outputs) if value is not None]
        reason = _reason(node, [(str(value.name), _magnitude(value, largest)) for value in touching])
        if reason:
            kept[str(node.name)] = reason
    return kept


def _reason(node: ir.Node, magnitudes: Sequence[tuple[str, float]]) -> str | None:
    if node.domain not in ("", "ai.onnx"):
        return f"operator of domain {node.domain}"
    if node.op_type in KEPT:
        return "unsafe in float16"
    name, size = max(magnitudes, key=lambda item: item[1], default=("", 0.0))
    return f"{name} reaches {size:.4g}" if size > HEADROOM * LARGEST else None


def _magnitude(value: ir.Value, largest: Mapping[str, float]) -> float:
    import onnx_ir as ir

    constant = ir.convenience.get_const_tensor(value)
    if constant is None:
        return largest.get(str(value.name), 0.0)
    array = constant.numpy()
    if array.dtype != np.float32 or not array.size:
        return 0.0
    return float(np.max(np.abs(array)))


def _check(path: Path, where: str) -> None:
    import onnx

    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"its float16 form is not valid ONNX ({first_line(error)})", where=where) from error


def _compare(single: Session, halves: Sequence[Session], feeds: Sequence[Feed], where: str) -> dict[str, Any]:
    errors = {port.name: 0.0 for port in single.outputs}
    for feed in feeds:
        expected = single.run(feed)
        for half in halves:
            for port, got, truth in zip(single.outputs, half.run(feed), expected, strict=True):
                errors[port.name] = max(errors[port.name], relative_error(got, truth))
    name, worst = max(errors.items(), key=lambda item: item[1])
    if worst > ALLOWED:
        raise ExportError(
            f"its float16 form is off by {worst:.3g} of the largest magnitude of output {name!r}, {ALLOWED} is "
            "allowed; nothing was written",
            where=where,
            hint="deploy this network in fp32",
        )
    return {
        "max_error": worst,
        "allowed": ALLOWED,
        "reference": "the float32 ONNX file",
        "relative_to": "largest magnitude of the output",
        "runtime": f"onnxruntime {single.version} CPU, float32 arithmetic on values rounded to float16",
        "samples": sum(len(next(iter(feed.values()))) for feed in feeds),
        "outputs": {output: {"max_error": error} for output, error in errors.items()},
    }
