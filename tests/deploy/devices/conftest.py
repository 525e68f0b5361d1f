"""Devices to test with: a Python behind a pipe and a shell, and a real OpenSSH server on the loopback interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
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
