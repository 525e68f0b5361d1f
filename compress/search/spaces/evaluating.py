"""What a recipe is worth: the network cut by it, trained by a short schedule that is the same for all, and judged.

Filters are inherited by the largest norm, batch norm's statistics averaged anew, and every recipe sees the same batches
in the same order, so that structure alone differs (He et al. 2023 as far as it is known; a reconstruction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compress.axes.surgery import remove
from compress.data.source import DataSource
from compress.errors import PlanError
from compress.importance import ScoreContext, atom_scores, criterion
from compress.program import Program
from compress.search.spaces.space import Space, Widths
from compress.training.batch_norm import reestimate_batch_norm
from compress.training.losses import CrossEntropy, main_output

CRITERION = "l1"
"""Which of a group's atoms are inherited: those with the largest norm."""


@dataclass(frozen=True)
class Schedule:
    """The short training that every recipe gets.

    Attributes:
        steps: batches; 0 leaves the weights as they were inherited.
        batch_size: samples in a batch.
        lr: at the beginning; it falls on a cosine to 0.
        momentum, weight_decay: of SGD; decay not on vectors (norms and biases).
        statistics: training batches that batch norm is averaged over, before training and after it.
        seed: for the order of the data.
    """

    steps: int = 100
    batch_size: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    statistics: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch_size < 1 or not self.lr > 0 or self.statistics < 0:
            raise PlanError(f"a short training that makes no sense: {self}")


class Evaluator:
    """Judges recipes of ``space`` on ``data``: the same recipe has the same error, whenever and wherever it is judged.

    Raises:
        DataError: on making it, the data cannot be read.
    """

    def __init__(self, space: Space, data: DataSource, schedule: Schedule) -> None:
        data.prepare()
        self.space, self._data, self.schedule = space, data, schedule
        groups = space.analysis.prunable
        scores = atom_scores(criterion(CRITERION), ScoreContext(space.analysis, None, 0), groups, "mean")
        self.order: tuple[NDArray[Any], ...] = tuple(
            np.argsort(-np.asarray(scores[group.name]), kind="stable") for group in groups
        )

    def network(self, row: Widths) -> Program:
        """Return the network cut by a recipe, with the weights that it inherits."""
        analysis = self.space.analysis
        return remove(analysis, self.space.plan(row, self.order, {}).validated(analysis))

    def error(self, row: Widths) -> float:
        """Return the share of held-out samples that the recipe's network gets wrong after the schedule."""
        program = self.network(row)
        self._settle(program)
        if self.schedule.steps:
            self._train(program)
            self._settle(program)
        return 1 - accuracy(program, self._data)

    def _settle(self, program: Program) -> None:
        schedule = self.schedule
        if schedule.statistics:
            reestimate_batch_norm(
                program,
                self._data,
                batches=schedule.statistics,
                batch_size=schedule.batch_size,
                seed=schedule.seed,
                device="cpu",
            )

    def _train(self, program: Program) -> None:
        schedule, loss = self.schedule, CrossEntropy()
        module = program.module(training=True).train()
        trained = [tensor for tensor in module.parameters() if tensor.requires_grad]
        groups = [
            {"params": [tensor for tensor in trained if tensor.ndim > 1], "weight_decay": schedule.weight_decay},
            {"params": [tensor for tensor in trained if tensor.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum)
        step = epoch = 0
        while step < schedule.steps:
            for batch in self._data.training.epoch(schedule.batch_size, seed=schedule.seed, epoch=epoch):
                for group in optimizer.param_groups:
                    group["lr"] = schedule.lr * 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
                optimizer.zero_grad()
                value = loss(module(*batch.inputs), batch.target)
                if not bool(torch.isfinite(value)):
                    raise PlanError(f"the loss of a recipe is {float(value)} at step {step}", hint="lower the lr")
                value.backward()
                optimizer.step()
                step += 1
                if step == schedule.steps:
                    break
            epoch += 1


def accuracy(program: Program, data: DataSource, *, batch_size: int = 256) -> float:
    """Return the share of the held-out samples of ``data`` that ``program`` classifies rightly."""
    module = program.module(training=False).eval()
    right = count = 0
    with torch.no_grad():
        for batch in data.validation.in_order(batch_size):
            right += int((main_output(module(*batch.inputs)).argmax(1) == batch.target).sum())
            count += len(batch)
    return right / count
