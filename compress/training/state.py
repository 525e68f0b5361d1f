"""The file that a killed run goes on from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from compress.errors import CheckpointError, InputError
from compress.files import atomic_path

VERSION = 1
NAME = "state.pt"
BEST_NAME = "best.pt"


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors, numbers, text and containers of them atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        try:
            torch.save({"version": VERSION, **content}, stream)
        except RuntimeError as error:
            # A full disk reaches torch's writer as an OSError, which then fails on its own and hides it.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def read(path: Path) -> dict[str, Any]:
    """Read what :func:`write` wrote; nothing in it is run.

    Raises:
        CheckpointError: it is damaged, or of another version of this tool.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"cannot be read as the state of a training run ({type(error).__name__})",
            where=str(path),
            hint="remove it to start over",
        ) from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise CheckpointError(
            "is the state of a run of another version", where=str(path), hint="remove it to start over"
        )
    return content


def check_identity(path: Path, recorded: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Refuse to go on from the state of a different run.

    Raises:
        InputError: naming every field that differs, with both values.
    """
    differing = [name for name in sorted({*recorded, *present}) if recorded.get(name) != present.get(name)]
    if differing:
        fields = ", ".join(
            f"{name} was {_short(recorded.get(name))}, is now {_short(present.get(name))}" for name in differing
        )
        raise InputError(
            f"belongs to a different run: {fields}",
            where=str(path),
            hint="go on with the same settings, use another output folder, or start over without resuming",
        )


def _short(value: Any) -> str:
    text = repr(value)
    is_hash = isinstance(value, str) and len(value) == 64
    return f"{value[:12]}..." if is_hash else text
