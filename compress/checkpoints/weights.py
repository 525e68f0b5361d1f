"""Read a state dict from a file as people find it, without running code from the file."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import os
import pathlib
import pickle
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from compress.checkpoints._formats import Format, detect, safetensors_header
from compress.checkpoints._unwrap import Unwrapped, strip_prefixes, unwrap
from compress.checkpoints.kinds import refuse_code
from compress.errors import CheckpointError
from compress.files import sha256_file

_DAMAGED = "copy or download it again"
_WEIGHTS_ONLY_REASON = re.compile(r"(?:WeightsUnpickler error:\s*|Trying to load unsupported )([^\n]{1,160})")


@dataclass(frozen=True)
class Weights:
    """A state dict on the CPU and where it came from.

    Attributes:
        state: tensors by parameter name, prefixes of wrappers removed. Those of large files are mapped, not read.
        source: the file.
        sha256: hash of the file's content, 64 hexadecimal digits.
        wrapped_in: the keys that led to the state dict in the file, joined by dots; None where it was bare.
        notes: what was unwrapped, stripped or left out, one line each, for the user.
        metadata: free texts that a safetensors file carries.
        module: the pickled module itself, where the file held one and was trusted.
    """

    state: dict[str, torch.Tensor]
    source: Path
    sha256: str
    wrapped_in: str | None = None
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    module: nn.Module | None = None


def read(path: str | os.PathLike[str], *, trust: bool = False) -> Weights:
    """Read the state dict in a ``.pt``, ``.pth``, ``.th``, ``.bin`` or ``.safetensors`` file.

    Args:
        path: the file.
        trust: also read pickled modules and TorchScript archives, which runs code from the file.

    Raises:
        CheckpointError: the file is not a checkpoint, damaged, needs trust, or holds no tensors.
    """
    source = Path(path)
    form = detect(source)
    if form == "pt2":
        hint = "load it with compress.load"
        raise CheckpointError("is an exported program, not a state dict", where=str(source), hint=hint)
    if form == "safetensors":
        return _read_safetensors(source)
    if not trust:
        refuse_code(source, form)
    document = _load_trusted(source, form) if trust else _load_plain(source, form)
    found = unwrap(document, str(source))
    return Weights(
        state=found.state,
        source=source,
        sha256=sha256_file(source),
        wrapped_in=found.wrapped_in,
        notes=_wrapping_note(found) + found.notes,
        module=None if isinstance(found.module, torch.jit.ScriptModule) else found.module,
    )


def _wrapping_note(found: Unwrapped) -> list[str]:
    return [f"the state dict was taken from '{found.wrapped_in}'"] if found.wrapped_in else []


def _read_safetensors(path: Path) -> Weights:
    metadata = safetensors_header(path).metadata
    notes: list[str] = []
    try:
        with safe_open(path, framework="pt", device="cpu") as archive:
            state = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 not a mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if not state:
        raise CheckpointError("holds no tensors", where=str(path))
    return Weights(strip_prefixes(state, notes), path, sha256_file(path), notes=notes, metadata=metadata)


def _load_plain(path: Path, form: Format) -> Any:
    try:
        with _plain_globals(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=form == "torch-zip")
    except pickle.UnpicklingError as error:
        reason = _WEIGHTS_ONLY_REASON.search(str(error))
        what = f"holds more than plain tensors ({reason[1].strip() if reason else _first_line(error)})"
        hint = f"{_DAMAGED} if it may be damaged, or add --trust-checkpoint if you trust where it comes from"
        raise CheckpointError(what, where=str(path), hint=hint) from error
    except Exception as error:  # torch.load passes on whatever a damaged pickle happens to trip over
        raise _damaged(path, error) from error


def _load_trusted(path: Path, form: Format) -> Any:
    from models import torchvision_shim

    torchvision_shim.ensure()  # unpickling a torchvision or timm module imports its package
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if form == "torchscript":
                return torch.jit.load(path, map_location="cpu")
            return torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        hint = "run where the class that was pickled can be imported, or save its state_dict() there"
        raise CheckpointError(f"cannot be unpickled here ({_first_line(error)})", where=str(path), hint=hint) from error
    except Exception as error:  # the file's own code runs here and may raise anything
        raise _damaged(path, error) from error


@contextlib.contextmanager
def _plain_globals() -> Iterator[None]:
    """Let ``weights_only`` loading accept what training scripts keep beside the weights: plain data holders."""
    multiarray = importlib.import_module(np.dtype(float).type(0).__reduce__()[0].__module__)
    numpy_functions = [
        (getattr(multiarray, name), f"numpy.{folder}.multiarray.{name}")
        for folder in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ]
    numpy_types: list[Any] = [np.dtype, np.ndarray, *(type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFDGSUOmM")]
    others: list[Any] = [
        argparse.Namespace, datetime.date, datetime.datetime, datetime.timedelta,
        pathlib.PosixPath, pathlib.PurePosixPath, dict, float, int, list, str, tuple,
    ]  # fmt: skip
    with torch.serialization.safe_globals([*numpy_functions, *numpy_types, *others]):
        yield


def _damaged(path: Path, error: Exception) -> CheckpointError:
    what = f"cannot be read, it is damaged or truncated ({_first_line(error)})"
    return CheckpointError(what, where=str(path), hint=_DAMAGED)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:160].rstrip(". ") if lines else type(error).__name__
