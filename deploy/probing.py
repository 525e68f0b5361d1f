"""Measure a file once in a fresh process: load time, first inference, peak memory, and whether it crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import deploy
from compress.errors import CompressError, InputError, UnavailableError, UndecidedError

_ERRORS: dict[int, type[CompressError]] = {2: InputError, 3: UndecidedError, 4: UnavailableError}


@dataclass(frozen=True)
class Probe:
    """Times in milliseconds, memory in bytes (``None`` where the system does not tell)."""

    load_time: float
    first_inference: float
    idle_memory: int | None
    peak_memory: int | None


def probe(
    path: Path,
    *,
    runtime: str,
    threads: int,
    batch: int,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    timeout: float = 600.0,
) -> Probe:
    """Load and run ``path`` in a new process, which no earlier measurement has warmed, filled or damaged.

    Raises:
        InputError: the file cannot be loaded or run, crashes the process, or takes longer than ``timeout`` seconds.
        UnavailableError: the runtime cannot be used here.
    """
    with tempfile.TemporaryDirectory(prefix="compress-probe-") as folder:
        answer = Path(folder) / "answer.json"
        request = {
            "path": str(path.resolve()),
            "runtime": runtime,
            "threads": threads,
            "batch": batch,
            "sizes": dict(sizes or {}),
            "seed": seed,
            "answer": str(answer),
        }
        process = _run(json.dumps(request), path, timeout)
        if process.returncode != 0 or not answer.is_file():
            raise InputError(_death(process), where=str(path), hint="try another runtime version, or export it again")
        return _parse(json.loads(answer.read_text()), path)


def _run(request: str, path: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    # -P: the user's working folder must not shadow our imports, which are found through PYTHONPATH instead.
    command = [sys.executable, "-P", "-m", "deploy._child"]
    home = str(Path(deploy.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in (home, inherited) if part)}
    try:
        return subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"did not load and run within {timeout:.0f} s", where=str(path), hint="the runtime hangs, or is too slow"
        ) from error


def _death(process: subprocess.CompletedProcess[str]) -> str:
    code = process.returncode
    if code < 0:
        return f"crashed the runtime with signal {-code} ({signal.Signals(-code).name})"
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    return f"ended the runtime's process with code {code} ({lines[-1][:200] if lines else 'no message'})"


def _parse(answer: dict[str, object], path: Path) -> Probe:
    if "what" in answer:
        kind = _ERRORS.get(int(str(answer["exit_code"])), InputError)
        hint = answer["hint"]
        where = None if answer["where"] is None else str(path)
        raise kind(str(answer["what"]), where=where, hint=None if hint is None else str(hint))
    return Probe(**answer)  # type: ignore[arg-type]  # the child wrote exactly these fields
