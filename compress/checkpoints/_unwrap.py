"""Find the state dict inside what a training script saved, and strip the prefixes of its wrappers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from compress.errors import CheckpointError

# In this order: the trained weights before their moving average.
PLAIN_KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "net_state_dict",
    "model_weights", "weights", "params", "params_dict", "student", "classifier_state_dict", "backbone",
)  # fmt: skip
EMA_KEYS = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "ema_model", "model_ema_state_dict", "params_ema")
MAX_DEPTH = 6

_ANYWHERE = re.compile(r"(^|\.)_orig_mod\.")


class Unwrapped(NamedTuple):
    """A state dict, the keys that led to it (``a.b``; None where it was bare), the module if one was there, notes."""

    state: dict[str, torch.Tensor]
    wrapped_in: str | None
    module: nn.Module | None
    notes: list[str]


def unwrap(document: Any, where: str) -> Unwrapped:
    """Return the one state dict in ``document``, prefixes of wrappers stripped.

    Raises:
        CheckpointError: there is no tensor, or several networks and none is the usual one.
    """
    notes: list[str] = []
    path: list[str] = []
    module = None
    for _ in range(MAX_DEPTH):
        if isinstance(document, nn.Module):
            module, document = document, document.state_dict()
        if not isinstance(document, Mapping):
            raise _without_tensors(document, path, where)
        if _holds_tensors(document):
            state = strip_prefixes(_tensors_of(document, notes), notes)
            return Unwrapped(state, ".".join(path) or None, module, notes)
        key = _inner_key(document, where, notes)
        path.append(str(key))
        document = document[key]
    raise CheckpointError(f"nests dicts more than {MAX_DEPTH} deep", where=where, hint="save a plain state dict")


def strip_prefixes(state: dict[str, torch.Tensor], notes: list[str]) -> dict[str, torch.Tensor]:
    """Return ``state`` without ``module.`` (repeatedly), ``_orig_mod.`` and ``model.`` where all keys carry it."""
    compiled = {_ANYWHERE.sub(r"\1", name): value for name, value in state.items()}
    if compiled.keys() != state.keys() and len(compiled) == len(state):
        notes.append("the prefix '_orig_mod.' of torch.compile was removed")
        state = compiled
    while _all_start(state, "module."):
        notes.append("the prefix 'module.' of DataParallel was removed")
        state = {name.removeprefix("module."): value for name, value in state.items()}
    if _all_start(state, "model."):
        notes.append("the prefix 'model.' was removed")
        state = {name.removeprefix("model."): value for name, value in state.items()}
    return state


def _all_start(state: Mapping[str, Any], prefix: str) -> bool:
    return bool(state) and all(name.startswith(prefix) and name != prefix for name in state)


def _holds_tensors(document: Mapping[Any, Any]) -> bool:
    # A checkpoint may keep a lone tensor (a random state) beside the real state dict: nested tensors then win.
    if not any(isinstance(value, torch.Tensor) for value in document.values()):
        return False
    return not any(key in document and _contains(document[key]) for key in (*PLAIN_KEYS, *EMA_KEYS))


def _contains(value: Any) -> bool:
    if isinstance(value, nn.Module):
        return True
    return isinstance(value, Mapping) and any(
        isinstance(key, str) and (isinstance(inner, torch.Tensor) or _contains(inner)) for key, inner in value.items()
    )


def _inner_key(document: Mapping[Any, Any], where: str, notes: list[str]) -> str:
    inside = [key for key, value in document.items() if _contains(value)]
    known = [key for key in (*PLAIN_KEYS, *EMA_KEYS) if key in inside]
    if known:
        averages = [key for key in known if key in EMA_KEYS]
        if known[0] in EMA_KEYS:
            notes.append(f"only averaged weights (EMA) are there, taken from '{known[0]}'")
        elif averages:
            notes.append(f"averaged weights (EMA) in '{averages[0]}' were not taken")
        return str(known[0])
    candidates = [key for key in inside if "optim" not in str(key) and "sched" not in str(key)]
    if len(candidates) == 1:
        return str(candidates[0])
    if candidates:
        listed = ", ".join(repr(str(key)) for key in candidates[:10])
        hint = "save the one you mean as a state dict of its own"
        raise CheckpointError(f"holds several networks ({listed})", where=where, hint=hint)
    raise _without_tensors(document, [], where)


def _tensors_of(document: Mapping[Any, Any], notes: list[str]) -> dict[str, torch.Tensor]:
    state = {str(key): value for key, value in document.items() if isinstance(value, torch.Tensor)}
    others = [str(key) for key, value in document.items() if not isinstance(value, torch.Tensor)]
    if others:
        notes.append(f"not tensors, left out: {', '.join(others[:10])}" + (" ..." if len(others) > 10 else ""))
    # Parameters may share storage with an autograd history; a checkpoint is values only.
    return {name: value.detach() for name, value in state.items()}


def _without_tensors(document: Any, path: list[str], where: str) -> CheckpointError:
    inside = f" under '{'.'.join(path)}'" if path else ""
    if isinstance(document, torch.Tensor):
        what = f"holds a single tensor of shape {tuple(document.shape)}{inside}, not a state dict"
    elif isinstance(document, Mapping):
        keys = [repr(str(key)) for key in document]
        listed = ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
        what = f"holds a dict without tensors{inside}" + (f", its keys are {listed}" if keys else ", it is empty")
    else:
        what = f"holds a {type(document).__name__}{inside}, not a state dict"
    return CheckpointError(what, where=where, hint="save it with torch.save(model.state_dict(), PATH)")
