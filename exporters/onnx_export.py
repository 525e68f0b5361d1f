"""A Program becomes an ONNX file that is known to compute the same, or no file at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from compress.errors import ExportError
from compress.files import atomic_path, check_writable, sha256_file
from exporters._runtime import first_line
from exporters.artifact import Artifact

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnx import ModelProto

    from compress import Program
    from exporters._verify import Samples

OPSET = 20
LARGEST_BYTES = 2**31 - 2**20
"""A protobuf message ends at 2 GiB; the weights must leave room for the graph."""


def to_onnx(
    program: Program, path: str | os.PathLike[str], *, samples: Samples | None = None, overwrite: bool = False
) -> Artifact:
    """Write the evaluation graph of ``program`` as one ONNX file, verified in ONNX Runtime before it appears.

    Dynamic batch, batch norm folded, opset 20; inputs and outputs are named as in ``program.inputs`` and ``.outputs``;
    nodes are named ``layer/Operator`` after the checkpoint's layers; ``metadata_props`` carry plan hash, model
    reference, tool version, preprocessing and classes under ``compress.*``. The same program gives the same bytes.

    Args:
        samples: real inputs to verify on beside random ones: one tensor ``(N, ...)`` per input, or just the tensor
            where there is one input.

    Returns:
        The artifact; ``verification`` holds ``max_error``, ``allowed``, ``float32_noise``, ``samples`` (the first three
        relative to the output's largest magnitude, against the program in float64).

    Raises:
        ExportError: the network cannot be exported, is over 2 GiB, or the file does not compute the same; nothing is
            written then.
        InputError: ``path`` cannot be written, or exists and ``overwrite`` is false.
    """
    from exporters import _verify
    from exporters._faults import faulty_optimizers

    def is_equal(file: Path, without: Sequence[str] | None) -> bool:
        return _verify.verify(file, program, real, where, without=without).worst.passed

    check_writable(path, overwrite=overwrite)
    where = Path(path).name
    real = _verify.real_inputs(program, samples)
    model = _export(program, where)
    proto = _serialisable(model, where)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        _check(temporary, where)
        figures = _verify.verify(temporary, program, real, where)
        _verify.require(figures, where, lambda: faulty_optimizers(temporary, is_equal))
    return Artifact(
        path=Path(path),
        sha256=sha256_file(path),
        kind="onnx",
        verification=figures.to_dict(),
        metadata=_describe(proto, model, figures.to_dict()["conclusive"]),
    )


def _export(program: Program, where: str) -> ir.Model:
    import torch

    from exporters._faults import keep_lost_constants, spell_out_pad_axes
    from exporters._lowering import lower
    from exporters._rewrites import export_rewritten
    from exporters._tidy import tidy

    exported = export_rewritten(program)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = torch.onnx.export(exported, dynamo=True, opset_version=OPSET, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"cannot be exported to ONNX ({_cause(error)})", where=where) from error
    if result is None:
        raise ExportError("cannot be exported to ONNX (the exporter returned nothing)", where=where)
    model = result.model
    names = [spec.name for spec in program.inputs], [spec.name for spec in program.outputs]
    for kind, wanted, got in zip(("inputs", "outputs"), names, (model.graph.inputs, model.graph.outputs), strict=True):
        if len(wanted) != len(got):
            raise ExportError(f"the ONNX graph has {len(got)} {kind}, the network {len(wanted)}", where=where)
    keep_lost_constants(model)
    spell_out_pad_axes(model)
    lower(model)
    tidy(model, inputs=names[0], outputs=names[1], metadata=_metadata(program))
    model.producer_name, model.producer_version = "compress-toolchain", _version()
    return model


def _cause(error: BaseException) -> str:
    """The exporter wraps the reason in pages of advice; the innermost error is the reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _metadata(program: Program) -> dict[str, str]:
    info = program.info
    found: dict[str, Any] = {
        "model_ref": _portable(info.model_ref) if info.model_ref else None,
        "plan_sha256": info.plan_sha256,
        "preprocessing": info.preprocessing.model_dump(mode="json") if info.preprocessing else None,
        "classes": info.classes,
        "tool_version": _version(),
    }
    return {
        f"compress.{key}": value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in found.items()
        if value is not None
    }


def _portable(ref: str) -> str:
    """A reference to a user's file keeps the file's name, not where it lay."""
    return PurePath(ref).name if PurePath(ref).is_absolute() else ref


def _version() -> str:
    from compress import __version__

    return __version__


def _serialisable(model: ir.Model, where: str) -> ModelProto:
    import onnx_ir as ir

    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    if size > LARGEST_BYTES:
        raise ExportError(
            f"its weights take {size / 2**30:.1f} GiB, and an ONNX file holds at most 2 GiB",
            where=where,
            hint="prune the network further, or export its parts one by one",
        )
    return ir.to_proto(model)


def _check(path: Path, where: str) -> None:
    import onnx

    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX ({first_line(error)})", where=where) from error


def _describe(proto: ModelProto, model: ir.Model, conclusive: bool) -> dict[str, Any]:
    from exporters._tidy import layer_names

    left = sum(node.op_type == "BatchNormalization" for node in proto.graph.node)
    notes = (
        [] if conclusive else ["float32 rounding alone moves this network's output by more than 0.1 %: weak evidence"]
    )
    if left:
        notes.append(f"{left} batch norms do not follow a convolution or linear layer and stay in the graph")
    return {
        "opset": OPSET,
        "nodes": len(proto.graph.node),
        "batch_norms_left": left,
        "inputs": [value.name for value in proto.graph.input],
        "outputs": [value.name for value in proto.graph.output],
        "layers": layer_names(model),
        "properties": {item.key: item.value for item in proto.metadata_props},
        "notes": notes,
    }
