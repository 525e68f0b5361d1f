"""Finetuning and measuring accuracy, as the commands do it: options to configuration, state beside the output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource

Metrics = dict[str, Any]


@dataclass(frozen=True)
class TrainingOptions:
    """What the user said about training; None means the default of :class:`compress.training.FinetuneConfig`."""

    batch_size: int | None = None
    lr: float | None = None
    optimizer: str | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    warmup_epochs: float | None = None
    label_smoothing: float | None = None
    clip_norm: float | None = None
    ema: float | None = None
    precision: str | None = None
    distill_alpha: float | None = None
    distill_temperature: float | None = None
    loss: str | None = None
    metric: str | None = None
    metric_mode: str | None = None
    seed: int = 0

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def load_data(reference: str, program: Program, options: TrainingOptions, reporter: Reporter) -> DataSource:
    """Load the data set with the preprocessing that the checkpoint recorded, and record in it what was used."""
    from compress import data
    from compress.data.preprocessing import preprocessing_of

    asked = preprocessing_of(program)
    shape = program.inputs[0].shape
    if len(shape) == 4:
        asked = asked.model_copy(update={"size": [int(shape[2]), int(shape[3])]})
    with reporter.step(f"loading data {reference}"):
        source = data.load(reference, preprocessing=asked, seed=options.seed)
    for note in source.notes:
        reporter.say(note)
    program.info.preprocessing = source.preprocessing or program.info.preprocessing
    program.info.classes = source.classes or program.info.classes
    return source


def measure(
    program: Program | Path, source: DataSource, options: TrainingOptions, what: str, reporter: Reporter
) -> Metrics:
    """Return the metrics of ``program`` on the validation part of ``source``."""
    from compress.training import evaluate

    with reporter.step(f"measuring accuracy ({what})"):
        return dict(evaluate(program, source, metric=options.metric, loss=options.loss))


def run_folder(output: Path) -> Path:
    """Return the folder that holds the state and the log of the training that ends in ``output``."""
    return output.with_name(output.name.removesuffix(output.suffix) + ".run")


def how_to_resume(output: Path, epochs: int) -> str:
    """Return the sentence that Ctrl-C prints."""
    if epochs == 0:
        return "nothing was written; run the same command again"
    return f"run the same command again to go on from the last finished epoch (state in {run_folder(output)})"
