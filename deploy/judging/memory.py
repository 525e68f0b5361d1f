"""Peak memory of both files, each time in a fresh process, taking turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.asking import AnyPath, ask
from deploy.timing import Progress, silent

TURNS = 3
_TASK = "deploy.runner.tasks:probe"


def peaks(
    files: Sequence[AnyPath], arguments: Mapping[str, Any], *, timeout: float, progress: Progress
) -> list[list[int]] | None:
    """Return for each file the bytes that loading and running it added to a process, in every turn.

    ``None`` where the system does not tell. ``arguments`` are those of :func:`deploy.runner.tasks.probe` but the file.

    Raises:
        InputError: a file was refused, or its runtime crashed or hung.
    """
    found: list[list[int]] = [[] for _ in files]
    for turn in range(TURNS):
        for index, path in enumerate(files):
            progress((turn * len(files) + index) / (TURNS * len(files)), "measuring memory")
            told = ask(_TASK, (path,), arguments, timeout=timeout, tick=silent)
            if told["peak_memory"] is None or told["idle_memory"] is None:
                return None
            found[index].append(told["peak_memory"] - told["idle_memory"])
    return found
