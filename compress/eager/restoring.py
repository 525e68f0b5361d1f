"""Pruned modules of the user's own class: described in a file, and made again from it without capturing anything."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from compress.eager.structure import Structure, Values, difference, narrower, plain_tensors, signature
from compress.eager.widths import is_number, is_numbers
from compress.errors import CheckpointError, ModelError

_KNOWN_SOURCES = ("torchvision:", "timm:", "models:")


def save_structure(
    module: nn.Module, path: str | os.PathLike[str], model: str | nn.Module, *, overwrite: bool = False
) -> None:
    """Write what sets a pruned module apart from what its constructor makes; :func:`restore` makes it again.

    Save the weights beside it as ever: ``torch.save(module.state_dict(), "weights.pt")``.

    Args:
        module: pruned, by :meth:`compress.Plan.apply_to` or otherwise.
        path: the file, usually ``structure.json``.
        model: how the dense network is made: a model reference (``timm:...``, ``file.py:factory?width=8``,
            ``package.module:Class?width=8``), or a fresh instance, which must then be given to :func:`restore`, too.
        overwrite: replace an existing file.

    Raises:
        InputError: the dense network is not of the same layers, or the file cannot be written.
        ModelError: the reference is wrong.
    """
    reference = model if isinstance(model, str) else None
    dense = make(model, None) if isinstance(model, str) else model
    difference(dense, module, model=reference).save(path, overwrite=overwrite)


def restore(
    structure: str | os.PathLike[str],
    weights: str | os.PathLike[str] | Mapping[str, torch.Tensor],
    *,
    module: nn.Module | None = None,
    trust_checkpoint: bool = False,
) -> nn.Module:
    """Make a pruned module again: constructor, new sizes, weights. Nothing is captured, nothing is unpickled.

    Args:
        structure: what :func:`save_structure` wrote.
        weights: a state dict, or a file that holds one (``.safetensors``, or ``.pt`` read with ``weights_only``).
        module: a fresh instance of the dense network, in place of the file's reference. It is edited.
        trust_checkpoint: allow the file to name code of your own (``file.py:factory``, ``package.module:Class``).

    Raises:
        CheckpointError: a file is damaged, names code without leave, asks for anything but smaller widths, or does not
            fit the network that the constructor makes.
        ModelError: the reference is wrong.
    """
    from compress import checkpoints

    where = str(structure)
    document = Structure.load(structure)
    fresh = _dense(document, where, trust_checkpoint) if module is None else module
    if signature(fresh) != document.dense_sha256:
        raise CheckpointError(
            f"was written for another network than this {type(fresh).__name__}",
            where=where,
            hint="give the constructor the arguments of then; its definition may have changed since",
        )
    reshape(fresh, document, where)
    if isinstance(weights, Mapping):
        checkpoints.load_into(fresh, dict(weights), "state dict")
    else:
        checkpoints.load_into(fresh, checkpoints.read(weights).state, str(weights))
    return fresh


def make(ref: str, submodule: str | None) -> nn.Module:
    """The dense network that ``ref`` names, or a part of it. Raises :class:`ModelError`."""
    import models

    module = _from_package(ref) if _names_package(ref) else models.create(ref)
    parts = dict(module.named_modules())
    if submodule and submodule not in parts:
        raise ModelError(f"there is no submodule {submodule!r}", where=ref)
    return parts[submodule or ""]


def _dense(document: Structure, where: str, trust: bool) -> nn.Module:
    if document.model is None:
        raise CheckpointError(
            f"does not say how its {document.network} is made", where=where, hint="give restore(..., module=...)"
        )
    if not document.model.startswith(_KNOWN_SOURCES) and not trust:
        raise CheckpointError(
            f"is made by running {document.model!r}, which the file names itself",
            where=where,
            hint="give module=, or trust_checkpoint=True if you trust both",
        )
    return make(document.model, document.submodule)


def _names_package(ref: str) -> bool:
    head, separator, _ = ref.partition("?")[0].partition(":")
    known = ref.startswith(_KNOWN_SOURCES) or head.endswith(".py")
    return bool(separator) and not known and all(map(str.isidentifier, head.split(".")))


def _from_package(ref: str) -> nn.Module:
    """``package.module:Class?width=8``."""
    import models

    head, _, query = ref.partition("?")
    package, _, name = head.partition(":")
    arguments = models.parse(f"x.py:x?{query}").arguments if query else {}
    try:
        made = getattr(importlib.import_module(package), name)(**arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"cannot be made ({type(error).__name__}: {error})", where=ref) from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"makes a {type(made).__name__}, not an nn.Module", where=ref)
    return made


def reshape(module: nn.Module, document: Structure, where: str) -> None:
    """Give ``module`` the sizes and numbers of ``document``: tensors only shrink, numbers only change to smaller ones.

    Raises:
        CheckpointError: a name that is not there, or anything else asked for; ``module`` is then not to be used.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(module.named_parameters(remove_duplicate=False))
    buffers = dict(module.named_buffers(remove_duplicate=False))
    made: dict[int, nn.Parameter] = {}
    for name, shape in document.parameters.items():
        old = _smaller(name, parameters.get(name), shape, where)
        path, _, leaf = name.rpartition(".")
        fresh = nn.Parameter(torch.empty(shape, dtype=old.dtype, device=old.device), requires_grad=old.requires_grad)
        setattr(parts[path], leaf, made.setdefault(id(old), fresh))  # nn.LSTM keeps a second list, and mends it there
    for name, shape in document.buffers.items():
        old = _smaller(name, buffers.get(name), shape, where)
        path, _, leaf = name.rpartition(".")
        parts[path]._buffers[leaf] = torch.empty(shape, dtype=old.dtype, device=old.device)
    for name, values in document.constants.items():
        _set_constant(parts, module, name, values, where)
    for item in document.attributes:
        held = vars(parts[item.module]).get(item.name) if item.module in parts else None
        if not (is_number(held) or is_numbers(held)):
            raise CheckpointError(f"sets {item.module}.{item.name}, which is no whole number there", where=where)
        if not narrower(held, item.value):
            raise CheckpointError(
                f"sets {item.module}.{item.name} to {str(item.value)[:80]}, which is no smaller form of {held}",
                where=where,
            )
        parts[item.module].__dict__[item.name] = _as(held, item.value)


def _smaller(name: str, old: torch.Tensor | None, shape: list[int], where: str) -> torch.Tensor:
    if old is None:
        raise CheckpointError(f"names the tensor {name[:200]!r}, which the network has not", where=where)
    fits = len(shape) == old.ndim and all(1 <= new <= size for new, size in zip(shape, old.shape, strict=True))
    if not fits:
        raise CheckpointError(f"gives {name} the shape {shape[:8]}, which is no smaller {list(old.shape)}", where=where)
    return old


def _set_constant(parts: Mapping[str, nn.Module], module: nn.Module, name: str, values: Values, where: str) -> None:
    held = set(module.state_dict(keep_vars=True))
    buffers = {key: value for key, value in module.named_buffers(remove_duplicate=False) if key not in held}
    old = _smaller(name, {**buffers, **dict(plain_tensors(module))}.get(name), values.shape, where)
    count = torch.Size(values.shape).numel()
    if values.dtype != str(old.dtype).removeprefix("torch.") or len(values.values) != count:
        raise CheckpointError(f"gives {name} values that do not fit it", where=where)
    path, _, leaf = name.rpartition(".")
    made = torch.tensor(values.values, dtype=old.dtype, device=old.device).reshape(values.shape)
    holder: Any = parts[path]._buffers if name in buffers else parts[path].__dict__
    holder[leaf] = made


def _as(old: Any, new: Any) -> Any:
    """``new``, with tuples and lists as in ``old``."""
    if isinstance(old, int):
        return new
    return type(old)(_as(one, other) for one, other in zip(old, new, strict=True))
