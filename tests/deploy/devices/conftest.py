"""Devices to test with: a Python behind a pipe and a shell, and a real OpenSSH server on the loopback interface."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from compress.errors import UnavailableError
from deploy.devices.remote import Patience, RemoteDevice, Setting
from deploy.devices.ssh import remote_line
from tests.deploy.devices import sshd


class PipeDevice(RemoteDevice):
    """What an ssh server does with a connection, without the network: a shell gets the line; ``before`` runs first."""

    def __init__(
        self, *, python: str = sys.executable, before: str = "", folder: Path | None = None, silence: float = 60.0
    ) -> None:
        super().__init__("pipe", Setting(python, str(folder) if folder else None), Patience(20.0, silence, parting=2.0))
        self.before = before

    def command(self) -> Sequence[str]:
        return ["sh", "-c", f"{self.before}\n{remote_line(self.setting.python)}"]

    def why(self, stderr: Sequence[str], code: int | None) -> UnavailableError | None:
        return None


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a device keeps its temporary files: empty before, and has to be empty afterwards."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    if sshd.MISSING:
        pytest.skip(sshd.MISSING)
    folder = tmp_path_factory.mktemp("sshd")
    home = folder / "home"
    home.mkdir()
    with sshd.serve(folder, settings=f"SetEnv HOME={home} OMP_NUM_THREADS=1") as running:
        yield running


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the standard library alone."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def empty(folder: Path) -> bool:
    """Whether nothing is left in it."""
    return not list(folder.iterdir())


def emptied(folder: Path, seconds: float = 20.0) -> bool:
    """Whether nothing is left in it before long."""
    until = time.monotonic() + seconds
    while not empty(folder) and time.monotonic() < until:
        time.sleep(0.05)
    return empty(folder)


def midway(act: Callable[[], None], share: float = 0.15) -> Callable[[float, str], None]:
    """Return a progress that does ``act`` once, when this share is done; at 0.15 the device has begun to measure."""
    waiting = [act]

    def progress(done: float, text: str) -> None:
        if done > share and waiting:
            waiting.pop()()

    return progress
