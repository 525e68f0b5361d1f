"""A real OpenSSH server on a free port of the loopback interface, with keys of its own, none of the user's."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
KEYGEN = shutil.which("ssh-keygen")
MISSING = None if SSHD and KEYGEN and shutil.which("ssh") else "needs OpenSSH's ssh, ssh-keygen and sshd"
_SEPARATION = Path("/run/sshd")  # a server that root starts wants this empty folder


@dataclass
class Server:
    """A server that runs, and a client's configuration that knows its host key and holds a key that it accepts."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    config: Path

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def client(self, name: str, *, known_hosts: Path | None = None, key: Path | None = None) -> Path:
        """Write another client configuration; an empty file of known hosts knows none."""
        config = self.folder / name
        config.write_text(
            f"UserKnownHostsFile {known_hosts or self.folder / 'known_hosts'}\n"
            "GlobalKnownHostsFile /dev/null\n"
            "IdentitiesOnly yes\n"
            f"IdentityFile {key or self.folder / 'client'}\n"
            "IdentityAgent none\n"
        )
        return config

    def connections(self) -> list[psutil.Process]:
        """The processes of sshd that serve connections."""
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in descendants if process.name().startswith("sshd")]

    def cut(self) -> None:
        """Kill what serves the connections: for both ends it is as if the network went away."""
        for process in self.connections():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def make_key(path: Path) -> Path:
    """Make a key pair without a passphrase."""
    subprocess.run([str(KEYGEN), "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@contextlib.contextmanager
def serve(folder: Path, *, settings: str = "") -> Iterator[Server]:
    """Start a server, with ``settings`` added to its configuration, and stop it."""
    host_key, client_key = make_key(folder / "host"), make_key(folder / "client")
    port = _free_port()
    shutil.copy(client_key.with_suffix(".pub"), folder / "authorized_keys")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n{settings}\n"
    )
    with _separation(), open(folder / "log", "wb") as log:
        process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(configuration)], stderr=log)
        try:
            _wait_for(port, process, folder / "log")
            server = Server(port, folder, process, folder / "config")
            server.client("config")
            yield server
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _separation() -> Iterator[None]:
    if os.getuid() != 0 or _SEPARATION.exists():
        yield
        return
    _SEPARATION.mkdir(mode=0o755)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # another test's server may use it by now
            _SEPARATION.rmdir()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"sshd did not start: {log.read_text(errors='replace')}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("sshd does not listen")
