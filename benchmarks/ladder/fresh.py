"""Call a function in a fresh process, which knows nothing of the caller but the arguments."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def freshly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``function`` returns in a new process, forked from a server that has only imported the packages.

    Raises:
        RuntimeError: it raised there, or the process died.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        passed, value = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the fresh process ended with code {process.exitcode}") from None
    process.join()
    if not passed:
        raise RuntimeError(value)
    return value


def _call(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        connection.send((True, function(*arguments)))
    except Exception as error:  # noqa: BLE001 - told to the caller, who raises it
        connection.send((False, "in the fresh process: " + traceback.format_exception_only(error)[-1].strip()))
