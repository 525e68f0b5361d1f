"""Training the shared weights, and judging a candidate by them.

Source: Zhao et al. 2021 (JCW): first channels alone, then channels and weights; every step trains one candidate; before
a candidate is judged its batch norm's statistics are averaged anew; the proxy is the cross entropy on held-out images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from compress.data.randomness import draw_seed
from compress.data.source import DataSource
from compress.errors import PlanError
from compress.program import Program
from compress.search.encoding import Candidate
from compress.search.examination import Examination
from compress.search.sorting import Array
from compress.search.supernet import SuperNet
from compress.training.evaluation import to_device
from compress.training.losses import CrossEntropy, Loss

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Lessons:
    """How the shared weights are trained.

    Attributes:
        steps: batches in all; each trains one candidate.
        channels_first: share of the steps that leave weights dense.
        batch_size: samples in a batch.
        lr: at the beginning; it falls on a cosine to 0.
        momentum, weight_decay: of SGD; decay not on vectors (norms and biases).
        seed: for the candidates drawn and the order of the data.
    """

    steps: int
    channels_first: float = 1 / 3
    batch_size: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not 0 <= self.channels_first <= 1 or not self.lr > 0:
            raise PlanError(f"the training of the shared weights makes no sense: {self}")


class Teacher:
    """Trains ``supernet`` in place; :meth:`state` at any step is where a later :meth:`restore` goes on, bit for bit."""

    def __init__(self, supernet: SuperNet, data: DataSource, lessons: Lessons, loss: Loss | None = None) -> None:
        data.prepare()
        self._supernet, self._data, self._lessons = supernet, data, lessons
        self._loss = loss or CrossEntropy()
        decayed = [tensor for tensor in supernet.parameters() if tensor.ndim > 1]
        free = [tensor for tensor in supernet.parameters() if tensor.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": lessons.weight_decay}, {"params": free, "weight_decay": 0.0}]
        self._optimizer = torch.optim.SGD(groups, lr=lessons.lr, momentum=lessons.momentum)
        self.step = 0

    def learn(self, until: int | None = None, progress: Progress = lambda share, text: None) -> list[float]:
        """Train up to step ``until`` (all of them by default) and return the losses of the steps."""
        last = min(until or self._lessons.steps, self._lessons.steps)
        losses: list[float] = []
        while self.step < last:
            per_epoch = self._data.training.steps(self._lessons.batch_size)
            epoch, start = divmod(self.step, per_epoch)
            batches = self._data.training.epoch(
                self._lessons.batch_size, seed=self._lessons.seed, epoch=epoch, start=start
            )
            for batch in batches:
                losses.append(self._learn(batch.inputs, batch.target))
                progress(self.step / self._lessons.steps, f"step {self.step}, loss {losses[-1]:.3f}")
                if self.step >= last:
                    break
        return losses

    def candidate(self, step: int) -> Candidate:
        """Return the candidate that a step trains: a random point; every fourth is the whole network."""
        grid = self._supernet.encoding.grid
        random = np.random.default_rng([self._lessons.seed, step])
        point: Array = grid.high if step % 4 == 0 else grid.sample(random)
        return self._supernet.encoding.decode(point)

    def state(self) -> dict[str, object]:
        """Return what :meth:`restore` goes on from."""
        tensors = {name: tensor.detach().clone() for name, tensor in self._supernet.program.tensors.items()}
        return {"step": self.step, "tensors": tensors, "optimizer": self._optimizer.state_dict()}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from :meth:`state`."""
        tensors, step, optimizer = state["tensors"], state["step"], state["optimizer"]
        assert isinstance(tensors, dict)
        assert isinstance(step, int)
        assert isinstance(optimizer, dict)
        with torch.no_grad():
            for name, tensor in self._supernet.program.tensors.items():
                tensor.copy_(tensors[name])
        self._optimizer.load_state_dict(optimizer)
        self.step = step

    def _learn(self, inputs: Sequence[torch.Tensor], target: object) -> float:
        lessons = self._lessons
        for group in self._optimizer.param_groups:
            group["lr"] = lessons.lr * 0.5 * (1 + math.cos(math.pi * self.step / lessons.steps))
        self._optimizer.zero_grad()
        torch.manual_seed(draw_seed(lessons.seed, self.step, "lesson"))
        dense = self.step < lessons.channels_first * lessons.steps
        device = next(iter(self._supernet.program.tensors.values())).device
        loss = self._supernet.learn(
            self.candidate(self.step),
            [value.to(device) for value in inputs],
            to_device(target, device),
            self._loss,
            dense=dense,
        )
        if not math.isfinite(loss):
            raise PlanError(
                f"the loss of the shared weights is {loss} at step {self.step}", hint="lower the learning rate"
            )
        self._optimizer.step()
        self.step += 1
        return loss


def judge(
    supernet: SuperNet,
    candidate: Candidate,
    data: DataSource,
    *,
    statistics: int = 10,
    batch_size: int = 256,
    seed: int = 0,
    loss: Loss | None = None,
) -> float:
    """Return the candidate's mean loss on the held-out part of ``data``; for several candidates make one
    :class:`.Examination`, whose arguments these are.
    """
    found = Examination(supernet, data, statistics=statistics, batch_size=batch_size, seed=seed, loss=loss)
    return found.loss(candidate)


def held_out_loss(program: Program, data: DataSource, *, batch_size: int = 256, loss: Loss | None = None) -> float:
    """Return the mean loss over the held-out samples."""
    measured = loss or CrossEntropy()
    module = program.module(training=False).eval()
    total = count = 0.0
    with torch.no_grad():
        for batch in data.validation.in_order(batch_size):
            total += float(measured(module(*batch.inputs), batch.target)) * len(batch)
            count += len(batch)
    return total / count
