"""A limit on how long somebody else's Python code may run, and where it was when the limit ended."""

from __future__ import annotations

import ctypes
import math
import signal
import sys
import threading
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from compress.errors import CaptureError

Result = TypeVar("Result")
Inspect = Callable[[types.FrameType], None]

# An exception may be swallowed by what it interrupts; it is raised again until the code gives up.
_AGAIN_SECONDS = 5.0


class Expired(BaseException):
    """The limit has passed. No ``Exception``, so that code which catches those cannot carry on."""


def run_limited(work: Callable[[], Result], seconds: float | None, inspect: Inspect) -> Result:
    """Return ``work()``, interrupted once ``seconds`` have passed.

    In the main thread of a POSIX system the interruption is a signal, which also ends sleeping and waiting; elsewhere
    it is an exception sent to the thread, which takes effect at its next Python instruction. Neither ends a single call
    into compiled code, which has to return first, nor code that catches ``BaseException`` and carries on. Timers, other
    signals and Ctrl-C work as ever.

    Args:
        work: what to do.
        seconds: wall-clock time; None for no limit.
        inspect: called with the innermost frame that was running when time was up.

    Raises:
        CaptureError: ``seconds`` is no positive number.
        Expired: time was up.
    """
    if seconds is None:
        return work()
    if not (math.isfinite(seconds) and seconds > 0):
        raise CaptureError(f"a time limit of {seconds} s is no positive number", hint="give seconds, or None for none")
    watch = _SignalWatch(seconds, inspect) if _can_signal() else _ThreadWatch(seconds, inspect)
    # A function, not a context manager: an interruption inside contextlib would leave the handler behind.
    try:
        watch.start()
        try:
            return work()
        finally:
            watch.done = True
    finally:
        watch.stop()


def _can_signal() -> bool:
    """Whether this is a thread that signals can interrupt, and the signal's handler one that can be put back."""
    if not hasattr(signal, "pthread_kill") or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGURG) is not None


class _Watch(ABC):
    """A thread that interrupts the thread it was made in."""

    def __init__(self, seconds: float, inspect: Inspect) -> None:
        self.done = False
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._inspect = inspect
        self._target = threading.get_ident()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture time limit", daemon=True)

    def start(self) -> None:
        """Let the time run."""
        self._thread.start()

    def stop(self) -> None:
        """End without any interruption still under way."""
        self.done = True
        with self._lock:
            self._stopped.set()

    def _run(self) -> None:
        wait = self._seconds
        while not self._stopped.wait(wait):
            with self._lock:
                if self.done:
                    return
                self._interrupt()
            wait = _AGAIN_SECONDS

    @abstractmethod
    def _interrupt(self) -> None:
        """Raise :class:`Expired` in the watched thread, soon."""


class _SignalWatch(_Watch):
    """Interrupts the main thread by ``SIGURG``: no timer uses it, unlike ``SIGALRM``, and by default it is ignored."""

    def __init__(self, seconds: float, inspect: Inspect) -> None:
        super().__init__(seconds, inspect)
        self._ours = False
        self._earlier: Any = None

    def start(self) -> None:
        self._earlier = signal.signal(signal.SIGURG, self._handle)
        super().start()

    def stop(self) -> None:
        super().stop()
        signal.signal(signal.SIGURG, self._earlier)

    def _interrupt(self) -> None:
        self._ours = True
        signal.pthread_kill(self._target, signal.SIGURG)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if not self._ours:
            if callable(self._earlier):
                self._earlier(number, frame)
            return
        self._ours = False
        if self.done:
            return
        if frame is not None:
            self._inspect(frame)
        raise Expired


class _Withdrawn(BaseException):
    """Takes the place of an :class:`Expired` that was sent but is not wanted any more."""


class _ThreadWatch(_Watch):
    """Interrupts any thread by an exception that Python raises in it at its next instruction."""

    def __init__(self, seconds: float, inspect: Inspect) -> None:
        super().__init__(seconds, inspect)
        self._sent = False

    def _interrupt(self) -> None:
        self._sent = True
        frame = sys._current_frames().get(self._target)
        if frame is not None:
            self._inspect(frame)
        _raise_in(self._target, Expired)

    def stop(self) -> None:
        super().stop()
        if not self._sent:
            return
        # Cleared instead, CPython would look for it at every call, for ever, and never return from a traced one.
        try:
            _raise_in(self._target, _Withdrawn)
            while True:
                time.sleep(0)
        except _Withdrawn:
            return


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
