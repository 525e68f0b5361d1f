"""Load a state dict into a module, or list exactly why it does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from compress.checkpoints._signature import COUNTER_SUFFIX
from compress.errors import CheckpointError

LISTED = 10

# Prefixes that are stripped when reading, and that a user's own module may carry by itself.
_PREFIXES = ("model.", "module.")


def load_into(module: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy ``state`` into ``module``: every name must be there, with its shape.

    Only missing batch counters (``num_batches_tracked``, unknown before torch 0.4.1) and names that the module ties
    to one that is there are filled in.

    Args:
        module: changed in place, unless an error is raised.
        state: tensors by name.
        where: what the error names, usually the file.

    Raises:
        CheckpointError: missing, extra or mis-shaped names; the first ten of each and their number.
    """
    own = module.state_dict()
    state = _with_prefix(own, state)
    state = {**_tied(module, own, state), **state}
    missing = [name for name in own if name not in state and not name.endswith(COUNTER_SUFFIX)]
    extra = [name for name in state if name not in own]
    misshaped = [
        f"{name} {tuple(state[name].shape)} where {tuple(value.shape)} is expected"
        for name, value in own.items()
        if name in state and isinstance(value, torch.Tensor) and state[name].shape != value.shape
    ]
    found = [("missing", missing), ("extra", extra), ("mis-shaped", misshaped)]
    problems = [f"{len(names)} {what}: {_some(names)}" for what, names in found if names]
    if problems:
        hint = "check that --model names the architecture that was trained"
        raise CheckpointError(f"does not fit the architecture; {'; '.join(problems)}", where=where, hint=hint)
    module.load_state_dict({**own, **state})


def _with_prefix(own: Mapping[str, object], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in _PREFIXES:
        if own and all(name.startswith(prefix) for name in own) and not any(n.startswith(prefix) for n in state):
            return {prefix + name: value for name, value in state.items()}
    return dict(state)


def _tied(module: nn.Module, own: Mapping[str, object], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the missing names that are the same parameter as one in ``state``: safetensors keeps ties once."""
    present = {id(tensor): name for name, tensor in module.named_parameters(remove_duplicate=False) if name in state}
    return {
        name: state[present[id(tensor)]]
        for name, tensor in module.named_parameters(remove_duplicate=False)
        if name in own and name not in state and id(tensor) in present
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
