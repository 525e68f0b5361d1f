"""Finetuning and measuring accuracy, as the commands do it: options to configuration, state beside the output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.pipeline.reporter import Reporter
from compress.pipeline.tables import metric, percent

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource
    from compress.sparsity.during import SparsityInTraining
    from compress.sparsity.report import SparsityReport

Metrics = dict[str, Any]

STATE_NAME, BEST_NAME = "state.pt", "best.pt"


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

    metrics = dict(evaluate(program, source, metric=options.metric, loss=options.loss))
    reporter.say(f"{what}: {metric(metrics)}")
    return metrics


def run_folder(output: Path) -> Path:
    """Return the folder that holds the state and the log of the training that ends in ``output``."""
    return output.parent / f"{output.stem}.run"


def how_to_resume(output: Path, epochs: int) -> str:
    """Return the sentence that Ctrl-C prints."""
    if epochs == 0:
        return "nothing was written; run the same command again"
    return f"run the same command again to go on (state in {run_folder(output)})"


def finetune(
    program: Program,
    source: DataSource,
    options: TrainingOptions,
    *,
    epochs: int,
    teacher: Program | None,
    folder: Path,
    restart: bool,
    reporter: Reporter,
    sparsity: SparsityInTraining | None = None,
) -> tuple[Program, Metrics, SparsityReport | None]:
    """Train, keeping the state in ``folder``; return the network of the best epoch, its metrics, and what ``sparsity``
    came to. Zeros that are masked stay.

    Raises:
        compress.errors.CompressError: the settings are wrong, the state belongs to another run, the user stopped it ...
    """
    from compress import training

    config = training.config_of(epochs=epochs, **options.given())
    started = (folder / STATE_NAME).exists()
    if started and not restart:
        reporter.say(f"going on from the state in {folder} (--restart starts over)")
    if program.masks:
        masks = program.masks.values()
        share = sum(mask.zeros for mask in masks) / sum(mask.kept.numel() for mask in masks)
        reporter.say(f"keeping the zeros of {len(masks)} masked layers ({percent(share)} of their weights)")
    reporter.say(f"finetuning for {epochs} epochs" + (", distilled from the dense network" if teacher else ""))
    with reporter.timed("finetuning"):
        result = training.finetune(
            program,
            source,
            config,
            teacher=teacher,
            output_dir=folder,
            resume=not restart,
            quiet=not is_first_process(),
            sparsity=sparsity,
        )
    reporter.say(f"best epoch {result.best_epoch} of {epochs}: {metric(result.metrics)}")
    return result.program, result.metrics, result.sparsity


def finish(folder: Path) -> None:
    """Drop the state of a run whose result is saved; its log stays."""
    for name in (STATE_NAME, BEST_NAME):
        (folder / name).unlink(missing_ok=True)


def is_first_process() -> bool:
    """Return whether this process is the one that prints and writes, under torchrun or alone."""
    return int(os.environ.get("RANK", "0")) == 0
