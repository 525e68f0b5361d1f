"""Peak memory of both files, each time in a fresh process, taking turns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from deploy.runner import children
from deploy.timing import Progress

TURNS = 3
_TASK = "deploy.runner.tasks:probe"


def peaks(
    files: tuple[str | os.PathLike[str], ...], arguments: Mapping[str, Any], *, timeout: float, progress: Progress
) -> list[list[int]] | None:
    """Return for each file the bytes that loading and running it added to a process, in every turn.

    ``None`` where the system does not tell. ``arguments`` are those of :func:`deploy.runner.tasks.probe` but the file.

    Raises:
        deploy.runner.children.ChildError: a process crashed or hung.
        deploy.runner.children.TaskError: a file was refused.
    """
    found: list[list[int]] = [[] for _ in files]
    for turn in range(TURNS):
        for index, path in enumerate(files):
            progress((turn * len(files) + index) / (TURNS * len(files)), "measuring memory")
            told = children.run(
                _TASK, {**arguments, "files": [os.fspath(path)]}, timeout=timeout, tick=lambda share, text: None
            )
            if told["peak_memory"] is None or told["idle_memory"] is None:
                return None
            found[index].append(told["peak_memory"] - told["idle_memory"])
    return found
