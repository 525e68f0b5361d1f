"""``file.py:function`` for losses and metrics: loaded apart from our packages, its faults reported as the user's."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.errors import CompressError, InputError
from models.user_code import load_function


def user_function(ref: str) -> Callable[..., Any]:
    """Load ``file.py:function``; an exception that it raises later becomes an :class:`InputError` naming it.

    Raises:
        ModelError: the file or the function is missing, or the file fails to load.
    """
    return guarded(load_function(ref), ref)


def guarded(function: Callable[..., Any], ref: str) -> Callable[..., Any]:
    """Wrap ``function`` so that what it raises is an :class:`InputError` that names ``ref``."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except CompressError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            place = _place(error, ref)
            raise InputError(f"raised {type(error).__name__}: {said}{place}", where=ref) from error

    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


def _place(error: Exception, ref: str) -> str:
    """Where in the file of ``ref`` it came from, as `` (file.py, line 3)``."""
    file = Path(ref.rpartition(":")[0]).expanduser().resolve()
    lines = [at.lineno for at in traceback.extract_tb(error.__traceback__) if Path(at.filename).resolve() == file]
    return f" ({file.name}, line {lines[-1]})" if lines else ""
