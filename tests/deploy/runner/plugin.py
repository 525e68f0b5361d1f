"""A plug-in runtime that misbehaves as the names of the files ask for, installed where child processes find it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NAME = "unruly"
_MODULE = '''
import os, signal, time
from compress.errors import InputError, UnavailableError
from deploy.runtimes.onnxruntime_cpu import OnnxRuntimeCpu


class Unruly(OnnxRuntimeCpu):
    """ONNX Runtime, but for what a file's name says."""

    name = "unruly"

    def load(self, path, *, threads):
        if "crash-load" in path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang-load" in path.name:
            time.sleep(600)
        if "refuse" in path.name:
            raise InputError("is too good for this runtime", where=str(path), hint="try a worse one")
        return _Session(super().load(path, threads=threads))


class _Session:
    def __init__(self, session):
        self._session = session
        self._runs = 0
        self.path, self.inputs = session.path, session.inputs

    def run(self, feeds):
        self._runs += 1
        if self._runs > 12:
            self._misbehave()
        return self._session.run(feeds)

    def _misbehave(self):
        if "crash-late" in self.path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang-late" in self.path.name:
            time.sleep(600)
        if "tire" in self.path.name:
            raise InputError("has had enough", where=str(self.path))

    def describe(self):
        return self._session.describe()

    def operator_times(self, feeds, *, runs=20):
        if "crash-operators" in self.path.name:
            os.kill(os.getpid(), signal.SIGABRT)
        if "no-operators" in self.path.name:
            raise UnavailableError("does not tell the times of operators")
        return self._session.operator_times(feeds, runs=runs)


class Absent(OnnxRuntimeCpu):
    name = "absent"

    def why_not(self):
        return "its licence has run out"


class EnginesOnly(OnnxRuntimeCpu):
    name = "engines-only"
    suffixes = (".engine", ".plan")


class Fatal(OnnxRuntimeCpu):
    name = "fatal"

    def why_not(self):
        os.kill(os.getpid(), signal.SIGSEGV)
'''
_ENTRY_POINTS = """[compress.runtimes]
unruly = unruly_runtime:Unruly
absent = unruly_runtime:Absent
engines-only = unruly_runtime:EnginesOnly
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, entry_points: str = _ENTRY_POINTS) -> None:
    """Put the plug-in where processes that are started from now on find it."""
    (folder / "unruly_runtime.py").write_text(_MODULE)
    information = folder / "unruly_runtime-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly-runtime\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entry_points)
    path = os.pathsep.join(part for part in (str(folder), os.environ.get("PYTHONPATH", "")) if part)
    monkeypatch.setenv("PYTHONPATH", path)
