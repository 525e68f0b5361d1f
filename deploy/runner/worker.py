"""The process that touches a runtime: one task on standard input, progress and a result on standard output.

It ends when its parent does. What runtimes print goes to standard error, whatever stream they choose.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from compress.errors import CompressError, InputError
from deploy.runner.children import end_with_parent
from deploy.runner.marker import Marker
from deploy.runner.protocol import error_event

_PAUSE = 0.1


class Reporter:
    """How a task tells what it is doing. Cheap enough to be told between any two measurements."""

    def __init__(self, stream: IO[str], marker: Marker) -> None:
        self._stream = stream
        self._marker = marker
        self._shown = 0.0

    def at(self, file: int) -> None:
        """Say which file is run from now on: what goes wrong is put down to it."""
        self._marker.set(file)

    def say(self, share: float, text: str) -> None:
        """Say how far the task is (0 to 1) and what comes now."""
        self._shown = time.perf_counter()
        self.event({"event": "progress", "share": share, "text": text})

    def pulse(self, share: float, text: str) -> None:
        """Say it only where nothing was said for a tenth of a second."""
        if time.perf_counter() - self._shown > _PAUSE:
            self.say(share, text)

    def event(self, event: dict[str, Any]) -> None:
        """Write one event."""
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()


def main() -> None:
    """Do one task. Its errors of the :class:`compress.errors.CompressError` family are answers, others are crashes."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    end_with_parent(asked["parent"])
    threading.Thread(target=_end_with_input, daemon=True).start()
    reporter = Reporter(stream, Marker(Path(asked["marker"])))
    module, _, function = asked["task"].partition(":")
    try:
        value = getattr(importlib.import_module(module), function)(asked["arguments"], reporter)
    except CompressError as error:
        reporter.event(error_event(error))
    except MemoryError as error:
        told = " ".join(str(error).split()) or "no more is to be had"
        reporter.event(error_event(InputError(f"does not fit in memory ({told})", hint="give a smaller batch or size")))
    else:
        reporter.event({"event": "result", "value": value})
    # A runtime that fails while it is taken down has done its work.
    os._exit(0)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
