"""Accuracy and loss of a network or a deployment file on the held-back part of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import compress
from compress.data.source import WHOLE, DataSource, Share
from compress.errors import DataError
from compress.program import Program
from compress.training.devices import pick_device
from compress.training.fitting import check_fit
from compress.training.losses import Loss, Outputs, validation_loss
from compress.training.metrics import Scorer, Tally, scorer_maker
from compress.training.onnx_runner import OnnxRunner
from compress.training.progress import ProgressBar

Runner = Callable[..., Outputs]


def evaluate(
    network: Program | str | os.PathLike[str],
    data: DataSource,
    metric: str | None = None,
    *,
    loss: str | None = None,
    batch_size: int = 256,
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = False,
) -> dict[str, float]:
    """Measure a network on ``data``'s validation split.

    Args:
        network: a Program, a ``.onnx`` file (run by ONNX Runtime on the CPU), or any file :func:`compress.load` takes.
        metric: ``top1``, ``top5``, ``loss``, or ``file.py:name``: a function of (outputs, target), averaged over
            samples, or a class with update(outputs, target) and compute().
        loss: ``file.py:function`` instead of cross entropy.
        threads: for ONNX Runtime; its own choice by default.

    Returns:
        shares in 0..1 for ``top1`` and ``top5`` (above five classes), ``loss``, the user's figures, and ``samples``.

    Raises:
        DataError: the data do not fit the network, or there are none.
        InputError: the file, metric or loss is not usable.
    """
    make_scorer = scorer_maker(metric, loss)
    loss_function = validation_loss(loss)
    if not isinstance(network, Program) and Path(network).suffix.lower() == ".onnx":
        file = OnnxRunner(Path(network), threads)
        file.check(data, classes=loss is None)
        run: Runner = file
        chosen, batch_size = torch.device("cpu"), file.batch_size or batch_size
    else:
        program = network.copy() if isinstance(network, Program) else compress.load(network)
        check_fit(program, data, classes=loss is None)
        chosen = pick_device(device)
        run = program.module(training=False).to(chosen)
    data.prepare(training=False)
    with ProgressBar("evaluating", _batches(data, batch_size), quiet=quiet) as bar:
        result = measure(run, data, loss_function, make_scorer, batch_size=batch_size, device=chosen, bar=bar)
    if not result.get("samples"):
        raise DataError("has no validation samples", where=data.ref)
    return result


def measure(
    run: Runner,
    data: DataSource,
    loss: Loss,
    make_scorer: Callable[[], Scorer | None],
    *,
    batch_size: int,
    device: torch.device,
    share: Share = WHOLE,
    total: Callable[[Tally], None] = lambda tally: None,
    bar: ProgressBar | None = None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Run the validation split through ``run`` and return its figures.

    Args:
        share: which process this is; the others take the other batches unless the scorer needs them all.
        total: adds up a tally over the processes.
        between: called before every batch.
    """
    scorer = make_scorer()
    losses = Tally()
    part = share if scorer is None or scorer.additive else WHOLE
    with torch.no_grad():
        for batch in data.validation.in_order(batch_size, part):
            between()
            outputs = run(*(value.to(device) for value in batch.inputs))
            target = to_device(batch.target, device)
            if scorer is not None:  # before the loss: it names labels that do not fit, where a GPU only asserts
                scorer.update(outputs, target, len(batch))
            losses.add("loss", float(loss(outputs, target)), len(batch))
            losses.add("samples", len(batch), 1)
            if bar is not None:
                bar.advance(losses.means() | (scorer.tally.means() if scorer else {}))
    if part.processes > 1:
        total(losses)
        if scorer is not None:
            total(scorer.tally)
    figures = {} if scorer is None else scorer.result()
    return {**figures, "loss": losses.means().get("loss", 0.0), "samples": int(losses.sums.get("samples", [0])[0])}


def to_device(target: Any, device: torch.device) -> Any:
    """Move a tensor, or the tensors in a dictionary, list or tuple, to ``device``."""
    if isinstance(target, torch.Tensor):
        return target.to(device)
    if isinstance(target, dict):
        return {name: to_device(value, device) for name, value in target.items()}
    if isinstance(target, (list, tuple)):
        return type(target)(to_device(value, device) for value in target)
    return target


def _batches(data: DataSource, batch_size: int) -> int:
    try:
        return -(-len(data.val) // batch_size)
    except TypeError:
        return 0
