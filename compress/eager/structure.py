"""``structure.json``: how a pruned module differs from what its constructor makes, so that plain weights are enough.

The file holds names, sizes and whole numbers: no code and no weights (but the values of small tensors that state dicts
leave out, where they changed).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from compress.eager.widths import is_number, is_numbers
from compress.errors import CheckpointError, InputError
from compress.files import write_text

VERSION = 1
_MOST_VALUES = 1_000_000


class Number(BaseModel):
    """A whole number, or a tuple or list of them, that a module keeps as an attribute."""

    model_config = ConfigDict(extra="forbid", strict=True)

    module: str
    name: str
    value: int | list[Any]


class Values(BaseModel):
    """A tensor that state dicts leave out, flattened."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dtype: str
    shape: list[int]
    values: list[int | float] = Field(max_length=_MOST_VALUES)


class Structure(BaseModel):
    """The content of a ``structure.json``.

    Attributes:
        model: reference that the dense network is made again from; None where the caller has to give it.
        network: its class, for people.
        submodule: the part of it that was pruned alone.
        dense_sha256: hash of names and shapes of the dense network's state dict.
        parameters: new shapes of the parameters that changed.
        buffers: likewise of the buffers that state dicts hold.
        attributes: numbers that changed.
        constants: buffers outside the state dict, and tensors that are mere attributes, that changed.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["compress-structure"] = "compress-structure"
    version: int = VERSION
    model: str | None = None
    network: str = ""
    submodule: str | None = None
    dense_sha256: str
    parameters: dict[str, list[int]] = {}
    buffers: dict[str, list[int]] = {}
    attributes: list[Number] = []
    constants: dict[str, Values] = {}

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file atomically, one entry a line. Raises :class:`InputError` where it cannot be written."""
        write_text(path, _readable(self.model_dump()), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Structure:
        """Read a file. Raises :class:`CheckpointError` where it is missing, newer, or not a structure."""
        source = str(path)
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"cannot be read ({error.strerror})", where=source) from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"is not JSON ({error})", where=source) from error
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise CheckpointError(
                f"has version {version}, this tool reads {VERSION}", where=source, hint="upgrade compress-toolchain"
            )
        try:
            return cls.model_validate(document)
        except (ValidationError, RecursionError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deeply"}
            place = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(f"is not a structure ({place or 'file'}: {first['msg']})", where=source) from error


def difference(dense: nn.Module, module: nn.Module, *, model: str | None, submodule: str | None = None) -> Structure:
    """What has to be changed in ``dense`` to get ``module``, which was made from the same class and pruned.

    Raises:
        InputError: the two are no networks of one structure.
    """
    if [name for name, _ in dense.named_modules()] != [name for name, _ in module.named_modules()]:
        raise InputError(
            f"{type(module).__name__} is not made of the same layers as the dense network given",
            hint="give the reference, or a fresh instance, of the network that was pruned",
        )
    kinds = _shapes(dense.named_parameters), _shapes(dense.named_buffers)
    held = set(dense.state_dict(keep_vars=True))
    parameters = _changed(kinds[0], _shapes(module.named_parameters))
    buffers = _changed(kinds[1], _shapes(module.named_buffers))
    return Structure(
        model=model,
        network=f"{type(module).__module__}:{type(module).__qualname__}",
        submodule=submodule,
        dense_sha256=signature(dense),
        parameters=parameters,
        buffers={name: shape for name, shape in buffers.items() if name in held},
        attributes=list(_numbers(dense, module)),
        constants=_constants(dense, module, held),
    )


def signature(module: nn.Module) -> str:
    """SHA-256 of names and shapes of a module's state dict."""
    shapes = {name: list(value.shape) for name, value in module.state_dict(keep_vars=True).items() if _tensor(value)}
    return hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()


def plain_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that are mere attributes of a module or its parts, by dotted name."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if _tensor(value):
                yield (f"{path}.{name}" if path else name), value


def _tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _shapes(named: Any) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in named(remove_duplicate=False)}


def _changed(dense: Mapping[str, list[int]], present: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {name: shape for name, shape in present.items() if shape != dense.get(name)}


def _numbers(dense: nn.Module, module: nn.Module) -> Iterator[Number]:
    parts = dict(dense.named_modules())
    for path, part in module.named_modules():
        before = vars(parts[path])
        for name, value in vars(part).items():
            old = before.get(name)
            numbers = type(old) is type(value) and (is_number(value) or is_numbers(value))
            if numbers and old != value and narrower(old, value):
                yield Number(module=path, name=name, value=_listed(value))


def narrower(old: Any, new: Any) -> bool:
    """Whether ``new`` has the form of ``old``, and each number is the same or a smaller positive one."""
    if isinstance(old, int):
        return type(new) is int and (new == old or 1 <= new < old)
    same = isinstance(new, (tuple, list)) and len(new) == len(old)
    return same and all(narrower(one, other) for one, other in zip(old, new, strict=True))


def _listed(value: Any) -> Any:
    return value if isinstance(value, int) else [_listed(item) for item in value]


def _constants(dense: nn.Module, module: nn.Module, held: set[str]) -> dict[str, Values]:
    def outside(network: nn.Module) -> dict[str, torch.Tensor]:
        buffers = {name: value for name, value in network.named_buffers(remove_duplicate=False) if name not in held}
        return {**buffers, **dict(plain_tensors(network))}

    before, found = outside(dense), {}
    for name, value in outside(module).items():
        old = before.get(name)
        if old is not None and (old.shape != value.shape or not torch.equal(old.cpu(), value.detach().cpu())):
            found[name] = _values(name, value)
    return found


def _values(name: str, tensor: torch.Tensor) -> Values:
    if tensor.numel() > _MOST_VALUES:
        raise InputError(
            f"{name} changed, lies outside the state dict, and is too large for a structure file",
            hint="register it as a persistent buffer",
        )
    numbers = tensor.detach().cpu().reshape(-1).tolist()
    if any(isinstance(number, complex) or not math.isfinite(number) for number in numbers):
        raise InputError(f"{name} changed, lies outside the state dict, and holds values that JSON cannot spell")
    return Values(
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=list(tensor.shape),
        values=[int(number) if isinstance(number, bool) else number for number in numbers],
    )


def _readable(document: dict[str, Any]) -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"    {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
            lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        elif isinstance(value, list) and value:
            inner = ",\n".join(f"    {json.dumps(item)}" for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
