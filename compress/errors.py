"""The one family of errors that a user can cause, each with the exit code the command line ends with.

This module knows no other and imports nothing heavy: all four packages may raise what it defines.
"""

from __future__ import annotations

from typing import ClassVar


class CompressError(Exception):
    """Something the user can put right. The message says what happened, where, and what to do.

    ``exit_code`` is what the command line returns: 2 wrong input, 3 undecided, 4 runtime or device unavailable.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}; {hint}" if hint else text)


class InputError(CompressError):
    """A file, argument, plan or data set is not what the command needs."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, is unsafe to read, or does not fit the architecture."""


class ModelError(InputError):
    """A model reference is unknown, or its factory failed."""


class CaptureError(InputError):
    """A network cannot be captured as a graph."""


class PlanError(InputError):
    """A pruning request or a plan does not fit the network."""


class EagerError(InputError):
    """A plan cannot be applied to a Python class: its code spells a size out. The message names the line."""


class DataError(InputError):
    """A data set is missing, malformed or does not fit the network."""


class StudyError(InputError):
    """A search's study cannot be opened or reached, or belongs to another search."""


class ExportError(InputError):
    """A deployment file cannot be written, or failed its numerical verification."""


class UndecidedError(CompressError):
    """A measurement could not decide, or was asked for less than this machine can resolve."""

    exit_code = 3


class UnavailableError(CompressError):
    """A requested runtime, device or optional dependency is not here; the message names the extra to install."""

    exit_code = 4
