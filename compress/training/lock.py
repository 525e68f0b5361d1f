"""One training at a time in one output folder: two would overwrite each other's state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from compress.errors import InputError

NAME = "lock"


@contextlib.contextmanager
def only_run(folder: Path, *, first: bool) -> Iterator[None]:
    """Hold ``folder`` for this run; the system lets go of it when the process ends, however it ends.

    Args:
        first: whether this is the first of the run's processes, the one that holds the folder for all of them.

    Raises:
        InputError: another run is at work in ``folder``.
    """
    if not first:
        yield
        return
    import fcntl

    with open(folder / NAME, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "another training is at work here",
                where=str(folder),
                hint="wait for it to end, or give another output",
            ) from error
        stream.write(str(os.getpid()))
        stream.flush()
        yield
