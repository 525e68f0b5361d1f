"""Which samples of a data set two ONNX files get right, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import DataError
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress.data.source import DataSource
    from compress.training.onnx_runner import OnnxRunner

_BATCH = 256


def outcomes_of(base: Path, new: Path, data: str, reporter: Reporter) -> tuple[list[bool], list[bool]]:
    """Return for every validation sample of ``data`` whether ``base`` and ``new`` name its class (top-1).

    Each file's data are prepared as that file asks for; ONNX Runtime runs both on the CPU.

    Raises:
        DataError: the data do not fit a file, hold no class labels, or are not the same for both files.
        InputError: a file cannot be run.
    """
    found = [_outcomes(path, data, reporter) for path in (base, new)]
    if len(found[0]) != len(found[1]):
        raise DataError(f"gives {len(found[0])} samples for {base.name} and {len(found[1])} for {new.name}", where=data)
    return found[0], found[1]


def _outcomes(path: Path, data: str, reporter: Reporter) -> list[bool]:
    from compress import data as data_sets
    from compress.pipeline.onnx_data import preprocessing_of
    from compress.training.onnx_runner import OnnxRunner
    from exporters.onnx_file import read_onnx

    with reporter.step(f"{path.name} on {data}"):
        runner = OnnxRunner(path)
        source = data_sets.load(data, preprocessing=preprocessing_of(read_onnx(path), path), seed=0)
        runner.check(source)
        source.prepare(training=False)
        right = _right(runner, source)
    if not right:
        raise DataError("has no validation samples", where=source.ref)
    return right


def _right(runner: OnnxRunner, source: DataSource) -> list[bool]:
    import torch

    from compress.training.losses import check_labels, main_output

    right: list[bool] = []
    for batch in source.validation.in_order(runner.batch_size or _BATCH):
        logits, target = main_output(runner(*batch.inputs)), batch.target
        if not isinstance(target, torch.Tensor) or logits.dim() != 2:
            hint = "the gate judges classifiers; leave accuracy out for other networks"
            raise DataError("gives no class label for each sample", where=source.ref, hint=hint)
        target = target.argmax(1) if target.is_floating_point() else target
        check_labels(target, logits.shape[1], "validation")
        right += [bool(value) for value in (logits.argmax(1) == target)[target != -100]]
    return right
