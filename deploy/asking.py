"""Have two files measured side by side in a process of their own, and put down under what conditions that was."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from compress.errors import CompressError, InputError
from deploy.records import Conditions, ModelFile
from deploy.runner import children
from deploy.timing import Progress

AnyPath = str | os.PathLike[str]


def ask(task: str, paths: Sequence[AnyPath], arguments: Mapping[str, Any], *, timeout: float, tick: Progress) -> Any:
    """Return what ``task`` of this package returns for ``arguments`` and the files at ``paths``.

    Raises:
        InputError: a file was refused, or its runtime crashed or hung while it ran it.
        UnavailableError: the runtime cannot be used here.
    """
    resolved = [os.path.abspath(path) for path in paths]  # links keep their names: endings and neighbours count
    try:
        return children.run(task, {**arguments, "files": resolved}, timeout=timeout, tick=tick)
    except children.TaskError as refused:
        raise _as_given(refused.error, resolved, paths) from refused
    except children.ChildError as died:
        where = os.fspath(paths[died.at]) if died.at is not None else None
        raise InputError(died.reason, where=where, hint=died.hint) from died


def conditions(found: Mapping[str, Any], files: tuple[ModelFile, ModelFile], batch: int) -> Conditions:
    """Return the conditions that a task of :mod:`deploy.duet.task` told."""
    said = found["description"]
    return Conditions(
        runtime=said["runtime"],
        version=said["version"],
        provider=said["provider"],
        precision=paired_precision(files[0].precision, files[1].precision),
        threads=said["threads"],
        batch=batch,
        device=found["device"],
        inputs=found["inputs"],
        settings=said["settings"],
    )


def paired_precision(base: str, new: str) -> str:
    """Return how to name the precision of a pair of files."""
    return base if base == new else f"{base} against {new}"


def _as_given(error: CompressError, resolved: Sequence[str], given: Sequence[AnyPath]) -> CompressError:
    """The same error about the path as it was given, not as it was resolved."""
    if error.where not in resolved:
        return error
    return type(error)(error.what, where=os.fspath(given[resolved.index(error.where)]), hint=error.hint)
