"""Ctrl-C between two steps, where the state is whole, instead of within one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from compress.errors import CompressError


class Interrupted(CompressError):  # noqa: N818 - not an error: the user asked for it
    """The user stopped a run; the message says what is left and how to resume."""

    exit_code = 130


class StopRequest:
    """Within the block, SIGINT and SIGTERM only set :attr:`wanted`; a second one stops at once.

    Outside the main thread signals cannot be caught and stay as they are.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
