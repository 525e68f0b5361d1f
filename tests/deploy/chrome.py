"""Drive a headless browser over its debugging pipe: real mouse and keys, narrow screens, pictures, what it says."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.browsing import CHROMIUM

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_PATIENCE = 120.0


class Tab:
    """One page in a browser. ``console`` and ``requests`` hold what was said and asked for since it was opened."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int, writing: int) -> None:
        self._process, self._reading, self._writing = process, reading, writing
        self._buffer, self._count, self._session = b"", 0, ""
        self.console: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show ``page`` in a window of ``width`` and ``height`` pixels and wait until its charts are drawn."""
        self.console.clear()
        self.requests.clear()
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        self._call("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && (document.documentElement.dataset.charts !== undefined || "
                  "!document.getElementById('charts'))")  # fmt: skip

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; an exception in it is raised here."""
        done = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise AssertionError(f"{script}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait(self, script: str, patience: float = _PATIENCE) -> None:
        """Wait until a JavaScript expression holds."""
        end = time.monotonic() + patience
        while not self.run(script):
            assert time.monotonic() < end, f"never came true: {script}"
            time.sleep(0.05)

    def place(self, script: str) -> tuple[float, float]:
        """Return the middle of the element that ``script`` yields, in pixels of the window, after scrolling to it."""
        self.run(f"({script}).scrollIntoView({{block: 'center'}})")
        box = self.run(f"(({script}).getBoundingClientRect()).toJSON()")
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def point_at(self, script: str) -> None:
        """Move the mouse onto an element."""
        x, y = self.place(script)
        self._mouse("mouseMoved", x - 2, y - 2)
        self._mouse("mouseMoved", x, y)

    def click(self, script: str) -> None:
        """Click on an element with the left button."""
        x, y = self.place(script)
        self._mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press and release a key, such as ``Enter`` or ``Tab``."""
        code = {"Enter": 13, "Tab": 9, " ": 32}[key]
        said = {"text": "\r"} if key == "Enter" else {"text": key} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **said)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page, or of the window alone."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(end)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(str([each.get("value", each.get("description")) for each in told["args"]]))
        elif event.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(told["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded":
            self.console.append(told["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self._reading, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Start a browser of its own and end it afterwards; ``profile`` is an empty folder for its settings."""
    (to_browser, writing), (reading, from_browser) = os.pipe(), os.pipe()
    # The browser reads from descriptor 3 and writes to 4; the shell puts ours there, from where they cannot collide.
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (to_browser, from_browser)]
    command = f'exec 3<&{high[0]} 4>&{high[1]}; exec "$@"'
    arguments = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", command, "browser", *arguments],
        pass_fds=high,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for each in (to_browser, from_browser, *high):
        os.close(each)
    try:
        yield Tab(process, reading, writing)
    finally:
        os.close(writing)
        os.close(reading)
        process.terminate()
        process.wait(20)
