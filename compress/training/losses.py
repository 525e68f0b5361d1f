"""What training minimises: cross entropy or the user's function, auxiliary heads, and the distance to a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from compress.errors import DataError, InputError
from compress.training.config import FinetuneConfig
from compress.training.user_functions import user_function

Outputs = torch.Tensor | tuple[torch.Tensor, ...]
Loss = Callable[[Outputs, Any], torch.Tensor]


def main_output(outputs: Outputs) -> torch.Tensor:
    """Return the network's main output: the first of several."""
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


class CrossEntropy:
    """Mean cross entropy of the main output, plus ``aux_weight`` times that of each further output.

    Logits are (batch, classes, ...), targets (batch, ...) class indices or (batch, classes, ...) probabilities.
    """

    def __init__(self, label_smoothing: float = 0.0, aux_weight: float = 0.0) -> None:
        self._smoothing = label_smoothing
        self._aux_weight = aux_weight

    def __call__(self, outputs: Outputs, target: Any) -> torch.Tensor:
        main, *others = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        loss = self._one(main, target)
        for other in others if self._aux_weight else ():
            loss = loss + self._aux_weight * self._one(other, target)
        return loss

    def _one(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        try:
            return F.cross_entropy(logits, target, label_smoothing=self._smoothing)
        except IndexError:
            check_labels(target, logits.shape[1], "the data")
            raise


class UserLoss:
    """``file.py:function(outputs, target) -> scalar``. It sees all outputs, auxiliary ones in training only."""

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._function = user_function(ref)

    def __call__(self, outputs: Outputs, target: Any) -> torch.Tensor:
        loss = self._function(outputs, target)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            shown = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise InputError(f"returned {shown}, expected a tensor with one value", where=self._ref)
        if main_output(outputs).requires_grad and not loss.requires_grad:
            raise InputError(
                "returned a value without a gradient", where=self._ref, hint="compute it from the outputs, in torch"
            )
        return loss.reshape(())


def training_loss(config: FinetuneConfig) -> Loss:
    """Return the loss that training minimises, before distillation."""
    return UserLoss(config.loss) if config.loss else CrossEntropy(config.label_smoothing, config.aux_weight)


def validation_loss(ref: str | None) -> Loss:
    """Return the loss that is reported for held-back data: without label smoothing or auxiliary heads."""
    return UserLoss(ref) if ref else CrossEntropy()


def distillation(student: Outputs, teacher: Outputs, temperature: float) -> torch.Tensor:
    """Return ``T**2 * KL(teacher || student)`` of the main outputs' classes (dimension 1), mean over all positions.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015), section 2.

    Raises:
        InputError: the two networks' main outputs differ in shape.
    """
    ours, theirs = main_output(student), main_output(teacher)
    if ours.shape != theirs.shape:
        raise InputError(
            f"the teacher's output is {tuple(theirs.shape[1:])}, the network's {tuple(ours.shape[1:])}",
            where="distillation",
            hint="use a teacher with the same classes, or none",
        )
    divergence = F.kl_div(
        F.log_softmax(ours / temperature, dim=1),
        F.log_softmax(theirs / temperature, dim=1),
        log_target=True,
        reduction="none",
    )
    return divergence.sum(1).mean() * temperature**2


def check_labels(target: Any, classes: int, where: str) -> None:
    """Refuse class indices that the network has no output for (-100 means "ignore").

    Raises:
        DataError: the target is no tensor, or labels are out of range.
    """
    if not isinstance(target, torch.Tensor):
        raise DataError(
            f"the target is a {type(target).__name__}, cross entropy takes a tensor of labels",
            where=where,
            hint="give a loss of your own (--loss file.py:function)",
        )
    if target.is_floating_point() or target.numel() == 0:
        return
    lowest, highest = int(target.min()), int(target.max())
    if highest >= classes or (lowest < 0 and lowest != -100):
        raise DataError(
            f"has labels {lowest} to {highest}, the network has {classes} outputs",
            where=where,
            hint="the data set does not fit this network",
        )
