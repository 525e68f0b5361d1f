"""JSON objects, one a line, from the output of a process that may stop talking at any time."""

from __future__ import annotations

import json
import queue
import threading
from typing import IO, Any


class Lines:
    """Reads events from ``stream`` in a thread of its own, so that waiting for them can be given up."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, seconds: float) -> dict[str, Any] | None:
        """Return the next event, or ``None`` at the end of the stream.

        Raises:
            TimeoutError: nothing was said for ``seconds``.
            ValueError: what was said is no JSON object.
        """
        try:
            line = self._waiting.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            return None
        event = json.loads(line)
        if not isinstance(event, dict):
            raise ValueError(f"{line[:80]!r} is no event")
        return event

    def _read(self) -> None:
        try:
            for line in self._stream:
                if line.endswith("\n"):  # the last words of a process that died while it spoke are none
                    self._waiting.put(line)
        finally:
            self._waiting.put(None)
