"""Ask a runner something, and listen until it is done: the host's side of :mod:`deploy.runner.protocol`."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

from deploy.devices.base import DisconnectedError
from deploy.runner.lines import Lines
from deploy.runner.protocol import Answer, MeasureRequest, request_line
from deploy.timing import Progress

SILENCE = 60.0
"""Seconds without a word after which a runner, which speaks every second, is given up."""


def talk(
    process: subprocess.Popen[str],
    request: MeasureRequest | None,
    progress: Progress,
    *,
    name: str,
    last_words: Callable[[], str],
    silence: float = SILENCE,
) -> Answer:
    """Ask the runner in ``process`` (pipes for its input and output, text), and end it, however this ends.

    Args:
        request: what to measure, ``None`` for a description of the device.
        name: of the device, for messages.
        last_words: returns what the process wrote on standard error, where it ended before its time.

    Raises:
        CompressError: the runner said that the request is wrong, or cannot be met.
        DisconnectedError: it ended or fell silent before it was done, or does not speak the protocol.
    """
    answer = Answer()
    try:
        _ask(process, request)
        _listen(process, answer, progress, silence, name, last_words)
    finally:
        end(process)
    return answer


def end(process: subprocess.Popen[str], patience: float = 5.0) -> None:
    """Close the runner's input, upon which it ends; kill what is left of it after ``patience`` seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _ask(process: subprocess.Popen[str], request: MeasureRequest | None) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it ended already: listening tells why
        process.stdin.write(request_line(request) + "\n")
        process.stdin.flush()


def _listen(
    process: subprocess.Popen[str],
    answer: Answer,
    progress: Progress,
    silence: float,
    name: str,
    last_words: Callable[[], str],
) -> None:
    assert process.stdout is not None
    lines = Lines(process.stdout)
    began = time.monotonic()
    while True:
        try:
            event = lines.next(silence)
            if event is None:
                raise _cut_off(process, name, answer, last_words)
            answer.add(event)
        except TimeoutError:
            text = f"has not answered for {silence:g} s ({time.monotonic() - began:.0f} s after it was asked)"
            raise DisconnectedError(text, where=name, answer=answer) from None
        except ValueError as error:
            raise DisconnectedError(f"answered what nobody understands ({error})", where=name, answer=answer) from error
        if event["event"] == "done":
            return
        if event["event"] == "progress":
            progress(event["share"], event["text"])


def _cut_off(
    process: subprocess.Popen[str], name: str, answer: Answer, last_words: Callable[[], str]
) -> DisconnectedError:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    words = last_words().strip().splitlines()
    said = f": {words[-1].strip()[:200]}" if words else ""
    return DisconnectedError(f"stopped before it was done (code {process.returncode}{said})", where=name, answer=answer)
