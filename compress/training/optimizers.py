"""Optimizers and the learning rate as a function of the step alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from compress.training.config import FinetuneConfig


def build_optimizer(parameters: Iterable[nn.Parameter], config: FinetuneConfig) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or AdamW.

    Weight decay acts on parameters with two or more dimensions only: norms' scales and all biases have one.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.peak_lr)
    return torch.optim.SGD(groups, lr=config.peak_lr, momentum=config.momentum, nesterov=config.momentum > 0)


def learning_rate(config: FinetuneConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimizer step ``step`` (from 0): linear warm-up, then half a cosine to zero."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.peak_lr * (step + 1) / warmup
    remaining = config.epochs * steps_per_epoch - warmup
    return config.peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / remaining))
