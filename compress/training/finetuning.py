"""``finetune``: train a network on a data set, resumable at any moment, and return it at its best."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.data.source import DataSource
from compress.errors import DataError, InputError
from compress.files import sha256_file
from compress.program import Program
from compress.sparsity.during import SparsityInTraining
from compress.sparsity.report import SparsityReport
from compress.training import state
from compress.training.batch_norm import reestimate_batch_norm
from compress.training.config import FinetuneConfig
from compress.training.devices import Determinism
from compress.training.ema import restore
from compress.training.fitting import check_fit
from compress.training.history import Row
from compress.training.lock import only_run
from compress.training.losses import training_loss
from compress.training.metrics import scorer_maker
from compress.training.processes import Processes
from compress.training.trainer import Trainer

_NOT_IDENTITY = {"save_every_steps", "device"}


@dataclass(frozen=True)
class FinetuneResult:
    """What finetuning gives.

    Attributes:
        program: the network with the weights of the best epoch.
        history: one row per epoch, as in ``history.json``.
        best_epoch: counted from 1.
        metrics: the validation figures of that epoch.
        sparsity: what masks that grew during the training came to.
    """

    program: Program
    history: list[Row]
    best_epoch: int
    metrics: dict[str, Any]
    sparsity: SparsityReport | None = None


def finetune(
    program: Program,
    data: DataSource,
    config: FinetuneConfig,
    *,
    teacher: Program | None = None,
    output_dir: str | os.PathLike[str],
    resume: bool = True,
    quiet: bool = False,
    sparsity: SparsityInTraining | None = None,
) -> FinetuneResult:
    """Train a copy of ``program`` on ``data``. Weights that ``program`` masks stay zero.

    ``output_dir`` receives ``state.pt`` (to go on from, written every ``save_every_steps`` steps and every epoch),
    ``best.pt`` (the best epoch's weights), ``history.csv`` and ``history.json``. A run that was killed and is started
    again ends with the same weights, bit for bit, as one that was not. Under ``torchrun`` the batch is shared by the
    processes; see :class:`~compress.training.processes.Processes` for what batch norm does then.

    Args:
        teacher: the dense network, whose soft predictions are learnt as well unless ``distill_alpha`` is 0.
        resume: go on from ``output_dir``'s state if there is one; else start over.
        quiet: no progress bar (there is none either where stderr is no terminal).
        sparsity: set weights to zero bit by bit while training; the best epoch is then one with all the zeros.

    Raises:
        PlanError: ``sparsity`` does not fit the network.
        InputError: the state belongs to a different run (every differing field is named), another run is at work in
            ``output_dir``, or the loss is not finite.
        DataError: the data do not fit the network, or cannot be read.
        UnavailableError: the device or precision is not available here.
        Interrupted: Ctrl-C or SIGTERM; the message says how to resume.
    """
    folder = _folder(Path(output_dir))
    training_loss(config)
    scorer_maker(config.metric, config.loss)
    _check(program, data, config, teacher)
    data.prepare()
    with (
        Processes(config) as processes,
        only_run(folder, first=processes.first),
        Determinism(processes.device),
    ):
        _check_batch(program, data, config, processes)
        identity = _identity(program, data, config, teacher, processes)
        if sparsity is not None:
            identity |= {f"sparsity.{name}": value for name, value in sparsity.settings().items()}
        found = _found(folder / state.NAME, identity) if resume else None
        begun = program
        if found is None and config.batch_norm_batches:
            begun = program.copy()
            reestimate_batch_norm(
                begun,
                data,
                batches=config.batch_norm_batches,
                batch_size=config.batch_size,
                seed=config.seed,
                device=config.device,
            )
        processes.wait()
        trainer = Trainer(
            begun,
            data,
            config,
            teacher=teacher,
            folder=folder,
            processes=processes,
            identity=identity,
            sparsity=sparsity,
        )
        if found is not None:
            trainer.resume(found)
        elif processes.first:
            _forget(folder)
        trainer.run(quiet=quiet)
        return _result(program, trainer, data, config, identity)


def _folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be used as output folder ({error.strerror})", where=str(folder)) from error
    return folder


def _check(program: Program, data: DataSource, config: FinetuneConfig, teacher: Program | None) -> None:
    check_fit(program, data, classes=config.loss is None)
    if not any(program.requires_grad.values()):
        raise InputError("the network has no parameter to train", where="finetuning")
    if teacher is None:
        return
    ours, theirs = [spec.shape for spec in program.inputs], [spec.shape for spec in teacher.inputs]
    if ours != theirs:
        raise InputError(f"the teacher takes inputs of {theirs}, the network of {ours}", where="distillation")
    if program.outputs[0].shape != teacher.outputs[0].shape and config.distill_alpha > 0:
        raise InputError(
            f"the teacher gives {teacher.outputs[0].shape[1:]}, the network {program.outputs[0].shape[1:]}",
            where="distillation",
            hint="use a teacher with the same classes, or none",
        )


def _check_batch(program: Program, data: DataSource, config: FinetuneConfig, processes: Processes) -> None:
    if data.training.steps(config.batch_size, processes.share) < 1:
        raise DataError("the training loader has no batches", where=data.ref)
    normalised = any(name.endswith("running_mean") for name in program.tensors)
    if normalised and config.batch_size // processes.share.processes < 2:
        raise InputError(
            "batch norm needs at least two samples per process",
            where="--batch-size",
            hint="choose a larger batch size",
        )


def _identity(
    program: Program, data: DataSource, config: FinetuneConfig, teacher: Program | None, processes: Processes
) -> dict[str, Any]:
    """Everything that the result depends on, by name."""
    identity = {f"config.{name}": value for name, value in config.model_dump().items() if name not in _NOT_IDENTITY}
    for name in ("loss", "metric"):
        ref = identity[f"config.{name}"]
        if ref and ".py" in ref:
            identity[f"{name} file"] = sha256_file(Path(ref.rpartition(":")[0]).expanduser())
    return {
        **identity,
        "data": data.fingerprint,
        "program": program.fingerprint(),
        "teacher": teacher.fingerprint() if teacher is not None else None,
        "processes": processes.share.processes,
        "device": processes.device.type,
    }


def _found(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content = state.read(path)
    state.check_identity(path, content["identity"], identity)
    return content


def _forget(folder: Path) -> None:
    for name in (state.NAME, state.BEST_NAME):
        (folder / name).unlink(missing_ok=True)


def _result(
    program: Program, trainer: Trainer, data: DataSource, config: FinetuneConfig, identity: dict[str, Any]
) -> FinetuneResult:
    trained = program.copy()
    restore(trained, trainer.best_tensors())
    trained.set_masks(trainer.masks)
    sparsity = trainer.growing.finish(program, trained) if trainer.growing is not None else None
    best = trainer.best
    if data.preprocessing is not None:
        trained.info.preprocessing = data.preprocessing
    if data.classes is not None:
        trained.info.classes = list(data.classes)
    trained.info.metrics = {**trained.info.metrics, **best["metrics"]}
    trained.info.record(
        "finetune",
        arguments={"data": data.ref, **config.model_dump(), "distilled": identity["teacher"] is not None},
        seed=config.seed,
        input_sha256=identity["program"],
        metrics={"best_epoch": best["epoch"], **best["metrics"]},
    )
    return FinetuneResult(trained, trainer.history, best["epoch"], best["metrics"], sparsity)
