"""The evaluate job: accuracy of a checkpoint or of an ONNX file."""

from __future__ import annotations

from pathlib import Path

from compress.pipeline.finetuning import Metrics, TrainingOptions, load_data, measure
from compress.pipeline.loading import Loading, open_program, require_file
from compress.pipeline.onnx_data import measure_onnx
from compress.pipeline.reporter import Reporter


def run(file: Path, data: str, loading: Loading, options: TrainingOptions, reporter: Reporter) -> Metrics:
    """Return the metrics of ``file`` on the validation part of ``data``.

    Raises:
        compress.errors.CompressError: the file or the data cannot be used, or they do not fit each other.
    """
    require_file(file)
    if file.suffix == ".onnx":
        return measure_onnx(file, data, options, reporter)
    program = open_program(file, loading, reporter)
    source = load_data(data, program, options, reporter)
    return measure(program, source, options, file.name, reporter)
