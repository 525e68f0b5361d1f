"""Run a task in a fresh process: what a runtime does there, crash and hang included, harms nobody else.

A task is a function ``(arguments, reporter) -> result`` of this package, named ``module:function``; arguments and
result are made of what JSON has. See :mod:`deploy.runner.worker` for the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import deploy
from deploy.runner.lines import Lines
from deploy.runner.marker import Marker
from deploy.runner.protocol import error

Tick = Callable[[float, str], None]

_BEAT = 1.0
_QUOTED = 200  # characters of a dead process's last words
# Runs a module of this package whatever lies in the working folder; -P, which does that too, is younger than 3.9.
_BOOT = (
    "import runpy, sys\n"
    "home, module = sys.argv.pop(1), sys.argv.pop(1)\n"
    "sys.path[:] = [entry for entry in sys.path if entry]\n"
    "sys.path[:0] = [] if home in sys.path else [home]\n"
    "runpy.run_module(module, run_name='__main__', alter_sys=True)\n"
)


class ChildError(Exception):
    """A task came to no end: its process ``crashed`` or ``hung`` (``kind``), while it ran the file numbered ``at``."""

    def __init__(self, kind: str, reason: str, hint: str, at: int | None) -> None:
        self.kind = kind
        self.reason = reason
        self.hint = hint
        self.at = at
        super().__init__(reason)


class TaskError(Exception):
    """A task was refused: ``error`` says why, ``at`` is the number of the file that it was about."""

    def __init__(self, told: Mapping[str, Any], at: int | None) -> None:
        self.error = error(told)
        self.at = at
        super().__init__(str(self.error))


def command(module: str) -> list[str]:
    """Return the command that runs a module of this package in this Python."""
    return [sys.executable, "-c", _BOOT, str(Path(deploy.__file__).parent.parent), module]


def run(task: str, arguments: Mapping[str, Any], *, timeout: float, tick: Tick) -> Any:
    """Return the result of ``task`` for ``arguments``.

    Args:
        task: ``module:function`` within this package.
        timeout: seconds without a sign of life after which the process is taken to hang, and killed.
        tick: called with the share done and what is being done, at least once a second.

    Raises:
        ChildError: the process crashed or hung.
        TaskError: the task raised a :class:`compress.errors.CompressError`.
    """
    with tempfile.TemporaryDirectory(prefix="compress-run-") as folder:
        marker = Marker.create(Path(folder) / "marker")
        with open(Path(folder) / "stderr", "w+", errors="replace") as words:
            process = subprocess.Popen(
                command("deploy.runner.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                encoding="utf-8",
            )
            try:
                return _converse(process, task, arguments, marker, words, timeout, tick)
            finally:
                _end(process)
                marker.close()


def _converse(
    process: subprocess.Popen[str],
    task: str,
    arguments: Mapping[str, Any],
    marker: Marker,
    words: IO[str],
    timeout: float,
    tick: Tick,
) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # one that died already is told of below
        asked = {"task": task, "arguments": arguments, "marker": str(marker.path), "parent": os.getpid()}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
    lines = Lines(process.stdout)
    share, text, heard = 0.0, "starting", time.monotonic()
    while True:
        try:
            event = lines.next(min(_BEAT, timeout))
        except TimeoutError:
            if time.monotonic() - heard > timeout:
                raise _hung(process, timeout, text, marker.get()) from None
            tick(share, text)
            continue
        heard = time.monotonic()
        if event is None:
            process.wait()
            raise ChildError("crashed", _death(process, words), _advice(process), marker.get())
        if event["event"] == "result":
            return event["value"]
        if event["event"] == "error":
            raise TaskError(event, marker.get())
        share, text = event["share"], event["text"]
        tick(share, text)


def _hung(process: subprocess.Popen[str], timeout: float, text: str, at: int | None) -> ChildError:
    process.kill()
    reason = f"hung: no sign of life for {timeout:g} s while {text}"
    return ChildError("hung", reason, "where it is only slow, give it more time (--timeout)", at)


def _death(process: subprocess.Popen[str], words: IO[str]) -> str:
    code = process.returncode
    if code < 0:
        names = {known.value: known.name for known in signal.Signals}
        return f"crashed with signal {-code} ({names.get(-code, 'without a name')})"
    words.seek(0)
    lines = [line.strip() for line in words if line.strip()]
    return f"ended its process with code {code} ({lines[-1][:_QUOTED] if lines else 'no message'})"


def _advice(process: subprocess.Popen[str]) -> str:
    if process.returncode == -signal.SIGKILL:
        return "somebody killed it: systems do that when memory runs out"
    return "try another version of the runtime"


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):
            stream.close()


def end_with_parent(parent: int) -> None:
    """Have this process killed when its ``parent`` dies, hung or not, where the system can do so (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before
        os._exit(1)
