"""Data for an ONNX file, prepared as its metadata and its input ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import operators
from compress.errors import InputError
from compress.pipeline.finetuning import Metrics, TrainingOptions
from compress.pipeline.reporter import Reporter
from compress.pipeline.tables import metric

if TYPE_CHECKING:
    from onnx import ModelProto

PREPROCESSING_KEY = "compress.preprocessing"


def measure_onnx(path: Path, data: str, options: TrainingOptions, reporter: Reporter) -> Metrics:
    """Return the metrics of an ONNX file on the validation part of ``data``, run by ONNX Runtime on the CPU.

    Raises:
        compress.errors.CompressError: the file is not ONNX, or the data do not fit it.
    """
    from compress import data as data_sets
    from compress.training import evaluate
    from exporters.onnx_file import read_onnx

    operators.library_beside(path)  # loading data may take long, to no end where the file cannot be run
    model = read_onnx(path)
    with reporter.step(f"loading data {data}"):
        source = data_sets.load(data, preprocessing=preprocessing_of(model, path), seed=options.seed)
    metrics = dict(evaluate(path, source, metric=options.metric, loss=options.loss))
    reporter.say(f"accuracy of {path.name}: {metric(metrics)}")
    return metrics


def preprocessing_of(model: ModelProto, path: Path) -> dict[str, Any]:
    """Return what the file recorded at export, else what the shape of its first input says.

    Raises:
        InputError: the file has no input, or its record is damaged.
    """
    recorded = {entry.key: entry.value for entry in model.metadata_props}
    if PREPROCESSING_KEY in recorded:
        try:
            return dict(json.loads(recorded[PREPROCESSING_KEY]))
        except ValueError as error:
            raise InputError(f"its metadata {PREPROCESSING_KEY} is not JSON", where=str(path)) from error
    if not model.graph.input:
        raise InputError("has no input", where=str(path))
    shape = [size.dim_value or None for size in model.graph.input[0].type.tensor_type.shape.dim]
    if len(shape) != 4:
        return {}
    size = [shape[2], shape[3]] if shape[2] and shape[3] else None
    return {"channels": shape[1], "size": size}
