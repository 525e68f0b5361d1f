"""Randomising everything: at initialisation values a forgotten normalisation is invisible."""

from __future__ import annotations

import math

import torch

from compress.program import Program


def randomised(program: Program, seed: int = 0) -> Program:
    """Return a copy with every floating-point tensor drawn anew.

    Weights are scaled by fan-in, scales lie around 1, and what is positive stays so (variances, whose roots are taken).
    No value is zero, so that what an index contributes is never hidden: masks are left behind.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in program.tensors.items():
        if name in program.tied or name.startswith("constants.") or not tensor.is_floating_point():
            tensors[name] = tensor.detach().clone()
        else:
            tensors[name] = _drawn(name, tensor.detach(), generator)
    for name, owner in program.tied.items():
        tensors[name] = tensors[owner]
    return program.rebuilt(tensors, program.graphs, masks={})


def _drawn(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    positive = bool(tensor.numel()) and bool((tensor > 0).all())
    if tensor.ndim >= 2:
        fan_in = math.prod(tensor.shape[1:]) or 1
        drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) * math.sqrt(2.0 / fan_in)
        return drawn.abs() if positive else drawn
    uniform = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
    if positive or name.endswith(("weight", "running_var", "gamma", "scale")):
        return 0.5 + uniform
    return uniform - 0.5
