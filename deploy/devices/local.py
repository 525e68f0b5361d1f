"""This machine as a device: the runner in a process beside this one."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile

from deploy.devices.base import Device
from deploy.devices.talking import talk
from deploy.runner import children
from deploy.runner.protocol import Answer, MeasureRequest
from deploy.timing import Progress, silent


class LocalDevice(Device):
    """Measures here."""

    name = "here"

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        files = [os.path.abspath(file) for file in request.files]
        return self._talk(dataclasses.replace(request, files=files), progress)

    def describe(self) -> Answer:
        return self._talk(None, silent)

    def stop(self) -> None:
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def _talk(self, request: MeasureRequest | None, progress: Progress) -> Answer:
        # The runner is killed when it is stopped: what it and its children leave behind goes with this folder.
        with (
            tempfile.TemporaryDirectory(prefix="compress-here-", ignore_cleanup_errors=True) as folder,
            tempfile.TemporaryFile("w+", errors="replace") as words,
        ):
            process = subprocess.Popen(
                children.command("deploy.runner"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                encoding="utf-8",
                env=os.environ | {"TMPDIR": folder},
                start_new_session=True,  # an interrupt at the keyboard is for this process, which then ends that one
            )

            self._process = process
            if self._stopped:
                process.kill()

            def last_words() -> str:
                words.seek(0)
                return words.read()

            return talk(process, request, progress, name=self.name, last_words=last_words)
