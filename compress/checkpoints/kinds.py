"""What kind of checkpoint a file is, so that the right loader is chosen."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from compress.checkpoints._formats import PROGRAM_KEY, Format, detect, safetensors_header
from compress.checkpoints._pickles import globals_of_legacy, globals_of_zip, is_code
from compress.errors import CheckpointError

Kind = Literal["pt2", "program-safetensors", "weights"]

# What zipfile and pickletools raise on damaged bytes, which may claim any length, compression or encryption.
_DAMAGE = (ValueError, EOFError, OSError, RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error)
_WAY_OUT = "save its state_dict() instead, or add --trust-checkpoint if you trust where it comes from"


def kind(path: str | os.PathLike[str], *, trust: bool = False) -> Kind:
    """Return what the file at ``path`` is: ``"pt2"``, ``"program-safetensors"`` or ``"weights"``.

    Only bytes are looked at; nothing in the file is executed. ``trust`` lets pickled modules and TorchScript
    archives count as weights.

    Raises:
        CheckpointError: missing, a folder, empty, truncated, text, another format, or a pickled module or
            TorchScript archive while ``trust`` is false.
    """
    source = Path(path)
    form = detect(source)
    if form == "pt2":
        return "pt2"
    if form == "safetensors":
        return "program-safetensors" if PROGRAM_KEY in safetensors_header(source).metadata else "weights"
    if not trust:
        refuse_code(source, form)
    return "weights"


def refuse_code(path: Path, form: Format) -> None:
    """Raise :class:`CheckpointError` where reading a ``torch.save`` file would import or run code."""
    if form == "torchscript":
        what = "is a TorchScript archive, which holds code"
        raise CheckpointError(what, where=str(path), hint=_WAY_OUT)
    if form not in ("torch-zip", "torch-legacy"):
        return
    names = [name for name in _globals(path, form) if is_code(name)]
    if names:
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        what = f"holds pickled Python objects ({listed}), and unpickling them runs code"
        raise CheckpointError(what, where=str(path), hint=_WAY_OUT)


def _globals(path: Path, form: Format) -> list[str]:
    try:
        return globals_of_zip(path) if form == "torch-zip" else globals_of_legacy(path)
    except _DAMAGE as error:
        hint = "copy or download it again"
        raise CheckpointError("is truncated or damaged", where=str(path), hint=hint) from error
