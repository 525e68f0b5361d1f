"""From what the user named on the command line to a Program."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program

PROGRAM_SUFFIXES = (".pt2", ".safetensors")
INFO_NAME = "compress.json"
_REFERENCE = re.compile(r"^(torchvision|timm|models):.|\.py:.")


@dataclass(frozen=True)
class Loading:
    """How a checkpoint becomes a network: the options of the same names."""

    model: str | None = None
    trust_checkpoint: bool = False
    input_size: tuple[int, ...] | None = None
    submodule: str | None = None
    capture_timeout: float = 600.0

    @property
    def time_limit(self) -> float | None:
        """Seconds after which a capture is given up, or None for no limit (a timeout of 0)."""
        return self.capture_timeout or None


def open_program(checkpoint: Path, loading: Loading, reporter: Reporter) -> Program:
    """Load any accepted checkpoint. Raises a :class:`compress.errors.CompressError` naming the file."""
    require_file(checkpoint)
    import compress

    with reporter.step(f"loading {checkpoint}") as doing:
        return compress.load(
            checkpoint,
            model=loading.model,
            trust_checkpoint=loading.trust_checkpoint,
            input_size=loading.input_size,
            submodule=loading.submodule,
            time_limit=loading.time_limit,
            say=reporter.say,
            progress=doing,
        )


def create_program(reference: str, loading: Loading, seed: int, reporter: Reporter) -> Program:
    """Capture the architecture that ``reference`` names, with weights drawn from ``seed``."""
    with reporter.step(f"creating {reference} with random weights (seed {seed})") as doing:
        import torch

        from compress.loading import create

        torch.manual_seed(seed)
        return create(
            reference,
            input_size=loading.input_size,
            submodule=loading.submodule,
            time_limit=loading.time_limit,
            progress=doing,
        )


def is_reference(text: str) -> bool:
    """Return whether ``text`` names an architecture (``torchvision:resnet18``, ``file.py:factory``) and not a file."""
    return bool(_REFERENCE.search(text)) and not Path(text).exists()


def require_program_suffix(path: Path) -> None:
    """Raise :class:`InputError` unless a network can be written under this name."""
    if path.suffix not in PROGRAM_SUFFIXES:
        raise InputError(f"a network is written as {' or '.join(PROGRAM_SUFFIXES)}", where=str(path), hint="change -o")


def require_file(path: Path) -> None:
    """Fail with one line where ``path`` is not an existing file.

    Raises:
        InputError: nothing is there, or it is a folder.
    """
    if path.is_dir():
        raise InputError("is a folder, a file was expected", where=str(path), hint="name the checkpoint inside it")
    if not path.exists():
        raise InputError("no such file", where=str(path), hint="check the name and the folder you are in")


def newest_program(folder: Path) -> Path:
    """Return the newest Program in ``folder`` that this tool wrote.

    Raises:
        InputError: there is none.
    """
    written = [path for path in folder.iterdir() if path.suffix in PROGRAM_SUFFIXES and is_ours(path)]
    if not written:
        raise InputError(
            "holds no network written by this tool", where=str(folder.resolve()), hint="name the checkpoint to export"
        )
    return max(written, key=lambda path: path.stat().st_mtime_ns)


def is_ours(path: Path) -> bool:
    """Return whether ``path`` is a Program that this tool wrote (and not somebody else's archive or weights)."""
    if not path.is_file():
        return False
    if path.suffix == ".pt2":
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(name.rsplit("/", 1)[-1] == INFO_NAME for name in archive.namelist())
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            return INFO_NAME in (stream.metadata() or {})
    except (SafetensorError, OSError):
        return False
