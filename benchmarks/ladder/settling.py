"""Weights on which equality of outputs means something: no forgotten statistic, no signal that died on its way."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from compress import Program

_BATCH_NORM = torch.ops.aten.batch_norm.default


def settled(program: Program, seed: int = 0) -> Program:
    """Return a copy whose vectors (scales, shifts) are drawn anew and whose batch norms are then calibrated.

    Every one-dimensional parameter is drawn, scales between 0.5 and 1.5 and the rest between -0.3 and 0.3: as created
    they are 0, 1 or 1e-6, and hide what goes wrong with them. Running statistics become those of one random batch, each
    layer behind layers that are calibrated already. Matrices and kernels stay as created, since deep networks with
    larger ones turn chaotic; those created as zeros (a classifier, a table of biases) are drawn by their fan-in.
    """
    copy = program.copy()
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(copy.parameter_names - set(copy.tied)):
        tensor = copy.tensors[name].detach()
        if tensor.ndim > 1 and not tensor.any():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / math.sqrt(tensor[0].numel()))
        if tensor.ndim == 1 and tensor.is_floating_point():
            scale = bool((tensor.abs() > 0).all()) and not name.endswith("bias")
            tensor.copy_(
                torch.rand(tensor.shape, generator=generator) * (1.0 if scale else 0.6) + (0.5 if scale else -0.3)
            )
    with torch.no_grad():
        _Calibration(copy).run(*copy.example_inputs(batch=4, seed=seed))
    return copy


class _Calibration(fx.Interpreter):
    """Runs the evaluation graph, setting the statistics of each batch norm from its input on the way."""

    def __init__(self, program: Program) -> None:
        self._tensors = program.tensors
        super().__init__(program.module(), graph=program.graphs[False])

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> torch.Tensor:
        return self._tensors[str(target)]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is _BATCH_NORM and args[3] is not None and not args[5]:
            x, mean, variance = args[0], args[3], args[4]
            rest = [dim for dim in range(x.ndim) if dim != 1]
            mean.copy_(x.mean(rest))
            variance.copy_(x.var(rest, unbiased=False).clamp_min(1e-3))
        return super().call_function(target, args, kwargs)
