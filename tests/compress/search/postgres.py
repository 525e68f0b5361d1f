"""A PostgreSQL server of the tests' own, from the programs that are installed; none is downloaded."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_USERS = ("postgres", "nobody")  # the server refuses to run as root


def why_not() -> str | None:
    """Why there is no server to be had here."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"PostgreSQL's {', '.join(missing)} not installed"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    return None


class Server:
    """A server on a free port, in a folder of its own. Nothing is asked for a password."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="compress-pg-"))
        self._user = _other_user()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._call("initdb", "-D", "data", "-A", "trust", "-U", "tester", "--no-sync", "--no-locale", "-E", "UTF8")

    def start(self) -> None:
        """Wait until it answers."""
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder} -F"
        self._call("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        """As a crash would: connections are cut, nothing is told."""
        self._call("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it if it runs, and forget everything."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    def database(self) -> str:
        """Make a new database, and return its URL."""
        import psycopg

        name = f"study_{uuid.uuid4().hex}"
        where = f"host=127.0.0.1 port={self._port} user=tester dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://tester@127.0.0.1:{self._port}/{name}"

    def _call(self, *command: str) -> None:
        ended = self._run(*command)
        if ended.returncode:
            log = self._folder / "log"
            pytest.fail(f"{' '.join(command)}: {ended.stderr}{log.read_text() if log.exists() else ''}")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        user = {} if self._user is None else {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid}
        return subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "HOME": str(self._folder)}, **user,
        )  # type: ignore[call-overload]  # fmt: skip


def _other_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
