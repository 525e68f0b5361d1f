"""Activation energy: a channel that carries hardly any signal contributes little."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.importance._signals import SignalCriterion


class ActivationEnergy(SignalCriterion):
    """Mean square of the channel's signal, where convolutions, linear layers and products read it."""

    name: ClassVar[str] = "activation"

    def of_signal(self, signal: torch.Tensor) -> torch.Tensor:
        return signal.square().mean(2)
