"""The pruned graph's tensors put into the module, under the names that they have there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from compress.program import Program

CONSTANTS = "constants."


def slice_tensors(module: nn.Module, small: Program) -> None:
    """Replace every parameter, buffer and plain tensor attribute whose shape ``small`` has another one for.

    New parameters are ``nn.Parameter`` objects that require a gradient as the old ones did; tied ones stay tied;
    devices and types stay.
    """
    tensors = small.tensors
    made: dict[int, nn.Parameter] = {}
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        for leaf, parameter in list(part._parameters.items()):
            if parameter is not None and parameter.shape != tensors[prefix + leaf].shape:
                # By setattr: nn.LSTM and its kin keep a second list of their weights, and mend it there.
                setattr(part, leaf, made.setdefault(id(parameter), _like(parameter, tensors[prefix + leaf])))
        for leaf, buffer in part._buffers.items():
            cut = tensors.get(prefix + leaf)  # a buffer that no graph uses may be left out of them
            if buffer is not None and cut is not None and buffer.shape != cut.shape:
                part._buffers[leaf] = cut.detach().to(buffer.device, buffer.dtype)
        _slice_plain(part, prefix, tensors)


def _like(parameter: nn.Parameter, tensor: torch.Tensor) -> nn.Parameter:
    made = tensor.detach().to(parameter.device, parameter.dtype).clone()
    return nn.Parameter(made, requires_grad=parameter.requires_grad)


def _slice_plain(part: nn.Module, prefix: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors that are mere attributes: a capture keeps them as constants named after their place."""
    for name, value in list(vars(part).items()):
        if isinstance(value, torch.Tensor):
            cut = tensors.get(CONSTANTS + f"{prefix}{name}".replace(".", "_"))
            if cut is not None and cut.shape != value.shape:
                vars(part)[name] = cut.detach().to(value.device, value.dtype).clone()
