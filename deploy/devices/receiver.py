"""What runs on a device: take the runner and the files, start it, pass on what it says, and remove everything.

It is sent as source over the connection and needs nothing there but a Python: it knows the standard library alone.

On stdin come frames, a JSON line each. ``{"part": [names], "size", "sha256"}`` is a file, and its bytes follow it;
``{"run": [arguments], "request", "environment", "unpack"}`` starts Python with these arguments, in a group of its own.
On stdout go JSON lines: ``hello``, then those of the runner, then ``end`` with its exit code and the end of its stderr.
When stdin ends, or a signal comes, the runner is ended and the folder removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from types import FrameType
from typing import Any, BinaryIO

_CHUNK = 1 << 20
_TAIL = 4000  # bytes of the runner's stderr that are passed on
_GRACE = 3.0  # seconds that the runner has to end by itself
_FOLDER_HINT = "name another folder in devices.yaml (folder: /path)"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class RefusedError(Exception):
    """What was received cannot be used; the text says why."""


class Speaker:
    """Writes the protocol's lines to what was stdout; what anybody else prints from now on goes to stderr.

    Every line begins with ``nonce``, which tells it from whatever the device's shell prints.
    """

    def __init__(self, nonce: str) -> None:
        self._mark = nonce.encode() + b" "
        self._stream = os.fdopen(os.dup(1), "wb", 0)
        os.dup2(2, 1)
        self._write(b"\n")  # what the shell printed may lack the end of its line

    def say(self, **fields: object) -> None:
        """Write one event."""
        self.pass_on(json.dumps(fields).encode())

    def pass_on(self, line: bytes) -> None:
        """Write one line of JSON."""
        self._write(self._mark + line.strip() + b"\n")

    def _write(self, data: bytes) -> None:
        # Where nobody listens any more, stdin ends too, and that ends everything.
        with contextlib.suppress(OSError):
            while data:
                data = data[self._stream.write(data) or 0 :]


def main(nonce: str, place: str | None) -> None:
    """Serve one connection; files are kept in a new folder in ``place``, or where the system keeps such files."""
    speaker = Speaker(nonce)
    for number in _SIGNALS:
        signal.signal(number, _leave)
    # The working folder is the user's home: what lies there must not be imported in place of what is installed.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", os.getcwd())]
    folder, code, tail = None, 1, ""
    try:
        folder = tempfile.mkdtemp(prefix="compress-", dir=place)
        _hello(speaker, folder)
        code, tail = _serve(speaker, folder)
    except OSError as error:
        what = f"cannot store files in {folder or place or 'its temporary folder'} ({error.strerror or error})"
        speaker.say(event="error", what=what, where=None, hint=_FOLDER_HINT, exit_code=4)
    except (RefusedError, zipfile.BadZipFile) as error:
        speaker.say(event="error", what=str(error), where=None, hint="try again", exit_code=4)
    except SystemExit:
        tail = "stopped by a signal, or the connection was closed"
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    left = folder if folder is not None and os.path.exists(folder) else None
    speaker.say(event="end", code=code, stderr=tail, left=left)


def _hello(speaker: Speaker, folder: str) -> None:
    speaker.say(
        event="hello",
        python=platform.python_version(),
        executable=sys.executable,
        system=sys.platform,
        machine=platform.machine(),
        folder=folder,
        free=shutil.disk_usage(folder).free,
        numpy=importlib.util.find_spec("numpy") is not None,
    )


def _serve(speaker: Speaker, folder: str) -> tuple[int, str]:
    """Take frames until one starts the runner; return its exit code and the end of its stderr."""
    stream = sys.stdin.buffer
    for line in iter(stream.readline, b""):
        frame = json.loads(line)
        if "run" in frame:
            return _run(speaker, folder, frame)
        _receive(stream, folder, frame)
    raise SystemExit


def _receive(stream: BinaryIO, folder: str, frame: dict[str, Any]) -> None:
    """Write one file under ``folder``; what is damaged is refused."""
    names: list[str] = frame["part"]
    if not names or any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        raise RefusedError(f"the file name {names!r} leads out of the folder")
    path = os.path.join(folder, *names)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    digest, left = hashlib.sha256(), int(frame["size"])
    with open(path, "xb") as target:
        while left:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise SystemExit
            digest.update(data)
            target.write(data)
            left -= len(data)
    if digest.hexdigest() != frame["sha256"]:
        raise RefusedError(f"{names[-1]!r} was damaged on the way")


def _run(speaker: Speaker, folder: str, frame: dict[str, Any]) -> tuple[int, str]:
    """Start the runner and pass its lines on until it ends, or the connection does."""
    code, temporary, errors = (os.path.join(folder, name) for name in ("code", "tmp", "stderr.txt"))
    with zipfile.ZipFile(os.path.join(folder, frame["unpack"])) as archive:
        archive.extractall(code)
    os.mkdir(temporary, 0o700)
    with open(errors, "wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, *frame["run"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=code,
            env=_surroundings(code, temporary, frame["environment"]),
            start_new_session=True,
        )
    done = threading.Event()
    try:
        # One that ends before it reads anything tells why by its exit code and stderr.
        with contextlib.suppress(OSError):
            _pipe(child.stdin).write(frame["request"].encode() + b"\n")
            _pipe(child.stdin).flush()
        threading.Thread(target=_watch, args=(child, done), daemon=True).start()
        for line in _pipe(child.stdout):
            if line.lstrip().startswith(b"{"):
                speaker.pass_on(line)
    finally:
        done.set()
        _end(child)
    return child.returncode, _tail(errors)


def _surroundings(code: str, temporary: str, chosen: dict[str, str]) -> dict[str, str]:
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {
        **os.environ,
        **chosen,
        "PYTHONPATH": os.pathsep.join([code, *inherited]),
        "PYTHONIOENCODING": "utf-8",
        "TMPDIR": temporary,
    }


def _watch(child: subprocess.Popen[bytes], done: threading.Event) -> None:
    """End the runner when the connection ends. Reads below Python's buffer, which must not be held when it exits."""
    with contextlib.suppress(OSError):
        while os.read(0, _CHUNK):
            continue
    if not done.is_set():
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the runner to end by closing its stdin; after a while make it, with all that it started."""
    with contextlib.suppress(OSError):
        _pipe(child.stdin).close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End in order on the first signal; those that follow do not disturb the cleaning up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit


def _pipe(stream: Any) -> Any:
    if stream is None:
        raise RuntimeError("the process was started without this pipe")
    return stream


def _tail(path: str) -> str:
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - _TAIL))
        return stream.read().decode("utf-8", "replace")
