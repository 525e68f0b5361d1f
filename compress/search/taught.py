"""The file of the trained shared weights: written as they train, gone on from, shared by the workers of a search."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from compress.data.source import DataSource
from compress.errors import CheckpointError
from compress.search.clock import Clock
from compress.search.supernet import SuperNet
from compress.search.teaching import Lessons, Progress, Teacher
from compress.training import state
from compress.training.losses import Loss
from compress.training.stopping import Interrupted, StopRequest

CHUNK, SAVE_SECONDS = 25, 60.0
"""Steps between two looks at whether the user wants to stop; seconds between two writes."""


def teach(
    supernet: SuperNet,
    data: DataSource,
    lessons: Lessons,
    path: Path,
    identity: Mapping[str, Any],
    *,
    clock: Clock,
    say: Callable[[str], None],
    progress: Progress = lambda share, text: None,
    loss: Loss | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> str:
    """Train the shared weights, or take them from ``path`` where they are trained already; return their fingerprint.

    Of several workers that name the same file one trains and the others wait. A training that was killed goes on where
    it last wrote, bit for bit.

    Args:
        identity: what decides the weights, as JSON types: a file of another identity is refused.
        save_seconds: between two writes.

    Raises:
        InputError: the file belongs to another training, is damaged, or cannot be written.
        Interrupted: Ctrl-C or SIGTERM; the file is written.
    """
    with _alone(path, say), clock.of("train"), StopRequest() as stop:
        teacher = Teacher(supernet, data, lessons, loss)
        if path.exists():
            _restore(teacher, path, identity)
        written = time.monotonic()
        while teacher.step < lessons.steps:
            teacher.learn(until=teacher.step + CHUNK, progress=progress)
            over = teacher.step >= lessons.steps
            if over or stop.wanted or time.monotonic() - written > save_seconds:
                state.write(path, {"identity": dict(identity), "teacher": teacher.state()})
                written = time.monotonic()
            if stop.wanted and not over:
                raise Interrupted(
                    f"stopped after {teacher.step} of {lessons.steps} steps of the shared weights, kept in {path}",
                    hint="--resume goes on from there",
                )
    return supernet.program.fingerprint()


def _restore(teacher: Teacher, path: Path, identity: Mapping[str, Any]) -> None:
    content = state.read(path)
    if not {"identity", "teacher"} <= content.keys():
        raise CheckpointError("holds no shared weights of a search", where=str(path), hint="name another --supernet")
    state.check_identity(path, content["identity"], identity)
    teacher.restore(content["teacher"])


@contextlib.contextmanager
def _alone(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time train into ``path``; the system lets go when a process ends, however it ends."""
    import fcntl

    with open(path.with_name(f"{path.name}.lock"), "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another worker trains the shared weights in {path}: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
