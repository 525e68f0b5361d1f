"""The connection to a device: a process whose pipes end at a receiver there; ssh, or any command that starts a Python.

Nothing that is sent passes through a shell: the command line is fixed, and everything else goes over the pipe.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import secrets
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from compress.errors import InputError
from deploy.devices import receiver

TOO_OLD = "compress needs Python 3.9 or newer there, this is Python"
# One line, without single quotes, backslashes, exclamation marks and dollars: the same for every shell, when quoted.
BOOTSTRAP = (
    "import sys;v=sys.version_info[:2];"
    f'v<(3,9)and sys.exit("{TOO_OLD} %d.%d"%v);'
    "i=sys.stdin.buffer;n=int(i.readline());"
    'exec(compile(i.read(n),"receiver","exec"))'
)

PARTING = 10.0
"""Seconds that a device has to clean up when the connection is closed."""

Sent = Callable[[int], None]
Event = dict[str, Any]
_CHUNK = 1 << 16
_LONGEST = 1 << 28  # bytes of a line
_LINES = 60  # of stderr that are kept


class ChannelError(Exception):
    """The conversation ended too early: nothing came for ``silent`` seconds, or the process ended with ``code``."""

    def __init__(self, *, code: int | None, stderr: Sequence[str], silent: float | None = None) -> None:
        super().__init__(f"silent for {silent} s" if silent else f"ended with code {code}")
        self.code = code
        self.stderr = tuple(stderr)
        self.silent = silent


@dataclass(frozen=True)
class Part:
    """A file to send: its place in the folder on the device, and its content."""

    names: tuple[str, ...]
    content: Path | bytes
    sha256: str

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


class Channel:
    """A conversation with a device. As a context manager: leaving it ends the conversation and the process."""

    def __init__(self, command: Sequence[str], *, place: str | None = None, parting: float = PARTING) -> None:
        self._nonce = secrets.token_hex(8)
        self._place = place
        self._parting = parting
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us first, and the device then has its time to clean up
        )
        self._stdin, self._stdout, self._stderr = self._pipes()
        os.set_blocking(self._stdin.fileno(), False)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read_lines, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def greet(self, *, patience: float) -> Event:
        """Start the receiver and return its ``hello``. Raises :class:`ChannelError`."""
        place = repr(self._place)
        source = Path(receiver.__file__).read_bytes() + f"\nmain({self._nonce!r}, {place})\n".encode()
        with contextlib.suppress(BrokenPipeError):  # why it ended is read below
            self._write(b"%d\n" % len(source) + source, patience)
        return self.event(patience=patience)

    def send(self, part: Part, *, patience: float, sent: Sent) -> bool:
        """Send a file; ``sent`` is told the bytes of every piece. False where the device stopped listening.

        Raises:
            ChannelError: nothing moved for ``patience`` seconds.
            InputError: the file changed meanwhile.
        """
        try:
            self._say({"part": part.names, "size": part.size, "sha256": part.sha256}, patience)
            for piece in _pieces(part):
                self._write(piece, patience)
                sent(len(piece))
        except BrokenPipeError:
            return False
        return True

    def run(
        self, arguments: Sequence[str], request: str, *, environment: Mapping[str, str], unpack: str, patience: float
    ) -> None:
        """Start the runner with the line ``request`` on its stdin."""
        with contextlib.suppress(BrokenPipeError):  # why it ended is in the events
            self._say(
                {"run": list(arguments), "request": request, "environment": dict(environment), "unpack": unpack},
                patience,
            )

    def event(self, *, patience: float) -> Event:
        """Return what the device says next. Raises :class:`ChannelError` where it is silent or gone."""
        until = time.monotonic() + patience
        mark = self._nonce.encode() + b" "
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise ChannelError(code=None, stderr=self._errors(), silent=patience) from None
            if line is None:
                raise ChannelError(code=self._wait(), stderr=self._errors())
            if not line.startswith(mark):
                continue
            with contextlib.suppress(ValueError):  # a line that was cut off: the end of the stream follows
                event = json.loads(line[len(mark) :])
                if isinstance(event, dict) and isinstance(event.get("event"), str):
                    return event

    def stop(self) -> None:
        """Break off from another thread: whoever waits for the device is told that the connection broke."""
        self._process.terminate()

    def close(self) -> None:
        """End the conversation: the device cleans up when its stdin ends; then the process is ended."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._wait()
        for thread, stream in zip(self._threads, (self._stdout, self._stderr), strict=True):
            thread.join(1.0)
            if not thread.is_alive():
                stream.close()

    def _wait(self) -> int:
        try:
            return self._process.wait(self._parting)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _errors(self) -> tuple[str, ...]:
        # A background process of ssh may keep the pipe open: what is there after a moment is all there is.
        self._threads[1].join(1.0 if self._process.poll() is not None else 0.0)
        return tuple(self._said)

    def _say(self, message: object, patience: float) -> None:
        self._write(json.dumps(message).encode() + b"\n", patience)

    def _write(self, data: bytes, patience: float) -> None:
        descriptor = self._stdin.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        view = memoryview(data)
        while view:
            if not poll.poll(patience * 1e3):
                raise ChannelError(code=None, stderr=self._errors(), silent=patience)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(descriptor, view[:_CHUNK]) :]

    def _read_lines(self) -> None:
        while line := self._stdout.readline(_LONGEST):
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self._stderr:
            # It ends up in messages: what steers a terminal must not.
            text = "".join(
                letter if letter.isprintable() else " " for letter in line.decode("utf-8", "replace")
            ).strip()
            if text:
                self._said.append(text)

    def _pipes(self) -> tuple[BinaryIO, BinaryIO, BinaryIO]:
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the process was started without pipes")
        return process.stdin, process.stdout, process.stderr  # type: ignore[return-value]


def _pieces(part: Part) -> Iterator[bytes]:
    if isinstance(part.content, bytes):
        yield part.content
        return
    left = part.size
    with open(part.content, "rb") as stream:
        while left:
            piece = stream.read(min(left, _CHUNK))
            if not piece:
                raise InputError("became shorter while it was sent", where=str(part.content), hint="try again")
            left -= len(piece)
            yield piece
