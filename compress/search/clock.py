"""Where a search's time goes: seconds by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("train", "evaluate", "select", "storage", "waiting")


class Clock:
    """Adds up seconds of wall-clock time by part; a part within another is taken off the outer one."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._open: list[float] = []

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count the block as ``part``, one of :data:`PARTS`."""
        self._open.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            inside = self._open.pop()
            self.seconds[part] += spent - inside
            if self._open:
                self._open[-1] += spent
