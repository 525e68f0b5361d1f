"""Masks on a module of the user's own class, which knows nothing of Programs."""

from __future__ import annotations

from torch import nn

from compress.errors import InputError
from compress.masks import Masks


def apply_masks(module: nn.Module, masks: Masks) -> nn.Module:
    """Set the weights of ``module`` to zero where ``masks`` say so, in place, and return it.

    No gradient reaches them afterwards, so that an optimiser that is made after this line leaves them at zero. A deep
    copy has the zeros and is trained without this: apply the masks to it, too.

    Args:
        module: of the class that the masked network was captured from, cut by the same plan.
        masks: ``result.masks`` of :func:`compress.sparsify`, or ``program.masks``.

    Raises:
        InputError: a parameter is missing or has another shape; nothing is changed.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        if name not in parameters or parameters[name].shape != mask.kept.shape:
            found = f"of shape {tuple(parameters[name].shape)}" if name in parameters else "missing"
            raise InputError(
                f"a mask of shape {tuple(mask.kept.shape)} is for {name}, which is {found} here",
                hint="cut the module by the plan of the masked network first: plan.apply_to(module)",
            )
    for name, mask in masks.items():
        parameter = parameters[name]
        kept = mask.kept.to(parameter.device)
        parameter.data.masked_fill_(~kept, 0)
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient, kept=kept: gradient * kept.to(gradient.device))
    return module
