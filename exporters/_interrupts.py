"""Ctrl-C while foreign code runs: kept until that code is done, because it would swallow the exception."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back inside the block, and raise ``KeyboardInterrupt`` at its end if it was pressed.

    A callback that TensorRT calls is Python: an interrupt raised there is logged by TensorRT and forgotten.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed:
        raise KeyboardInterrupt
