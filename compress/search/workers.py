"""Which process works on a trial, and whether it still does.

A worker that is killed leaves its trial running. On the same machine the others see that its process is gone; from
another machine they see that its sign of life, a number that it counts up, stays the same for too long by their own
clock, whatever the clocks of the two say.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

INTERVAL, GRACE = 15.0, 90.0
"""Seconds between signs of life, and without one until a worker is taken for dead."""


@dataclass(frozen=True)
class Worker:
    """A process: the machine (and the space of process numbers on it), its number, and when it began."""

    machine: str
    pid: int
    began: float

    @classmethod
    def here(cls) -> Worker:
        """This process."""
        return cls(_machine(), os.getpid(), _began(os.getpid()) or 0.0)

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Worker | None:
        """The worker that :meth:`recorded` wrote, or None where it did not."""
        try:
            return cls(str(recorded["machine"]), int(recorded["pid"]), float(recorded["began"]))
        except (KeyError, TypeError, ValueError):
            return None

    def recorded(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    def is_dead(self) -> bool | None:
        """Whether the process is gone; None where that cannot be seen from here."""
        if self.machine != _machine():
            return None
        began = _began(self.pid)
        return began is None or abs(began - self.began) > 1.0


class Watch:
    """Remembers when each worker's sign of life was last seen to change."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_dead(self, trial: int, worker: Worker | None, sign: Any) -> bool:
        """Whether the worker of a running trial, by its number, is to be taken for dead."""
        known = worker.is_dead() if worker is not None else None
        if known is not None:
            return known
        now = time.monotonic()
        before, since = self._seen.get(trial, (sign, now))
        if before != sign:
            since = now
        self._seen[trial] = sign, since
        return now - since > self._grace


class Pulse:
    """Within the block, ``beat(count)`` is called every ``interval`` seconds on another thread.

    What it raises is kept in :attr:`failed` and tried again: who works on the trial meets the same trouble by itself,
    and is the one to say so.
    """

    def __init__(self, beat: Callable[[int], None], troubles: tuple[type[Exception], ...], interval: float) -> None:
        self._beat, self._troubles, self._interval = beat, troubles, interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self.failed: Exception | None = None

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._over.wait(self._interval):
            count += 1
            try:
                self._beat(count)
            except self._troubles as error:
                self.failed = error


def _machine() -> str:
    """Name, start and process space: two containers may have the name in common, two starts the process numbers."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    if boot.exists():
        parts.append(boot.read_text().strip())
    if space.exists():
        parts.append(str(space.stat().st_ino))
    return "/".join(parts)


def _began(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0.0
