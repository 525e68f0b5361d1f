"""Exponential moving average of weights and buffers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from compress.program import Program


class Ema:
    """A second Program that follows the trained one.

    After step ``n`` (from 1) the decay is ``min(decay, (1 + n) / (10 + n))``, so that the random start is forgotten
    early. Floating-point buffers (running statistics) are averaged like weights, integer ones copied.
    """

    def __init__(self, program: Program, decay: float, device: torch.device) -> None:
        self.program = program.copy()
        self.program.module().to(device)
        self._decay = decay

    @torch.no_grad()
    def update(self, tensors: Mapping[str, torch.Tensor], step: int) -> None:
        """Take in the state after optimizer step ``step`` (from 1)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        followed = self.program.tensors
        for name in untied(self.program):
            value = tensors[name].detach()
            if value.is_floating_point():
                followed[name].lerp_(value, 1 - decay)
            else:
                followed[name].copy_(value)


def untied(program: Program) -> list[str]:
    """Return the names of ``program``'s tensors, each tensor once."""
    return [name for name in program.tensors if name not in program.tied]


@torch.no_grad()
def restore(program: Program, values: Mapping[str, torch.Tensor]) -> None:
    """Copy ``values`` (as :func:`snapshot` returns) into ``program``."""
    tensors = program.tensors
    for name in untied(program):
        tensors[name].copy_(values[name])


def snapshot(program: Program) -> dict[str, torch.Tensor]:
    """Return a copy of every tensor of ``program`` on the CPU, constants and unsaved buffers included."""
    tensors = program.tensors
    return {name: tensors[name].detach().cpu().clone() for name in untied(program)}
